"""The loop of a search: proposes, runs, keeps, learns; and what came of it. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from replay.optimise.objective import Constraint, Objective, pareto
from replay.optimise.pool import Pool
from replay.optimise.search import Search
from replay.optimise.space import Space
from replay.optimise.study import COMPLETE, Outcome, Study
from replay.overfitting import Overfitting, judge

Told = Callable[[Outcome], None]
_BINS = 8
_LEAST_FOR_IMPORTANCE = 10


@dataclass(frozen=True)
class Goal:
    """What is looked for."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    def values(self, outcome: Outcome) -> list[float] | None:
        """Return the objectives' values; None for a result that does not count."""
        if self.why_not(outcome):
            return None
        return [value for item in self.objectives if (value := outcome.metrics[item.metric]) is not None]

    def why_not(self, outcome: Outcome) -> str:
        """Return why a result does not count; empty when it does."""
        if outcome.state != COMPLETE:
            return outcome.reason
        for constraint in self.constraints:
            if not constraint.holds(outcome.metrics):
                return f"not {constraint}"
        undefined = [item.metric for item in self.objectives if outcome.metrics.get(item.metric) is None]
        return f"{undefined[0]} is undefined" if undefined else ""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        outcomes: in order of their numbers.
        best: the best first; with several objectives those that no other beats, by the first objective.
        importance: share of the spread of the first objective that each parameter explains.
        overfitting: how far to trust the first of the best; None without any that counts.
        counted: outcomes that count.
        reasons: why others do not, and how many.
    """

    outcomes: list[Outcome]
    best: list[Outcome]
    importance: dict[str, float]
    overfitting: Overfitting | None
    counted: int
    reasons: dict[str, int]


def run_search(
    study: Study, search: Search, space: Space, goal: Goal, pool: Pool, *, told: Told | None = None
) -> None:
    """Run the trials of a study that it has not yet.

    A search that learns is given results in the order of their numbers, and proposes trial `n` knowing
    those up to `n - lag`: with one worker all, with more those before the last two rounds.

    Args:
        study: where results are kept; those it has are taken as they are.
        search: what proposes.
        space: what its points mean.
        goal: what counts.
        pool: what runs them.
        told: called with each new result.
    """
    loop = _Loop(study, search, space, goal, pool)
    while loop.fill():
        for outcome in pool.finished():
            loop.under_way -= 1
            study.add(outcome)
            if told is not None:
                told(outcome)


class _Loop:
    """How far a search is."""

    def __init__(self, study: Study, search: Search, space: Space, goal: Goal, pool: Pool) -> None:
        self.study, self.search, self.space, self.goal, self.pool = study, search, space, goal, pool
        self.under_way = 0
        self._lag = 1 if pool.workers == 1 else 2 * pool.workers
        self._earlier = set(study.outcomes)
        self._begun = self._learned = 0
        self._ended = False

    def fill(self) -> bool:
        """Start as many trials as can be; return whether any is under way."""
        while not self._ended and self.pool.free and self._learn(self._begun - self._lag):
            self._ended = not self._begin()
        return self.under_way > 0

    def _begin(self) -> bool:
        """Begin the next trial; return whether there was one."""
        number = self._begun
        if number >= self.search.total:
            return False
        if number in self._earlier:
            self.search.recall(number, self.space.point_of(self.study.outcomes[number].parameters))
        else:
            point = self.search.suggest(number)
            if point is None:
                return False
            spec = msgspec.structs.replace(self.study.plan.spec, parameters=self.space.parameters(point))
            self.pool.start(number, spec)
            self.under_way += 1
        self._begun += 1
        return True

    def _learn(self, last: int) -> bool:
        """Teach the search what came of the trials up to `last`; return whether all of them are over."""
        while self.search.waits and self._learned <= last:
            outcome = self.study.outcomes.get(self._learned)
            if outcome is None:
                return False
            self.search.learn(self._learned, self.goal.values(outcome))
            self._learned += 1
        return True


def summarise(outcomes: Mapping[int, Outcome], space: Space, goal: Goal) -> Found:
    """Return what the results of a search amount to."""
    ordered = [outcomes[number] for number in sorted(outcomes)]
    values = {outcome.number: found for outcome in ordered if (found := goal.values(outcome)) is not None}
    counted = [outcome for outcome in ordered if outcome.number in values]
    best = _best(counted, values, goal)
    reasons = Counter(goal.why_not(outcome) for outcome in ordered if outcome.number not in values)
    # A trial whose strategy failed has no returns to be set beside the others.
    compared = [outcome for outcome in ordered if outcome.state == COMPLETE and outcome.returns]
    judged = None
    if best and best[0].returns:
        judged = judge([outcome.returns for outcome in compared], compared.index(best[0]))
    return Found(
        outcomes=ordered,
        best=best,
        importance=_importance(space, counted, [values[outcome.number][0] for outcome in counted]),
        overfitting=judged,
        counted=len(counted),
        reasons=dict(reasons.most_common()),
    )


def _best(counted: list[Outcome], values: Mapping[int, list[float]], goal: Goal) -> list[Outcome]:
    """Return the results, best first; of several objectives those that no other beats."""
    if len(goal.objectives) > 1:
        front = pareto([values[outcome.number] for outcome in counted], goal.objectives)
        counted = [counted[at] for at in front]
    sign = 1 if goal.objectives[0].maximise else -1
    return sorted(counted, key=lambda outcome: (-sign * values[outcome.number][0], outcome.number))


def _importance(space: Space, counted: Sequence[Outcome], values: Sequence[float]) -> dict[str, float]:
    """Return the share of the values' variance that lies between the values of each parameter.

    The correlation ratio (eta squared) of a one-way analysis of variance, an ordered parameter's values
    in at most `_BINS` groups. It sees each parameter alone, not what two do together; with few trials
    it is too high.
    """
    shares: dict[str, float] = {}
    if len(values) < _LEAST_FOR_IMPORTANCE:
        return shares
    average = sum(values) / len(values)
    whole = sum((value - average) ** 2 for value in values)
    for axis in space.axes:
        groups: dict[int, list[float]] = {}
        places = {value: at for at, value in enumerate(axis.values)}
        count = min(_BINS, len(places)) if axis.ordered else len(places)
        for outcome, value in zip(counted, values, strict=True):
            group = places[outcome.parameters[axis.name]] * count // len(places)
            groups.setdefault(group, []).append(value)
        between = sum(len(group) * (sum(group) / len(group) - average) ** 2 for group in groups.values())
        shares[axis.name] = between / whole if whole > 0 else 0.0
    return shares
