"""Moving averages: simple and exponential, and Wilder's, which is exponential with 1 over its length."""

from __future__ import annotations

from math import fsum
from typing import ClassVar

from daemon.trading.indicators.indicator import Indicator, checked_length


class SMA(Indicator):
    """Simple moving average: the mean of the last `length` values."""

    __slots__ = ("_missing", "_place", "_sum", "_window", "length")
    remembers: ClassVar[tuple[str, ...]] = ("value", "_window", "_place", "_sum", "_missing")

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = checked_length("SMA", length)
        self._window: list[float] = [0] * length
        self._place = 0
        self._sum: float = 0
        self._missing = length

    def update(self, value: float) -> float | None:
        """Take a value; return the new mean."""
        window, place = self._window, self._place
        self._sum += value - window[place]
        window[place] = value
        place += 1
        if place == self.length:
            place = 0
            if type(self._sum) is float:
                self._sum = fsum(window)
        self._place = place
        if self._missing:
            self._missing -= 1
            if self._missing:
                return None
        self.value = self._sum / self.length
        return self.value


class EMA(Indicator):
    """Exponential moving average with a weight of 2 / (length + 1), begun with a simple average.

    J. M. Hutson, "Filter Price Data: Moving Averages Versus Exponential Moving Averages", Technical
    Analysis of Stocks & Commodities 2:3, 1984, gives the weight that makes both equally old.
    """

    __slots__ = ("_missing", "_sum", "_weight", "length")
    remembers: ClassVar[tuple[str, ...]] = ("value", "_sum", "_missing")

    def __init__(self, length: int, weight: float | None = None) -> None:
        super().__init__()
        self.length = checked_length("EMA", length)
        self._weight = 2 / (length + 1) if weight is None else weight
        self._sum: float = 0
        self._missing = length

    def update(self, value: float) -> float | None:
        """Take a value; return the new average."""
        average = self.value
        if average is not None:
            self.value = average + self._weight * (value - average)
            return self.value
        self._sum += value
        self._missing -= 1
        if not self._missing:
            self.value = self._sum / self.length
        return self.value


def wilder(length: int) -> EMA:
    """Return Wilder's average: each value moves it by one part of `length`.

    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    return EMA(length, 1 / checked_length("Wilder's average", length))
