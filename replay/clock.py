"""Ticks of the clock in a backtest: on the whole seconds of event time, where they may do anything.

A live journal holds the ticks there were, and those are taken. Recorded market data hold none: they are
made up, right before the first event that is not earlier. One that nobody would act on is left out,
which changes nothing, since a tick without an answer takes no number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from daemon.trading.bars import GRACE_NS, NEVER, SECOND
from daemon.trading.core import Core
from daemon.venue.paper import PaperVenue


class Clock:
    """Gives ticks between events.

    Args:
        core: that is told.
        venue: whose orders may end.
        tick: passes one of that time.

    Attributes:
        recorded: the events hold their own ticks, so none are made up.
    """

    def __init__(self, core: Core, venue: PaperVenue, tick: Callable[[int], None]) -> None:
        self.recorded = False
        self._core = core
        self._venue = venue
        self._tick = tick
        self._now_ns: int | None = None

    def pieces(self, events: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Cut events where ticks stand between them; each piece is taken before the next is asked for."""
        if self.recorded or not self._is_needed():
            self._now_ns = None
            yield events
            return
        times = [event.ts_ns for event in events]
        if self._now_ns is None:
            self._now_ns = times[0]
        # Sorting what is in order costs 10 ns an event.
        in_order = times[0] >= self._now_ns and times == sorted(times)
        start = 0
        while start < len(times):
            self._catch_up(times[start])
            stop = self._end_in_order(times, start) if in_order else self._end_of_second(times, start)
            yield events[start:stop]
            latest_ns = times[stop - 1] if in_order else max(times[start:stop])
            self._now_ns = max(self._now_ns, latest_ns)
            start = stop

    def end_orders(self, now_ns: int) -> None:
        """Give the ticks by which orders expire that end before an event of that time."""
        while not self.recorded and (second := _ceil(self._venue.next_end_ns)) <= now_ns:
            self._tick(second)

    def _is_needed(self) -> bool:
        return self._core.clock_due_ns(0, 0) != NEVER

    def _catch_up(self, time_ns: int) -> None:
        """Give the ticks after the last event, up to a time."""
        assert self._now_ns is not None
        second = self._now_ns // SECOND * SECOND + SECOND
        while second <= time_ns:
            ends_ns = max(second, self._venue.next_end_ns)
            second = _ceil(min(self._core.clock_due_ns(second, NEVER), ends_ns))
            if second <= time_ns:
                self._tick(second)
            second += SECOND

    def _end_in_order(self, times: list[int], start: int) -> int:
        """Return the place of the first event that a tick may have to precede."""
        next_ns = times[start] // SECOND * SECOND + SECOND
        # A bar that opens from here on is not over before its grace is.
        due_ns = _ceil(self._core.clock_due_ns(next_ns, times[start] + GRACE_NS))
        return bisect_left(times, due_ns, start + 1)

    def _end_of_second(self, times: list[int], start: int) -> int:
        """Return the place of the first event of a later second: times may go back, the clock does not."""
        assert self._now_ns is not None
        next_ns = max(self._now_ns, times[start]) // SECOND * SECOND + SECOND
        return next((n for n in range(start + 1, len(times)) if times[n] >= next_ns), len(times))


def _ceil(time_ns: int) -> int:
    return -(-time_ns // SECOND) * SECOND
