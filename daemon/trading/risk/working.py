"""What working orders may still trade, summed up by instrument and side. Follows orders; decides nothing.

Sums are kept, so that no rule walks over all working orders; orders that changed are counted when the
sums are asked for, and those that came and went meanwhile not at all. Orders that take each other's
place (one group of linked orders) count once, as the largest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from daemon.trading.orders import Order
from schemas.events import Side


@dataclass(slots=True)
class Total:
    """Quantity that may still be filled on one side of an instrument.

    `value` is the sum of price times quantity of the orders that name a price, in scaled units;
    `unpriced` the quantity of those that do not.
    """

    quantity: int = 0
    value: int = 0
    unpriced: int = 0

    def add(self, part: _Part, sign: int) -> None:
        """Add a part, or take it away again."""
        self.quantity += sign * part.quantity
        if part.price:
            self.value += sign * part.quantity * part.price
        else:
            self.unpriced += sign * part.quantity


class _Part(NamedTuple):
    """What one order may still trade; a price of zero stands for none."""

    quantity: int
    price: int


NOTHING = Total()
_Key = tuple[int, Side]
_Group = tuple[int, Side, int]
"""Instrument, side, and the orders that take each other's place."""


_MAX_CHANGED = 256


class Working:
    """Sums over the working orders; call `follow` with each order that changed."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[_Key, _Part]] = {}
        self._groups: dict[_Group, dict[int, _Part]] = {}
        self._totals: dict[_Key, Total] = {}
        self._changed: dict[int, Order] = {}

    def follow(self, order: Order) -> None:
        """Take note that an order is not what it was. Takes 0.1 us."""
        changed = self._changed
        changed[order.order_id] = order
        if len(changed) > _MAX_CHANGED:
            self._count()

    def _count(self) -> None:
        for order in self._changed.values():
            self._take(order)
        self._changed.clear()

    def _take(self, order: Order) -> None:
        order_id = order.order_id
        known = self._parts.get(order_id)
        if not order.status.is_working:
            if known is not None:
                self._put(order, known[0], None)
                del self._parts[order_id]
            return
        part = _Part(order.most_remaining, order.price or order.stop_price or 0)
        if known is not None and known[1] == part:
            return
        key = (order.request.instrument_id, order.request.side)
        self._put(order, key, part)
        self._parts[order_id] = (key, part)

    def total(self, instrument_id: int, side: Side) -> Total:
        """Return what may still be traded on one side of an instrument."""
        self._count()
        return self._totals.get((instrument_id, side), NOTHING)

    def beside(self, order: Order) -> Total:
        """Return the same for an order's side, without the order and those whose place it takes."""
        self._count()
        request = order.request
        total = self._totals.get((request.instrument_id, request.side))
        if total is None:
            return NOTHING
        group = _group(order)
        mine = self._groups.get(group) if group is not None else None
        known = self._parts.get(order.order_id)
        if mine is None and known is None:
            return total
        rest = Total(total.quantity, total.value, total.unpriced)
        part = _largest(mine) if mine else known[1] if known is not None else None
        if part is not None:
            rest.add(part, -1)
        return rest

    def most_in_group(self, order: Order) -> int:
        """Return the most that another order may trade in whose place this one stands; zero for none."""
        self._count()
        group = _group(order)
        others = self._groups.get(group, {}) if group is not None else {}
        return max((part.quantity for key, part in others.items() if key != order.order_id), default=0)

    def instruments(self) -> Iterator[int]:
        """Return the instruments with working orders; one with orders on both sides comes twice."""
        self._count()
        return (instrument_id for instrument_id, _ in self._totals)

    def purchases(self) -> Mapping[int, Total]:
        """Return what may still be bought, by instrument."""
        self._count()
        return {key: total for (key, side), total in self._totals.items() if side == Side.BUY}

    def _put(self, order: Order, key: _Key, part: _Part | None) -> None:
        """Put a part in the place of the one that is known of the order; None takes it out."""
        total = self._totals.get(key)
        if total is None:
            total = self._totals[key] = Total()
        group = _group(order)
        if group is None:
            known = self._parts.get(order.order_id)
            if known is not None:
                total.add(known[1], -1)
            if part is not None:
                total.add(part, 1)
        else:
            members = self._groups.setdefault(group, {})
            if members:
                total.add(_largest(members), -1)
            if part is None:
                members.pop(order.order_id, None)
            else:
                members[order.order_id] = part
            if members:
                total.add(_largest(members), 1)
            else:
                del self._groups[group]
        if not total.quantity:
            del self._totals[key]


def _group(order: Order) -> _Group | None:
    request = order.request
    if request.oco_group is None:
        return None
    return request.instrument_id, request.side, request.oco_group


def _largest(members: Mapping[int, _Part]) -> _Part:
    # Of equal quantities the higher price: what may be needed, not what may be hoped for.
    return max(members.values())
