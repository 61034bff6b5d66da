"""How many orders left: in the last minute and today, by the times of the events. Bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from daemon.trading.calendar import Calendar, always

MINUTE_NS = 60 * 10**9


class Pace:
    """Counts orders and replaces that left.

    A replace is counted when it is asked for, before the rules have seen it, and taken back when they
    refuse it.

    Args:
        per_minute: so many in a minute are to be told from fewer; None keeps no times.
        day_zone: where the day begins at midnight.

    Attributes:
        times: of the last orders, newest last: one more than are allowed in a minute.
        day_end_ns: when the count of the day begins anew; zero before the first order.
        day_count: orders since the day began.
    """

    def __init__(self, per_minute: int | None = None, day_zone: str = "UTC") -> None:
        self.times: deque[int] = deque(maxlen=_kept(per_minute))
        self.day_end_ns = 0
        self.day_count = 0
        self._zone = day_zone
        self._calendar: Calendar = always(day_zone)

    def configure(self, per_minute: int | None, day_zone: str) -> None:
        """Take other limits; times are kept, and days of another zone are counted from now on."""
        self.times = deque(self.times, maxlen=_kept(per_minute))
        if day_zone != self._zone:
            self._zone, self._calendar = day_zone, always(day_zone)
            self.day_end_ns = self.day_count = 0

    def count(self, ts_ns: int) -> None:
        """Take note that an order leaves, or a replace may leave."""
        self.times.append(ts_ns)
        if ts_ns >= self.day_end_ns:
            self.day_end_ns = self._calendar.session_end_ns(ts_ns)
            self.day_count = 0
        self.day_count += 1

    def take_back(self) -> None:
        """Forget the last one: the rules refused it."""
        if self.times:
            self.times.pop()
        self.day_count = max(0, self.day_count - 1)

    def minute_is_full(self, now_ns: int, most: int, *, counted: bool) -> bool:
        """Return whether so many left in the minute before now, the last one left out if it is counted."""
        place = most + counted
        return len(self.times) >= place and self.times[-place] > now_ns - MINUTE_NS

    def today(self, now_ns: int, *, counted: bool) -> int:
        """Return how many left on the day of that time, the last one left out if it is counted."""
        return self.day_count - counted if now_ns < self.day_end_ns else 0

    def load(self, times: Sequence[int], day_end_ns: int, day_count: int) -> None:
        """Take what was dumped."""
        self.times.extend(times)
        self.day_end_ns, self.day_count = day_end_ns, day_count


def _kept(per_minute: int | None) -> int:
    return 0 if per_minute is None else per_minute + 1
