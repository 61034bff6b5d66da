"""Momentum: relative strength, and the convergence of two averages."""

from __future__ import annotations

from typing import ClassVar

from daemon.trading.indicators.averages import EMA, wilder
from daemon.trading.indicators.indicator import Indicator, IndicatorError, checked_length

NEUTRAL = 50.0


class RSI(Indicator):
    """Relative strength index: the share of rises among all movement, 0 to 100, by Wilder's average.

    J. W. Wilder, New Concepts in Technical Trading Systems, 1978. A market that has not moved at all
    reads 50, neither bought nor sold too much; TA-Lib says 0 there.
    """

    __slots__ = ("_falls", "_last", "_rises")
    remembers: ClassVar[tuple[str, ...]] = ("value", "_last", "_rises", "_falls")

    def __init__(self, length: int = 14) -> None:
        super().__init__()
        checked_length("RSI", length)
        self._last: float | None = None
        self._rises = wilder(length)
        self._falls = wilder(length)

    def update(self, value: float) -> float | None:
        """Take a value; return the new reading."""
        last, self._last = self._last, value
        if last is None:
            return None
        change = value - last
        rises = self._rises.update(max(change, 0))
        falls = self._falls.update(max(-change, 0))
        if rises is None or falls is None:
            return None
        moved = rises + falls
        self.value = 100 * rises / moved if moved else NEUTRAL
        return self.value


class MACD(Indicator):
    """Fast exponential average less the slow one, and an exponential average of that as its signal.

    G. Appel, The Moving Average Convergence-Divergence Trading Method, 1979. Both averages begin at
    the same value, as in TA-Lib.

    Attributes:
        value: the distance of the averages.
        signal: its average; None until enough was seen.
    """

    __slots__ = ("_fast", "_signal", "_skip", "_slow", "signal")
    remembers: ClassVar[tuple[str, ...]] = ("value", "signal", "_fast", "_slow", "_signal", "_skip")

    def __init__(self, fast: int = 12, slow: int = 26, signal: int = 9) -> None:
        super().__init__()
        if fast >= slow:
            raise IndicatorError(f"MACD: fast is {fast}, expected less than slow, {slow}")
        self._fast, self._slow, self._signal = EMA(fast), EMA(slow), EMA(signal)
        self._skip = slow - fast
        self.signal: float | None = None

    @property
    def histogram(self) -> float | None:
        """Distance from its own signal."""
        return None if self.value is None or self.signal is None else self.value - self.signal

    def update(self, value: float) -> float | None:
        """Take a value; return the new distance of the averages."""
        if self._skip:
            self._skip -= 1
        else:
            self._fast.update(value)
        slow, fast = self._slow.update(value), self._fast.value
        if slow is None or fast is None:
            return None
        self.value = fast - slow
        self.signal = self._signal.update(self.value)
        return self.value
