"""What the core asks for by itself: for linked orders, and to carry a kill switch through.

Each function looks at the state as it is and returns what is missing, or None when nothing is. So they
can be asked again at any time, after each event and after a restart, and nothing is asked for twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Protocol

from daemon.trading.books import Book
from daemon.trading.gate import is_halted
from daemon.trading.money import MAX_INTEGER
from daemon.trading.order_table import OrderTable
from daemon.trading.orders import KILL, LINK, Order, OrderStatus
from daemon.trading.portfolio import Position
from schemas.events import (
    CancelRequested,
    OrderDenied,
    OrderReleased,
    OrderRequested,
    OrderType,
    ReplaceRequested,
    Side,
    TradingState,
)

Draft = partial[Any]
"""An event that lacks only its `ts_ns`."""

_REPLACEABLE = frozenset(
    {OrderStatus.SUBMITTED, OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED}
)

_REDUCING = TradingState.REDUCING


class View(Protocol):
    """What these functions look at; the core is one."""

    @property
    def books(self) -> Mapping[int, Book]: ...  # noqa: D102
    @property
    def orders(self) -> OrderTable: ...  # noqa: D102
    @property
    def positions(self) -> Mapping[int, Position]: ...  # noqa: D102
    @property
    def trading_state(self) -> TradingState: ...  # noqa: D102
    @property
    def instrument_states(self) -> Mapping[int, TradingState]: ...  # noqa: D102
    @property
    def flattening(self) -> Collection[int] | None: ...  # noqa: D102


def linked(order_id: int, view: View) -> Draft | None:
    """Return what a linked order needs now: its release, another quantity, or its end."""
    order = view.orders.get(order_id)
    if order is None:
        return None
    if order.status is OrderStatus.HELD:
        return _held(order, view)
    return _working(order, view) if order.status.is_working and not order.canceling else None


def _working(order: Order, view: View) -> Draft | None:
    order_id, target = order.order_id, _target(order, view)
    wish = target if target > order.filled_quantity else 0
    if wish == order.refused:
        return None
    if not wish:
        return partial(CancelRequested, order_id=order_id, source=LINK)
    if wish == order.quantity or order.status not in _REPLACEABLE:
        return None
    if wish > order.quantity and is_halted(view, order.request.instrument_id):
        return None
    return partial(
        ReplaceRequested, order_id=order_id, quantity=wish, price=None, stop_price=None, source=LINK
    )


def _held(order: Order, view: View) -> Draft | None:
    order_id, request = order.order_id, order.request
    assert request.parent_id is not None
    if order.canceling:
        reason = f"canceled by {order.canceling} before it could leave"
        return partial(OrderDenied, order_id=order_id, rule="CANCELED", reason=reason)
    target = _target(order, view)
    if target > 0:
        if is_halted(view, request.instrument_id) or _only_opens_while_reducing(order, view):
            return None
        return partial(OrderReleased, order_id=order_id, quantity=target)
    parent = view.orders[request.parent_id]
    if parent.status.is_terminal:
        reason = f"its parent, order {parent.order_id}, is {parent.status.name} and leaves nothing to it"
        return partial(OrderDenied, order_id=order_id, rule="PARENT", reason=reason)
    return None


def _only_opens_while_reducing(order: Order, view: View) -> bool:
    """Return whether a child would leave for nothing but a new position, its parent having closed one."""
    instrument_id = order.request.instrument_id
    if _REDUCING not in (view.trading_state, view.instrument_states.get(instrument_id)):
        return False
    position = view.positions.get(instrument_id)
    return position is None or position.quantity * order.request.side >= 0


def _target(order: Order, view: View) -> int:
    lot = view.books[order.request.instrument_id].instrument.lot_size
    return view.orders.links.target(order, max(1, lot))


def flatten(instrument_id: int, view: View) -> Draft | None:
    """Return the order that closes a position for the kill switch, once no other order could do so too.

    An order of that side which still works may fill as long as the venue has not confirmed its end, and
    both together would open a position again.
    """
    position = view.positions.get(instrument_id)
    if view.flattening is None or instrument_id in view.flattening:
        return None
    if position is None or not position.quantity:
        return None
    side = Side.SELL if position.quantity > 0 else Side.BUY
    for order in (*view.orders.working.values(), *view.orders.undecided.values()):
        if order.request.instrument_id == instrument_id and order.request.side == side:
            return None
    return partial(
        OrderRequested,
        instrument_id=instrument_id,
        side=side,
        order_type=OrderType.MARKET,
        quantity=min(abs(position.quantity), MAX_INTEGER),
        reduce_only=True,
        source=KILL,
        tag="kill switch",
    )
