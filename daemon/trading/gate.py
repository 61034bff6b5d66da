"""The last look at what is about to leave for a venue: nothing does while trading is halted.

A decision that was made before a halt may still wait for the disk, or in a venue's own queue, when the
halt comes. Whoever sends asks here right before; what may not leave comes back as the venue's report
would, so that the books know that it never left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from daemon.trading.orders import KILL, LINK, Order
from schemas.events import (
    CancelRequested,
    Event,
    OrderCanceled,
    OrderSubmitted,
    ReplaceRejected,
    ReplaceRequested,
    TradingState,
)

_HALTED = TradingState.HALTED
WITHHELD = "trading was halted before it left"
"""Reason of the reports of what was held back."""


class View(Protocol):
    """What the gate looks at; the core is one."""

    @property
    def orders(self) -> Mapping[int, Order]: ...  # noqa: D102
    @property
    def trading_state(self) -> TradingState: ...  # noqa: D102
    @property
    def instrument_states(self) -> Mapping[int, TradingState]: ...  # noqa: D102


Effect = tuple[int, Event]
"""A numbered event that something must be sent for."""


def is_halted(view: View, instrument_id: int) -> bool:
    """Return whether nothing but the kill switch may trade the instrument."""
    return view.trading_state is _HALTED or view.instrument_states.get(instrument_id) is _HALTED


def may_leave(order: Order, view: View) -> bool:
    """Return whether an order may be sent now; ask right before the send."""
    return order.request.source == KILL or not is_halted(view, order.request.instrument_id)


def withheld(order: Order, now_ns: int) -> OrderCanceled:
    """Return the report of an order that was submitted and did not leave."""
    return OrderCanceled(ts_ns=now_ns, received_ns=now_ns, order_id=order.order_id, reason=WITHHELD)


def hold_back(effects: Sequence[Effect], view: View, now_ns: int) -> tuple[Sequence[Effect], list[Event]]:
    """Return the effects that may leave now, and reports of those that may not.

    Cancels always leave, and so does a replace that makes an order smaller because of its links.
    """
    if view.trading_state is not _HALTED and not view.instrument_states:
        return effects, []
    leaving: list[Effect] = []
    reports: list[Event] = []
    never_left: set[int] = set()
    for seq, event in effects:
        if isinstance(event, OrderSubmitted) and not may_leave(view.orders[event.order_id], view):
            never_left.add(event.order_id)
            reports.append(withheld(view.orders[event.order_id], now_ns))
        elif isinstance(event, CancelRequested) and event.order_id in never_left:
            continue
        elif isinstance(event, ReplaceRequested) and not _may_replace(event, view):
            reports.append(
                ReplaceRejected(ts_ns=now_ns, received_ns=now_ns, order_id=event.order_id, reason=WITHHELD)
            )
        else:
            leaving.append((seq, event))
    return leaving, reports


def _may_replace(wish: ReplaceRequested, view: View) -> bool:
    order = view.orders[wish.order_id]
    return may_leave(order, view) or (wish.source == LINK and (wish.quantity or 0) <= order.quantity)
