"""One order as the paper venue works it: its terms, what is left of it, and its place in the queue."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.trading.calendar import Calendar
from daemon.trading.money import PPM
from daemon.trading.orders import Order
from schemas.events import OrderRequested, OrderType, Side, TimeInForce

# Members by short names: a look-up in an enumeration costs 0.1 us in Python 3.11, a global name 0.01.
_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
_FOK, _GTC, _GTD, _DAY = TimeInForce.FOK, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.DAY
_MARKET, _LIMIT, _TRAILING = OrderType.MARKET, OrderType.LIMIT, OrderType.TRAILING_STOP
_BUY = Side.BUY


@dataclass(slots=True, eq=False)
class Working:
    """An order at the venue.

    Attributes:
        limit: worst price it fills at; None for any.
        stop: price that makes it live; None for a trailing stop that has seen no price yet.
        remaining: quantity that is not filled.
        fills: how many there were, for the ids of the next.
        waiting: it is a stop that is not live yet.
        ahead: what must trade at its limit before it is its turn; None when nobody can know.
        reference: best price a trailing stop has seen.
        end_ns: when it expires; None for never.
    """

    order_id: int
    request: OrderRequested
    limit: int | None
    stop: int | None
    remaining: int
    fills: int
    immediate: bool
    waiting: bool
    ahead: int | None = 0
    reference: int | None = None
    end_ns: int | None = None

    @property
    def is_fok(self) -> bool:
        """It fills in one piece or not at all."""
        return self.request.time_in_force == _FOK

    @property
    def trails(self) -> bool:
        """It is a trailing stop that is not live yet."""
        return self.waiting and self.request.order_type == _TRAILING

    @property
    def takes(self) -> bool:
        """It is live and does not rest: a market order, or one that fills at once or never."""
        return not self.waiting and (self.limit is None or self.immediate)

    def reached_by(self, price: int) -> bool:
        """Return whether a price is at the order's limit or better."""
        limit = self.limit
        return limit is None or (price - limit) * self.request.side <= 0

    def part(self, available: int) -> int:
        """Return how much it fills of what is there; zero or above."""
        if available < self.remaining:
            return 0 if self.is_fok else max(0, available)
        return self.remaining

    def watched(self) -> tuple[int | None, int | None]:
        """Return the price from which down, and that from which up, a tick may concern it.

        Both are None for an order that any tick may concern.
        """
        price = self.stop if self.waiting else self.limit
        if price is None or self.takes or self.trails:
            return None, None
        return (price, None) if (self.request.side == _BUY) != self.waiting else (None, price)

    def trail(self, price: int) -> bool:
        """Let a trailing stop follow a price; return whether it is reached by it."""
        request = self.request
        side, reference = request.side, self.reference
        if reference is None or (price - reference) * side < 0:
            self.reference = reference = price
        back = (price - reference) * side
        if self.stop is not None and (price - self.stop) * side >= 0:
            return True  # The stop price it was given holds until the trail is nearer.
        if request.trail_amount is not None:
            return back >= request.trail_amount
        return request.trail_ppm is not None and back * PPM >= abs(reference) * request.trail_ppm


def working_order(order: Order) -> Working:
    """Return an order as the venue takes it; its place in the queue is not known yet."""
    request = order.request
    kind = request.order_type
    return Working(
        order.order_id,
        request,
        order.price,
        order.stop_price,
        order.remaining,
        len(order.trade_ids),
        request.time_in_force in _IMMEDIATE,
        kind is not _MARKET and kind is not _LIMIT and order.trigger_price is None,
    )


def end_ns(request: OrderRequested, calendar: Calendar, ts_ns: int) -> int | None:
    """Return when an order that arrives at `ts_ns` expires; None for never."""
    time_in_force = request.time_in_force
    if time_in_force is _GTC:
        return None
    if time_in_force is _GTD:
        return request.expire_ns
    return calendar.session_end_ns(ts_ns) if time_in_force is _DAY else None
