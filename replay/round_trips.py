"""Round trips: from a position of nothing to nothing again, of one strategy in one instrument. Pure, bounded.

A fill that turns a position round closes one trip and begins the next, its fee shared by quantity.
What positions are worth is the portfolio's; here is told what each trip came to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from daemon.trading.money import fee_money, notional
from daemon.trading.valuation import Mark
from schemas.events import InstrumentDefined, OrderFilled

MAX_TRIPS = 100_000


class RoundTrip(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One trip. Money is at 18 decimals of the instrument's quote currency.

    Attributes:
        strategy_id: whose; empty for orders of no strategy.
        instrument: `SYMBOL@VENUE`.
        tag: of the order that opened it.
        side: 1 for long, -1 for short.
        quantity: all that was entered, in scaled units.
        entry_value: sum of price times quantity over the entering fills, in scaled units; over the quantity
            it is the average price.
        exit_value: the same over the leaving fills.
        exit_quantity: all that was left again; less than `quantity` for a trip that is open.
        opened_ns: time of the first fill.
        closed_ns: time of the last fill; None while it is open.
        profit: before fees; of an open trip, at the mark.
        fees: paid in the quote currency; below zero is a rebate.
        slippage: what fills cost more than the middle of the market when their orders were sent.
        adverse: the lowest the profit was on the way, at most zero.
        favourable: the highest, at least zero.
        entry_cost: value of the entering fills.
        value: profit after fees in the reporting currency; None where no price leads there.
    """

    strategy_id: str
    instrument: str
    tag: str
    side: int
    quantity: int
    entry_value: int
    exit_value: int
    exit_quantity: int
    opened_ns: int
    closed_ns: int | None
    currency: str
    profit: int
    fees: int
    slippage: int
    adverse: int
    favourable: int
    entry_cost: int
    value: int | None

    @property
    def net(self) -> int:
        """Profit after fees."""
        return self.profit - self.fees


@dataclass(slots=True)
class _Open:
    """A trip under way. `cost` is what was paid less what was received for the quantity held."""

    strategy_id: str
    tag: str
    side: int
    opened_ns: int
    held: int = 0
    entered: int = 0
    left: int = 0
    entry_value: int = 0
    exit_value: int = 0
    cost: int = 0
    entry_cost: int = 0
    fees: int = 0
    slippage: int = 0
    adverse: int = 0
    favourable: int = 0

    def look(self, instrument: InstrumentDefined, price: int) -> int:
        """Take note of a market price; return the profit at it."""
        profit = notional(instrument, price, self.side * self.held) - self.cost
        if profit < self.adverse:
            self.adverse = profit
        elif profit > self.favourable:
            self.favourable = profit
        return profit


Convert = Callable[[int, str], int | None]
"""Money of a currency in the reporting currency, at the prices of now; None where no price leads there."""


class RoundTrips:
    """All trips of a run.

    Args:
        convert: into the reporting currency.
        max_trips: how many are kept.

    Attributes:
        closed: in the order of their ends, at most `MAX_TRIPS`.
        dropped: trips that ended after that.
        in_market_ns: how long there was any position.
    """

    def __init__(self, convert: Convert, *, max_trips: int = MAX_TRIPS) -> None:
        self.closed: list[RoundTrip] = []
        self.dropped = 0
        self.in_market_ns = 0
        self._open: dict[tuple[str, int], _Open] = {}
        self._instruments: dict[int, InstrumentDefined] = {}
        self._since_ns = 0
        self._max_trips = max_trips
        self._convert = convert

    @property
    def any_open(self) -> bool:
        """Whether a trip is under way."""
        return bool(self._open)

    def fill(
        self, fill: OrderFilled, instrument: InstrumentDefined, *, strategy_id: str, tag: str, slippage: int
    ) -> None:
        """Take a fill.

        Args:
            fill: as the venue told it.
            instrument: that of the fill.
            strategy_id: whose order it was.
            tag: of the order.
            slippage: of this fill, as money.
        """
        self._instruments[fill.instrument_id] = instrument
        key = strategy_id, fill.instrument_id
        fee = fee_money(fill.fee, fill.fee_scale) if fill.fee_currency == instrument.quote_currency else 0
        rest = fill.quantity
        trip = self._open.get(key)
        if trip is not None and trip.side != fill.side:
            closing = min(rest, trip.held)
            self._book(trip, fill, instrument, closing, (fee * closing // rest, slippage * closing // rest))
            fee -= fee * closing // rest
            slippage -= slippage * closing // rest
            rest -= closing
            if not trip.held:
                del self._open[key]
                self._end(trip, instrument, fill.ts_ns)
            trip = None
        if rest:
            if trip is None:
                if not self._open:
                    self._since_ns = fill.ts_ns
                trip = self._open[key] = _Open(strategy_id, tag, int(fill.side), fill.ts_ns)
            self._book(trip, fill, instrument, rest, (fee, slippage))

    def _book(
        self,
        trip: _Open,
        fill: OrderFilled,
        instrument: InstrumentDefined,
        quantity: int,
        costs: tuple[int, int],
    ) -> None:
        value = notional(instrument, fill.price, quantity)
        trip.fees += costs[0]
        trip.slippage += costs[1]
        if fill.side == trip.side:
            trip.cost += trip.side * value
            trip.held += quantity
            trip.entered += quantity
            trip.entry_value += fill.price * quantity
            trip.entry_cost += value
        else:
            trip.cost -= trip.side * value
            trip.held -= quantity
            trip.left += quantity
            trip.exit_value += fill.price * quantity
        trip.look(instrument, fill.price)

    def _end(self, trip: _Open, instrument: InstrumentDefined, ts_ns: int) -> None:
        if not self._open:
            self.in_market_ns += max(0, ts_ns - self._since_ns)
        if len(self.closed) < self._max_trips:
            self.closed.append(self._told(trip, instrument, -trip.cost, ts_ns))
        else:
            self.dropped += 1

    def look(self, mark: Mark) -> None:
        """Take note of the market's prices, for how far the trips under way go astray."""
        for (_, instrument_id), trip in self._open.items():
            price = mark(instrument_id, trip.side)
            if price is not None:
                trip.look(self._instruments[instrument_id], price)

    def finish(self, ts_ns: int, mark: Mark) -> list[RoundTrip]:
        """Return the trips that are still open, at their marks."""
        if self._open:
            self.in_market_ns += max(0, ts_ns - self._since_ns)
        found: list[RoundTrip] = []
        for (_, instrument_id), trip in self._open.items():
            instrument, price = self._instruments[instrument_id], mark(instrument_id, trip.side)
            profit = 0 if price is None else trip.look(instrument, price)
            found.append(self._told(trip, instrument, profit, None))
        return found

    def _told(
        self, trip: _Open, instrument: InstrumentDefined, profit: int, closed_ns: int | None
    ) -> RoundTrip:
        currency = instrument.quote_currency
        return RoundTrip(
            strategy_id=trip.strategy_id,
            instrument=f"{instrument.symbol}@{instrument.venue}",
            tag=trip.tag,
            side=trip.side,
            quantity=trip.entered,
            entry_value=trip.entry_value,
            exit_value=trip.exit_value,
            exit_quantity=trip.left,
            opened_ns=trip.opened_ns,
            closed_ns=closed_ns,
            currency=currency,
            profit=profit,
            fees=trip.fees,
            slippage=trip.slippage,
            adverse=trip.adverse,
            favourable=trip.favourable,
            entry_cost=trip.entry_cost,
            value=self._convert(profit - trip.fees, currency),
        )
