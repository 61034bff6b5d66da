"""Version-1 events: every fact taped records, as immutable records with stable type ids.

On the wire an event is a positional array `[type, version, ts_ns, ...]` in the order of the fields
below (a record's tag is its type id). A field is never removed, reordered or given another meaning:
that makes a new version, and `schemas/upcasters.py` lifts the old one.

Units everywhere: `*_ns` are integer nanoseconds since 1970 UTC; `price` and `quantity` are integers
scaled by the instrument's `price_scale` and `quantity_scale` (12.34 at scale 2 is 1234); an
`order_id` is the sequence number of the order's `OrderRequested`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

Scalar = bool | int | float | str | None


class Side(IntEnum):
    """Direction of an order or fill; the sign is that of the change in position."""

    SELL = -1
    NONE = 0
    BUY = 1


class AssetClass(IntEnum):
    """What kind of thing an instrument is."""

    CRYPTO = 1
    EQUITY = 2
    FOREX = 3
    FUTURE = 4


class BarSide(IntEnum):
    """Which price a bar is made of."""

    TRADE = 0
    BID = 1
    ASK = 2
    MID = 3


class FeedState(IntEnum):
    """What a feed reports of its connection."""

    CONNECTED = 1
    DISCONNECTED = 2
    STALE = 3
    FINISHED = 4


class OrderType(IntEnum):
    """How an order is to be priced."""

    MARKET = 1
    LIMIT = 2
    STOP = 3
    STOP_LIMIT = 4
    TRAILING_STOP = 5


class TimeInForce(IntEnum):
    """How long an order may work."""

    GTC = 1
    DAY = 2
    IOC = 3
    FOK = 4
    GTD = 5


class Liquidity(IntEnum):
    """Whether a fill added liquidity or took it."""

    MAKER = 1
    TAKER = 2


class TradingState(IntEnum):
    """What trading is allowed: everything, only less exposure, or nothing."""

    ACTIVE = 1
    REDUCING = 2
    HALTED = 3


class BreakerState(IntEnum):
    """State of a circuit breaker."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


class DiskLevel(IntEnum):
    """Rungs of the ladder that trading climbs down as disk space shrinks."""

    OK = 1
    SPARE_USED = 2
    SHED_TICKS = 3
    REFUSE_RISK = 4


class Severity(IntEnum):
    """How urgent a notification is."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class ReconciliationKind(IntEnum):
    """What differed between our books and the venue's."""

    ORDER = 1
    FILL = 2
    BALANCE = 3


class Event(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """What every event has: the version of its layout and when it happened.

    `version` is checked on decoding, so that a newer layout is never read as this one.
    Events hold no reference cycles, so the garbage collector does not track them.
    """

    version: Literal[1] = 1
    ts_ns: int


# --- market: 1-19 -----------------------------------------------------------------------------


class InstrumentDefined(Event, frozen=True, kw_only=True, tag=1):
    """An instrument and its scales, before its first tick. A later one with the same id replaces it.

    `tick_size` and `lot_size` are in scaled units (1 = the finest the scale can hold);
    `multiplier` is the value of one price unit of one contract (100 for COMEX gold, else 1).
    `session_zone` is the IANA zone of the exchange's trading day.
    """

    instrument_id: int
    symbol: str
    venue: str
    asset_class: AssetClass
    base_currency: str
    quote_currency: str
    price_scale: int
    quantity_scale: int
    tick_size: int = 1
    lot_size: int = 1
    multiplier: int = 1
    session_zone: str = "UTC"


class Trade(Event, frozen=True, kw_only=True, tag=2):
    """One trade on the market, as the venue told it.

    `ts_ns` is the venue's time, `received_ns` ours; either may be the earlier. `conditions` holds
    the vendor's flags in its low 32 bits; bit 32 (`SUSPICIOUS`) is set when the vendor doubts it.
    """

    received_ns: int
    instrument_id: int
    price: int
    quantity: int
    aggressor: Side = Side.NONE
    trade_id: int | str | None = None
    conditions: int = 0
    exchange: str = ""


class Quote(Event, frozen=True, kw_only=True, tag=3):
    """Top of book. A side that was not told is None; a price without a known quantity is allowed."""

    received_ns: int
    instrument_id: int
    bid_price: int | None
    bid_quantity: int | None
    ask_price: int | None
    ask_quantity: int | None
    conditions: int = 0
    exchange: str = ""


class Bar(Event, frozen=True, kw_only=True, tag=4):
    """A finished bar from outside; `ts_ns` is its end, `ts_ns - interval_ns` its start."""

    received_ns: int
    instrument_id: int
    interval_ns: int
    side: BarSide
    open: int
    high: int
    low: int
    close: int
    volume: int | None = None


class FeedStatus(Event, frozen=True, kw_only=True, tag=5):
    """A feed connected, disconnected, went stale or came to its end."""

    feed: str
    state: FeedState
    detail: str = ""


class FeedGap(Event, frozen=True, kw_only=True, tag=6):
    """Market data that was lost or shed: loss is never silent.

    `lost` is the number of ticks where it is known; the gap lies in `[from_ns, to_ns]`.
    """

    feed: str
    instrument_id: int | None
    reason: str
    lost: int | None
    from_ns: int
    to_ns: int


class SessionCalendarDefined(Event, frozen=True, kw_only=True, tag=7):
    """When a venue, or one of its instruments, trades. A later one for the same replaces it.

    `opens` and `closes` belong together: seconds since Monday 00:00 in `zone` (IANA), a close at most
    a week behind its opening. A session has the local date of its close; `holidays` are dates without
    one, in the form 20241225. `early_days` and `early_closes` belong together: dates, and the second
    of the day at which all ends. Without any hours the calendar that was is gone.
    """

    venue: str
    instrument_id: int | None
    zone: str
    opens: list[int]
    closes: list[int]
    holidays: list[int]
    early_days: list[int]
    early_closes: list[int]


# --- orders: 20-39 ----------------------------------------------------------------------------


class OrderRequested(Event, frozen=True, kw_only=True, tag=20):
    """Somebody wants an order; its sequence number becomes the order's id.

    `source` names who (`operator:NAME`, `strategy:ID`, `core:WHY`); `client_id` is the caller's
    own id for an idempotent request. `trail_amount` is in price units, `trail_ppm` in millionths
    of the price. `parent_id` is the order whose fill releases this one; orders of one `oco_group`
    take each other's place: what one of them fills, the others lose. The group bears the order id
    of its first order, or of their common parent. `tag` is free text for reports.
    """

    instrument_id: int
    side: Side
    order_type: OrderType
    quantity: int
    price: int | None = None
    stop_price: int | None = None
    trail_amount: int | None = None
    trail_ppm: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    expire_ns: int | None = None
    post_only: bool = False
    reduce_only: bool = False
    source: str
    strategy_id: str | None = None
    client_id: str | None = None
    parent_id: int | None = None
    oco_group: int | None = None
    tag: str = ""


class OrderDenied(Event, frozen=True, kw_only=True, tag=21):
    """We refused the order; `rule` is the reason code of the rule that did."""

    order_id: int
    rule: str
    reason: str


class OrderSubmitted(Event, frozen=True, kw_only=True, tag=22):
    """The order may leave for the venue once this event is durable, under `client_order_id`."""

    order_id: int
    client_order_id: str
    venue: str


class OrderAccepted(Event, frozen=True, kw_only=True, tag=23):
    """The venue works the order."""

    received_ns: int
    order_id: int
    venue_order_id: str


class OrderRejected(Event, frozen=True, kw_only=True, tag=24):
    """The venue refused the order."""

    received_ns: int
    order_id: int
    reason: str


class OrderFilled(Event, frozen=True, kw_only=True, tag=25):
    """One fill. `venue_trade_id` makes it count once; the fee is `fee / 10**fee_scale` of its currency."""

    received_ns: int
    order_id: int
    instrument_id: int
    side: Side
    price: int
    quantity: int
    fee: int
    fee_scale: int
    fee_currency: str
    liquidity: Liquidity
    venue_trade_id: str


class CancelRequested(Event, frozen=True, kw_only=True, tag=26):
    """Somebody wants the order gone; it is not, until the venue says so."""

    order_id: int
    source: str
    strategy_id: str | None = None
    client_id: str | None = None


class OrderCanceled(Event, frozen=True, kw_only=True, tag=27):
    """The venue took the order out."""

    received_ns: int
    order_id: int
    reason: str


class OrderExpired(Event, frozen=True, kw_only=True, tag=28):
    """The order's time in force ended with quantity left."""

    received_ns: int
    order_id: int
    reason: str


class ReplaceRequested(Event, frozen=True, kw_only=True, tag=29):
    """Somebody wants other terms for the order; None leaves a term as it is."""

    order_id: int
    quantity: int | None
    price: int | None
    stop_price: int | None
    source: str
    strategy_id: str | None = None
    client_id: str | None = None


class OrderReplaced(Event, frozen=True, kw_only=True, tag=30):
    """The venue works the order on these terms now."""

    received_ns: int
    order_id: int
    quantity: int
    price: int | None
    stop_price: int | None


class OrderUnknown(Event, frozen=True, kw_only=True, tag=31):
    """We do not know what became of the order at the venue; it is asked after, never sent again."""

    order_id: int
    reason: str


class ReconciliationFound(Event, frozen=True, kw_only=True, tag=32):
    """Our books and the venue's differ; an unexplained difference halts the instrument."""

    kind: ReconciliationKind
    instrument_id: int | None
    order_id: int | None
    expected: str
    found: str
    explained: bool
    detail: str


class OrderHeld(Event, frozen=True, kw_only=True, tag=33):
    """A linked order passed its checks and waits, at our side, for its parent to fill."""

    order_id: int


class OrderTriggered(Event, frozen=True, kw_only=True, tag=34):
    """The venue's stop or trailing stop was reached, at this price; the order is live from here on."""

    received_ns: int
    order_id: int
    price: int


class CancelRejected(Event, frozen=True, kw_only=True, tag=35):
    """The venue refused to take the order out; the order goes on as before."""

    received_ns: int
    order_id: int
    reason: str


class ReplaceRejected(Event, frozen=True, kw_only=True, tag=36):
    """The venue refused other terms; the order goes on as before."""

    received_ns: int
    order_id: int
    reason: str


class OrderReleased(Event, frozen=True, kw_only=True, tag=37):
    """The parent of a held order has filled: this much of it may leave, and its submission follows."""

    order_id: int
    quantity: int


class ReplaceDenied(Event, frozen=True, kw_only=True, tag=38):
    """We refused other terms, by the rule of that code; the order goes on as before."""

    order_id: int
    rule: str
    reason: str


# --- control: 40-59 ---------------------------------------------------------------------------


class TradingStateChanged(Event, frozen=True, kw_only=True, tag=40):
    """Trading was allowed, restricted or halted, by whom and why."""

    state: TradingState
    reason: str
    source: str


class StrategyStarted(Event, frozen=True, kw_only=True, tag=41):
    """A strategy of this kind runs with these parameters on these instruments."""

    strategy_id: str
    kind: str
    parameters: dict[str, Scalar]
    instrument_ids: list[int]


class StrategyStopped(Event, frozen=True, kw_only=True, tag=42):
    """A strategy no longer runs."""

    strategy_id: str
    reason: str


class StrategyParametersChanged(Event, frozen=True, kw_only=True, tag=43):
    """A running strategy has these parameters from here on."""

    strategy_id: str
    parameters: dict[str, Scalar]


class OperatorCommand(Event, frozen=True, kw_only=True, tag=44):
    """Who told taped to do what; the core answers with decisions."""

    who: str
    role: str
    command: str
    arguments: dict[str, Scalar | list[Scalar]] = {}


class InstrumentStateChanged(Event, frozen=True, kw_only=True, tag=45):
    """Trading of one instrument was allowed or halted, by whom and why; `TradingStateChanged` for one."""

    instrument_id: int
    state: TradingState
    reason: str
    source: str


class RiskLimitsChanged(Event, frozen=True, kw_only=True, tag=46):
    """These limits of risk hold from here on, by the name of their setting; None switches one off."""

    limits: dict[str, Scalar]
    source: str


class TradingPaused(Event, frozen=True, kw_only=True, tag=47):
    """A protection after losses: orders that open risk are refused before `until_ns`.

    `rule` is the reason code. None for an instrument or a strategy means all of them.
    """

    instrument_id: int | None
    strategy_id: str | None
    until_ns: int
    rule: str
    reason: str


class CashWithdrawn(Event, frozen=True, kw_only=True, tag=48):
    """Money left the account; `amount` is decimal text."""

    currency: str
    amount: str
    source: str


class AllocationChanged(Event, frozen=True, kw_only=True, tag=49):
    """Each strategy may size its orders with so many millionths of the equity from here on.

    `method` is how that was computed. One that is not named may use all.
    """

    share_ppm: dict[str, int]
    method: str


# --- system: 60-79 ----------------------------------------------------------------------------


class DaemonStarted(Event, frozen=True, kw_only=True, tag=60):
    """A process took the journal over; `settings` are those the core's decisions depend on."""

    daemon_version: str
    config_hash: str
    code_hash: str
    settings: dict[str, Scalar]


class DaemonStopped(Event, frozen=True, kw_only=True, tag=61):
    """The process let the journal go in good order."""

    reason: str


class ClockTicked(Event, frozen=True, kw_only=True, tag=62):
    """A second passed; drives every timer of the core."""

    synchronized: bool


class SensorsRead(Event, frozen=True, kw_only=True, tag=63):
    """Readings by sensor name (`cpu_celsius`, ...); None where a sensor could not be read."""

    readings: dict[str, float | int | None]


class FanSet(Event, frozen=True, kw_only=True, tag=64):
    """The fan runs at this duty from here on."""

    duty_percent: int
    reason: str


class BreakerChanged(Event, frozen=True, kw_only=True, tag=65):
    """A circuit breaker around an outside call changed its state."""

    breaker: str
    state: BreakerState
    failures: int
    reason: str


class DiskPressure(Event, frozen=True, kw_only=True, tag=66):
    """Disk space moved the daemon to another rung of the ladder."""

    level: DiskLevel
    free_bytes: int
    reason: str


class NotificationQueued(Event, frozen=True, kw_only=True, tag=67):
    """Somebody must hear of this; it is sent after this event is durable."""

    severity: Severity
    subject: str
    body: str


class NotificationSent(Event, frozen=True, kw_only=True, tag=68):
    """What became of a queued notification on one channel."""

    queued_seq: int
    channel: str
    delivered: bool
    detail: str


class ParityChecked(Event, frozen=True, kw_only=True, tag=69):
    """Somebody made the decisions of `[first_seq, last_seq]` again, with code of this hash, and compared.

    `decisions` of them were equal; `different_seq` is the place of the first that was not, and `reason`
    tells of it.
    """

    passed: bool
    first_seq: int
    last_seq: int
    decisions: int
    code_hash: str
    different_seq: int | None
    reason: str
    source: str


EVENT_TYPES: tuple[type[Event], ...] = tuple(Event.__subclasses__())
"""Every record of version 1, in order of type id."""

SUSPICIOUS = 1 << 32
"""Bit of `conditions`: the vendor marked the tick as doubtful."""

MARKET_EVENTS = (InstrumentDefined, Trade, Quote, Bar, FeedStatus, FeedGap)

_ALWAYS_DECISIONS = (
    OrderDenied,
    OrderSubmitted,
    OrderHeld,
    OrderReleased,
    ReplaceDenied,
    TradingStateChanged,
    InstrumentStateChanged,
    StrategyStarted,
    StrategyStopped,
    StrategyParametersChanged,
    NotificationQueued,
    RiskLimitsChanged,
    TradingPaused,
    CashWithdrawn,
    AllocationChanged,
)
_REQUESTS = (OrderRequested, CancelRequested, ReplaceRequested)
_OURS = ("strategy:", "core:")

DECISIONS: frozenset[type[Event]] = frozenset((*_ALWAYS_DECISIONS, *_REQUESTS))
"""Types that decisions are of; an event of any other type is an input. See `is_decision`."""


def is_decision(event: Event) -> bool:
    """Return whether the core made this event (else it came from outside: an input).

    Requests are made by the core when a strategy or the core itself is their source.
    """
    if isinstance(event, _REQUESTS):
        return event.source.startswith(_OURS)
    return isinstance(event, _ALWAYS_DECISIONS)
