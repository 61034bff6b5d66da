"""VWAP bounce: trade back to the session's volume-weighted average price, flat when the session ends.

The average is that of S. A. Berkowitz, D. E. Logue, E. A. Noser, "The Total Cost of Transactions on the
NYSE", Journal of Finance 43:1, 1988; trading the return to it, with bands of its own deviation, is in
B. Shannon, Maximum Trading Gains with Anchored VWAP, 2023.
"""

from __future__ import annotations

from typing import Any, ClassVar

from daemon.trading.bar_strategy import BARS, SHORT, BarStrategy
from daemon.trading.indicators import VWAP
from daemon.trading.sizer import SIZING
from daemon.trading.strategy import Parameter
from schemas.events import Bar


class VwapBounce(BarStrategy):
    """Goes against a close `width` deviations from the average, flat at the average and at the last bar.

    The session is that of the instrument's calendar; without one, the day of its zone. Bars are of
    trades, for quotes have no volume; a bar counts at the mean of its high, low and close.
    """

    kind: ClassVar[str] = "vwap_bounce"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("width", str, "deviations from average to entry", "2", maximum=100, decimal=True),
        Parameter("wait", int, "bars of a session before the first entry", 30, minimum=1, maximum=100_000),
        BARS,
        SHORT,
        *SIZING,
    )
    remembers: ClassVar[tuple[str, ...]] = (*BarStrategy.remembers, "_averages", "_sessions", "_counts")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._width = float(self.values["width"])
        self._averages = {i: VWAP() for i in self.instruments}
        self._sessions = dict.fromkeys(self.instruments, 0)
        self._counts = dict.fromkeys(self.instruments, 0)

    def direction(self, bar: Bar) -> int | None:
        """See `BarStrategy.direction`."""
        i = bar.instrument_id
        calendar, began_ns = self.context.book(i).calendar, bar.ts_ns - bar.interval_ns
        session_ns = calendar.session_start_ns(began_ns)
        average = self._averages[i]
        if session_ns != self._sessions[i]:
            self._sessions[i], self._counts[i] = session_ns, 0
            average.begin_session()
        self._counts[i] += 1
        mean = average.update((bar.high + bar.low + bar.close) / 3, bar.volume or 0)
        if mean is None or average.deviation is None:
            return None
        if bar.ts_ns + bar.interval_ns >= calendar.session_end_ns(began_ns):
            return 0
        away = bar.close - mean
        if self._counts[i] >= self.values["wait"] and abs(away) > self._width * average.deviation:
            return 1 if away < 0 else -1
        return 0 if self.held(i) * away >= 0 else None
