"""Open lots of one position, first in, first out, in exact integers. Knows no prices and no fees."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

MAX_LOTS = 1_000
"""Open lots that are kept apart; when there are so many, what is opened further joins the newest."""


@dataclass(slots=True)
class Lot:
    """What one fill opened, less what has been closed of it.

    `quantity` and `cost` are signed alike (short is negative), in the instrument's units and money;
    `opened_ns` is the time of the fill.
    """

    quantity: int
    cost: int
    opened_ns: int


class Lots:
    """Open lots, oldest first; all long or all short.

    Attributes:
        closed: lots that were closed to the end, so that each has a number of its own for ever.
    """

    __slots__ = ("_lots", "closed")

    def __init__(self, lots: Iterable[Lot] = (), closed: int = 0) -> None:
        self._lots = deque(lots)
        self.closed = closed

    def __len__(self) -> int:
        return len(self._lots)

    def __iter__(self) -> Iterator[Lot]:
        return iter(self._lots)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lots) and (self._lots, self.closed) == (other._lots, other.closed)

    __hash__ = None  # type: ignore[assignment]  # They change.

    def apply(self, quantity: int, value: int, ts_ns: int) -> int:
        """Book a fill; return the profit it realised on the oldest lots it closed.

        A lot that is closed in part gives up its share of the cost, cut to whole units towards zero; the
        rest stays with it, and its last unit takes all: nothing is created or lost.

        Args:
            quantity: signed, not zero.
            value: notional of it, sign as the quantity's.
            ts_ns: time of the fill.
        """
        lots = self._lots
        if not lots or (lots[0].quantity > 0) == (quantity > 0):
            self._open(quantity, value, ts_ns)
            return 0
        # The notional is linear in the quantity, so this division leaves no remainder.
        unit = value // quantity
        profit = 0
        while quantity and lots:
            oldest = lots[0]
            if abs(quantity) >= abs(oldest.quantity):
                profit += oldest.quantity * unit - oldest.cost
                quantity += oldest.quantity
                lots.popleft()
                self.closed += 1
                continue
            share = abs(oldest.cost) * abs(quantity) // abs(oldest.quantity)
            cost = share if oldest.cost >= 0 else -share
            profit -= quantity * unit + cost
            oldest.quantity += quantity
            oldest.cost -= cost
            quantity = 0
        if quantity:
            self._open(quantity, quantity * unit, ts_ns)
        return profit

    def numbered(self, first: int = 0) -> Iterator[tuple[int, Lot]]:
        """Yield number and lot of those from a number on, oldest first."""
        start = max(0, first - self.closed)
        return enumerate(islice(self._lots, start, None), self.closed + start)

    def _open(self, quantity: int, cost: int, ts_ns: int) -> None:
        if len(self._lots) < MAX_LOTS:
            self._lots.append(Lot(quantity, cost, ts_ns))
            return
        newest = self._lots[-1]
        newest.quantity += quantity
        newest.cost += cost
