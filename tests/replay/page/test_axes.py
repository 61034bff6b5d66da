from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.page.axes import time_ticks, value_range, value_ticks

SECOND = 10**9
DAY = 86_400 * SECOND
START = 1_381_190_400 * SECOND  # 2013-10-08

numbers = st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1, max_size=20)


@given(numbers, st.booleans())
def test_marks_of_values_lie_on_their_axis_in_order_and_are_few(values, with_zero):
    span = value_range(values, with_zero=with_zero)
    places = [tick.at for tick in value_ticks(span)]
    assert places == sorted(places)
    assert all(-1e-6 <= at <= 1 + 1e-6 for at in places)
    assert len(places) <= 9


@given(numbers)
def test_an_axis_holds_its_values_and_zero_where_asked_for(values):
    span = value_range(values)
    assert span.low < min(values) <= max(values) < span.high or max(values) - min(values) < 1e-3
    with_zero = value_range(values, with_zero=True)
    assert with_zero.low <= 0 <= with_zero.high
    assert with_zero.low < with_zero.high


def test_marks_stand_at_round_values():
    assert [tick.label for tick in value_ticks(value_range([0.2, 9.6]))] == ["0", "2", "4", "6", "8", "10"]
    assert value_ticks(value_range([-0.02, 0.0]), unit=" %")[-1].label == "0.000 %"


@pytest.mark.parametrize(
    ("length_ns", "labels"),
    [
        (10 * SECOND, ["00:00:00", "00:00:02", "00:00:04", "00:00:06", "00:00:08", "00:00:10"]),
        (6 * 3_600 * SECOND, ["00:00", "02:00", "04:00", "06:00"]),
        (3 * DAY, ["8 Oct", "9 Oct", "10 Oct", "11 Oct"]),
        (400 * DAY, ["Jan 2014", "Apr 2014", "Jul 2014", "Oct 2014"]),
        (9 * 365 * DAY, ["2014", "2016", "2018", "2020", "2022"]),
    ],
)
def test_marks_of_time_stand_on_round_clocks_and_calendars(length_ns, labels):
    assert [tick.label for tick in time_ticks(START, START + length_ns)] == labels


@given(st.integers(0, 2**62), st.integers(0, 300 * 365 * DAY))
def test_marks_of_time_lie_on_their_axis_and_are_few(first_ns, length_ns):
    ticks = time_ticks(first_ns, min(first_ns + length_ns, 2**63 - 1))
    assert all(0 <= tick.at <= 1 for tick in ticks)
    assert len(ticks) <= 40
