"""Prices weighed by what was traded at them."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from daemon.trading.indicators.indicator import Indicator


class VWAP(Indicator):
    """Volume-weighted average price since the session began, and the deviation around it.

    S. A. Berkowitz, D. E. Logue, E. A. Noser, "The Total Cost of Transactions on the NYSE", Journal of
    Finance 43:1, 1988. Whoever feeds it tells when a session begins.

    Attributes:
        deviation: standard deviation of the prices, each weighed by its volume.
    """

    __slots__ = ("_base", "_squares", "_sum", "_volume", "deviation")
    remembers: ClassVar[tuple[str, ...]] = ("value", "deviation", "_base", "_volume", "_sum", "_squares")

    def __init__(self) -> None:
        super().__init__()
        self.begin_session()

    def begin_session(self) -> None:
        """Forget what was traded before."""
        self.value = None
        self.deviation: float | None = None
        self._base: float | None = None
        self._volume: float = 0
        self._sum: float = 0
        self._squares: float = 0

    def update(self, price: float, volume: float) -> float | None:
        """Take what was traded; return the new average. A volume of zero changes nothing."""
        if not volume:
            return self.value
        if self._base is None:
            self._base = price
        # Distances from the first price: sums of whole numbers are exact, and these stay short.
        distance = price - self._base
        self._volume += volume
        self._sum += distance * volume
        self._squares += distance * distance * volume
        total, weight = self._sum, self._volume
        self.value = (self._base * weight + total) / weight
        self.deviation = sqrt(max(0, self._squares * weight - total * total)) / weight
        return self.value
