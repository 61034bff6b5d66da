"""What is searched: for each parameter the values it may take, checked against the strategy's own limits.

Every axis is a finite list of exact values, so that a grid, a random draw and a sampler speak of the same
points, and a winner's parameters can be typed in again as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import prod
from random import Random

from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameter, check_parameters
from schemas.errors import TapedError
from schemas.events import Scalar

MAX_VALUES = 100_000
MAX_GRID = 20_000
_DIGITS = 30
Point = tuple[int, ...]
"""The index of a value on each axis."""


class SpaceError(TapedError):
    """What is to be searched is not there, or too much."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter that is searched.

    Attributes:
        name: of the parameter.
        values: all that it may be; at least one, none twice.
        ordered: neighbours are alike, as numbers are.
    """

    name: str
    values: tuple[Scalar, ...]
    ordered: bool


@dataclass(frozen=True)
class Space:
    """All axes of a search, and the parameters that stay.

    Attributes:
        kind: the strategy.
        axes: what varies.
        fixed: what does not.
    """

    kind: type[Strategy]
    axes: tuple[Axis, ...]
    fixed: Mapping[str, Scalar]

    @property
    def size(self) -> int:
        """How many points there are, fitting or not."""
        return prod(len(axis.values) for axis in self.axes)

    def parameters(self, point: Point) -> dict[str, Scalar]:
        """Return all parameters of a point."""
        varied = {axis.name: axis.values[at] for axis, at in zip(self.axes, point, strict=True)}
        return {**self.fixed, **varied}

    def fits(self, point: Point) -> bool:
        """Return whether the parameters of a point fit each other by the strategy's own rules."""
        try:
            check_parameters(self.kind, self.parameters(point))
        except StrategyError:
            return False
        return True

    def why_not(self, point: Point) -> str:
        """Return what the strategy has against a point; empty when nothing."""
        try:
            check_parameters(self.kind, self.parameters(point))
        except StrategyError as error:
            return error.message
        return ""

    def point_of(self, parameters: Mapping[str, Scalar]) -> Point:
        """Return the point that has these parameters.

        Raises:
            SpaceError: none has.
        """
        try:
            return tuple(axis.values.index(parameters[axis.name]) for axis in self.axes)
        except (KeyError, ValueError) as error:
            raise SpaceError(f"{dict(parameters)} is no point of this search") from error

    def at(self, number: int) -> Point:
        """Return the point of a number from 0 to `size` - 1; the last axis turns fastest."""
        point = []
        for axis in reversed(self.axes):
            number, at = divmod(number, len(axis.values))
            point.append(at)
        return tuple(reversed(point))

    def fitting(self) -> list[Point]:
        """Return all points that fit, in order.

        Raises:
            SpaceError: there are more than `MAX_GRID` points to look at, or none fits.
        """
        if self.size > MAX_GRID:
            raise SpaceError(
                f"the grid has {self.size:,} points, at most {MAX_GRID:,} are tried one by one",
                hint="take wider steps, or --search random or tpe with --trials",
            )
        found = [point for point in map(self.at, range(self.size)) if self.fits(point)]
        if not found:
            raise SpaceError(f"no point of the grid fits: {self.why_not(self.at(0))}")
        return found

    def draw(self, chance: Random) -> Point:
        """Return any point."""
        return tuple(chance.randrange(len(axis.values)) for axis in self.axes)


def make_space(
    kind: type[Strategy], *, ranges: Sequence[str], choices: Sequence[str], fixed: Mapping[str, Scalar]
) -> Space:
    """Return the space that texts like `fast=5:50:5` and `source=trade,quote` describe.

    Args:
        kind: the strategy.
        ranges: `NAME=LOW:HIGH`, `NAME=LOW:HIGH:STEP` or `NAME=LOW:HIGH:xFACTOR`.
        choices: `NAME=VALUE,VALUE,...`.
        fixed: parameters that stay.

    Raises:
        SpaceError: a text is none of these, a value is beyond the parameter's limits, a name occurs twice.
    """
    axes = [*(_range(kind, text) for text in ranges), *(_choice(kind, text) for text in choices)]
    if not axes:
        raise SpaceError(
            "nothing is to be searched", hint="name parameters with --range NAME=LOW:HIGH:STEP or --choice"
        )
    names = [*fixed, *(axis.name for axis in axes)]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise SpaceError(f"{twice[0]} is given more than once", hint="a parameter is fixed or searched")
    for name, value in fixed.items():
        _check(kind, _parameter(kind, name), value)
    return Space(kind, tuple(axes), dict(fixed))


def _range(kind: type[Strategy], text: str) -> Axis:
    name, _, rest = text.partition("=")
    parts = rest.split(":")
    if not 2 <= len(parts) <= 3:  # noqa: PLR2004
        raise SpaceError(f"--range {text}: expected NAME=LOW:HIGH:STEP or NAME=LOW:HIGH:xFACTOR")
    parameter = _parameter(kind, name)
    if not (parameter.decimal or parameter.type is int):
        raise SpaceError(f"--range {text}: {name} is no number", hint=f"--choice {name}=A,B names values")
    low, high = (_number(text, part) for part in parts[:2])
    step = parts[2] if len(parts) == 3 else "1"  # noqa: PLR2004
    if low > high:
        raise SpaceError(f"--range {text}: {parts[0]} is above {parts[1]}")
    if step.startswith("x"):
        numbers = list(_geometric(text, low, high, _number(text, step[1:]), whole=not parameter.decimal))
    else:
        numbers = list(_steps(text, low, high, _number(text, step)))
    values = [_as_value(text, parameter, number) for number in numbers]
    for value in values:
        _check(kind, parameter, value)
    return Axis(name, tuple(dict.fromkeys(values)), ordered=True)


def _choice(kind: type[Strategy], text: str) -> Axis:
    name, sign, rest = text.partition("=")
    parameter = _parameter(kind, name)
    if not sign or not rest:
        raise SpaceError(f"--choice {text}: expected NAME=VALUE,VALUE")
    values = [_scalar(parameter, part) for part in rest.split(",")]
    for value in values:
        _check(kind, parameter, value)
    return Axis(name, tuple(dict.fromkeys(values)), ordered=False)


def _parameter(kind: type[Strategy], name: str) -> Parameter:
    for parameter in kind.parameters:
        if parameter.name == name:
            return parameter
    known = ", ".join(parameter.name for parameter in kind.parameters)
    raise SpaceError(f"{kind.kind} has no parameter {name!r}", hint=f"it has {known}")


def _check(kind: type[Strategy], parameter: Parameter, value: Scalar) -> None:
    try:
        check_parameter(kind, parameter, value)
    except StrategyError as error:
        raise SpaceError(error.message, hint=error.hint) from error


def _number(text: str, part: str) -> Decimal:
    try:
        number = Decimal(part)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or len(number.as_tuple().digits) > _DIGITS or abs(number.adjusted()) > _DIGITS:
        raise SpaceError(f"--range {text}: {part!r} is not a number")
    return number


def _steps(text: str, low: Decimal, high: Decimal, step: Decimal) -> Iterator[Decimal]:
    if step <= 0:
        raise SpaceError(f"--range {text}: a step of {step}, expected one above zero")
    count = int((high - low) // step) + 1
    if count > MAX_VALUES:
        raise SpaceError(f"--range {text}: {count:,} values, at most {MAX_VALUES:,}")
    return (low + number * step for number in range(count))


def _geometric(text: str, low: Decimal, high: Decimal, factor: Decimal, *, whole: bool) -> Iterator[Decimal]:
    if factor < Decimal("1.001") or low <= 0:
        raise SpaceError(f"--range {text}: a factor needs a low end above zero and is at least 1.001")
    number = low
    while number <= high:
        yield number.to_integral_value() if whole else round(number, 8)
        number *= factor


def _as_value(text: str, parameter: Parameter, number: Decimal) -> Scalar:
    if parameter.decimal:
        return format(number.normalize(), "f")
    if number != number.to_integral_value():
        raise SpaceError(f"--range {text}: {parameter.name} is a whole number, and {number} is none")
    return int(number)


def _scalar(parameter: Parameter, text: str) -> Scalar:
    """Return a text as the parameter's type where it is one; what is not is told by the parameter's check."""
    if parameter.type is bool and text in ("true", "false"):
        return text == "true"
    if parameter.type is int and text.removeprefix("-").isdigit() and text.isascii():
        return int(text)
    return text
