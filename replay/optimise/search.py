"""Which point to try next: every one, any one, or what optuna's TPE proposes. Runs no backtest.

Trial `n` depends on the seed and on results of trials up to `n` less a fixed lag alone, never on which
process was faster. So a search gives the same trials again, also when it was cut off and went on.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from random import Random
from types import ModuleType
from typing import Any, Protocol

from replay.optimise.objective import Objective
from replay.optimise.space import Point, Space
from schemas.errors import TapedError

SEARCHES = ("grid", "random", "tpe")
MAX_TRIALS = 20_000
DEFAULT_TRIALS = 100
_ATTEMPTS = 1_000
_ASKS = 20
"""A sampler that has settled proposes what was tried; after so many repetitions any new point is taken."""


class ResearchMissingError(TapedError):
    """A package of the extra `research` is not installed."""

    def __init__(self, package: str, needs: str) -> None:
        super().__init__(
            f"{needs} needs {package}, which is not installed",
            hint="in the checkout: tools/setup --research, or pip install '.[research]'",
        )


class Search(Protocol):
    """A way to search."""

    total: int
    """Trials at most."""
    waits: bool
    """It learns from results, so a trial can have to wait for one."""

    def suggest(self, number: int) -> Point | None:
        """Return the point of a trial; numbers come in order. None when there is no other."""

    def recall(self, number: int, point: Point) -> None:
        """Take the point of a trial of an earlier run, instead of `suggest`."""

    def learn(self, number: int, values: Sequence[float] | None) -> None:
        """Take a result, in the order of the numbers; None for one that does not count."""


class GridSearch:
    """Every point that fits; with fewer trials than points, as many of them in random order."""

    waits = False

    def __init__(self, space: Space, *, trials: int | None, seed: int) -> None:
        self._points = space.fitting()
        if trials is not None and trials < len(self._points):
            self._points = Random(f"{seed}/grid").sample(self._points, trials)  # noqa: S311
        self.total = len(self._points)

    def suggest(self, number: int) -> Point | None:
        """See `Search`."""
        return self._points[number] if number < self.total else None

    def recall(self, number: int, point: Point) -> None:
        """See `Search`."""

    def learn(self, number: int, values: Sequence[float] | None) -> None:
        """See `Search`."""


class RandomSearch:
    """Points drawn evenly, none twice."""

    waits = False

    def __init__(self, space: Space, *, trials: int, seed: int) -> None:
        self.total = trials
        self._space = space
        self._seed = seed
        self._seen: set[Point] = set()

    def suggest(self, number: int) -> Point | None:
        """See `Search`."""
        point = fresh(self._space, self._seen, Random(f"{self._seed}/{number}"))  # noqa: S311
        if point is not None:
            self._seen.add(point)
        return point

    def recall(self, number: int, point: Point) -> None:
        """See `Search`."""
        del number
        self._seen.add(point)

    def learn(self, number: int, values: Sequence[float] | None) -> None:
        """See `Search`."""


class TpeSearch:
    """Points that optuna's tree-structured Parzen estimator proposes, none twice.

    Trials under way count as bad ones, so that their neighbours are not tried at the same time. A result
    that does not count (undefined, or against a constraint) is told as pruned, which is worse than any; of
    several objectives as failed, which is left aside, for optuna 4.1 cannot rank pruned ones there. Each
    proposal has a seed of its own, so that nothing depends on what was asked before.

    Raises:
        ResearchMissingError: optuna is not installed.
    """

    waits = True

    def __init__(self, space: Space, objectives: Sequence[Objective], *, trials: int, seed: int) -> None:
        self.total = trials
        self._space = space
        self._seed = seed
        self._seen: set[Point] = set()
        self._optuna = _optuna()
        self._study = self._optuna.create_study(directions=[item.direction for item in objectives])
        self._numbers: dict[int, int] = {}
        self._distributions = {axis.name: self._distribution(axis) for axis in space.axes}

    def suggest(self, number: int) -> Point | None:
        """See `Search`."""
        point = self._proposed(number)
        if point is None:
            point = fresh(self._space, self._seen, Random(f"{self._seed}/{number}"))  # noqa: S311
            if point is not None:
                self._add(number, point)
        if point is not None:
            self._seen.add(point)
        return point

    def recall(self, number: int, point: Point) -> None:
        """See `Search`."""
        self._seen.add(point)
        self._add(number, point)

    def learn(self, number: int, values: Sequence[float] | None) -> None:
        """See `Search`."""
        states = self._optuna.trial.TrialState
        trial = self._numbers.pop(number)
        if values is None:
            several = len(self._study.directions) > 1
            self._study.tell(trial, state=states.FAIL if several else states.PRUNED)
        else:
            self._study.tell(trial, list(values))

    def _proposed(self, number: int) -> Point | None:
        for ask in range(_ASKS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
                self._study.sampler = self._optuna.samplers.TPESampler(
                    seed=Random(f"{self._seed}/{number}/{ask}").getrandbits(32),  # noqa: S311
                    multivariate=True,
                    constant_liar=True,
                )
            trial = self._study.ask(self._distributions)
            point = tuple(int(trial.params[axis.name]) for axis in self._space.axes)
            if point not in self._seen and self._space.fits(point):
                self._numbers[number] = trial.number
                return point
            # A failed trial teaches the sampler nothing, so the next proposal is as if it never was.
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        return None

    def _add(self, number: int, point: Point) -> None:
        names = [axis.name for axis in self._space.axes]
        trial = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=dict(zip(names, point, strict=True)),
            distributions=self._distributions,
        )
        self._study.add_trial(trial)
        self._numbers[number] = len(self._study.get_trials(deepcopy=False)) - 1

    def _distribution(self, axis: Any) -> Any:
        """Return an axis as optuna knows it: what is ordered by its place, what is not by names of places."""
        kinds = self._optuna.distributions
        places = len(axis.values)
        if axis.ordered:
            return kinds.IntDistribution(0, places - 1)
        return kinds.CategoricalDistribution(tuple(range(places)))


def make_search(
    name: str, space: Space, objectives: Sequence[Objective], *, trials: int | None, seed: int
) -> Search:
    """Return the search of that name.

    Raises:
        ResearchMissingError: it needs what is not installed.
        SpaceError: the grid is too big, or nothing of it fits.
    """
    if name == "grid":
        return GridSearch(space, trials=trials, seed=seed)
    if name == "random":
        return RandomSearch(space, trials=trials or DEFAULT_TRIALS, seed=seed)
    return TpeSearch(space, objectives, trials=trials or DEFAULT_TRIALS, seed=seed)


def fresh(space: Space, seen: set[Point], chance: Random) -> Point | None:
    """Return a point that fits and was not seen; None when none turns up."""
    for _ in range(_ATTEMPTS):
        point = space.draw(chance)
        if point not in seen and space.fits(point):
            return point
    if space.size > _ATTEMPTS * 10:
        return None
    # The last few points of a small space are looked for one by one.
    return next((p for p in map(space.at, range(space.size)) if p not in seen and space.fits(p)), None)


def _optuna() -> ModuleType:
    """Return optuna, quiet."""
    try:
        # It takes a quarter of a second and 17 MB, and grid and random search do without it.
        optuna = import_module("optuna")
    except ImportError as error:
        raise ResearchMissingError("optuna", "--search tpe") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
