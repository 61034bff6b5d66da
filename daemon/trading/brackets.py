"""Drafts of linked orders: the children learn their parent's number when it is their turn.

An order's number is known once it is recorded, and a strategy asks for all of a bracket at once. So the
entry's draft keeps the request it became, and its children look for the order of that request.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from daemon.trading.orders import Order
from schemas.events import OrderRequested, OrderType, Side


class Entry(partial[Any]):
    """Draft of an order that others will be children of."""

    request: OrderRequested | None = None

    def __call__(self, *, ts_ns: int) -> OrderRequested:
        """Return the request."""
        self.request = request = super().__call__(ts_ns=ts_ns)
        assert isinstance(request, OrderRequested)
        return request


class Child(partial[Any]):
    """Draft of an order that leaves when its parent fills; nothing when the parent was refused.

    Attributes:
        entry: the parent's draft.
        orders: where the parent is found, with the orders that are not over.
        alone: it is the only child, and so in no group.
    """

    entry: Entry
    orders: Mapping[int, Order]
    alone: bool

    def __call__(self, *, ts_ns: int) -> OrderRequested | None:
        """Return the request, or None."""
        for order_id, order in self.orders.items():
            if order.request is self.entry.request:
                group = None if self.alone else order_id
                request = super().__call__(ts_ns=ts_ns, parent_id=order_id, oco_group=group)
                assert isinstance(request, OrderRequested)
                return request
        return None


def bracket(
    entry: partial[Any], orders: Mapping[int, Order], *, take_profit: int | None, stop_loss: int | None
) -> list[partial[Any]]:
    """Return the drafts of an order and of those that close it at a profit or at a loss.

    Args:
        entry: draft of the order.
        orders: orders of its owner that are not over, kept up to date.
        take_profit: limit of the order that closes it at a profit; None for none.
        stop_loss: stop of the order that closes it at a loss; None for none.
    """
    parent = Entry(entry.func, **entry.keywords)
    terms: list[dict[str, Any]] = []
    if take_profit is not None:
        terms.append({"order_type": OrderType.LIMIT, "price": take_profit})
    if stop_loss is not None:
        terms.append({"order_type": OrderType.STOP, "stop_price": stop_loss})
    told = entry.keywords
    common = {name: told[name] for name in ("instrument_id", "quantity", "source", "strategy_id", "tag")}
    drafts: list[partial[Any]] = [parent]
    for each in terms:
        child = Child(entry.func, side=Side(-told["side"]), **common, **each)
        child.entry, child.orders, child.alone = parent, orders, len(terms) == 1
        drafts.append(child)
    return drafts
