"""When a market is open: sessions by the local time of an exchange, as nanoseconds UTC. Pure.

A calendar repeats weekly hours in an IANA zone. A *session* is all trading of one trade date: from its
first opening to its last close, with the breaks between. A trade date is the local date on which the
session closes, so that of Sunday 17:00 to Monday 17:00 is Monday; holidays and early closes name trade
dates. Bounds are half open: a market is open at the instant of its opening and closed at that of its
close. A local time that the clocks skip counts as that much later, one that they repeat as the first.

The zone's rules come from the time-zone database of the machine (PEP 615): a database that tells the
past otherwise would replay it otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from schemas.errors import TapedError
from schemas.events import InstrumentDefined, SessionCalendarDefined

DAY = 86_400
WEEK = 7 * DAY
MAX_HOURS = 50
MAX_DATES = 5_000
MAX_CALENDARS = 1_000
_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_CLOSED_DAYS = 40
_SEARCH_DAYS = _LONGEST_CLOSED_DAYS + 8
"""A removed session is at most a week away, and behind each removed one there is another within 40 days."""


class CalendarError(TapedError):
    """A calendar cannot be: its zone, hours or dates make no sense."""


class Calendar:
    """Sessions of one market. Remembers the session it was asked for last; one thread may use it.

    Args:
        zone: IANA name.
        hours: opening and close of each part of the week, in seconds since Monday 00:00 local time. The
            opening lies within the week, the close at most a week behind it.
        holidays: trade dates without a session.
        early_closes: second of the day at which all ends, by trade date.

    Raises:
        CalendarError: the zone is unknown, hours overlap or are none, or more than 40 days have no session.
    """

    def __init__(
        self,
        zone: str,
        hours: Sequence[tuple[int, int]],
        holidays: Iterable[date] = (),
        early_closes: Mapping[date, int] | None = None,
    ) -> None:
        self.zone = zone
        self._zone = _zone(zone)
        self._parts = _by_weekday(_checked(hours))
        self._holidays = frozenset(holidays)
        self._early_closes = dict(early_closes or {})
        if not all(0 <= second <= DAY for second in self._early_closes.values()):
            raise CalendarError(f"an early close is a second of the day, 0 to {DAY}")
        # What was found last holds from `_from_ns` on, until `_end_ns`.
        self._from_ns = self._start_ns = self._end_ns = 0
        self._breaks: tuple[int, ...] = ()
        self._refuse_long_gaps()

    def is_open(self, ts_ns: int) -> bool:
        """Return whether the market trades at that instant."""
        if not self._from_ns <= ts_ns < self._end_ns:
            self._find(ts_ns)
        # An odd number of edges behind us: a break has begun and not ended.
        return ts_ns >= self._start_ns and not (self._breaks and bisect_right(self._breaks, ts_ns) % 2)

    def session_start_ns(self, ts_ns: int) -> int:
        """Return when the session of that instant began; between sessions, when the next one begins."""
        if not self._from_ns <= ts_ns < self._end_ns:
            self._find(ts_ns)
        return self._start_ns

    def session_end_ns(self, ts_ns: int) -> int:
        """Return when the session of that instant ends; between sessions, when the next one ends."""
        if not self._from_ns <= ts_ns < self._end_ns:
            self._find(ts_ns)
        return self._end_ns

    def _find(self, ts_ns: int) -> None:
        # The session's date is that of its close, so it is never before the date of an instant in it.
        day = (_EPOCH + timedelta(seconds=ts_ns // _SECOND)).astimezone(self._zone).date()
        for _ in range(_SEARCH_DAYS):
            edges = self._edges(day)
            if edges and edges[-1] > ts_ns:
                self._start_ns, self._end_ns = edges[0], edges[-1]
                self._breaks = tuple(edges[1:-1])
                self._from_ns = min(ts_ns, self._start_ns)
                return
            day += timedelta(days=1)
        raise AssertionError("a calendar without sessions was refused when it was made")

    def _edges(self, day: date) -> list[int]:
        """Return openings and closes of a trade date in turn, breaks of no length left out; or none."""
        if day in self._holidays:
            return []
        midnight = datetime.combine(day, time(), self._zone)
        last = self._early_closes.get(day, DAY)
        edges: list[int] = []
        for opening, close in self._parts[day.weekday()]:
            start_ns = _ns(midnight + timedelta(seconds=opening))
            end_ns = _ns(midnight + timedelta(seconds=min(close, last)))
            if start_ns >= end_ns:
                continue
            if edges and edges[-1] == start_ns:
                edges[-1] = end_ns
            else:
                edges += (start_ns, end_ns)
        return edges

    def _refuse_long_gaps(self) -> None:
        for removed in sorted(self._holidays | self._early_closes.keys()):
            days = (removed + timedelta(days=ahead) for ahead in range(_LONGEST_CLOSED_DAYS))
            if not any(self._edges(day) for day in days):
                raise CalendarError(
                    f"no session within {_LONGEST_CLOSED_DAYS} days from {removed}",
                    hint="name fewer holidays",
                )


def always(zone: str) -> Calendar:
    """Return a market that never closes; its days end at midnight of that zone.

    Raises:
        CalendarError: the zone is unknown.
    """
    return Calendar(zone, [(day * DAY, (day + 1) * DAY) for day in range(7)])


def calendar_of(event: SessionCalendarDefined) -> Calendar:
    """Return the calendar that an event tells.

    Raises:
        CalendarError: it cannot be.
    """
    if len(event.opens) != len(event.closes) or len(event.early_days) != len(event.early_closes):
        raise CalendarError("openings and closes, or early days and their closes, are not as many")
    if len(event.holidays) + len(event.early_days) > MAX_DATES:
        raise CalendarError(f"more than {MAX_DATES} holidays and early closes")
    early_days = map(number_date, event.early_days)
    return Calendar(
        event.zone,
        list(zip(event.opens, event.closes, strict=True)),
        map(number_date, event.holidays),
        dict(zip(early_days, event.early_closes, strict=True)),
    )


def date_number(day: date) -> int:
    """Return a date as events hold it: 20241225."""
    return day.year * 10_000 + day.month * 100 + day.day


def number_date(number: int) -> date:
    """Return the date of an event.

    Raises:
        CalendarError: it is none.
    """
    try:
        return date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError as error:
        raise CalendarError(f"{number} is no date, expected the form 20241225") from error


class Calendars:
    """Which calendar holds for an instrument: its own, else its venue's, else days of its own zone.

    Attributes:
        defined: the events that hold, by venue and instrument.
    """

    def __init__(self) -> None:
        self.defined: dict[tuple[str, int | None], SessionCalendarDefined] = {}
        self._made: dict[tuple[str, int | None], Calendar] = {}
        self._always: dict[str, Calendar] = {}

    def define(self, event: SessionCalendarDefined) -> None:
        """Take a calendar; one without hours is taken away again.

        Raises:
            CalendarError: it cannot be; nothing has changed.
        """
        key = (event.venue, event.instrument_id)
        if not event.opens:
            self.defined.pop(key, None)
            self._made.pop(key, None)
            return
        if key not in self.defined and len(self.defined) >= MAX_CALENDARS:
            raise CalendarError(f"{MAX_CALENDARS} calendars are defined already")
        self._made[key] = calendar_of(event)
        self.defined[key] = event

    def of(self, instrument: InstrumentDefined) -> Calendar:
        """Return the calendar of an instrument; a zone that this machine does not know counts as UTC."""
        venue = instrument.venue
        found = self._made.get((venue, instrument.instrument_id)) or self._made.get((venue, None))
        return found or self._days_of(instrument.session_zone)

    def _days_of(self, zone: str) -> Calendar:
        found = self._always.get(zone)
        if found is None:
            try:
                found = always(zone)
            except CalendarError:
                found = always("UTC")
            self._always[zone] = found
        return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # Also names that lead out of the database.
        raise CalendarError(
            f"{name[:100]!r} is no time zone", hint="a name such as America/New_York"
        ) from error


def _checked(hours: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    if not 0 < len(hours) <= MAX_HOURS:
        raise CalendarError(f"{len(hours)} openings a week, expected 1 to {MAX_HOURS}")
    ordered = sorted(hours)
    for opening, close in ordered:
        if not (0 <= opening < WEEK and opening < close <= opening + WEEK):
            raise CalendarError(f"hours from second {opening} to {close} of the week make no session")
    first = ordered[0]
    for (_, close), (opening, _) in pairwise([*ordered, (first[0] + WEEK, 0)]):
        if close > opening:
            raise CalendarError(f"hours overlap: open until second {close} and from {opening} of the week")
    return ordered


def _by_weekday(hours: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Return hours by weekday of their close, in seconds from that day's midnight; openings may be before."""
    parts: list[list[tuple[int, int]]] = [[] for _ in range(7)]
    for opening, close in hours:
        day = (close - 1) // DAY
        parts[day % 7].append((opening - day * DAY, close - day * DAY))
    return [sorted(of_day) for of_day in parts]


def _ns(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1) * _SECOND
