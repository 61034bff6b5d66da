"""Donchian breakout: go with a close beyond the highest or lowest of the last bars.

R. D. Donchian's four-week rule, told in J. J. Murphy, Technical Analysis of the Financial Markets, 1999,
chapter 9; with a shorter channel to get out it is the system of C. M. Faith, Way of the Turtle, 2007.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.indicators import Donchian
from daemon.trading.strategy import Parameter, StrategyError
from schemas.events import Bar


@dataclass(slots=True)
class _Channels:
    """The long channel to get in by, the short one to get out by."""

    entry: Donchian
    exit: Donchian


class DonchianBreakout(BarStrategy):
    """Goes long above the highest of `length` bars before, short below their lowest.

    It is flat again when a close is beyond the opposite side of the `exit_length` bars before.
    """

    kind: ClassVar[str] = "donchian_breakout"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("length", int, "bars in the channel to get in", 20, minimum=1, maximum=10_000),
        Parameter(
            "exit_length",
            int,
            "bars in the channel to get out, at most length",
            10,
            minimum=1,
            maximum=10_000,
        ),
        *BarStrategy.parameters,
    )
    remembers: ClassVar[tuple[str, ...]] = (*BarStrategy.remembers, "_channels")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        length, exit_length = self.values["length"], self.values["exit_length"]
        self._channels = {i: _Channels(Donchian(length), Donchian(exit_length)) for i in self.instruments}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`."""
        super().check(values)
        if values["exit_length"] > values["length"]:
            raise StrategyError("donchian_breakout: exit_length must not be more than length")

    def direction(self, bar: Bar) -> int | None:
        """See `BarStrategy.direction`."""
        channels, close = self._channels[bar.instrument_id], bar.close
        # Those of the bars before: no close is above a channel that it is in itself.
        highest, lowest = channels.entry.upper, channels.entry.lower
        high, low = channels.exit.upper, channels.exit.lower
        channels.entry.update(bar.high, bar.low)
        channels.exit.update(bar.high, bar.low)
        if highest is None or lowest is None or high is None or low is None:
            return None
        if close > highest:
            return 1
        if close < lowest:
            return -1
        held = self.held(bar.instrument_id)
        return 0 if (held > 0 and close < low) or (held < 0 and close > high) else None
