"""Opening-range breakout: go with the first close outside of what a session's first minutes spanned.

T. Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout, 1990; measured again by
C. Zarattini, A. Aziz, "Can Day Trading Really Be Profitable?", SSRN 4416622, 2023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from daemon.trading.bar_strategy import BarStrategy
from daemon.trading.calendar import DAY, Calendar, CalendarError
from daemon.trading.strategy import Parameter, StrategyError
from schemas.events import Bar, InstrumentDefined

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MINUTE_NS = 60 * 10**9


def _check_clock(text: str) -> None:
    if text and not _CLOCK.fullmatch(text):
        raise StrategyError(f"{text[:50]!r} is no time of day", hint="write 09:30")


def _seconds(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3_600 + int(minutes) * 60


@dataclass(slots=True)
class _Range:
    """What a session's first minutes spanned, and how often it was left."""

    session_ns: int = 0
    high: int = 0
    low: int = 0
    entries: int = 0


class OpeningRange(BarStrategy):
    """Goes long above the range of the first `minutes`, short below it; flat in the range's other half.

    The session is that of the instrument's calendar, in the exchange's own time zone; where none is
    defined, `opens` and `closes` give its hours on the instrument's `session_zone`. It is left before the
    session ends, with the last bar that is complete by then, and entered `entries` times at most.
    """

    kind: ClassVar[str] = "opening_range"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("minutes", int, "length of the range", 30, minimum=1, maximum=1_440),
        Parameter("entries", int, "most entries of a session", 1, minimum=1, maximum=1_000),
        Parameter(
            "opens",
            str,
            "local time of the session's start",
            "",
            form="a time such as 09:30, or none for the calendar's",
            check=_check_clock,
        ),
        Parameter(
            "closes",
            str,
            "local time of its end",
            "",
            form="a time such as 16:00, with opens",
            check=_check_clock,
        ),
        *BarStrategy.parameters,
    )
    remembers: ClassVar[tuple[str, ...]] = (*BarStrategy.remembers, "_ranges")

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ranges = {i: _Range() for i in self.instruments}
        self._calendars = {i: self._own_calendar(one) for i, one in self.instruments.items()}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`."""
        super().check(values)
        opens, closes = values["opens"], values["closes"]
        if bool(opens) != bool(closes) or (opens and _seconds(opens) >= _seconds(closes)):
            raise StrategyError("opening_range: opens and closes belong together, and opens comes first")

    def _own_calendar(self, instrument: InstrumentDefined) -> Calendar | None:
        if not self.values["opens"]:
            return None
        opens, closes = _seconds(str(self.values["opens"])), _seconds(str(self.values["closes"]))
        hours = [(day * DAY + opens, day * DAY + closes) for day in range(7)]
        try:
            return Calendar(instrument.session_zone, hours)
        except CalendarError as error:
            raise StrategyError(f"opening_range: {instrument.symbol}: {error.message}") from error

    def direction(self, bar: Bar) -> int | None:
        """See `BarStrategy.direction`."""
        i = bar.instrument_id
        calendar, began_ns = self._calendars[i] or self.context.book(i).calendar, bar.ts_ns - bar.interval_ns
        session_ns, end_ns = calendar.session_start_ns(began_ns), calendar.session_end_ns(began_ns)
        if began_ns < session_ns or bar.ts_ns + bar.interval_ns >= end_ns:
            return 0
        span, held = self._ranges[i], self.held(i)
        opening = bar.ts_ns <= session_ns + self.values["minutes"] * _MINUTE_NS
        if session_ns != span.session_ns:
            # Of a session whose opening nobody saw there is no range, and no entry.
            span.entries = 0 if opening else self.values["entries"]
            span.session_ns, span.high, span.low = session_ns, bar.high, bar.low
        if opening:
            span.high, span.low = max(span.high, bar.high), min(span.low, bar.low)
            return 0
        broken = (bar.close > span.high) - (bar.close < span.low)
        if broken < 0 and not self.values["short"]:
            return 0
        if broken and broken != held:
            if span.entries >= self.values["entries"]:
                return 0
            span.entries += 1
            return broken
        # Back over half of the range: the break was none.
        return 0 if held * (2 * bar.close - span.high - span.low) < 0 else None
