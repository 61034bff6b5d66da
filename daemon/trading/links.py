"""Linked orders: which belong together, and how much of each may be filled. Decides nothing.

A child waits for its parent, which is of the other side of the same instrument: it closes what the parent
opened. Orders of one group (`oco_group`) take each other's place. What may be filled of an order in
all follows from the fills of the others:

    share    what its parent has filled, as far as it falls to the order's group: groups are served in
             the order of their requests, each up to its largest order. Without a parent: everything.
    target   its own quantity, at most its share, less what the others of its group have filled.

                          parent buys 10        entry     take profit    stop loss     group
                          requested             0 of 10   held           held          share 0
                          fills 4               4 of 10   0 of 4         0 of 4        share 4
                          fills 6               10 of 10  0 of 10        0 of 10       share 10
    take profit fills 3                         -         3 of 10        0 of 7
    take profit fills 7                         -         10 of 10       canceled

An order that is over takes no new child, and is remembered as long as one that it is linked to is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from daemon.trading.orders import Order, OrderStatus

MAX_LINKED = 16
"""Children of one parent, and orders of one group."""


class Links:
    """Children by parent and orders by group, in the order of their requests.

    Args:
        orders: where the orders are found by their ids.
    """

    def __init__(self, orders: Mapping[int, Order]) -> None:
        self._orders = orders
        self.children: dict[int, list[int]] = {}
        self.groups: dict[int, list[int]] = {}

    def add(self, order: Order) -> None:
        """Link an order that was held or submitted."""
        request = order.request
        if request.parent_id is not None:
            self.children.setdefault(request.parent_id, []).append(order.order_id)
        if request.oco_group is not None:
            self.groups.setdefault(request.oco_group, []).append(order.order_id)

    def closed(self, order: Order) -> None:
        """Forget an order that ended with nothing filled, and links between orders that are all over."""
        order_id, request = order.order_id, order.request
        for families, key in ((self.children, request.parent_id), (self.groups, request.oco_group)):
            if key in families and not order.filled_quantity and order_id in families[key]:
                families[key].remove(order_id)
        for parent_id in (order_id, request.parent_id):
            if parent_id in self.children and self._are_over((parent_id, *self.children[parent_id])):
                del self.children[parent_id]
        if request.oco_group in self.groups and self._are_over(self.groups[request.oco_group]):
            del self.groups[request.oco_group]

    def load(self, orders: Iterable[Order]) -> None:
        """Link the orders of a table that was filled anew, oldest first."""
        for order in orders:
            request = order.request
            if request.parent_id is None and request.oco_group is None:
                continue
            if order.status.is_terminal:
                if order.filled_quantity:
                    self.add(order)
            elif order.status is not OrderStatus.REQUESTED:
                self.add(order)
        for parent_id, ids in list(self.children.items()):
            if parent_id not in self._orders or self._are_over((parent_id, *ids)):
                del self.children[parent_id]
        for group, ids in list(self.groups.items()):
            if self._are_over(ids):
                del self.groups[group]

    def holds(self, order: Order) -> bool:
        """Return whether the order must be remembered, over or not."""
        request = order.request
        return (
            order.order_id in self.children
            or request.parent_id in self.children
            or request.oco_group in self.groups
        )

    def concerned(self, order: Order) -> Iterator[Order]:
        """Yield the linked orders that are not over and that an event of this order may concern."""
        request = order.request
        ids: list[int] = []
        if request.parent_id is not None:
            ids += self.children.get(request.parent_id, ())
        elif request.oco_group is not None:
            ids += self.groups.get(request.oco_group, ())
        ids += self.children.get(order.order_id, ())
        for order_id in ids:
            linked = self._orders[order_id]
            if not linked.status.is_terminal:
                yield linked

    def all(self) -> Iterator[Order]:
        """Yield all linked orders that are not over, each once."""
        ids = {i: None for families in (self.children, self.groups) for ids in families.values() for i in ids}
        for order_id in ids:
            linked = self._orders[order_id]
            if not linked.status.is_terminal:
                yield linked

    def target(self, order: Order, lot: int) -> int:
        """Return what may be filled of an order in all, in whole lots beyond what is filled already."""
        request, filled = order.request, order.filled_quantity
        most = request.quantity
        if request.parent_id is not None:
            most = min(most, self._share(order))
        if request.oco_group is not None:
            for other_id in self.groups.get(request.oco_group, ()):
                if other_id != order.order_id:
                    other = self._orders[other_id]
                    most -= other.filled_quantity + other.excess_quantity
        return filled + max(0, most - filled) // lot * lot

    def capacities(self, parent_id: int) -> dict[int, int]:
        """Return how much the children of each group may fill at most; a single child is a group."""
        open_: dict[int, int] = {}
        filled: dict[int, int] = {}
        for order_id in self.children.get(parent_id, ()):
            order = self._orders[order_id]
            group = group_of(order_id, order.request.oco_group)
            quantity = 0 if order.status.is_terminal else order.request.quantity
            open_[group] = max(open_.get(group, 0), quantity)
            filled[group] = filled.get(group, 0) + order.filled_quantity
        return {group: max(quantity, filled[group]) for group, quantity in open_.items()}

    def _share(self, order: Order) -> int:
        request = order.request
        assert request.parent_id is not None
        left = self._orders[request.parent_id].filled_quantity
        mine = group_of(order.order_id, request.oco_group)
        for group, capacity in self.capacities(request.parent_id).items():
            if group == mine:
                return max(0, min(left, capacity))
            left -= capacity
        raise AssertionError("a child that is not over is among its parent's children")

    def _are_over(self, ids: tuple[int, ...] | list[int]) -> bool:
        return all(self._orders[order_id].status.is_terminal for order_id in ids)


def group_of(order_id: int, oco_group: int | None) -> int:
    """Return the group's number; an order without one is a group of its own."""
    return -order_id if oco_group is None else oco_group
