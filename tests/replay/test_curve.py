from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from replay.curve import STEPS_NS, Curve, Point

SECOND = 10**9


def run(times, *, max_points=2_048) -> Curve:
    """Let each event raise the equity by one; a point tells how many there were before."""
    curve = Curve(max_points=max_points)
    for count, ts_ns in enumerate(times):
        if ts_ns >= curve.due_ns:
            curve.add(Point(curve.time_of(ts_ns), count), ts_ns)
    curve.finish(Point(times[-1], len(times)))
    return curve


gaps = st.lists(st.integers(0, 40 * SECOND), min_size=1, max_size=300)


@given(gaps, st.integers(8, 64))
def test_points_are_in_order_and_few_and_begin_and_end_with_the_run(steps, most):
    times = [sum(steps[: n + 1]) + SECOND for n in range(len(steps))]
    curve = run(times, max_points=most)
    told = [point.ts_ns for point in curve.points]
    assert told == sorted(set(told))
    assert len(told) <= most + 1
    assert told[-1] == times[-1]
    assert curve.points[-1].equity == len(times)


@given(gaps, st.integers(8, 64))
def test_a_point_tells_the_state_before_the_first_event_at_its_time(steps, most):
    times = [sum(steps[: n + 1]) + SECOND for n in range(len(steps))]
    curve = run(times, max_points=most)
    for point in curve.points[1:-1]:
        assert point.ts_ns % curve.step_ns == 0
        assert point.equity == sum(ts_ns < point.ts_ns for ts_ns in times)


def test_the_step_grows_as_far_as_a_day_and_no_point_more_is_lost():
    day = STEPS_NS[-1]
    curve = run([SECOND + n * day for n in range(100)], max_points=10)
    assert curve.step_ns == day
    assert len(curve.points) == 1 + 99 + 1


def test_what_was_paid_in_stays_when_points_are_joined():
    curve, made = Curve(max_points=4), 1
    for n in range(60):
        ts_ns = SECOND + n * SECOND
        if ts_ns >= curve.due_ns:
            made += 1
            curve.add(Point(curve.time_of(ts_ns), 100, flow=1), ts_ns)
    assert curve.step_ns > SECOND
    curve.finish(Point(100 * SECOND, 100, flow=1))
    assert sum(point.flow for point in curve.points) == made > 9


def test_each_step_divides_the_next():
    assert all(longer % shorter == 0 for shorter, longer in pairwise(STEPS_NS))
