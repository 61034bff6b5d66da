"""Bollinger bounce: buy below the lower band, sell above the upper one, let go at the mean.

J. Bollinger, Bollinger on Bollinger Bands, 2001, part III: in a market without a trend prices that
leave the bands come back to their mean.
"""

from __future__ import annotations

from typing import Any, ClassVar

from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.indicators import Bollinger
from daemon.trading.strategy import Parameter
from schemas.events import Bar


class BollingerBounce(BarStrategy):
    """Goes against a close outside the bands, and flat where a close has come back to the mean."""

    kind: ClassVar[str] = "bollinger_bounce"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("length", int, "bars in mean and deviation", 20, minimum=2, maximum=10_000),
        Parameter("width", str, "deviations from mean to band", "2", maximum=100, decimal=True),
        *BarStrategy.parameters,
    )
    remembers: ClassVar[tuple[str, ...]] = (*BarStrategy.remembers, "_bands")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        length, width = self.values["length"], float(self.values["width"])
        self._bands = {i: Bollinger(length, width) for i in self.instruments}

    def direction(self, bar: Bar) -> int | None:
        """See `BarStrategy.direction`."""
        bands = self._bands[bar.instrument_id]
        mean = bands.update(bar.close)
        if mean is None or bands.lower is None or bands.upper is None:
            return None
        if bar.close < bands.lower:
            return 1
        if bar.close > bands.upper:
            return -1
        return 0 if self.held(bar.instrument_id) * (bar.close - mean) >= 0 else None
