"""What else could have come of the same trades: resampled orders of results, and what they end in. Pure.

Three ways, each honest about something else. `shuffle` keeps the trades and changes their order: the end is
the same, the way there is not, so it speaks of drawdown alone. `bootstrap` draws trades with replacement:
the end varies too, as if the trades were independent. `block` draws runs of neighbours, so that streaks
stay streaks: the stationary bootstrap of D. N. Politis and J. P. Romano, Journal of the American
Statistical Association 89 (428), 1994, whose runs have a random length and go round at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, isfinite
from operator import sub
from random import Random
from typing import Literal

from schemas.errors import TapedError

Method = Literal["shuffle", "bootstrap", "block"]
METHODS: tuple[Method, ...] = ("shuffle", "bootstrap", "block")
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAX_STEPS = 50_000_000
"""Results drawn in all: about 10 s."""


class MonteCarloError(TapedError):
    """A simulation cannot be made of what is given."""


@dataclass(frozen=True, slots=True)
class Odds:
    """What the paths of one simulation came to.

    Attributes:
        method: how they were made.
        paths: how many.
        trades: results in each.
        ruin: share of the paths whose equity fell to the ruin level at any time.
        target: share of the paths that reached the target at any time.
        loss: share of the paths that ended below the start.
        final_equity: value by quantile.
        max_drawdown: deepest fall from a high, as a fraction of that high, by quantile.
    """

    method: str
    paths: int
    trades: int
    ruin: float
    target: float
    loss: float
    final_equity: dict[float, float]
    max_drawdown: dict[float, float]


@dataclass(frozen=True, slots=True)
class Stakes:
    """What the paths are held against.

    Attributes:
        start: equity to begin with.
        ruin: equity at or below which all is over.
        target: equity to be reached.
        compound: results are fractions of the equity at their time, not amounts.

    Raises:
        MonteCarloError: they do not lie around the start.
    """

    start: float
    ruin: float
    target: float
    compound: bool = False

    def __post_init__(self) -> None:
        """Check that ruin, start and target rise."""
        if not (isfinite(self.target) and 0 <= self.ruin < self.start < self.target):
            raise MonteCarloError(
                f"ruin at {self.ruin:g}, start {self.start:g}, target {self.target:g}",
                hint="expected ruin below the start and the target above it",
            )


def simulate(
    results: Sequence[float],
    stakes: Stakes,
    *,
    method: Method,
    paths: int = 2_000,
    block: int | None = None,
    seed: int = 1,
) -> Odds:
    """Return what becomes of the start under resampled results.

    Args:
        results: of the trades, in order: amounts of money, or fractions when compounding.
        stakes: start, ruin and target.
        method: how to draw.
        paths: how often.
        block: mean length of a run of neighbours; the cube root of the number of results when None.
        seed: equal seeds, equal paths.

    Raises:
        MonteCarloError: fewer than two results, or more to draw than `MAX_STEPS`.
    """
    if len(results) < 2:  # noqa: PLR2004
        raise MonteCarloError(
            f"{len(results)} closed trades, expected at least 2 to be drawn from",
            hint="`taped replay backtest` with the same flags says whether orders were denied",
        )
    if paths < 1 or paths * len(results) > MAX_STEPS:
        most = max(1, MAX_STEPS // len(results))
        raise MonteCarloError(f"{paths:,} paths of {len(results):,} trades, expected 1 to {most:,} paths")
    draw = _drawer(results, method, block, Random(f"{seed}/{method}"))  # noqa: S311
    return odds(method, [_walk(draw(), stakes) for _ in range(paths)], stakes, trades=len(results))


@dataclass(frozen=True, slots=True)
class Path:
    """One path: its end, its extremes, its deepest fall as a fraction of the high before it."""

    final: float
    low: float
    high: float
    drawdown: float


def odds(method: str, walked: Sequence[Path], stakes: Stakes, *, trades: int) -> Odds:
    """Return the shares and quantiles of paths."""
    count = len(walked)
    return Odds(
        method=method,
        paths=count,
        trades=trades,
        ruin=sum(path.low <= stakes.ruin for path in walked) / count,
        target=sum(path.high >= stakes.target for path in walked) / count,
        loss=sum(path.final < stakes.start for path in walked) / count,
        final_equity=quantiles([path.final for path in walked]),
        max_drawdown=quantiles([path.drawdown for path in walked]),
    )


def walk_of(equity: Sequence[float]) -> Path:
    """Return the path of an equity curve, its first value the start."""
    highs = list(accumulate(equity, max))
    deepest = max((fall / high for fall, high in zip(map(sub, highs, equity), highs, strict=True)), default=0)
    return Path(equity[-1], min(equity), highs[-1], deepest)


def quantiles(values: Sequence[float]) -> dict[float, float]:
    """Return the value at each of `QUANTILES`: the smallest that at least such a share does not exceed."""
    ordered = sorted(values)
    return {q: ordered[max(0, ceil(q * len(ordered)) - 1)] for q in QUANTILES}


def _walk(results: Sequence[float], stakes: Stakes) -> Path:
    if stakes.compound:
        return walk_of(
            list(accumulate(results, lambda equity, gain: equity * (1 + gain), initial=stakes.start))
        )
    return walk_of(list(accumulate(results, initial=stakes.start)))


def _drawer(
    results: Sequence[float], method: Method, block: int | None, chance: Random
) -> Callable[[], list[float]]:
    """Return what draws the results of one path."""
    pool = list(results)
    count = len(pool)
    if method == "shuffle":
        return lambda: chance.sample(pool, count)
    if method == "bootstrap":
        return lambda: chance.choices(pool, k=count)
    mean = block or max(1, round(count ** (1 / 3)))
    if not 1 <= mean <= count:
        raise MonteCarloError(f"blocks of {mean}, expected 1 to {count}, the number of closed trades")
    return lambda: _in_blocks(pool, mean, chance)


def _in_blocks(pool: list[float], mean: int, chance: Random) -> list[float]:
    """Return as many results as there are, in runs of geometric length with that mean, going round."""
    count = len(pool)
    drawn: list[float] = []
    at = 0
    for draw in (chance.random() for _ in range(count)):
        at = chance.randrange(count) if not drawn or draw * mean < 1 else (at + 1) % count
        drawn.append(pool[at])
    return drawn
