"""Which backups stay: the newest of each of the last days, weeks and months that have one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

UNVERIFIED_DAYS = 7
"""A backup that was never verified stays so long, unless a later one was: somebody may still look at it."""

AHEAD = timedelta(days=1)
"""A name that is later than now by more was given while the clock was wrong: it tells of no newest backup."""


class Keep(NamedTuple):
    """For how many days, weeks and months the newest backup stays."""

    daily: int
    weekly: int
    monthly: int


def kept(times: Iterable[datetime], keep: Keep) -> set[datetime]:
    """Return which of the times of verified backups stay; the newest one always does.

    Days, weeks (from Monday) and months are those of UTC; those without a backup are not counted, so that
    after a long pause the old ones do not go before there are new ones.
    """
    newest_first = sorted({time.astimezone(UTC) for time in times}, reverse=True)
    return {
        *newest_first[:1],
        *_newest_each(newest_first, keep.daily, lambda time: time.date()),
        *_newest_each(newest_first, keep.weekly, lambda time: time.isocalendar()[:2]),
        *_newest_each(newest_first, keep.monthly, lambda time: (time.year, time.month)),
    }


def _newest_each(
    newest_first: Sequence[datetime], periods: int, period_of: Callable[[datetime], object]
) -> list[datetime]:
    found: dict[object, datetime] = {}
    for time in newest_first:
        found.setdefault(period_of(time), time)
    return list(found.values())[:periods]


def unverified_going(
    unverified: Iterable[datetime], verified: Sequence[datetime], now: datetime
) -> set[datetime]:
    """Return which backups that never were verified go: those behind which a later one was, and old ones."""
    newest = max(verified, default=None)
    oldest = now - timedelta(days=UNVERIFIED_DAYS)
    return {time for time in unverified if time < oldest or (newest is not None and time < newest)}
