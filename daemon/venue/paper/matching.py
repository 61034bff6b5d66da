"""The fill rules: what an order does when it arrives, and when a trade or a quote passes it.

`daemon/venue/README.md` tells the rules with examples. Nothing here reads the core: an order knows what
it brought along and what its market has seen since.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from daemon.trading.money import MAX_INTEGER, notional
from daemon.venue.paper.market import Market
from daemon.venue.paper.options import VenueOptions
from daemon.venue.paper.pricing import fee_of, slip
from daemon.venue.paper.working import Working
from schemas.events import (
    Event,
    Liquidity,
    OrderCanceled,
    OrderFilled,
    OrderTriggered,
    Quote,
    Side,
    Trade,
)

# Members by short names: a look-up in an enumeration costs 0.1 us in Python 3.11, a global name 0.01.
_BUY, _SELL = Side.BUY, Side.SELL
_NOTHING_TO_REDUCE = "reduce-only, and nothing is left to reduce"
_MAKER, _TAKER = Liquidity.MAKER, Liquidity.TAKER


class Times(NamedTuple):
    """When something happened: at the venue, and by our clock."""

    ts_ns: int
    received_ns: int


class Matching:
    """Fills orders of all markets.

    Args:
        options: fees and slippage.

    Attributes:
        working: every order at the venue, in order of arrival.
    """

    def __init__(self, options: VenueOptions) -> None:
        self.options = options
        self.working: dict[int, Working] = {}

    def enter(self, working: Working, market: Market, at: Times, reports: list[Event]) -> None:
        """Let a live order meet the standing quote; what is left joins the market, or ends."""
        price, _ = market.offer(working.request.side)
        if price is not None:
            if working.reached_by(price):
                self._take(working, market, price, at, reports)
            if working.remaining and working.immediate:
                self.cancel(working, market, unfilled(working), at, reports)
        if working.remaining:
            working.ahead = 0 if working.takes else self.first_place(working, market)
            self.working[working.order_id] = working
            market.add(working)

    def first_place(self, working: Working, market: Market) -> int | None:
        """Return what stands before an order that begins to rest; None when it has no turn at its limit."""
        if self.options.fill_model == "queue":
            return _queue_ahead(working, market)
        return 0 if self.options.fill_model == "touch" else None

    def wait(self, working: Working, market: Market, at: Times, reports: list[Event]) -> None:
        """Let a stop wait for its price; one that is reached already is live at once."""
        price = market.last if market.last is not None else market.offer(working.request.side)[0]
        if price is not None and is_triggered(working, price):
            self.trigger(working, market, price, at, reports)
            return
        self.working[working.order_id] = working
        market.add(working)

    def on_trade(self, trade: Trade, market: Market, reports: list[Event]) -> None:
        """Let a trade fill orders, and then make stops live; the trade itself fills none of these."""
        if not market.calendar.is_open(trade.ts_ns):
            market.last = trade.price
            return
        at = Times(trade.ts_ns, trade.received_ns)
        left = max(0, trade.quantity)
        for working in market.reached(trade.price):
            left -= self._from_trade(working, market, trade, left, at, reports)
        if market.has_eager:
            self._end_immediate(market, (_BUY, _SELL), at, reports)
        market.last = trade.price
        if market.has_stops:
            for working in [order for order in market.orders.values() if order.waiting]:
                if is_triggered(working, trade.price):
                    self.trigger(working, market, trade.price, at, reports)

    def on_quote(self, quote: Quote, market: Market, reports: list[Event]) -> None:
        """Let a quote fill orders, move queues, and make stops live where nothing ever traded."""
        market.stand(quote)
        if not market.calendar.is_open(quote.ts_ns):
            return
        at = Times(quote.ts_ns, quote.received_ns)
        for side, price in ((_BUY, quote.ask_price), (_SELL, quote.bid_price)):
            if price is None:
                continue
            for working in market.in_turn(side, price):
                self._from_quote(working, market, price, at, reports)
            self._end_immediate(market, (side,), at, reports)
        for side, price in ((_BUY, quote.bid_price), (_SELL, quote.ask_price)):
            if price is not None and self.options.fill_model == "queue":
                _move_queue(market, side, price)
        if market.last is None:
            self._trigger_by_quote(quote, market, at, reports)

    def trigger(self, working: Working, market: Market, price: int, at: Times, reports: list[Event]) -> None:
        """Make a stop live."""
        reports.append(
            OrderTriggered(ts_ns=at.ts_ns, received_ns=at.received_ns, order_id=working.order_id, price=price)
        )
        # It joins the market now: whatever rested before has its turn first.
        self.leave(working, market)
        working.waiting = False
        self.enter(working, market, at, reports)

    def cancel(self, working: Working, market: Market, reason: str, at: Times, reports: list[Event]) -> None:
        """Take an order out."""
        self.remove(working, market)
        reports.append(
            OrderCanceled(
                ts_ns=at.ts_ns, received_ns=at.received_ns, order_id=working.order_id, reason=reason
            )
        )

    def remove(self, working: Working, market: Market) -> None:
        """Forget an order that is over."""
        working.remaining = 0
        self.leave(working, market)

    def leave(self, working: Working, market: Market) -> None:
        """Take an order out of its market, be it for good or to come back on other terms."""
        if self.working.pop(working.order_id, None) is not None:
            market.remove(working)

    def _trigger_by_quote(self, quote: Quote, market: Market, at: Times, reports: list[Event]) -> None:
        for working in [order for order in market.orders.values() if order.waiting]:
            price = quote.ask_price if working.request.side == _BUY else quote.bid_price
            if price is not None and is_triggered(working, price):
                self.trigger(working, market, price, at, reports)

    def _end_immediate(
        self, market: Market, sides: tuple[Side, ...], at: Times, reports: list[Event]
    ) -> None:
        """End what fills at once or never: it waited for a first tick, and has met it now."""
        if not market.has_eager:
            return
        for working in [order for order in market.orders.values() if order.immediate and order.takes]:
            if working.request.side in sides:
                self.cancel(working, market, unfilled(working), at, reports)

    def _from_trade(
        self, working: Working, market: Market, trade: Trade, left: int, at: Times, reports: list[Event]
    ) -> int:
        """Fill an order from a trade whose quantity is not used up; return the quantity that was filled."""
        side = working.request.side
        if working.takes:
            price, _ = market.offer(side)
            if price is not None:
                return 0
            quantity = working.part(left)
            return self._fill_taking(working, market, trade.price, quantity, trade.quantity, at, reports)
        assert working.limit is not None, "an order without a limit takes"
        if trade.price == working.limit:
            if working.ahead is None or trade.aggressor == side:
                return 0
            passed = min(working.ahead, left)
            market.set_ahead(working, working.ahead - passed)
            left -= passed
        quantity = working.part(left)
        return self._fill(working, market, working.limit, quantity, _MAKER, at, reports) if quantity else 0

    def _from_quote(
        self, working: Working, market: Market, price: int, at: Times, reports: list[Event]
    ) -> None:
        """Fill an order from the standing quote, at its own price when it rested."""
        if working.takes or working.limit is None:
            self._take(working, market, price, at, reports)
            return
        left = market.left(working.request.side)
        quantity = working.remaining if left is None else working.part(left)
        if quantity:
            filled = self._fill(working, market, working.limit, quantity, _MAKER, at, reports)
            market.take(working.request.side, filled)

    def _take(self, working: Working, market: Market, price: int, at: Times, reports: list[Event]) -> None:
        """Fill from the standing quote as far as it goes."""
        side = working.request.side
        left = market.left(side)
        quantity = working.remaining if left is None else working.part(left)
        _, shown = market.offer(side)
        filled = self._fill_taking(working, market, price, quantity, shown, at, reports)
        if filled:
            market.take(side, filled)

    def _fill_taking(
        self,
        working: Working,
        market: Market,
        price: int,
        quantity: int,
        shown: int | None,
        at: Times,
        reports: list[Event],
    ) -> int:
        """Fill as taker, at a price that slipped, but never beyond the limit."""
        if not quantity:
            return 0
        if self.options.slippage != "none":
            side, limit = working.request.side, working.limit
            tick = market.instrument.tick_size
            price += side * slip(self.options, price, tick=tick, quantity=quantity, displayed=shown)
            if limit is not None and (price - limit) * side > 0:
                price = limit
        return self._fill(working, market, price, quantity, _TAKER, at, reports)

    def _fill(
        self,
        working: Working,
        market: Market,
        price: int,
        quantity: int,
        liquidity: Liquidity,
        at: Times,
        reports: list[Event],
    ) -> int:
        """Fill, and return the quantity; when the journal could not hold the fill, end the order instead."""
        request = working.request
        side = request.side
        if request.reduce_only:
            quantity = min(quantity, market.reducible(side))
            if not quantity:
                self.cancel(working, market, _NOTHING_TO_REDUCE, at, reports)
                return 0
        maker_ppm, taker_ppm = market.fees
        ppm = maker_ppm if liquidity == _MAKER else taker_ppm
        fee, fee_scale = fee_of(notional(market.instrument, price, quantity), ppm)
        if abs(fee) > MAX_INTEGER or abs(price) > MAX_INTEGER:
            reason = "the price or fee of its fill is beyond 64 bits"
            self.cancel(working, market, reason, at, reports)
            return 0
        working.fills += 1
        working.remaining -= quantity
        market.position += side * quantity
        reports.append(
            OrderFilled(
                ts_ns=at.ts_ns,
                received_ns=at.received_ns,
                order_id=working.order_id,
                instrument_id=request.instrument_id,
                side=side,
                price=price,
                quantity=quantity,
                fee=fee,
                fee_scale=fee_scale,
                fee_currency=market.instrument.quote_currency,
                liquidity=liquidity,
                venue_trade_id=f"P{working.order_id}-{working.fills}",
            )
        )
        if not working.remaining:
            self.remove(working, market)
        elif request.reduce_only and not market.reducible(side):
            self.cancel(working, market, _NOTHING_TO_REDUCE, at, reports)
        return quantity


def is_triggered(working: Working, price: int) -> bool:
    """Return whether a price makes a stop live; a trailing stop follows it."""
    if working.trails:
        return working.trail(price)
    stop = working.stop
    return stop is not None and (price - stop) * working.request.side >= 0


def unfilled(working: Working) -> str:
    """Return why what fills at once or never is over."""
    return f"{working.request.time_in_force.name}: the rest could not be filled at once"


def _queue_ahead(working: Working, market: Market) -> int | None:
    """Return what stands before an order that begins to rest; None when nobody can know."""
    best, shown = market.queue(working.request.side)
    limit = working.limit
    if best is None or limit is None:
        return None
    behind = (best - limit) * working.request.side
    if behind > 0:
        return None
    return shown if behind == 0 else 0


def _move_queue(market: Market, side: Side, best: int) -> None:
    """Let the best price of the other orders of a side tell what stands before ours."""
    for working in _queued(market.orders.values(), side):
        assert working.limit is not None
        behind = (best - working.limit) * side
        if behind < 0:
            market.set_ahead(working, 0)
        elif behind == 0 and working.ahead is None:
            market.set_ahead(working, market.queue(side)[1])


def _queued(orders: Iterable[Working], side: Side) -> list[Working]:
    return [
        working
        for working in orders
        if working.ahead != 0
        and working.request.side == side
        and not working.waiting
        and working.limit is not None
    ]
