"""Bands around prices: by deviation from their mean, and by highest and lowest."""

from __future__ import annotations

from collections import deque
from typing import ClassVar

from daemon.trading.indicators.deviation import StandardDeviation
from daemon.trading.indicators.indicator import Indicator, checked_length


class Bollinger(Indicator):
    """Mean of the last `length` values, and bands `width` standard deviations above and below.

    J. Bollinger, Bollinger on Bollinger Bands, 2001.

    Attributes:
        value: the mean.
        upper: the band above.
        lower: the band below.
    """

    __slots__ = ("_deviation", "lower", "upper", "width")
    remembers: ClassVar[tuple[str, ...]] = ("value", "upper", "lower", "_deviation")

    def __init__(self, length: int = 20, width: float = 2.0) -> None:
        super().__init__()
        self.width = width
        self._deviation = StandardDeviation(length)
        self.upper: float | None = None
        self.lower: float | None = None

    def update(self, value: float) -> float | None:
        """Take a value; return the new mean."""
        deviation = self._deviation.update(value)
        mean = self._deviation.mean
        if deviation is None or mean is None:
            return None
        self.upper = mean + self.width * deviation
        self.lower = mean - self.width * deviation
        self.value = mean
        return mean


class Donchian(Indicator):
    """Highest high and lowest low of the last `length` bars, this one included.

    R. D. Donchian, "High Finance in Copper", Financial Analysts Journal 16:6, 1960. A value is looked
    at twice at most, when it comes and when it goes: constant time on average.

    Attributes:
        value: the middle of the channel.
        upper: the highest high.
        lower: the lowest low.
    """

    __slots__ = ("_count", "_highs", "_lows", "length", "lower", "upper")
    remembers: ClassVar[tuple[str, ...]] = ("value", "upper", "lower", "_highs", "_lows", "_count")

    def __init__(self, length: int = 20) -> None:
        super().__init__()
        self.length = checked_length("Donchian", length)
        # Number and price of what may become the highest or lowest yet, best first.
        self._highs: deque[tuple[int, float]] = deque()
        self._lows: deque[tuple[int, float]] = deque()
        self._count = 0
        self.upper: float | None = None
        self.lower: float | None = None

    def update(self, high: float, low: float) -> float | None:
        """Take a bar's high and low; return the new middle."""
        highs, lows, number = self._highs, self._lows, self._count
        while highs and highs[-1][1] <= high:
            highs.pop()
        while lows and lows[-1][1] >= low:
            lows.pop()
        highs.append((number, high))
        lows.append((number, low))
        self._count = number + 1
        first = self._count - self.length
        if highs[0][0] < first:
            highs.popleft()
        if lows[0][0] < first:
            lows.popleft()
        if first < 0:
            return None
        upper, lower = highs[0][1], lows[0][1]
        self.upper, self.lower = upper, lower
        self.value = (upper + lower) / 2
        return self.value
