"""What a search looks for: metrics by name, which way each is better, and what a result must keep to."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from schemas.errors import TapedError

_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONSTRAINT = re.compile(r"([a-z][a-z0-9_]*)\s*(>=|<=|>|<|=)\s*(-?[0-9]+(?:\.[0-9]+)?)")


class ObjectiveError(TapedError):
    """A metric is not known, or a constraint is none."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One metric to be made best."""

    metric: str
    maximise: bool

    @property
    def direction(self) -> str:
        """`maximize` or `minimize`, as optuna spells it."""
        return "maximize" if self.maximise else "minimize"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a metric must be for a result to count."""

    metric: str
    sign: str
    limit: float

    def holds(self, metrics: Mapping[str, float | None]) -> bool:
        """Return whether it does; a metric that is undefined keeps to nothing."""
        value = metrics.get(self.metric)
        return value is not None and _OPERATORS[self.sign](value, self.limit)

    def __str__(self) -> str:
        return f"{self.metric}{self.sign}{self.limit:g}"


def parse_objectives(text: str, known: Mapping[str, bool]) -> tuple[Objective, ...]:
    """Return the objectives of `sharpe,max_drawdown`; `:max` or `:min` behind a name turns it.

    Args:
        text: names with commas between.
        known: metrics, and whether more of each is better.

    Raises:
        ObjectiveError: a metric is not known or occurs twice.
    """
    found = []
    for part in text.split(","):
        name, sign, way = part.strip().partition(":")
        _check(name, known)
        if sign and way not in ("max", "min"):
            raise ObjectiveError(f"{part}: expected :max or :min behind a metric")
        found.append(Objective(name, known[name] if not sign else way == "max"))
    names = [objective.metric for objective in found]
    if len(set(names)) < len(names):
        raise ObjectiveError(f"{text}: a metric occurs twice")
    return tuple(found)


def parse_constraint(text: str, known: Mapping[str, bool]) -> Constraint:
    """Return the constraint of a text like `trades>=30`.

    Raises:
        ObjectiveError: it is none, or its metric is not known.
    """
    found = _CONSTRAINT.fullmatch(text.strip())
    if found is None:
        raise ObjectiveError(f"{text}: expected METRIC>=NUMBER, or <=, >, < or =")
    _check(found[1], known)
    return Constraint(found[1], found[2], float(found[3]))


def pareto(values: Sequence[Sequence[float]], objectives: Sequence[Objective]) -> list[int]:
    """Return which results no other beats, in order: none is as good everywhere and better somewhere."""
    signs = [1 if objective.maximise else -1 for objective in objectives]
    points = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in values]
    # Falling order: whoever beats a point comes before it, so it is held against the front alone.
    order = sorted(range(len(points)), key=lambda at: points[at], reverse=True)
    front: list[int] = []
    for at in order:
        if not any(_beats(points[other], points[at]) for other in front):
            front.append(at)
    return sorted(front)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def _check(name: str, known: Mapping[str, bool]) -> None:
    if name not in known:
        raise ObjectiveError(f"there is no metric {name!r}", hint=f"there is {', '.join(sorted(known))}")
