from __future__ import annotations

from random import Random

import pytest

from daemon.trading.strategies import STRATEGIES
from replay.optimise.objective import parse_constraint, parse_objectives
from replay.optimise.run import Goal, run_search, summarise
from replay.optimise.search import make_search
from replay.optimise.space import make_space
from replay.optimise.study import FAILED, Outcome, Plan, Study
from replay.source import DataIdentity

KNOWN = {"profit": True, "risk": False, "orders": True}
SPACE = make_space(
    STRATEGIES["ma_cross"], ranges=["fast=1:30", "slow=31:130:3"], choices=[], fixed={"quantity": "1"}
)
GOAL = Goal(parse_objectives("profit", KNOWN))


def profit(parameters):
    return -((parameters["fast"] - 12) ** 2) - (parameters["slow"] - 70) ** 2 / 9


def outcome(number, parameters, **more):
    metrics = {"profit": profit(parameters), "risk": parameters["slow"], "orders": 9}
    return Outcome(number=number, parameters=parameters, metrics=metrics, returns=[0.0, 0.1], **more)


class FakePool:
    """Answers in an order of its own, as processes of different speed do."""

    def __init__(self, workers, seed=1, stop_after=None):
        self.workers = workers
        self.started = []
        self._running = []
        self._chance = Random(seed)
        self._left = stop_after

    @property
    def free(self):
        return self.workers - len(self._running)

    def start(self, number, spec):
        assert self.free
        self.started.append(number)
        self._running.append((number, spec.parameters))

    def finished(self, timeout_s=None):
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1
        return [outcome(*self._running.pop(self._chance.randrange(len(self._running))))]

    def close(self):
        pass


@pytest.fixture
def plan(spec):
    return Plan(
        spec=spec,
        data=DataIdentity(first_seq=1, last_seq=1),
        axes={},
        search="tpe",
        objectives=[],
        constraints=[],
        seed=1,
    )


def searched(plan, pool, *, name="tpe", trials=40, path=None):
    if name == "tpe":
        pytest.importorskip("optuna")
    with Study(path, plan) as study:
        run_search(study, make_search(name, SPACE, GOAL.objectives, trials=trials, seed=1), SPACE, GOAL, pool)
        return study.outcomes


def parameters_of(outcomes):
    return [outcomes[number].parameters for number in sorted(outcomes)]


@pytest.mark.parametrize("name", ["grid", "random", "tpe"])
def test_every_trial_runs_once(plan, name):
    pool = FakePool(3)
    outcomes = searched(plan, pool, name=name)
    assert sorted(outcomes) == sorted(pool.started) == list(range(40))


@pytest.mark.parametrize("workers", [1, 3])
def test_which_process_was_faster_changes_no_trial(plan, workers):
    runs = [parameters_of(searched(plan, FakePool(workers, seed=seed))) for seed in (1, 2, 3)]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("name", ["grid", "random"])
def test_a_search_that_does_not_learn_is_the_same_on_any_number_of_workers(plan, name):
    one, many = (parameters_of(searched(plan, FakePool(workers), name=name)) for workers in (1, 7))
    assert one == many


@pytest.mark.parametrize("name", ["grid", "random", "tpe"])
def test_an_interrupted_study_goes_on_where_it_was(plan, tmp_path, name):
    whole = searched(plan, FakePool(3), name=name)
    with pytest.raises(KeyboardInterrupt):
        searched(plan, FakePool(3, seed=5, stop_after=15), name=name, path=tmp_path / "study")
    pool = FakePool(3, seed=6)
    assert searched(plan, pool, name=name, path=tmp_path / "study") == whole
    assert len(pool.started) == 25


def test_a_finished_study_runs_nothing_and_more_trials_go_on(plan, tmp_path):
    searched(plan, FakePool(2), name="random", trials=10, path=tmp_path / "study")
    pool = FakePool(2)
    searched(plan, pool, name="random", trials=10, path=tmp_path / "study")
    assert pool.started == []
    outcomes = searched(plan, pool, name="random", trials=14, path=tmp_path / "study")
    assert sorted(pool.started) == [10, 11, 12, 13]
    assert outcomes == searched(plan, FakePool(2), name="random", trials=14)


def found_of(outcomes, goal=GOAL):
    return summarise({outcome.number: outcome for outcome in outcomes}, SPACE, goal)


def at(number, fast, slow, **more):
    return outcome(number, {"fast": fast, "slow": slow, "quantity": "1"}, **more)


def test_the_best_comes_first_and_equals_in_their_order():
    found = found_of([at(0, 1, 70), at(1, 13, 70), at(2, 11, 70), at(3, 12, 70)])
    assert [item.number for item in found.best] == [3, 1, 2, 0]


def test_what_does_not_count_is_told_with_its_reason():
    goal = Goal(GOAL.objectives, (parse_constraint("risk<60", KNOWN),))
    undefined = Outcome(number=2, parameters={"fast": 1, "slow": 31}, metrics={"profit": None, "risk": 1.0})
    found = found_of([at(0, 1, 70), at(1, 12, 40), undefined, at(3, 1, 40, state=FAILED, reason="no")], goal)
    assert [item.number for item in found.best] == [1]
    assert found.reasons == {"not risk<60": 1, "profit is undefined": 1, "no": 1}
    assert found.counted == 1


def test_several_objectives_leave_those_that_no_other_beats():
    goal = Goal(parse_objectives("profit,risk", KNOWN))
    found = found_of([at(0, 12, 70), at(1, 12, 61), at(2, 1, 61), at(3, 12, 40)], goal)
    assert [item.number for item in found.best] == [0, 1, 3]


def test_importance_is_the_share_of_the_spread_between_a_parameters_values():
    outcomes = [at(n, 12, slow) for n, slow in enumerate(range(31, 130, 3))]
    found = found_of(outcomes).importance
    assert found["fast"] == 0
    assert found["slow"] > 0.8


def test_importance_is_not_guessed_from_a_few_trials():
    assert found_of([at(n, n + 1, 70) for n in range(5)]).importance == {}


def test_a_search_without_results_has_no_winner():
    found = found_of([])
    assert (found.best, found.overfitting, found.counted) == ([], None, 0)
