from __future__ import annotations

import hashlib
import random
from itertools import pairwise
from math import isfinite

import pytest

from replay.measure import ALL_DAYS, DAY_NS, SECOND_NS, Costs, EquityPoint, Trip, measure, periodic_returns
from replay.resampling import in_blocks, intervals, one_by_one
from replay.trip_metrics import system_quality

HOUR = 3_600 * SECOND_NS
EVERYWHERE = "14be02b2cec4ec224488a99527d3276acbb6691953e0a1c429141f3b63472aad"
"""By CPython 3.11.2 and 3.13.0 on x86-64."""


def days(*equity: float) -> list[EquityPoint]:
    return [EquityPoint(n * DAY_NS, value) for n, value in enumerate(equity)]


def test_money_paid_in_on_the_way_is_no_profit():
    curve = [EquityPoint(0, 100), EquityPoint(DAY_NS, 110), EquityPoint(2 * DAY_NS, 221, flow=100)]
    assert measure(curve)["total_return"] == pytest.approx(1.1 * 1.1 - 1)


def test_a_period_without_events_is_no_period():
    curve = [EquityPoint(0, 100), EquityPoint(DAY_NS, 110), EquityPoint(4 * DAY_NS, 121)]
    assert periodic_returns(curve)[2] == pytest.approx([0.1, 0.1])


def test_the_close_of_a_day_is_the_state_before_the_next_one():
    curve = [
        EquityPoint(0, 100),
        EquityPoint(DAY_NS - HOUR, 150),
        EquityPoint(DAY_NS, 110),
        EquityPoint(DAY_NS + HOUR, 99),
    ]
    _, _, returns = periodic_returns(curve)
    assert returns == pytest.approx([0.5, 110 / 150 - 1, 99 / 110 - 1])
    assert periodic_returns(days(*range(100, 121)))[0] == "day"


@pytest.mark.parametrize(
    ("step_ns", "period"),
    [(DAY_NS, "day"), (HOUR, "hour"), (60 * SECOND_NS, "minute"), (SECOND_NS, "second")],
)
def test_the_longest_period_with_enough_returns_is_taken(step_ns, period):
    curve = [EquityPoint(n * step_ns, 100 + n) for n in range(25)]
    assert measure(curve).period == period


def test_a_short_run_is_not_told_as_a_yearly_rate():
    assert measure(days(*range(100, 120)))["cagr"] is None
    assert measure(days(*range(100, 140)))["cagr"] is not None


def test_periods_of_a_year_follow_from_the_hours_of_the_market():
    session = [EquityPoint(day * DAY_NS + hour * HOUR, 100) for day in range(5) for hour in range(9, 17)]
    assert measure(session).periods_per_year == pytest.approx(252 * 39 / 5)
    around = [EquityPoint(hour * HOUR, 100) for hour in range(101)]
    assert measure(around, days_per_year=ALL_DAYS).periods_per_year == pytest.approx(365.25 * 24)


def test_exposure_turnover_and_costs():
    curve = [EquityPoint(0, 100), EquityPoint(HOUR, 100, gross=50), EquityPoint(2 * HOUR, 100)]
    found = measure(curve, costs=Costs(traded=400, fees=3, slippage=-1, in_market_ns=HOUR))
    assert found["exposure"] == pytest.approx(0.5)
    assert found["average_gross"] == pytest.approx(0.25)
    assert found["highest_gross"] == pytest.approx(0.5)
    assert found["turnover"] == pytest.approx(4)
    assert (found["fees"], found["slippage"]) == (3, -1)


def test_excursions_and_time_of_trips():
    trips = [Trip(0, HOUR, 5, adverse=-2, favourable=7), Trip(HOUR, 4 * HOUR, -5, adverse=-6, favourable=0)]
    found = measure(days(100, 100), trips)
    assert (found["average_adverse"], found["average_favourable"], found["average_hours"]) == (-4, 3.5, 2)
    assert (found["best_trip"], found["worst_trip"], found["net_profit"]) == (5, -5, 0)


def test_an_account_that_lost_all_has_figures():
    found = measure(days(100, 50, 0, -20))
    assert (found["total_return"], found["max_drawdown"]) == (-1, -1)


def test_intervals_are_the_same_for_the_same_seed_only():
    draw = random.Random(3)
    curve = days(*(1000 + draw.gauss(0, 20) for _ in range(60)))
    first = measure(curve, rounds=100, seed=1)
    assert first.intervals == measure(curve, rounds=100, seed=1).intervals
    assert first.intervals != measure(curve, rounds=100, seed=2).intervals
    assert measure(curve).intervals == {}


def test_an_interval_holds_the_true_mean_as_often_as_it_says():
    held = 0
    for seed in range(100):
        draw = random.Random(seed)
        values = [draw.gauss(5, 2) for _ in range(40)]
        found = intervals(
            values,
            lambda drawn: {"mean": sum(drawn) / len(drawn)},
            resample=one_by_one,
            rounds=200,
            confidence=0.9,
            seed=seed,
        )
        held += found["mean"][0] <= 5 <= found["mean"][1]
    assert 80 <= held <= 97


def test_blocks_keep_neighbours_together():
    values = list(range(1000))
    drawn = in_blocks(values, random.Random(1))
    together = sum((before + 1) % 1000 == after for before, after in pairwise(drawn))
    assert len(drawn) == 1000
    assert 0.85 < together / 999 < 0.95


def test_very_long_series_get_no_interval():
    found = intervals(
        [0.0] * 30_000, lambda _: {"x": 1.0}, resample=one_by_one, rounds=500, confidence=0.9, seed=1
    )
    assert found == {}


def test_figures_are_the_same_to_twelve_digits_on_every_interpreter():
    draw = random.Random(11)
    equity, curve = 1000.0, [EquityPoint(0, 1000.0)]
    for number in range(1, 400):
        equity *= 1 + (draw.random() - 0.49) / 50
        curve.append(EquityPoint(number * DAY_NS, equity, gross=equity / 3))
    trips = [Trip(n, n + HOUR, draw.random() - 0.45, adverse=-draw.random()) for n in range(90)]
    found = measure(curve, trips, rounds=100, seed=5)
    bounds = {
        f"{name} {end}": bound for name, ends in found.intervals.items() for end, bound in enumerate(ends)
    }
    told = [
        f"{name} {'-' if value is None else f'{value:.12g}'}"
        for name, value in (found.values | bounds).items()
    ]
    # The built-in sum of floats, for one, is another from Python 3.12 on.
    assert hashlib.sha256("\n".join(told).encode()).hexdigest() == EVERYWHERE


@pytest.mark.parametrize(
    "values",
    [
        [10.0 ** (-18 if n % 2 else 60) for n in range(60)],
        [1.7e308 if n % 2 else 1e-300 for n in range(60)],
        [1e-18 * 10.0**n for n in range(60)],
        [100.0] * 25 + [-50.0] * 5 + [20.0] * 10,
        [-5.0] * 40,
    ],
)
def test_figures_of_a_curve_beyond_all_measure_are_finite_or_left_out(values):
    found = measure([EquityPoint(n * DAY_NS + 1, value) for n, value in enumerate(values)], rounds=50)
    assert all(value is None or isfinite(value) for value in found.values.values())
    assert all(isfinite(bound) for bounds in found.intervals.values() for bound in bounds)


def test_figures_of_profits_beyond_all_measure_are_finite_or_left_out():
    trips = [Trip(0, 1, profit) for profit in (1e300, -1e300, 1e308, 1e308, 1e160)]
    found = measure([EquityPoint(0, 1.0), EquityPoint(1, 1.0)], trips, rounds=50)
    assert all(value is None or isfinite(value) for value in found.values.values())


def test_equal_profits_have_no_quality_for_they_have_no_spread():
    # Their computed deviation is not zero, by rounding alone.
    assert system_quality([-42.04362740646628] * 53) is None
