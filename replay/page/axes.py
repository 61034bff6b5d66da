"""Where an axis has its marks and what they say: values in round steps, times on round clocks. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10
from typing import NamedTuple

_SECOND_NS = 1_000_000_000
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400)
_DAYS = (2, 7, 14)
_MONTHS = (1, 3, 6, 12, 24, 60, 120)
_DAY_S = 86_400
_MONTH_S = 2_629_800


class Tick(NamedTuple):
    """A mark: where it stands on its axis, 0 to 1, and its label."""

    at: float
    label: str


class Range(NamedTuple):
    """An axis from its low to its high end."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return where a value stands, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


def value_range(values: list[float], *, with_zero: bool = False) -> Range:
    """Return a range that holds the values with a little room; never of no width."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if with_zero:
        low, high = min(0.0, low), max(0.0, high)
    room = (high - low) * 0.05 or max(abs(high) * 0.001, 1e-9)
    if with_zero:
        return Range(low - room if low < 0 else 0.0, high + room if high > 0 or low == high else 0.0)
    return Range(low - room, high + room)


def value_ticks(span: Range, *, most: int = 7, unit: str = "") -> list[Tick]:
    """Return marks at round values."""
    step = _round_step((span.high - span.low) / most)
    decimals = max(0, -floor(log10(step)))
    first = ceil(span.low / step)
    ticks: list[Tick] = []
    for number in range(first, first + most + 2):
        value = number * step
        if value > span.high:
            break
        ticks.append(Tick(span.place(value), f"{value + 0.0:,.{decimals}f}{unit}"))
    return ticks


def _round_step(least: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(least))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)


def time_ticks(first_ns: int, last_ns: int, *, most: int = 5) -> list[Tick]:
    """Return marks at round times in UTC: seconds to hours, days, months or years."""
    length_s = max(1e-9, (last_ns - first_ns) / _SECOND_NS)
    least = length_s / most
    if least <= _STEPS_S[-1]:
        step = next(step for step in _STEPS_S if step >= least)
        return _even(first_ns, last_ns, step, _clock_form(step))
    if least <= _DAYS[-1] * _DAY_S:
        step = next(days for days in _DAYS if days * _DAY_S >= least) * _DAY_S
        return _even(first_ns, last_ns, step, "%-d %b")
    months = next((months for months in _MONTHS if months * _MONTH_S >= least), _MONTHS[-1])
    return _months(first_ns, last_ns, months)


def _clock_form(step_s: int) -> str:
    if step_s >= _DAY_S:
        return "%-d %b"
    return "%H:%M:%S" if step_s < 60 else "%H:%M"  # noqa: PLR2004


def _even(first_ns: int, last_ns: int, step_s: int, form: str) -> list[Tick]:
    step = step_s * _SECOND_NS
    span = Range(first_ns, max(last_ns, first_ns + 1))
    times = range(-(-first_ns // step) * step, last_ns + 1, step)
    return [Tick(span.place(ts_ns), moment(ts_ns).strftime(form)) for ts_ns in times]


def _months(first_ns: int, last_ns: int, months: int) -> list[Tick]:
    span = Range(first_ns, last_ns)
    begin = moment(first_ns)
    number = -(-(begin.year * 12 + begin.month) // months) * months
    ticks: list[Tick] = []
    while True:
        at = datetime(number // 12, number % 12 + 1, 1, tzinfo=UTC)
        ts_ns = int(at.timestamp()) * _SECOND_NS
        if ts_ns > last_ns:
            return ticks
        ticks.append(Tick(span.place(ts_ns), at.strftime("%b %Y" if months < 12 else "%Y")))  # noqa: PLR2004
        number += months


def moment(ts_ns: int) -> datetime:
    """Return a time in UTC, cut to microseconds."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ts_ns // 1_000)


def moment_text(ts_ns: int) -> str:
    """Return a time to the second."""
    return moment(ts_ns).strftime("%Y-%m-%d %H:%M:%S")
