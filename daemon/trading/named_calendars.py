"""Calendars that come with taped: US equities, foreign exchange, always open. Rules, no tables of years.

The rules of US equities are those that have held since 2013, Juneteenth since 2022; the days on which
the exchange closed out of turn since then are named one by one. NYSE Rule 7.2: a holiday on a Saturday
is kept on the Friday before and one on a Sunday on the Monday after, but New Year's Day on a Saturday is
not kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from daemon.trading.calendar import DAY

NEW_YORK = "America/New_York"
FIRST_YEAR, LAST_YEAR = 2013, 2060
"""Years whose holidays are known; before and after, only the weekly hours hold."""

_HOUR = 3_600
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_EARLY_CLOSE = 13 * _HOUR
_CLOSED_OUT_OF_TURN = (date(2018, 12, 5), date(2025, 1, 9))  # Mourning for Presidents Bush and Carter.


@dataclass(frozen=True, slots=True)
class NamedCalendar:
    """What a calendar is made of; see `daemon.trading.calendar.Calendar`."""

    zone: str
    hours: tuple[tuple[int, int], ...]
    holidays: tuple[date, ...] = ()
    early_closes: Mapping[date, int] = field(default_factory=dict)


def us_equities() -> NamedCalendar:
    """Return the regular hours of the New York exchanges: 09:30 to 16:00, Monday to Friday."""
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    holidays = sorted([*_CLOSED_OUT_OF_TURN, *(day for year in years for day in us_holidays(year))])
    early = [day for year in years for day in us_early_closes(year)]
    hours = tuple((day * DAY + 9 * _HOUR + _HOUR // 2, day * DAY + 16 * _HOUR) for day in range(5))
    return NamedCalendar(NEW_YORK, hours, tuple(holidays), dict.fromkeys(early, _EARLY_CLOSE))


def forex() -> NamedCalendar:
    """Return Sunday 17:00 to Friday 17:00 New York, a session from 17:00 to 17:00 each day."""
    opens = (day * DAY + 17 * _HOUR for day in (_SUNDAY, 0, 1, 2, 3))
    return NamedCalendar(NEW_YORK, tuple((opening, opening + DAY) for opening in opens))


def always_open(zone: str = "UTC") -> NamedCalendar:
    """Return a market that never closes, with days from midnight to midnight."""
    return NamedCalendar(zone, tuple((day * DAY, (day + 1) * DAY) for day in range(7)))


def us_holidays(year: int) -> Iterator[date]:
    """Yield the dates on which the New York exchanges keep a holiday of that year, in order."""
    new_year = date(year, 1, 1)
    if new_year.weekday() != _SATURDAY:
        yield _kept(new_year)
    yield _nth(year, 1, _MONDAY, 3)  # Martin Luther King, Jr.
    yield _nth(year, 2, _MONDAY, 3)  # Washington's Birthday
    yield easter(year) - timedelta(days=2)  # Good Friday
    yield _nth(year, 6, _MONDAY, 1) - timedelta(days=7)  # Memorial Day, the last Monday of May
    if year >= 2022:  # noqa: PLR2004  # The first year the exchanges kept it.
        yield _kept(date(year, 6, 19))  # Juneteenth
    yield _kept(date(year, 7, 4))  # Independence Day
    yield _nth(year, 9, _MONDAY, 1)  # Labor Day
    yield _nth(year, 11, _THURSDAY, 4)  # Thanksgiving Day
    yield _kept(date(year, 12, 25))  # Christmas Day


def us_early_closes(year: int) -> Iterator[date]:
    """Yield the dates of that year on which the New York exchanges close at 13:00, in order."""
    eves = (date(year, 7, 3), date(year, 12, 24))
    # An eve on a Friday is the day the holiday is kept, as that falls on a Saturday.
    kept = [day for day in eves if day.weekday() <= _THURSDAY]
    yield from sorted([*kept, _nth(year, 11, _THURSDAY, 4) + timedelta(days=1)])


def easter(year: int) -> date:
    """Return Easter Sunday of the Gregorian calendar (the algorithm of Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def _kept(day: date) -> date:
    """Return when a holiday of fixed date is kept."""
    if day.weekday() == _SATURDAY:
        return day - timedelta(days=1)
    return day + timedelta(days=1) if day.weekday() == _SUNDAY else day


def _nth(year: int, month: int, weekday: int, count: int) -> date:
    """Return the count-th weekday of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (count - 1))


NAMED = {"us-equities": us_equities, "forex": forex, "always": always_open}
"""Calendars by the name that settings use."""
