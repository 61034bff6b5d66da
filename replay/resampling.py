"""How far a figure might be off: intervals of confidence by resampling. Pure, seeded.

Returns depend on those before them, so they are drawn in blocks (stationary bootstrap: Politis and Romano,
Journal of the American Statistical Association 89, 1994), the mean block as long as the cube root of their
number; round trips are drawn one by one (Efron, Annals of Statistics 7, 1979). Intervals are the
percentiles of the resampled figures. Long series get fewer rounds, very long ones no interval.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from replay.metrics import percentile

MAX_DRAWS = 1_000_000
MIN_ROUNDS = 50

Figures = Callable[[Sequence[float]], Mapping[str, float | None]]


def in_blocks(values: Sequence[float], draw: random.Random) -> list[float]:
    """Return as many values, drawn in blocks of random length that go round at the end."""
    count = len(values)
    leave = 1.0 / max(1.0, count ** (1.0 / 3.0))
    drawn: list[float] = []
    place = 0
    while len(drawn) < count:
        place = int(draw.random() * count) if not drawn or draw.random() < leave else (place + 1) % count
        drawn.append(values[place])
    return drawn


def one_by_one(values: Sequence[float], draw: random.Random) -> list[float]:
    """Return as many values, each drawn from all."""
    count = len(values)
    return [values[int(draw.random() * count)] for _ in range(count)]


def intervals(
    values: Sequence[float],
    figures: Figures,
    *,
    resample: Callable[[Sequence[float], random.Random], list[float]],
    rounds: int,
    confidence: float,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Return the interval of each figure that was defined in most of the rounds.

    Args:
        values: returns or profits.
        figures: computes the figures of such values.
        resample: how values are drawn.
        rounds: how often; at least `MIN_ROUNDS` for any interval at all.
        confidence: share of the rounds that the interval holds.
        seed: of the draws.
    """
    if rounds < 1 or len(values) < 2:  # noqa: PLR2004
        return {}
    rounds = min(rounds, MAX_DRAWS // len(values))
    if rounds < MIN_ROUNDS:
        return {}
    draw = random.Random(seed)  # noqa: S311  # A simulation, no secret.
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, value in figures(resample(values, draw)).items():
            if value is not None and isfinite(value):
                found.setdefault(name, []).append(value)
    tail = (1.0 - confidence) / 2.0
    told: dict[str, tuple[float, float]] = {}
    for name, drawn in found.items():
        low, high = percentile(drawn, tail), percentile(drawn, 1.0 - tail)
        if low is not None and high is not None and 2 * len(drawn) > rounds:
            told[name] = (low, high)
    return told
