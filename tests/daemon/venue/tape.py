"""A core and a paper venue driven as the engine drives them, and the stream that the journal would hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from daemon.trading.core import Core
from daemon.venue.boundary import SendBoundary
from daemon.venue.paper import PaperVenue, VenueOptions
from daemon.venue.paper.options import recorded
from schemas.events import (
    AssetClass,
    CancelRequested,
    DaemonStarted,
    Event,
    InstrumentDefined,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
    OrderType,
    Quote,
    ReplaceRequested,
    SessionCalendarDefined,
    Side,
    Trade,
)

BUY, SELL = Side.BUY, Side.SELL
JOURNAL = "feedbeef" * 4
MS = 1_000_000


def instrument(instrument_id=1, **fields):
    defaults = {
        "ts_ns": 0,
        "instrument_id": instrument_id,
        "symbol": f"I{instrument_id}",
        "venue": "V",
        "asset_class": AssetClass.EQUITY,
        "base_currency": "I",
        "quote_currency": "USD",
        "price_scale": 2,
        "quantity_scale": 0,
    }
    return InstrumentDefined(**(defaults | fields))


def trade(price, quantity=10, *, ts_ns=5, instrument_id=1, **fields):
    return Trade(
        ts_ns=ts_ns,
        received_ns=ts_ns + 1,
        instrument_id=instrument_id,
        price=price,
        quantity=quantity,
        **fields,
    )


def quote(bid, ask, bid_quantity=None, ask_quantity=None, *, ts_ns=5, instrument_id=1, **fields):
    return Quote(
        ts_ns=ts_ns,
        received_ns=ts_ns + 1,
        instrument_id=instrument_id,
        bid_price=bid,
        bid_quantity=bid_quantity,
        ask_price=ask,
        ask_quantity=ask_quantity,
        **fields,
    )


def order(side=BUY, quantity=10, price=None, *, order_type=None, ts_ns=5, instrument_id=1, **fields):
    if order_type is None:
        order_type = OrderType.MARKET if price is None else OrderType.LIMIT
    return OrderRequested(
        ts_ns=ts_ns,
        instrument_id=instrument_id,
        side=side,
        order_type=order_type,
        quantity=quantity,
        price=price,
        source="operator:t",
        **fields,
    )


def cancel(order_id, *, ts_ns=6):
    return CancelRequested(ts_ns=ts_ns, order_id=order_id, source="operator:t")


def replace(order_id, *, quantity=None, price=None, stop_price=None, ts_ns=6):
    return ReplaceRequested(
        ts_ns=ts_ns,
        order_id=order_id,
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        source="operator:t",
    )


def hours(opens, closes, *, ts_ns=0):
    """Return a calendar that is open between two seconds of each day."""
    days = range(0, 7 * 86_400, 86_400)
    return SessionCalendarDefined(
        ts_ns=ts_ns,
        venue="V",
        instrument_id=None,
        zone="UTC",
        opens=[day + opens for day in days],
        closes=[day + closes for day in days],
        holidays=[],
        early_days=[],
        early_closes=[],
    )


def command(name, **arguments):
    return OperatorCommand(ts_ns=0, who="t", role="admin", command=name, arguments=arguments)


def deposit(amount="1000000", currency="USD"):
    return command("account.deposit", currency=currency, amount=amount)


def started(options):
    return DaemonStarted(ts_ns=0, daemon_version="", config_hash="", code_hash="", settings=recorded(options))


class Tape:
    """One process: everything that goes in comes out in `merged`, in the journal's order.

    Effects leave when `flush` is called, as they would once they are durable; `take` does so by itself
    unless `lazy`.
    """

    def __init__(self, options=None, *, core=None, venue=None, lazy=False):
        self.options = options or VenueOptions()
        self.core = Core(JOURNAL) if core is None else core
        self.venue = PaperVenue() if venue is None else venue
        self.boundary = SendBoundary(self.venue, self.core)
        self.effects = deque()
        self.merged: list[Event] = []
        self.lazy = lazy

    def start(self, *events):
        """Begin as a daemon does."""
        self.venue.configure(self.options)
        self._submit([started(self.options), *events])
        for seq, effect in self.venue.unsent(self.core):
            self._submit(self.venue.send([(seq, effect)], self.core, 7))
        return self

    def take(self, *events: Event) -> list[Event]:
        """Take inputs together; return the reports and decisions that came of them."""
        begin = len(self.merged)
        rest = self._let_arrive(list(events))
        if rest:
            self._submit(rest)
        if not self.lazy:
            self.flush()
        taken = set(map(id, events))
        return [event for event in self.merged[begin:] if id(event) not in taken]

    def flush(self) -> None:
        """Let everything leave that is decided."""
        while self.effects:
            seq, effect = self.effects.popleft()
            self._submit(self.boundary.send(seq, effect, durable_seq=self.core.next_seq - 1, now_ns=7))

    def _let_arrive(self, events: list[Event]) -> list[Event]:
        start = 0
        for at, event in enumerate(events):
            while (due_ns := self.venue.due_ns) is not None and due_ns <= event.ts_ns:
                if at > start:
                    self._submit(events[start:at])
                    start = at
                self._submit(self.venue.arrive(self.core, 7))
        return events[start:]

    def _submit(self, inputs: Sequence[Event]) -> None:
        if not inputs:
            return
        first_seq = self.core.next_seq
        merged, effects = self.core.run(list(inputs))
        self.merged += merged
        self.effects += effects
        self._submit(self.venue.on_market(merged, first_seq))


def fills(events):
    return [
        (event.price, event.quantity, event.liquidity) for event in events if isinstance(event, OrderFilled)
    ]


def kinds(events):
    return [type(event) for event in events]
