"""Standard deviation over a window, without the loss of digits that sums of large squares bring."""

from __future__ import annotations

from math import fsum, sqrt
from typing import ClassVar

from daemon.trading.indicators.indicator import Indicator, checked_length


class StandardDeviation(Indicator):
    """Standard deviation of the last `length` values, as of a whole population.

    Squares are those of distances from a base, which is chosen anew each time the window has
    turned: sums of whole numbers stay exact and short, sums of floats are made again from the window.

    Attributes:
        mean: of the same values.
    """

    __slots__ = ("_base", "_missing", "_place", "_squares", "_sum", "_window", "length", "mean")
    remembers: ClassVar[tuple[str, ...]] = (
        "value",
        "mean",
        "_window",
        "_place",
        "_base",
        "_sum",
        "_squares",
        "_missing",
    )

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = checked_length("standard deviation", length)
        self.mean: float | None = None
        self._window: list[float] = []
        self._place = 0
        self._base: float = 0
        self._sum: float = 0
        self._squares: float = 0
        self._missing = length

    def update(self, value: float) -> float | None:
        """Take a value; return the new deviation."""
        if not self._window:
            # As if the first value had always been there: its distances are zero.
            self._window = [value] * self.length
            self._base = value
        window, place = self._window, self._place
        gone, come = window[place] - self._base, value - self._base
        self._sum += come - gone
        self._squares += come * come - gone * gone
        window[place] = value
        self._place = place + 1
        if self._place == self.length:
            self._turn(value)
        if self._missing:
            self._missing -= 1
            if self._missing:
                return None
        return self._read()

    def _turn(self, base: float) -> None:
        self._place = 0
        self._base = base
        distances = [value - base for value in self._window]
        if type(base) is int and type(self._sum) is int:
            self._sum = sum(distances)
            self._squares = sum(distance * distance for distance in distances)
        else:
            self._sum = fsum(distances)
            self._squares = fsum(distance * distance for distance in distances)

    def _read(self) -> float:
        length, total = self.length, self._sum
        self.mean = (self._base * length + total) / length
        self.value = sqrt(max(0, length * self._squares - total * total)) / length
        return self.value
