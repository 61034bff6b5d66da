"""Calendars as `[calendars.NAME]` tables of the settings: checks, and the text forms of hours and dates.

    [calendars.NYSE]                        the venue's name, or "SYMBOL@VENUE" for one instrument
    use = "us-equities"                     a calendar that comes with taped, or by hand:

    [calendars."GC-201312@COMEX"]
    zone = "America/New_York"
    hours = ["Sun-Thu 18:00-17:00"]         a close not after its opening is on the next day
    holidays = ["2013-12-25"]               also added to those of `use`
    early_closes = ["2013-12-24 13:45"]

Reads no file; sends nothing.
"""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from typing import Any

from daemon.config_values import ConfigError, closest, collecting, raise_all, show
from daemon.settings import CalendarSettings
from daemon.trading.calendar import DAY, WEEK, CalendarError, calendar_of, date_number
from daemon.trading.named_calendars import NAMED, NamedCalendar
from schemas.events import SessionCalendarDefined

MAX_CALENDARS = 200
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = re.compile(r"([A-Z][a-z]{2})(?:-([A-Z][a-z]{2}))? (\d\d:\d\d)-(\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"(\d\d):(\d\d)", re.ASCII)


def check_calendars(table: Any, *, source: str) -> dict[str, CalendarSettings]:
    """Return the calendars of a file.

    Raises:
        ConfigError: all that is wrong with them.
    """
    if not isinstance(table, dict):
        raise ConfigError(source, "calendars", f"is {show(table)}, expected tables [calendars.VENUE]")
    if len(table) > MAX_CALENDARS:
        raise ConfigError(source, "calendars", f"there are {len(table)}, expected up to {MAX_CALENDARS}")
    calendars: dict[str, CalendarSettings] = {}
    mistakes: list[ConfigError] = []
    for name, entry in table.items():
        with collecting(mistakes):
            calendars[name] = _calendar(f"calendars.{name}", entry, source=source)
    raise_all(mistakes)
    return calendars


def calendar_event(
    settings: CalendarSettings, *, venue: str, instrument_id: int | None, ts_ns: int
) -> SessionCalendarDefined:
    """Return the event that defines a calendar.

    Raises:
        CalendarError: a text is none of the forms above, or too much or too little is given.
    """
    named = _named(settings)
    early = sorted(named.early_closes.items())
    return SessionCalendarDefined(
        ts_ns=ts_ns,
        venue=venue,
        instrument_id=instrument_id,
        zone=named.zone,
        opens=[opening for opening, _ in named.hours],
        closes=[close for _, close in named.hours],
        holidays=[date_number(day) for day in named.holidays],
        early_days=[date_number(day) for day, _ in early],
        early_closes=[second for _, second in early],
    )


def _calendar(place: str, entry: Any, *, source: str) -> CalendarSettings:
    if not isinstance(entry, dict):
        raise ConfigError(source, place, f"is {show(entry)}, expected a table")
    known = {field.name: field for field in dataclasses.fields(CalendarSettings)}
    mistakes: list[ConfigError] = []
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key not in known:
            hint = closest(key, list(known))
            mistakes.append(ConfigError(source, f"{place}.{key}", "no such setting", hint=hint))
        elif key in ("use", "zone") and isinstance(value, str):
            values[key] = value
        elif key not in ("use", "zone") and _is_list_of_text(value):
            values[key] = tuple(value)
        else:
            shape = "text" if key in ("use", "zone") else "a list of text"
            mistakes.append(ConfigError(source, f"{place}.{key}", f"is {show(value)}, expected {shape}"))
    raise_all(mistakes)
    settings = CalendarSettings(**values)
    try:
        calendar_of(calendar_event(settings, venue="", instrument_id=None, ts_ns=0))
    except CalendarError as error:
        raise ConfigError(source, place, error.message, hint=error.hint) from error
    return settings


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _named(settings: CalendarSettings) -> NamedCalendar:
    holidays = tuple(_day(text) for text in settings.holidays)
    early = dict(_early_close(text) for text in settings.early_closes)
    if not settings.use:
        if not (settings.zone and settings.hours):
            raise CalendarError("a calendar needs zone and hours", hint=f"or use = {' or '.join(NAMED)}")
        hours = tuple(part for text in settings.hours for part in _week(text))
        return NamedCalendar(settings.zone, hours, holidays, early)
    if settings.use not in NAMED:
        raise CalendarError(
            f"use is {settings.use[:100]!r}, expected {' or '.join(NAMED)}", hint="or leave it out"
        )
    if settings.hours or settings.zone:
        raise CalendarError(
            f"{settings.use} has a zone and hours of its own", hint="leave zone and hours out"
        )
    named = NAMED[settings.use]()
    # A date of the settings goes before one of the rules, so that an exception can be taken back.
    early_closes = {day: second for day, second in named.early_closes.items() if day not in holidays}
    every_holiday = sorted({*named.holidays, *holidays} - early.keys())
    return NamedCalendar(named.zone, named.hours, tuple(every_holiday), {**early_closes, **early})


def _week(text: str) -> list[tuple[int, int]]:
    """Return the hours of a week that a text such as `Mon-Fri 09:30-16:00` stands for."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise CalendarError(f"hours {text[:60]!r}, expected a form such as 'Mon-Fri 09:30-16:00'")
    first, last = _weekday(found[1]), _weekday(found[2] or found[1])
    opening, close = _second(found[3]), _second(found[4])
    close += 0 if close > opening else DAY
    days = [(first + ahead) % 7 for ahead in range((last - first) % 7 + 1)]
    # 24:00 on Sunday is the beginning of a week.
    return [((day * DAY + opening) % WEEK, (day * DAY + opening) % WEEK + close - opening) for day in days]


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        raise CalendarError(f"{text!r} is no weekday, expected {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(text)


def _second(text: str) -> int:
    found = _TIME.fullmatch(text)
    minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else DAY  # noqa: PLR2004
    if minutes > 24 * 60:
        raise CalendarError(f"{text[:60]!r} is no time of day, expected 00:00 to 24:00")
    return minutes * 60


def _day(text: str) -> date:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise CalendarError(f"{text[:60]!r} is no date, expected a form such as 2024-12-25")


def _early_close(text: str) -> tuple[date, int]:
    day, _, clock = text.partition(" ")
    return _day(day), _second(clock)
