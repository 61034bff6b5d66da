from __future__ import annotations

import sys

import pytest

from daemon.trading.strategies import STRATEGIES
from replay.optimise.objective import parse_objectives
from replay.optimise.search import ResearchMissingError, make_search
from replay.optimise.space import make_space

KNOWN = {"profit": True, "risk": False}
PROFIT = parse_objectives("profit", KNOWN)


def space(*ranges, choices=()):
    fixed = {"quantity": "1"}
    return make_space(STRATEGIES["ma_cross"], ranges=ranges, choices=choices, fixed=fixed)


WIDE = space("fast=1:60", "slow=2:200:2", choices=["source=trade,quote"])
SMALL = space("fast=1:3", "slow=2:4")


def made(name, *, trials=None, seed=1, searched=WIDE, objectives=PROFIT):
    if name == "tpe":
        pytest.importorskip("optuna")
    return make_search(name, searched, objectives, trials=trials, seed=seed)


def profit(point):
    """A hill whose top is at fast 20, slow 100, quotes."""
    return [-((point[0] - 19) ** 2) - ((point[1] - 49) ** 2) / 4 - 300 * (point[2:] == (0,))]


def run(search, *, lag=1, recalled=(), score=profit):
    """Return the points of a whole search whose results come `lag` trials later."""
    points = []
    for number in range(search.total):
        if number >= lag:
            search.learn(number - lag, score(points[number - lag]))
        if number < len(recalled):
            point = recalled[number]
            search.recall(number, point)
        else:
            point = search.suggest(number)
        if point is None:
            break
        points.append(point)
    return points


def test_a_grid_is_every_point_that_fits_in_order():
    assert run(made("grid", searched=SMALL)) == SMALL.fitting()


def test_a_grid_with_fewer_trials_is_a_seeded_sample():
    some = run(made("grid", searched=SMALL, trials=3))
    assert len(set(some)) == 3
    assert set(some) < set(SMALL.fitting())
    assert some == run(made("grid", searched=SMALL, trials=3))
    assert any(some != run(made("grid", searched=SMALL, trials=3, seed=seed)) for seed in (2, 3, 4))


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_no_point_is_tried_twice_and_all_fit(name):
    points = run(made(name, trials=60))
    assert len(set(points)) == 60
    assert all(map(WIDE.fits, points))


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_small_space_ends_when_every_point_was_tried(name):
    points = run(made(name, searched=SMALL, trials=50), score=lambda _: [1.0])
    assert set(points) == set(SMALL.fitting())


@pytest.mark.parametrize("name", ["grid", "random", "tpe"])
def test_equal_seeds_give_equal_trials(name):
    one, other, third = (run(made(name, trials=30, seed=seed)) for seed in (5, 5, 6))
    assert one == other != third


@pytest.mark.parametrize("lag", [1, 4])
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(lag):
    whole = run(made("tpe", trials=30), lag=lag)
    for cut in (1, 13, 29):
        assert run(made("tpe", trials=30), lag=lag, recalled=whole[:cut]) == whole


def test_tpe_finds_a_hill_that_random_search_misses():
    best = max(profit(point)[0] for point in run(made("tpe", trials=80)))
    luck = max(profit(point)[0] for point in run(made("random", trials=80)))
    assert best > luck
    assert best > -60


def test_tpe_takes_several_objectives():
    objectives = parse_objectives("profit,risk", KNOWN)
    points = run(
        made("tpe", trials=30, objectives=objectives), score=lambda point: [*profit(point), point[1]]
    )
    assert len(set(points)) == 30


@pytest.mark.parametrize("objectives", [PROFIT, parse_objectives("profit,risk", KNOWN)])
def test_tpe_goes_on_when_no_result_counts(objectives):
    points = run(made("tpe", trials=25, objectives=objectives), score=lambda _: None)
    assert len(set(points)) == 25


def test_without_optuna_only_tpe_is_missed_and_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ResearchMissingError, match=r"tools/setup --research.*pip install '\.\[research\]'"):
        make_search("tpe", WIDE, PROFIT, trials=3, seed=1)
    assert run(made("random", trials=3))
