"""How far prices reach: the true range and its average."""

from __future__ import annotations

from typing import ClassVar

from daemon.trading.indicators.averages import wilder
from daemon.trading.indicators.indicator import Indicator, checked_length


class ATR(Indicator):
    """Average true range by Wilder's average; the first bar has no range, for nothing came before.

    J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """

    __slots__ = ("_average", "_close")
    remembers: ClassVar[tuple[str, ...]] = ("value", "_close", "_average")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        checked_length("ATR", length)
        self._close: float | None = None
        self._average = wilder(length)

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take a bar; return the new average range."""
        before, self._close = self._close, close
        if before is not None:
            self.value = self._average.update(max(high, before) - min(low, before))
        return self.value
