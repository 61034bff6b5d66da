"""One instrument at the paper venue: its orders, the quotes they meet, and which ticks concern any of them.

While orders work, the market follows its ticks itself: the core is ahead of it by the rest of a batch,
and what a later tick says must not reach an order. While none do, it knows nothing, and takes from the
core what stands there when the next order arrives.
"""

from __future__ import annotations

from math import inf

from daemon.trading.books import Book
from daemon.venue.fees import Fees
from daemon.venue.paper.working import Working
from schemas.events import Quote, Side, Trade

_BUY, _SELL = Side.BUY, Side.SELL


class Taken:
    """How much of one side of a quote our orders took, and what that side showed."""

    __slots__ = ("price", "quantity", "shown")

    def __init__(self, price: int, shown: int, quantity: int = 0) -> None:
        self.price = price
        self.shown = shown
        self.quantity = quantity


class Market:
    """Working orders in order of arrival, and the standing quotes.

    A tick away from every limit and stop costs a few comparisons, however many orders rest: with 600 of
    them, asking each took a whole core at 20,000 events/s.

    Attributes:
        instrument: as it is defined now.
        calendar: when it is open.
        book: the core's, to wake up from.
        fees: of the instrument.
        orders: by id.
        bid: last quote that told a bid.
        ask: last quote that told an ask.
        last: price of the last trade, None before the first.
        position: signed quantity, as the fills so far have left it.
        taken: of the offers that orders of each side meet.
    """

    __slots__ = (
        "_down",
        "_eager",
        "_queued",
        "_stops",
        "_up",
        "ask",
        "bid",
        "book",
        "calendar",
        "fees",
        "instrument",
        "last",
        "orders",
        "position",
        "taken",
    )

    def __init__(self, book: Book, fees: Fees) -> None:
        self.book = book
        self.instrument = book.instrument
        self.calendar = book.calendar
        self.fees = fees
        self.orders: dict[int, Working] = {}
        self.bid: Quote | None = None
        self.ask: Quote | None = None
        self.last: int | None = None
        self.position = 0
        self.taken: dict[Side, Taken] = {}
        self._eager = 0
        self._queued = 0
        self._stops = 0
        self._down: float = -inf
        self._up: float = inf

    def wake(self, position: int) -> None:
        """Take over what stands; call when the first order arrives."""
        book = self.book
        self.instrument, self.calendar = book.instrument, book.calendar
        self.bid, self.ask, self.position = book.bid, book.ask, position
        self.last = None if book.trade is None else book.trade.price
        if self.taken:
            self._forget_taken()

    def add(self, working: Working) -> None:
        """Take in an order behind all others."""
        self.orders[working.order_id] = working
        self._watch(working)

    def remove(self, working: Working) -> None:
        """Take an order out."""
        del self.orders[working.order_id]
        down, up = self._count(working, -1)
        if down == self._down or up == self._up:
            self.watch_again()

    @property
    def has_eager(self) -> bool:
        """Some order is concerned by every tick."""
        return bool(self._eager)

    @property
    def has_stops(self) -> bool:
        """Some order waits for its stop."""
        return bool(self._stops)

    def set_ahead(self, working: Working, ahead: int | None) -> None:
        """Give an order its place in the queue."""
        self._queued += (ahead != 0) - (working.ahead != 0)
        working.ahead = ahead

    def _watch(self, working: Working) -> None:
        down, up = self._count(working, 1)
        if down is not None and down > self._down:
            self._down = down
        if up is not None and up < self._up:
            self._up = up

    def watch_again(self) -> None:
        """Look anew at all orders: the terms or the state of one have changed."""
        self._eager = self._queued = self._stops = 0
        self._down, self._up = -inf, inf
        for working in self.orders.values():
            self._watch(working)

    def _count(self, working: Working, step: int) -> tuple[int | None, int | None]:
        """Count an order in or out; return what it watches."""
        if working.waiting:
            self._stops += step
        elif working.ahead != 0:
            self._queued += step
        watched = working.watched()
        if watched == (None, None):
            self._eager += step
        return watched

    def concerned_by_trade(self, trade: Trade) -> bool:
        """Return whether the trade may fill, move or end an order."""
        return bool(self._eager) or trade.price <= self._down or trade.price >= self._up

    def concerned_by_quote(self, quote: Quote) -> bool:
        """Return whether the quote, which does not stand yet, may fill, move or end an order."""
        if self._eager or (self._stops and self.last is None):
            return True
        ask, bid = quote.ask_price, quote.bid_price
        if (ask is not None and ask <= self._down) or (bid is not None and bid >= self._up):
            return True
        return bool(self._queued) and (
            (bid is not None and (self.bid is None or bid != self.bid.bid_price))
            or (ask is not None and (self.ask is None or ask != self.ask.ask_price))
        )

    def stand(self, quote: Quote) -> None:
        """Let a quote be the standing one; what was taken of another price or quantity is forgotten."""
        if quote.bid_price is not None:
            self.bid = quote
        if quote.ask_price is not None:
            self.ask = quote
        if self.taken:
            self._forget_taken()

    def _forget_taken(self) -> None:
        for side, taken in tuple(self.taken.items()):
            if self.offer(side) != (taken.price, taken.shown):
                del self.taken[side]

    def offer(self, side: Side) -> tuple[int | None, int | None]:
        """Return price and quantity of the standing quote that an order of this side meets."""
        if side == _BUY:
            return (None, None) if self.ask is None else (self.ask.ask_price, self.ask.ask_quantity)
        return (None, None) if self.bid is None else (self.bid.bid_price, self.bid.bid_quantity)

    def queue(self, side: Side) -> tuple[int | None, int | None]:
        """Return price and quantity of the best resting orders of this side."""
        if side == _BUY:
            return (None, None) if self.bid is None else (self.bid.bid_price, self.bid.bid_quantity)
        return (None, None) if self.ask is None else (self.ask.ask_price, self.ask.ask_quantity)

    def take(self, side: Side, quantity: int) -> None:
        """Note that our orders took so much of the standing offer."""
        price, shown = self.offer(side)
        assert price is not None
        if shown is None:
            return
        taken = self.taken.get(side)
        if taken is None:
            taken = self.taken[side] = Taken(price, shown)
        taken.quantity += quantity

    def left(self, side: Side) -> int | None:
        """Return how much of the standing offer is left to take; None for more than anybody wants."""
        _, shown = self.offer(side)
        taken = self.taken.get(side)
        if shown is None or taken is None:
            return shown
        return shown - taken.quantity

    def reducible(self, side: Side) -> int:
        """Return how much an order of this side can close of the position."""
        return max(0, -self.position * side)

    def reached(self, price: int) -> list[Working]:
        """Return live orders of both sides that a price reaches or meets: purchases first, each in turn."""
        if len(self.orders) == 1:
            (working,) = self.orders.values()
            return [working] if not working.waiting and working.reached_by(price) else []
        return self.in_turn(_BUY, price) + self.in_turn(_SELL, price)

    def in_turn(self, side: Side, price: int) -> list[Working]:
        """Return live orders of a side that a price reaches or meets: best limit first, then by arrival."""
        found = [
            working
            for working in self.orders.values()
            if working.request.side == side and not working.waiting and working.reached_by(price)
        ]
        if len(found) > 1:
            found.sort(key=lambda working: _rank(working, side))
        return found


def _rank(working: Working, side: Side) -> float:
    return -inf if working.limit is None else -working.limit * side
