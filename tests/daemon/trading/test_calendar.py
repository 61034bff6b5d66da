"""Sessions by local hours, against published holiday lists and a slow oracle on wall clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.calendar import (
    DAY,
    WEEK,
    Calendar,
    CalendarError,
    Calendars,
    always,
    date_number,
    number_date,
)
from daemon.trading.named_calendars import easter, forex, us_early_closes, us_equities, us_holidays
from schemas.events import SessionCalendarDefined

HOUR = 3_600
NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str, zone: str = "America/New_York") -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def made(named) -> Calendar:
    return Calendar(named.zone, named.hours, named.holidays, named.early_closes)


@pytest.fixture
def equities() -> Calendar:
    return made(us_equities())


def event(**changes) -> SessionCalendarDefined:
    fields = {
        "ts_ns": 0, "venue": "V", "instrument_id": None, "zone": "UTC", "opens": [9 * HOUR],
        "closes": [17 * HOUR], "holidays": [], "early_days": [], "early_closes": [],
    }  # fmt: skip
    return SessionCalendarDefined(**{**fields, **changes})


# As the exchange published them: month and day, then the early closes at 13:00. The lists of 2022 to 2024
# and of 2025 to 2027 are its announcements of December 2021 and November 2024.
PUBLISHED = {
    2013: ("1-1 1-21 2-18 3-29 5-27 7-4 9-2 11-28 12-25", "7-3 11-29 12-24"),
    2014: ("1-1 1-20 2-17 4-18 5-26 7-4 9-1 11-27 12-25", "7-3 11-28 12-24"),
    2015: ("1-1 1-19 2-16 4-3 5-25 7-3 9-7 11-26 12-25", "11-27 12-24"),
    2016: ("1-1 1-18 2-15 3-25 5-30 7-4 9-5 11-24 12-26", "11-25"),
    2022: ("1-17 2-21 4-15 5-30 6-20 7-4 9-5 11-24 12-26", "11-25"),
    2023: ("1-2 1-16 2-20 4-7 5-29 6-19 7-4 9-4 11-23 12-25", "7-3 11-24"),
    2024: ("1-1 1-15 2-19 3-29 5-27 6-19 7-4 9-2 11-28 12-25", "7-3 11-29 12-24"),
    2025: ("1-1 1-20 2-17 4-18 5-26 6-19 7-4 9-1 11-27 12-25", "7-3 11-28 12-24"),
    2026: ("1-1 1-19 2-16 4-3 5-25 6-19 7-3 9-7 11-26 12-25", "11-27 12-24"),
    2027: ("1-1 1-18 2-15 3-26 5-31 6-18 7-5 9-6 11-25 12-24", "11-26"),
}


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_rules_give_the_holidays_that_the_exchange_published(year):
    holidays, early = (
        " ".join(f"{d.month}-{d.day}" for d in days(year)) for days in (us_holidays, us_early_closes)
    )
    assert (holidays, early) == PUBLISHED[year]


def test_easter_falls_on_the_known_dates():
    known = ["2000-04-23", "2008-03-23", "2011-04-24", "2019-04-21", "2024-03-31", "2025-04-20", "2038-04-25"]
    assert [easter(date.fromisoformat(day).year).isoformat() for day in known] == known


@pytest.mark.parametrize("closed", ["2018-12-05", "2025-01-09"])
def test_days_of_mourning_have_no_session(equities, closed):
    assert not equities.is_open(ns(f"{closed} 12:00"))


def test_bounds_of_a_session_are_half_open(equities):
    opening, close = ns("2024-03-11 09:30"), ns("2024-03-11 16:00")
    assert [equities.is_open(t) for t in (opening - 1, opening, close - 1, close)] == [
        False,
        True,
        True,
        False,
    ]
    assert equities.session_start_ns(close - 1) == opening
    assert equities.session_end_ns(opening) == close


def test_between_sessions_start_and_end_are_those_of_the_next(equities):
    friday_evening = ns("2024-03-08 16:00")
    assert equities.session_start_ns(friday_evening) == ns("2024-03-11 09:30")
    assert equities.session_end_ns(friday_evening) == ns("2024-03-11 16:00")


def test_hours_keep_to_the_wall_clock_when_the_clocks_change(equities):
    before, after = ns("2024-03-08 12:00"), ns("2024-03-11 12:00")
    assert equities.session_start_ns(before) == ns("2024-03-08 14:30", "UTC")
    assert equities.session_start_ns(after) == ns("2024-03-11 13:30", "UTC")


def test_an_early_close_ends_the_session_and_a_holiday_has_none(equities):
    assert equities.session_end_ns(ns("2024-11-29 10:00")) == ns("2024-11-29 13:00")
    assert equities.session_start_ns(ns("2024-11-28 12:00")) == ns("2024-11-29 09:30")


def test_foreign_exchange_opens_on_sunday_and_changes_the_day_at_17_00():
    fx = made(forex())
    assert not fx.is_open(ns("2024-03-10 16:59"))
    assert fx.session_end_ns(ns("2024-03-10 17:00")) == ns("2024-03-11 17:00")
    assert fx.session_start_ns(ns("2024-03-11 17:00")) == ns("2024-03-11 17:00")
    assert fx.session_end_ns(ns("2024-03-15 16:59")) == ns("2024-03-15 17:00")
    assert not fx.is_open(ns("2024-03-15 17:00"))


def test_a_holiday_takes_out_the_session_that_closes_on_it():
    fx = Calendar("America/New_York", forex().hours, [date(2024, 12, 25)])
    assert fx.session_end_ns(ns("2024-12-24 12:00")) == ns("2024-12-24 17:00")
    assert fx.session_start_ns(ns("2024-12-24 17:00")) == ns("2024-12-25 17:00")


def test_a_break_closes_the_market_and_does_not_end_the_session():
    tokyo = Calendar("Asia/Tokyo", [(9 * HOUR, 11 * HOUR + 1800), (12 * HOUR + 1800, 15 * HOUR)])
    times = {"09:00": True, "11:29": True, "11:30": False, "12:29": False, "12:30": True, "15:00": False}
    for clock, is_open in times.items():
        assert tokyo.is_open(ns(f"2024-03-11 {clock}", "Asia/Tokyo")) is is_open
    noon = ns("2024-03-11 12:00", "Asia/Tokyo")
    assert tokyo.session_start_ns(noon) == ns("2024-03-11 09:00", "Asia/Tokyo")
    assert tokyo.session_end_ns(noon) == ns("2024-03-11 15:00", "Asia/Tokyo")


def test_an_early_close_within_a_break_ends_the_session_before_it():
    split = [(9 * HOUR, 11 * HOUR), (12 * HOUR, 15 * HOUR)]
    market = Calendar("UTC", split, early_closes={date(2024, 3, 11): 11 * HOUR + 60})
    assert market.session_end_ns(ns("2024-03-11 10:00", "UTC")) == ns("2024-03-11 11:00", "UTC")


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2024-03-31", 23), ("2024-10-27", 25), ("2024-06-01", 24)],
)
def test_a_day_without_a_calendar_ends_at_local_midnight_however_long_it_is(day, hours):
    berlin = always("Europe/Berlin")
    noon = ns(f"{day} 12:00", "Europe/Berlin")
    start, end = berlin.session_start_ns(noon), berlin.session_end_ns(noon)
    assert start == ns(day, "Europe/Berlin")
    assert end - start == hours * HOUR * 10**9
    assert berlin.is_open(noon)


def test_an_opening_in_the_hour_that_the_clocks_skip_counts_an_hour_later():
    night = Calendar("America/New_York", [(6 * DAY + 2 * HOUR + 1800, 6 * DAY + 5 * HOUR)])
    assert night.session_start_ns(ns("2024-03-10 00:00")) == ns("2024-03-10 07:30", "UTC")


def test_a_time_that_goes_back_gets_the_answer_of_its_own_session(equities):
    late, early = ns("2024-03-12 12:00"), ns("2024-03-11 12:00")
    expected = equities.session_end_ns(early)
    equities.session_end_ns(late)
    assert equities.session_end_ns(early) == expected


@pytest.mark.parametrize("ts_ns", [-(2**63), 0, 2**63 - 1, 2**64 - 1])
def test_any_time_a_journal_can_hold_has_a_session(equities, ts_ns):
    assert equities.session_start_ns(ts_ns) < equities.session_end_ns(ts_ns)


hours_of_week = st.lists(st.integers(0, 7 * 24 - 1), min_size=2, max_size=12, unique=True).map(
    lambda edges: [
        (first * HOUR, second * HOUR)
        for first, second in zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False)
    ]
)
moments = st.integers(1_577_836_800, 1_767_225_600).map(lambda second: second * 10**9)
dates = st.dates(date(2020, 1, 1), date(2025, 12, 31))


def slow_is_open(ts_ns, zone, hours, holidays, early):
    """Ask the wall clock: which hours of the week is it, and what is their date?"""
    wall = datetime.fromtimestamp(ts_ns // 10**9, zone).replace(tzinfo=None)
    monday = datetime.combine(wall.date() - timedelta(days=wall.weekday()), datetime.min.time())
    for week in (monday - timedelta(days=7), monday):
        for opening, close in hours:
            end = week + timedelta(seconds=close)
            day = (end - timedelta(seconds=1)).date()
            end = min(
                end, datetime.combine(day, datetime.min.time()) + timedelta(seconds=early.get(day, DAY))
            )
            if week + timedelta(seconds=opening) <= wall < end and day not in holidays:
                return True
    return False


@given(
    hours_of_week,
    st.frozensets(dates, max_size=20),
    st.dictionaries(dates, st.integers(0, 24).map(lambda hour: hour * HOUR), max_size=5),
    st.lists(moments, min_size=1, max_size=20),
)
def test_open_and_closed_are_as_the_wall_clock_says(hours, holidays, early, times):
    calendar = Calendar("Asia/Kolkata", hours, holidays, early)
    for ts_ns in times:
        expected = slow_is_open(ts_ns, ZoneInfo("Asia/Kolkata"), hours, holidays, early)
        assert calendar.is_open(ts_ns) is expected
        start, end = calendar.session_start_ns(ts_ns), calendar.session_end_ns(ts_ns)
        assert start < end
        assert ts_ns < end
        assert not calendar.is_open(end) or calendar.session_start_ns(end) == end
        assert calendar.is_open(start)


@given(st.lists(moments, min_size=2, max_size=30))
def test_answers_do_not_depend_on_what_was_asked_before(times):
    asked = made(us_equities())
    for ts_ns in times:
        fresh = made(us_equities())
        assert asked.is_open(ts_ns) is fresh.is_open(ts_ns)
        assert asked.session_end_ns(ts_ns) == fresh.session_end_ns(ts_ns)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"zone": "../etc/passwd"}, "no time zone"),
        ({"zone": ""}, "no time zone"),
        ({"opens": [0], "closes": [0]}, "make no session"),
        ({"opens": [-1], "closes": [5]}, "make no session"),
        ({"opens": [WEEK], "closes": [WEEK + 5]}, "make no session"),
        ({"opens": [0, 10], "closes": [11, 20]}, "overlap"),
        ({"opens": [10, 20], "closes": [15, WEEK + 11]}, "overlap"),
        ({"opens": [0, 10], "closes": [5]}, "not as many"),
        ({"early_days": [20240101]}, "not as many"),
        ({"early_days": [20240101], "early_closes": [DAY + 1]}, "second of the day"),
        ({"holidays": [20240230]}, "no date"),
        ({"holidays": [-5]}, "no date"),
        ({"opens": list(range(0, 102, 2)), "closes": list(range(1, 103, 2))}, "51 openings"),
        ({"holidays": [20240101] * 5_001}, "more than 5000"),
        (
            {"holidays": [date_number(date(2024, 1, 1) + timedelta(days=7 * n)) for n in range(10)]},
            "no session",
        ),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused(changes, told):
    calendars = Calendars()
    with pytest.raises(CalendarError, match=told):
        calendars.define(event(**changes))
    assert not calendars.defined


def test_the_calendar_of_an_instrument_goes_before_that_of_its_venue(make):
    calendars, one, two = Calendars(), make.instrument(1), make.instrument(2)
    calendars.define(event(opens=[1], closes=[2]))
    calendars.define(event(instrument_id=1, opens=[3], closes=[4]))
    starts = [calendars.of(instrument).session_start_ns(4 * DAY * 10**9) for instrument in (one, two)]
    assert starts == [(4 * DAY + 3) * 10**9, (4 * DAY + 1) * 10**9]


def test_a_definition_without_hours_takes_the_calendar_away(make):
    calendars = Calendars()
    calendars.define(event())
    calendars.define(event(opens=[], closes=[]))
    assert calendars.of(make.instrument()).is_open(0)
    assert not calendars.defined


def test_an_instrument_in_an_unknown_zone_has_days_of_utc(make):
    calendar = Calendars().of(make.instrument(session_zone="Nowhere/AtAll"))
    assert calendar.session_end_ns(5) == DAY * 10**9


def test_more_calendars_than_the_limit_are_refused():
    calendars = Calendars()
    for number in range(1_000):
        calendars.define(event(venue=f"V{number}"))
    with pytest.raises(CalendarError, match="1000 calendars"):
        calendars.define(event(venue="one more"))
    calendars.define(event(venue="V7", opens=[0]))


@given(dates)
def test_a_date_is_read_back_from_its_number(day):
    assert number_date(date_number(day)) == day


def test_a_calendar_that_comes_after_its_instruments_holds_for_them_at_once(desk):
    opens, closes = [9 * HOUR], [17 * HOUR]
    desk.take(event(opens=opens, closes=closes))
    assert not desk.core.books[1].calendar.is_open(0)
    desk.take(event(instrument_id=2, opens=[3 * DAY], closes=[4 * DAY]))
    assert [book.calendar.is_open(0) for book in desk.core.books.values()] == [False, True]
    desk.take(event(opens=[], closes=[]))
    assert [book.calendar.is_open(DAY * 10**9) for book in desk.core.books.values()] == [True, False]


def test_a_calendar_that_cannot_be_halts_trading_and_changes_nothing(desk):
    merged = desk.take(event(zone="Mars/Olympus"))
    assert [type(answer).__name__ for answer in merged[1:]] == ["NotificationQueued", "TradingStateChanged"]
    assert not desk.core.calendars.defined
