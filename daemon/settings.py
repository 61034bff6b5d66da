"""Every setting of the daemon, declared once: type, default, limits, and what it is for.

Records only. Reading them from files, the environment and flags is `daemon/config.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Parameter = bool | int | float | str

CASH = "a table of currencies and decimal text"
FEES = "a table of symbols and MAKER/TAKER in millionths"
QUANTITIES = "a table of instruments, or *, and decimal text"
LEAST_CASH = "a table of currencies and decimal text, the least of each"
MARGINS = "a table of instruments, markets or *, and millionths"
LIMIT, VALUE = "limit ", "value "
"""In front of a limit's name in the form of a setting: what it may be is what the core takes for it.
A limit may also be off: empty, zero or false."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting's value must be, beyond its type; `doc` is what `taped check-config` shows.

    `form` is that of a text: `currency`, `amount` (decimal above zero) or `zone` (IANA).
    `table` says what stands in a table of texts.
    """

    doc: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    form: str = ""
    table: str = ""


def _setting(
    default: T,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    form: str = "",
) -> T:
    rule = Rule(doc, minimum, maximum, choices, form)
    # A dataclass takes the Field for the default; to a type checker it is the default itself.
    return field(default=default, metadata={"rule": rule})


def _mapping(doc: str, table: str) -> Mapping[str, str]:
    return field(default_factory=dict, metadata={"rule": Rule(doc, table=table)})


def _rates(doc: str) -> Mapping[str, int]:
    return field(default_factory=dict, metadata={"rule": Rule(doc, table=MARGINS)})


def _limit(name: str, default: T, doc: str) -> T:
    return _setting(default, doc, form=(VALUE if default else LIMIT) + name)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Where log records go."""

    level: str = _setting("info", "least level written", choices=("debug", "info", "warning", "error"))
    format: str = _setting("console", "lines for people or JSON for programs", choices=("console", "json"))
    file: Path | None = _setting(None, "log file; standard error when empty")  # noqa: RUF009  # a Field
    max_bytes: int = _setting(10_000_000, "a log file is closed at this length", minimum=10_000)
    max_files: int = _setting(10, "closed log files that are kept", minimum=1, maximum=1000)
    max_days: int = _setting(30, "days a closed log file is kept", minimum=1, maximum=3650)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP server."""

    host: str = _setting("127.0.0.1", "address to listen on; anything but loopback is open to the network")
    port: int = _setting(8080, "TCP port; 0 takes any free one", minimum=0, maximum=65535)
    max_body_bytes: int = _setting(65_536, "longest request body", minimum=1024, maximum=16_777_216)
    max_websockets: int = _setting(64, "WebSocket clients at one time", minimum=0, maximum=10_000)
    max_connections: int = _setting(256, "TCP connections at one time", minimum=8, maximum=10_000)


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """The journal's writer."""

    segment_mib: int = _setting(64, "length of a segment in MiB", minimum=1, maximum=1024)
    linger_ms: int = _setting(20, "how long ticks alone wait for company", minimum=0, maximum=1000)
    quiet_linger_ms: int = _setting(
        600, "how long ticks that do not fill a page wait", minimum=0, maximum=10_000
    )
    max_batch: int = _setting(4096, "events in one frame", minimum=1, maximum=65_536)


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """What becomes of finished segments."""

    enabled: bool = _setting(True, "compress finished segments in the background")
    keep_segments: int = _setting(2, "newest segments that stay as they are", minimum=1, maximum=100_000)
    load_percent: int = _setting(25, "share of one core it may take", minimum=1, maximum=100)
    every_s: float = _setting(60.0, "seconds between two looks", minimum=0.1, maximum=86_400.0)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How much of the past the journal keeps; what its events came to is always kept."""

    max_age_days: float = _setting(
        0.0, "archived segments older than so many days go; 0 keeps them", minimum=0.0, maximum=36_500.0
    )
    max_gb: float = _setting(
        0.0, "the oldest archived segments go beyond so many GB; 0 keeps them", minimum=0.0, maximum=1e6
    )
    every_s: float = _setting(3600.0, "seconds between two looks", minimum=0.1, maximum=86_400.0)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Shipping of the journal to PostgreSQL or TimescaleDB."""

    enabled: bool = _setting(False, "ship the journal to a database")
    dsn_file: Path | None = _setting(  # noqa: RUF009  # a Field
        None, "file of mode 0600 that says where; empty: systemd's credential, or TAPED_SYNC_DSN"
    )
    name: str = _setting("", "name of this machine in the database, for people")
    every_s: float = _setting(
        10.0, "seconds between two rounds when all is shipped", minimum=0.1, maximum=3600.0
    )
    batch_events: int = _setting(20_000, "events in one transaction", minimum=100, maximum=200_000)
    columnstore_days: int = _setting(
        7, "TimescaleDB compresses what is older than so many days; 0: nothing", minimum=0, maximum=3650
    )
    keep_tick_days: int = _setting(
        0,
        "TimescaleDB removes older trades and quotes, not bars; 0 keeps them",
        minimum=0,
        maximum=36_500,
    )


@dataclass(frozen=True, slots=True)
class ReadModelSettings:
    """The SQLite read model."""

    keep_ticks: int = _setting(
        2_000_000, "tick rows of the last so many events stay", minimum=1000, maximum=1_000_000_000
    )


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Where market data comes from."""

    kind: str = _setting("simulated", "source of market data", choices=("simulated", "file", "none"))
    instruments: tuple[str, ...] = _setting((), "symbols to take; all the source has when empty")
    seed: int = _setting(1, "simulated: seed of the random walk", minimum=0, maximum=2**63 - 1)
    rate: float = _setting(200.0, "simulated: events a second", minimum=0.1, maximum=50_000.0)
    paths: tuple[Path, ...] = _setting((), "file: recordings to play, in this order")
    speed: float = _setting(1.0, "file: 1 as recorded, N times faster, 0 flat out", minimum=0.0, maximum=1e6)
    restamp: bool = _setting(False, "file: shift recorded times so that the first tick is now")


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """Where orders go."""

    kind: str = _setting("paper", "venue that takes the orders", choices=("paper",))
    maker_fee_ppm: int = _setting(
        1000, "paper: fee of resting orders, millionths", minimum=-10_000, maximum=100_000
    )
    taker_fee_ppm: int = _setting(1000, "paper: fee of taking orders, millionths", minimum=0, maximum=100_000)
    fees: Mapping[str, str] = _mapping("paper: fees of some instruments, by SYMBOL or SYMBOL@VENUE", FEES)
    latency_us: int = _setting(
        0, "paper: microseconds an order is under way at least", minimum=0, maximum=60_000_000
    )
    latency_spread_us: int = _setting(
        0, "paper: how much longer it may be: range, or mean when exponential", minimum=0, maximum=60_000_000
    )
    latency_shape: str = _setting(
        "uniform", "paper: how the longer time is drawn", choices=("uniform", "exponential")
    )
    seed: int = _setting(1, "paper: seed of the draws", minimum=0, maximum=2**63 - 1)
    slippage: str = _setting(
        "none",
        "paper: how a taking fill is worse than the quote or trade it meets",
        choices=("none", "ticks", "ppm", "proportional"),
    )
    slippage_amount: int = _setting(
        0,
        "paper: ticks, or millionths of the price; proportional: of each multiple of the displayed quantity",
        minimum=0,
        maximum=1_000_000,
    )
    fill_model: str = _setting(
        "queue",
        "paper: a trade at a resting order's limit fills it in its turn, at once, or never",
        choices=("queue", "touch", "through"),
    )
    check_funds: bool = _setting(True, "paper: reject on arrival what the cash does not cover")
    reconcile_s: float = _setting(
        60.0, "seconds between two comparisons of the venue's books with ours", minimum=1.0, maximum=86_400.0
    )


@dataclass(frozen=True, slots=True)
class HardwareSettings:
    """Sensors, fan, LEDs and button; `daemon/hardware/wiring.py` says what the texts mean."""

    root: Path = _setting(Path("/"), "where /sys and /proc are looked for; a simulated board is a folder")  # noqa: RUF009  # a Field
    pins: str = _setting("lgpio", "who drives pins; mock keeps them in files", choices=("lgpio", "mock"))
    sample_s: float = _setting(2.0, "seconds between two looks at the sensors", minimum=0.05, maximum=60.0)
    record_s: float = _setting(10.0, "seconds between two records of them", minimum=1.0, maximum=3600.0)
    smart_file: Path | None = _setting(None, "JSON of smartctl, written by a timer; none when empty")  # noqa: RUF009  # a Field
    fan: str = _setting("none", "what drives the fan", choices=("none", "kernel", "gpiozero", "sysfs_pwm"))
    fan_pin: int = _setting(18, "GPIO number of the fan", minimum=0, maximum=27)
    fan_hz: int = _setting(50, "gpiozero: pulses a second", minimum=25, maximum=100)
    fan_inverted: bool = _setting(False, "a low pin makes the fan turn")
    fan_sensors: tuple[str, ...] = _setting(("cpu", "nvme"), "sensors that decide: cpu, nvme, rp1")
    fan_curve: tuple[str, ...] = _setting(
        ("50=30", "60=50", "67=75", "75=100"), "from so many degrees so many percent"
    )
    leds: tuple[str, ...] = _setting((), "LEDs: all=17, error=27, or all=RED/GREEN/BLUE")
    leds_inverted: bool = _setting(False, "a low pin lights the LED")
    brightness: int = _setting(100, "of lit LEDs by day, percent", minimum=1, maximum=100)
    night: str = _setting("none", "hours with other brightness, local time: 22:00-07:00, or none")
    night_brightness: int = _setting(10, "of lit LEDs at night, percent; 0 is dark", minimum=0, maximum=100)
    button_pin: int = _setting(0, "GPIO number of a button to ground; 0 for none", minimum=0, maximum=27)
    hot: str = _setting(
        "reduce", "what trading does while it is too hot", choices=("reduce", "halt", "nothing")
    )
    hot_celsius: float = _setting(80.0, "the processor is too hot from here on", minimum=40.0, maximum=110.0)
    cool_s: float = _setting(30.0, "trading goes on after so long without heat", minimum=0.0, maximum=3600.0)


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """What `taped backup` makes of this data folder; the daemon tells how old the last good one is."""

    target: str = _setting(
        "",
        "where backups go: a folder, LABEL=NAME or UUID=ID of a USB disk, ssh://user@host/folder",
        form="target",
    )
    recipient: str = _setting(
        "", "public key of age that backups are encrypted for; not at all when empty", form="recipient"
    )
    verify: str = _setting(
        "replay", "how far each backup is proven before it counts", choices=("replay", "journal")
    )
    scratch: Path | None = _setting(None, "folder to prove them in; the data folder when empty")  # noqa: RUF009  # a Field
    daily: int = _setting(7, "days whose newest backup stays", minimum=1, maximum=1000)
    weekly: int = _setting(4, "weeks whose newest backup stays", minimum=0, maximum=1000)
    monthly: int = _setting(6, "months whose newest backup stays", minimum=0, maximum=1000)
    max_age_hours: float = _setting(
        26.0, "/health and an LED tell of a last good backup that is older", minimum=0.1, maximum=8784.0
    )
    database: bool = _setting(False, "a dump of the database that [sync] ships to goes along (pg_dump)")
    ssh_key: Path | None = _setting(None, "ssh://: private key to log in with; ssh's own when empty")  # noqa: RUF009  # a Field
    ssh_known_hosts: Path | None = _setting(None, "ssh://: file of the host's key; ssh's own when empty")  # noqa: RUF009  # a Field


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """Circuit breakers around calls that leave the process."""

    failures: int = _setting(5, "failures in a row that stop calls of an operation", minimum=1, maximum=1000)
    open_s: float = _setting(30.0, "seconds until one call may probe again", minimum=0.1, maximum=3600.0)


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What a new journal starts with."""

    cash: Mapping[str, str] = _mapping("cash of a new journal: currency to decimal text", CASH)
    currency: str = _setting(
        "", "currency in which all is summed up; that of the first deposit when empty", form="currency"
    )


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """What the core keeps of each instrument, so that a strategy can warm up whenever it starts.

    300,000 ticks and bars are kept in all: of the instruments that were defined first.
    """

    bars: tuple[str, ...] = _setting(("1m", "1m mid"), "bars that are kept: 1m (of trades), 1m mid, 100t ask")
    keep_bars: int = _setting(1_000, "so many of each are kept", minimum=0, maximum=100_000)
    keep_ticks: int = _setting(1_000, "so many trades and quotes are kept", minimum=0, maximum=100_000)


@dataclass(frozen=True, slots=True)
class AllocationSettings:
    """Which part of the equity each strategy may size its orders with."""

    method: str = _setting(
        "none",
        "how shares follow from the strategies' daily returns; none gives each the whole equity",
        choices=("none", "equal", "inverse_volatility", "sharpe", "kelly"),
    )
    days: int = _setting(30, "last daily returns that count", minimum=2, maximum=1000)
    least_days: int = _setting(
        10, "all get the same while a strategy has fewer returns", minimum=2, maximum=1000
    )
    kelly_cap_percent: float = _setting(25.0, "kelly: most that one gets", minimum=0.1, maximum=100.0)
    floor_percent: float = _setting(
        5.0, "what each gets in any case, so that it can earn its share again", minimum=0.0, maximum=100.0
    )
    at: str = _setting("00:00", "time of day, UTC, at which the day's returns are taken")


@dataclass(frozen=True, slots=True)
class RiskSettings:
    """Limits of risk; each is off while it is empty, zero or false. Money is in `account.currency`."""

    max_order_quantity: Mapping[str, str] = _mapping("most of one order, by instrument", QUANTITIES)
    max_order_value: str = _limit("max_order_value", "", "most that one order is worth")
    max_position_quantity: Mapping[str, str] = _mapping("most of a position, by instrument", QUANTITIES)
    max_position_value: str = _limit("max_position_value", "", "most that a position is worth")
    max_concentration_ppm: int = _limit("max_concentration_ppm", 0, "a position's value by equity")
    max_exposure: str = _limit("max_exposure", "", "most that all positions are worth, signs aside")
    min_cash: Mapping[str, str] = _mapping("free cash that a purchase must leave", LEAST_CASH)
    margin: bool = _limit("margin", False, "orders need margin instead of cash")
    initial_margin_ppm: Mapping[str, int] = _rates(
        "margin of new orders; all of the value where none is named"
    )
    maintenance_margin_ppm: Mapping[str, int] = _rates("margin that equity must not fall below")
    on_margin: str = _limit("on_margin", "reduce", "what trading does when it does: deny, reduce, halt")
    max_daily_loss: str = _limit("max_daily_loss", "", "most that equity may fall in a day")
    on_daily_loss: str = _limit("on_daily_loss", "reduce", "what trading does beyond: deny, reduce, halt")
    day_zone: str = _limit("day_zone", "UTC", "where the days of losses and orders begin at midnight")
    max_drawdown_ppm: int = _limit("max_drawdown_ppm", 0, "most that equity may fall from its peak")
    on_drawdown: str = _limit("on_drawdown", "reduce", "what trading does beyond: deny, reduce, halt")
    max_orders_per_minute: int = _limit("max_orders_per_minute", 0, "orders and replaces within 60 s")
    max_orders_per_day: int = _limit("max_orders_per_day", 0, "orders and replaces of a day")
    price_collar_ppm: int = _limit("price_collar_ppm", 0, "how far beyond the last price an order may pay")
    max_data_age_ms: int = _limit("max_data_age_ms", 0, "how old an instrument's newest tick may be")
    synchronized_clock: bool = _limit("synchronized_clock", False, "new risk needs a synchronised clock")
    trading_hours: bool = _limit("trading_hours", False, "orders leave only while their market is open")
    cooldown_s: int = _limit("cooldown_s", 0, "pause of an instrument after a stop that lost")
    stop_guard_losses: int = _limit("stop_guard_losses", 0, "so many losing closes in the window pause")
    stop_guard_window_s: int = _limit("stop_guard_window_s", 3600, "window of the losing closes")
    stop_guard_pause_s: int = _limit("stop_guard_pause_s", 3600, "pause after so many of them")
    stop_guard_per_instrument: bool = _limit("stop_guard_per_instrument", False, "each instrument by itself")
    low_profit: str = _limit("low_profit", "", "an instrument that earns less in the window pauses")
    low_profit_closes: int = _limit("low_profit_closes", 2, "closes in the window from which on it counts")
    low_profit_window_s: int = _limit("low_profit_window_s", 86_400, "window of these closes")
    low_profit_pause_s: int = _limit("low_profit_pause_s", 3600, "pause of the instrument")
    drawdown_guard_ppm: int = _limit("drawdown_guard_ppm", 0, "closes that cost so much of equity pause all")
    drawdown_guard_window_s: int = _limit("drawdown_guard_window_s", 86_400, "window of these closes")
    drawdown_guard_pause_s: int = _limit("drawdown_guard_pause_s", 3600, "pause of everything")


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """One `[strategies.NAME]` table; the core checks kind and parameters when it starts the strategy."""

    kind: str = field(metadata={"rule": Rule("kind of strategy; `taped replay backtest --help` lists them")})
    instruments: tuple[str, ...] = _setting((), "symbols it trades, or SYMBOL@VENUE")
    parameters: Mapping[str, Parameter] = field(
        default_factory=dict, metadata={"rule": Rule("parameters of the kind, by name")}
    )


@dataclass(frozen=True, slots=True)
class CalendarSettings:
    """One `[calendars.VENUE]` or `[calendars."SYMBOL@VENUE"]` table: when that market trades."""

    use: str = _setting("", "a calendar that comes with taped: us-equities, forex or always")
    zone: str = _setting("", "IANA zone of hours and dates, such as America/New_York")
    hours: tuple[str, ...] = _setting((), "weekly hours: 'Mon-Fri 09:30-16:00', 'Sun-Thu 18:00-17:00'")
    holidays: tuple[str, ...] = _setting((), "dates without a session: '2024-12-25'")
    early_closes: tuple[str, ...] = _setting((), "dates on which all ends early: '2024-12-24 13:00'")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one daemon."""

    data: Path = _setting(Path("taped-data"), "folder of the journal and everything derived from it")  # noqa: RUF009  # a Field
    log: LogSettings = field(default_factory=LogSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    sync: SyncSettings = field(default_factory=SyncSettings)
    readmodel: ReadModelSettings = field(default_factory=ReadModelSettings)
    feed: FeedSettings = field(default_factory=FeedSettings)
    venue: VenueSettings = field(default_factory=VenueSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    breaker: BreakerSettings = field(default_factory=BreakerSettings)
    hardware: HardwareSettings = field(default_factory=HardwareSettings)
    account: AccountSettings = field(default_factory=AccountSettings)
    risk: RiskSettings = field(default_factory=RiskSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    allocation: AllocationSettings = field(default_factory=AllocationSettings)
    strategies_folder: Path | None = _setting(None, "folder of strategies of your own; none when empty")  # noqa: RUF009  # a Field
    strategies: Mapping[str, StrategySettings] = field(default_factory=dict)
    calendars: Mapping[str, CalendarSettings] = field(default_factory=dict)
