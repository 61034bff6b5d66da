"""Which backups stay, for any times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tools.backup.retention import Keep, kept, unverified_going

NOW = datetime(2026, 11, 24, 2, tzinfo=UTC)
TIMES = st.lists(
    st.integers(0, 400 * 24 * 60).map(lambda minutes: NOW - timedelta(minutes=minutes)), max_size=80
)
KEEPS = st.builds(Keep, st.integers(1, 10), st.integers(0, 6), st.integers(0, 8))
DAILY = [NOW - timedelta(days=n) for n in range(400)]


def test_a_year_of_daily_backups_leaves_7_days_4_weeks_and_6_months():
    told = [f"{time:%m-%d}" for time in sorted(kept(DAILY, Keep(7, 4, 6)), reverse=True)]
    days = ["11-24", "11-23", "11-22", "11-21", "11-20", "11-19", "11-18"]
    weeks = ["11-15", "11-08"]  # Sundays; the newest of this week and of the last one are among the days.
    months = ["10-31", "09-30", "08-31", "07-31", "06-30"]
    assert told == days + weeks + months


@given(TIMES, KEEPS)
def test_the_newest_always_stays_and_nothing_is_made_up(times, keep):
    stay = kept(times, keep)
    assert stay <= set(times)
    assert not times or max(times) in stay
    assert len(stay) <= 1 + keep.daily + keep.weekly + keep.monthly


@given(TIMES, KEEPS)
def test_the_newest_of_each_of_the_last_days_weeks_and_months_stays(times, keep):
    stay = kept(times, keep)
    for count, period in (
        (keep.daily, lambda time: time.date()),
        (keep.weekly, lambda time: time.isocalendar()[:2]),
        (keep.monthly, lambda time: (time.year, time.month)),
    ):
        newest = {period(time): time for time in sorted(times)}
        assert set(sorted(newest.values(), reverse=True)[:count]) <= stay


@given(TIMES, KEEPS)
def test_pruning_twice_takes_nothing_more(times, keep):
    stay = kept(times, keep)
    assert kept(stay, keep) == stay


@given(TIMES, KEEPS)
def test_pruning_after_each_backup_keeps_the_same_months_as_pruning_once(times, keep):
    left: set[datetime] = set()
    for time in sorted(times):
        left = kept({*left, time}, keep)
    months = {(time.year, time.month) for time in kept(times, keep)}
    assert {(time.year, time.month) for time in left} == months


@given(TIMES, TIMES)
def test_unverified_ones_go_behind_a_verified_one_or_after_a_week(unverified, verified):
    going = unverified_going(unverified, verified, NOW)
    for time in unverified:
        behind = any(time < other for other in verified)
        assert (time in going) == (behind or time < NOW - timedelta(days=7))
