from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.measure import EquityPoint
from replay.optimise.folds import WALKS, Fold, FoldsError, make_folds, tick_times
from replay.optimise.run import Found
from replay.optimise.study import Outcome
from replay.optimise.trial import Markets, run_trial
from replay.optimise.walk_forward import Attempt, join, try_winner
from tests.replay.recordings import SECOND, START

HOURS = 3_600 * SECOND
TIMES = [START + number * SECOND for number in range(4_000)]


def found(outcome):
    return Found([outcome], [outcome], {}, None, 1, {})


def attempt(*equity, inside=0.1, fold=Fold(0, 100 * HOURS, 100 * HOURS + 1, 200 * HOURS), trips=()):  # noqa: B008
    outcome = run_outcome(inside)
    points = [EquityPoint(fold.test_from_ns + n, value) for n, value in enumerate(equity)]
    return Attempt(fold, found(outcome), points, list(trips), around_the_clock=False)


def run_outcome(inside):
    return Outcome(number=0, parameters={}, metrics={"total_return": inside})


@pytest.mark.parametrize("walk", WALKS)
@given(folds=st.integers(1, 9), ticks=st.integers(40, 300))
def test_each_test_begins_where_its_search_ended_and_the_last_ends_with_the_data(walk, folds, ticks):
    times = TIMES[:ticks]
    made = make_folds(times, walk, folds=folds)
    assert len(made) == folds
    for fold in made:
        assert fold.train_from_ns < fold.train_to_ns == fold.test_from_ns - 1 < fold.test_to_ns
    for one, other in pairwise(made):
        assert one.test_to_ns + 1 == other.test_from_ns
    assert made[0].train_from_ns == times[0]
    assert made[-1].test_to_ns == times[-1]
    moves = [fold.train_from_ns > times[0] for fold in made[1:]]
    assert all(moves) if walk == "rolling" else not any(moves)


def test_given_lengths_are_kept():
    made = make_folds(TIMES, "rolling", folds=3, train_ns=1_000 * SECOND, test_ns=500 * SECOND)
    for fold in made:
        assert fold.test_from_ns - fold.train_from_ns == 1_000 * SECOND
        assert fold.test_to_ns - fold.test_from_ns == 500 * SECOND - 1
    assert made[-1].test_to_ns == TIMES[-1]


@pytest.mark.parametrize(
    ("times", "more", "says"),
    [
        (TIMES, {"folds": 0}, "0 folds, expected 1 to 100"),
        (TIMES, {"folds": 2, "train_ns": 5}, "give --train and --test, or neither"),
        (TIMES[:4], {"folds": 2}, "4 ticks, too few for 2 folds"),
        (TIMES, {"folds": 9, "train_ns": HOURS, "test_ns": HOURS}, "9 folds of these lengths take 0.42 days"),
        (
            [*TIMES[:2_000], *(time + 48 * HOURS for time in TIMES[2_000:])],
            {"folds": 2, "train_ns": 24 * HOURS, "test_ns": 12 * HOURS},
            "fold 1: hardly any tick in the time of its",
        ),
    ],
)
def test_what_cannot_be_cut_is_told(times, more, says):
    with pytest.raises(FoldsError, match=says):
        make_folds(times, "rolling", **more)


def test_times_of_ticks_are_sampled_and_hold_both_ends(spec):
    times = tick_times(spec)
    assert (times[0], times[-1]) == (TIMES[0], TIMES[-1])
    assert times == sorted(times)
    part = msgspec.structs.replace(spec, from_ns=TIMES[500], to_ns=TIMES[700])
    assert tick_times(part)[:-1] == TIMES[500:701]


def test_a_winner_tried_behind_its_search_is_the_rest_of_one_run(spec):
    fold = Fold(TIMES[0], TIMES[2_000] - 1, TIMES[2_000], TIMES[-1])
    inside = msgspec.structs.replace(spec, from_ns=fold.train_from_ns, to_ns=fold.train_to_ns)
    markets = Markets(0)
    result = try_winner(spec, fold, found(run_trial(0, inside, markets)))
    whole = run_trial(0, spec, markets).metrics["total_return"]
    assert result.curve[0].equity == 1.0
    assert (1 + result.inside) * (1 + result.outside) == pytest.approx(1 + whole, abs=1e-5)
    assert 0 < len(result.trips) < run_trial(0, spec, markets).metrics["trips"]
    assert all(trip.closed_ns >= fold.test_from_ns for trip in result.trips)


def test_tests_joined_grow_one_after_another():
    joined = join([attempt(1.0, 1.1), attempt(1.0, 0.5, 2.0)])
    assert [point.equity for point in joined.curve] == pytest.approx([1.0, 1.1, 0.55, 2.2])
    assert joined.measures["total_return"] == pytest.approx(1.2)
    assert joined.measures["max_drawdown"] == pytest.approx(-0.5)
    assert joined.won == 2


def test_efficiency_is_the_rate_of_growth_outside_by_that_inside():
    half = Fold(0, 200 * HOURS, 200 * HOURS + 1, 300 * HOURS + 1)
    assert join([attempt(1.0, 1.1, inside=0.21, fold=half)]).efficiency == pytest.approx(1.0)
    assert join([attempt(1.0, 1.0, inside=0.21, fold=half)]).efficiency == 0.0
    assert join([attempt(1.0, 1 / 1.1, inside=0.21, fold=half)]).efficiency == pytest.approx(-1.0)


@pytest.mark.parametrize("inside", [0.0, -0.1, None])
def test_without_growth_inside_there_is_no_efficiency(inside):
    assert join([attempt(1.0, 1.1, inside=inside)]).efficiency is None
