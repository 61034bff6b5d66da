"""Takes note of a backtest while it runs: the account's curve, round trips, what was traded. Bounded.

It costs little for each market event: it looks at the core before every event of a short run and before
every `MAX_STRIDE`th of a long one, and else only where something is filled. How the events came in batches
makes no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from daemon.trading.core import Core
from daemon.trading.money import fee_money, notional
from daemon.trading.valuation import Worth
from replay.curve import Curve, Point
from replay.round_trips import RoundTrip, RoundTrips
from schemas.events import AssetClass, InstrumentDefined, OrderFilled, OrderSubmitted

MAX_STRIDE = 128
MAX_MARKED = 16
"""So many instruments have their prices on the curve: those that were defined first."""
MAX_FILLS = 4_096
MAX_ARRIVALS = 10_000
_FULL_CARE = 1_024
"""Before each of so many events the core is looked at; then the stride doubles as the run does."""


class Fill(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A fill to be drawn: `instrument` counts the instruments in the order of their definition."""

    ts_ns: int
    instrument: int
    side: int
    price: int
    quantity: int


@dataclass(slots=True)
class Recording:
    """What there is to know of a run beside its result. Money is at 18 decimals.

    Attributes:
        currency: the reporting currency.
        unknown: currencies whose money is in no figure, for no price leads from them.
        instruments: those that were traded, in the order of definition.
        step_ns: grid of the curve.
        curve: points in order of time.
        trips: round trips that ended.
        open_trips: those that did not.
        dropped_trips: trips that ended and are not kept.
        fills: every `fills_step`th.
        in_market_ns: how long there was any position.
        traded: value of all fills.
        fees: paid to venues.
        slippage: what fills cost more than the middle of the market when their orders were sent.
        around_the_clock: whether an instrument is of a market that never closes.
    """

    currency: str = ""
    unknown: tuple[str, ...] = ()
    instruments: list[InstrumentDefined] = field(default_factory=list)
    step_ns: int = 0
    curve: list[Point] = field(default_factory=list)
    trips: list[RoundTrip] = field(default_factory=list)
    open_trips: list[RoundTrip] = field(default_factory=list)
    dropped_trips: int = 0
    fills: list[Fill] = field(default_factory=list)
    fills_step: int = 1
    in_market_ns: int = 0
    traded: int = 0
    fees: int = 0
    slippage: int = 0
    around_the_clock: bool = False


class Recorder:
    """Watches one run; `recording` is complete once the run has finished."""

    def __init__(self) -> None:
        self.recording = Recording()
        self._core = Core("recorder")
        self._curve = Curve()
        self._trips = RoundTrips(self._converted)
        self._currency = ""
        self._arrivals: dict[int, int] = {}
        self._counted: dict[str, int] = {}
        self._unknown: set[str] = set()
        self._strange: set[str] = set()
        self._places: dict[int, int] = {}
        self._fills = 0
        self._seen = 0
        self._now_ns = 0

    def begin(self, core: Core) -> None:
        """Watch this core, before its first event."""
        self._core = core

    def pieces(self, events: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Cut market events where the core is to be looked at; each piece is taken before the next."""
        start, count = 0, len(events)
        while start < count:
            stride = min(MAX_STRIDE, 1 << (self._seen // _FULL_CARE).bit_length())
            # Only at whole strides from the first event on, so that batches make no difference.
            if not self._seen % stride:
                self._look(events[start].ts_ns)
            stop = min(count, start + stride - self._seen % stride)
            yield events[start:stop]
            self._seen += stop - start
            start = stop
        if count:
            self._now_ns = events[-1].ts_ns

    def _look(self, event_ns: int) -> None:
        """Look at the core as it is before an event of that time."""
        if self._trips.any_open:
            self._trips.look(self._core.mark)
        if event_ns >= self._curve.due_ns and self._core.account.deposits:
            self._curve.add(self._point(self._curve.time_of(event_ns)), event_ns)

    def submitted(self, event: OrderSubmitted) -> None:
        """Take note of the market as an order leaves."""
        request = self._core.orders[event.order_id].request
        book = self._core.books[request.instrument_id]
        bid, ask, last = book.bid_price, book.ask_price, book.last_price
        if bid is not None and ask is not None:
            doubled = bid + ask
        elif last is not None:
            doubled = 2 * last
        elif bid is not None or ask is not None:
            doubled = 2 * (bid or 0) + 2 * (ask or 0)
        else:
            return
        if len(self._arrivals) >= MAX_ARRIVALS:
            del self._arrivals[next(iter(self._arrivals))]
        self._arrivals[event.order_id] = doubled

    def filled(self, fill: OrderFilled) -> None:
        """Take a fill, before the core does."""
        order = self._core.orders.get(fill.order_id)
        instrument = self._core.instruments.get(fill.instrument_id)
        if order is None or instrument is None:
            return
        slippage = self._slippage(fill, instrument)
        if fill.quantity >= order.remaining:
            self._arrivals.pop(fill.order_id, None)
        request = order.request
        self._trips.fill(
            fill, instrument, strategy_id=request.strategy_id or "", tag=request.tag, slippage=slippage
        )
        recording, quote = self.recording, instrument.quote_currency
        traded = notional(instrument, fill.price, fill.quantity)
        fee = fee_money(fill.fee, fill.fee_scale)
        if quote == fill.fee_currency == self._currency:
            recording.traded += traded
            recording.fees += fee
            recording.slippage += slippage
        else:
            recording.traded += self._converted(traded, quote) or 0
            recording.fees += self._converted(fee, fill.fee_currency) or 0
            recording.slippage += self._converted(slippage, quote) or 0
        self._draw(fill)

    def _slippage(self, fill: OrderFilled, instrument: InstrumentDefined) -> int:
        arrival = self._arrivals.get(fill.order_id)
        if arrival is None or arrival == 2 * fill.price:
            return 0
        return notional(instrument, fill.side * (2 * fill.price - arrival), fill.quantity) // 2

    def _draw(self, fill: OrderFilled) -> None:
        place = self._place(fill.instrument_id)
        recording = self.recording
        if self._fills % recording.fills_step == 0:
            recording.fills.append(Fill(fill.ts_ns, place, int(fill.side), fill.price, fill.quantity))
            if len(recording.fills) > MAX_FILLS:
                # By threes: most strategies buy and sell by turns, and of every second fill one side is left.
                recording.fills = recording.fills[::3]
                recording.fills_step *= 3
        self._fills += 1

    def _place(self, instrument_id: int) -> int:
        if instrument_id not in self._places:
            self._places = {known: place for place, known in enumerate(self._core.instruments)}
        return self._places[instrument_id]

    def _converted(self, amount: int, currency: str) -> int | None:
        core = self._core
        if currency == self._currency:
            return amount
        value = core.exchange.converted(amount, currency, self._currency, core.mark)
        if value is None:
            self._strange.add(currency)
        return value

    def _point(self, ts_ns: int) -> Point:
        core = self._core
        self._currency = core.risk.currency
        worths = core.worth()
        whole, unknown = core.exchange.total(worths, self._currency, core.mark)
        marks = [book.mark(1) for book in islice(core.books.values(), MAX_MARKED)]
        flow = 0 if self._counted == core.account.deposits else self._flow(worths, unknown)
        return Point(ts_ns, whole.equity, flow, whole.gross, whole.net, tuple(marks))

    def _flow(self, worths: Mapping[str, Worth], unknown: Sequence[str]) -> int:
        """Return what was paid in since the last point; money whose worth was not known counts when it is."""
        flow = 0
        for currency, amount in self._core.account.deposits.items():
            if currency in unknown:
                self._unknown.add(currency)
                continue
            if currency in self._unknown:
                self._unknown.discard(currency)
                flow += self._converted(worths[currency].equity, currency) or 0
            else:
                flow += self._converted(amount - self._counted.get(currency, 0), currency) or 0
            self._counted[currency] = amount
        return flow

    def finish(self) -> Recording:
        """Return what was recorded, to the last event."""
        core, recording = self._core, self.recording
        if core.account.deposits and self._seen:
            self._curve.finish(self._point(self._now_ns))
        recording.currency = core.risk.currency
        recording.unknown = tuple(sorted(self._unknown | self._strange))
        recording.instruments = list(core.instruments.values())
        recording.step_ns, recording.curve = self._curve.step_ns, self._curve.points
        recording.open_trips = self._trips.finish(self._now_ns, core.mark)
        recording.trips, recording.dropped_trips = self._trips.closed, self._trips.dropped
        recording.in_market_ns = self._trips.in_market_ns
        recording.around_the_clock = any(
            instrument.asset_class == AssetClass.CRYPTO for instrument in recording.instruments
        )
        return recording
