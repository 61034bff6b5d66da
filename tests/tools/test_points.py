"""Places in a journal, as commands read them."""

from __future__ import annotations

import argparse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.event_text import time_text
from tools.points import MAX_SEQ, Point, past_point, point

SECOND = 10**9
NOON = 1_723_118_400 * SECOND  # 2024-08-08T12:00Z


@pytest.mark.parametrize(
    ("text", "ns", "length_ns"),
    [
        ("2024-08-08", NOON - 43_200 * SECOND, 86_400 * SECOND),
        ("2024-08-08T12:00", NOON, 60 * SECOND),
        ("2024-08-08 12:00Z", NOON, 60 * SECOND),
        ("2024-08-08T12:00:00+00:00", NOON, SECOND),
        ("2024-08-08T14:00+02:00", NOON, 60 * SECOND),
        ("2024-08-08T06:30:00-05:30", NOON, SECOND),
        ("2024-08-08T12:00:00.000000001Z", NOON + 1, 1),
        ("2024-08-08T12:00:00.5", NOON + SECOND // 2, 1),
    ],
)
def test_a_time_is_read_to_the_nanosecond_and_covers_what_it_names(text, ns, length_ns):
    assert point(text) == Point(ns=ns, length_ns=length_ns)
    assert point(text).end_ns == ns + length_ns - 1


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_a_time_that_a_command_prints_is_read_back(ns):
    assert point(time_text(ns)).ns == ns


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-13-01", "2024-02-30", "2024-08-08T25:00", "2024-08-08T12", "12:00", "-1",
     "1.5", "2024-08-08T12:00:00.0000000001Z", "2024-W01", "٣", str(MAX_SEQ + 1), "9" * 5_000],
)  # fmt: skip
def test_what_is_no_place_is_refused(text):
    for read in (point, past_point):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)


def test_numbers_begin_with_one_and_a_look_back_with_none():
    assert (point("1"), past_point("0")) == (Point(seq=1), Point(seq=0))
    with pytest.raises(argparse.ArgumentTypeError, match="expected 1 to"):
        point("0")
