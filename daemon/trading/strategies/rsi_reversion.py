"""RSI mean reversion: buy what has fallen too fast, let go at the middle.

J. W. Wilder, New Concepts in Technical Trading Systems, 1978, gives the index and its 30 and 70;
L. Connors, C. Alvarez, Short Term Trading Strategies That Work, 2009, trade it with very short
lengths against the last move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.indicators import RSI
from daemon.trading.strategy import Parameter, StrategyError
from schemas.events import Bar


class RsiReversion(BarStrategy):
    """Goes long below `oversold`, short above `overbought`, and flat where the index crosses `exit`."""

    kind: ClassVar[str] = "rsi_reversion"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("length", int, "bars in the index", 14, minimum=1, maximum=10_000),
        Parameter("oversold", int, "buy below", 30, minimum=0, maximum=100),
        Parameter("overbought", int, "sell above", 70, minimum=0, maximum=100),
        Parameter("exit", int, "let go here, between the two", 50, minimum=0, maximum=100),
        *BarStrategy.parameters,
    )
    remembers: ClassVar[tuple[str, ...]] = (*BarStrategy.remembers, "_indexes")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._indexes = {i: RSI(self.values["length"]) for i in self.instruments}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`."""
        super().check(values)
        if not values["oversold"] <= values["exit"] <= values["overbought"]:
            raise StrategyError("rsi_reversion: exit must lie between oversold and overbought")

    def direction(self, bar: Bar) -> int | None:
        """See `BarStrategy.direction`."""
        index = self._indexes[bar.instrument_id].update(bar.close)
        if index is None:
            return None
        if index < self.values["oversold"]:
            return 1
        if index > self.values["overbought"]:
            return -1
        held = self.held(bar.instrument_id)
        return 0 if held * (index - self.values["exit"]) > 0 else None
