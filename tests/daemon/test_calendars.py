"""Calendars as settings: text forms, mistakes, and how the core comes to have them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.calendars import CalendarWatch, changes
from daemon.config import load
from daemon.config_calendars import calendar_event, check_calendars
from daemon.config_values import ConfigError
from daemon.settings import CalendarSettings
from daemon.trading.calendar import Calendar, calendar_of
from daemon.trading.core import Core
from daemon.trading.named_calendars import us_equities
from schemas.events import SessionCalendarDefined
from tests.daemon.test_engine import MARKET, running

JOURNAL = "ab" * 16
HOUR, DAY = 3_600, 86_400
EQUITIES = CalendarSettings(use="us-equities")


def made(**settings) -> Calendar:
    return calendar_of(calendar_event(CalendarSettings(**settings), venue="V", instrument_id=None, ts_ns=0))


def hours(*texts: str) -> list[tuple[int, int]]:
    event = calendar_event(CalendarSettings(zone="UTC", hours=texts), venue="V", instrument_id=None, ts_ns=0)
    return list(zip(event.opens, event.closes, strict=True))


def new_york(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).timestamp()) * 10**9


def test_hours_of_a_range_of_days_are_those_of_each_day():
    assert hours("Tue-Wed 09:30-16:00") == [
        (DAY + 34_200, DAY + 57_600),
        (2 * DAY + 34_200, 2 * DAY + 57_600),
    ]


def test_a_range_of_days_may_go_over_the_end_of_the_week():
    assert [opening // DAY for opening, _ in hours("Sat-Mon 01:00-02:00")] == [5, 6, 0]


def test_a_close_not_after_its_opening_is_on_the_next_day():
    assert hours("Sun 18:00-17:00") == [(6 * DAY + 18 * HOUR, 7 * DAY + 17 * HOUR)]
    assert hours("Mon 17:00-17:00") == [(17 * HOUR, DAY + 17 * HOUR)]


def test_a_day_may_last_until_24_00():
    assert hours("Mon 00:00-24:00") == [(0, DAY)]


def test_a_named_calendar_is_that_of_the_rules():
    named, calendar = us_equities(), made(use="us-equities")
    ruled = Calendar(named.zone, named.hours, named.holidays, named.early_closes)
    for day in range(1, 29):
        noon = new_york(f"2024-11-{day:02} 12:00")
        assert calendar.session_end_ns(noon) == ruled.session_end_ns(noon)


def test_dates_of_the_settings_go_before_those_of_the_rules():
    calendar = made(
        use="us-equities",
        holidays=("2024-03-12", "2024-11-29"),
        early_closes=("2024-03-13 12:00", "2024-12-25 11:00"),
    )
    assert not calendar.is_open(new_york("2024-03-12 12:00"))
    assert calendar.session_end_ns(new_york("2024-03-13 10:00")) == new_york("2024-03-13 12:00")
    assert not calendar.is_open(new_york("2024-11-29 10:00"))
    assert calendar.session_end_ns(new_york("2024-12-25 10:00")) == new_york("2024-12-25 11:00")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (1, "expected a table"),
        ({"hour": []}, "did you mean hours?"),
        ({"hours": "Mon 09:00-10:00"}, "expected a list of text"),
        ({"zone": 5}, "expected text"),
        ({}, "needs zone and hours"),
        ({"zone": "UTC"}, "needs zone and hours"),
        ({"use": "nyse"}, "expected us-equities or forex or always"),
        ({"use": "forex", "zone": "UTC"}, "leave zone and hours out"),
        ({"zone": "Mars/Olympus", "hours": ["Mon 09:00-10:00"]}, "no time zone"),
        ({"zone": "UTC", "hours": ["Mon 9:00-10:00"]}, "expected a form such as"),
        ({"zone": "UTC", "hours": ["Mon 09:00-10:60"]}, "no time of day"),
        ({"zone": "UTC", "hours": ["Mon 09:00-24:01"]}, "no time of day"),
        ({"zone": "UTC", "hours": ["Mom 09:00-10:00"]}, "no weekday"),
        ({"zone": "UTC", "hours": ["Mon 09:00-11:00", "Mon-Tue 10:00-12:00"]}, "overlap"),
        ({"use": "forex", "holidays": ["2024-02-30"]}, "no date"),
        ({"use": "forex", "holidays": ["20240229"]}, "no date"),
        ({"use": "forex", "early_closes": ["2024-02-29"]}, "no time of day"),
    ],
)
def test_a_calendar_that_cannot_be_is_told_with_its_place(entry, told):
    with pytest.raises(ConfigError, match=told) as error:
        check_calendars({"NYSE": entry}, source="file")
    assert error.value.key.startswith("calendars.NYSE")


def test_calendars_are_a_table_of_tables_of_limited_number():
    with pytest.raises(ConfigError, match="expected tables"):
        check_calendars([], source="file")
    with pytest.raises(ConfigError, match="up to 200"):
        check_calendars({f"V{number}": {"use": "always"} for number in range(201)}, source="file")


def test_a_file_gives_calendars_of_venues_and_of_instruments(tmp_path):
    file = tmp_path / "taped.toml"
    file.write_text(
        "[calendars.NYSE]\nuse = 'us-equities'\n"
        "[calendars.'GC@COMEX']\nzone = 'America/New_York'\nhours = ['Sun-Thu 18:00-17:00']\n"
    )
    configuration = load(file)
    assert list(configuration.settings.calendars) == ["NYSE", "GC@COMEX"]
    assert configuration.sources["calendars.GC@COMEX"] == f"file {file}"


async def test_a_calendar_of_a_venue_is_defined_before_anything_is_known(tmp_path):
    async with running(tmp_path) as engine:
        CalendarWatch(engine, {"TEST": EQUITIES}, lambda: 5).look()
        assert list(engine.core.calendars.defined) == [("TEST", None)]


async def test_a_calendar_of_an_instrument_is_defined_when_that_is_known(tmp_path):
    async with running(tmp_path) as engine:
        watch = CalendarWatch(engine, {"BTC-USDT@TEST": EQUITIES}, lambda: 5)
        engine.subscribe(lambda _: watch.look())
        await engine.execute(MARKET)
        ((venue, instrument_id),) = engine.core.calendars.defined
        assert (venue, engine.core.instruments[instrument_id].symbol) == ("TEST", "BTC-USDT")


def test_what_is_defined_already_is_not_defined_again():
    core = Core(JOURNAL)
    core.run([MARKET[0], *changes(core, {"V": EQUITIES}, 5)])
    assert changes(core, {"V": EQUITIES}, 9) == []


def test_a_changed_calendar_is_defined_anew_and_one_that_is_gone_is_taken_away():
    core = Core(JOURNAL)
    core.run(MARKET[:1])
    core.run(changes(core, {"V": EQUITIES, "BTC-USDT@TEST": EQUITIES}, 5))
    news = changes(core, {"V": CalendarSettings(use="forex")}, 9)
    assert [(event.instrument_id, bool(event.opens)) for event in news] == [(None, True), (1, False)]
    core.run(news)
    assert [event.instrument_id for event in core.calendars.defined.values()] == [None]


def test_a_holiday_is_written_as_a_number():
    settings = CalendarSettings(zone="UTC", hours=("Mon 09:00-10:00",), holidays=("2024-12-25",))
    event = calendar_event(settings, venue="V", instrument_id=None, ts_ns=1)
    assert isinstance(event, SessionCalendarDefined)
    assert event.holidays == [20_241_225]
    assert date(2024, 12, 25).strftime("%Y%m%d") == str(event.holidays[0])
