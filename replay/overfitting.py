"""How far a search's winner can be trusted: deflated Sharpe ratio and probability of overfitting. Pure.

Whoever tries many parameters finds a good result by luck alone. Both measures here are by D. H. Bailey
and M. López de Prado: the first asks whether the winner's Sharpe ratio is more than the best of so many
tries without any skill would show, the second how often the best of one half of the time is below the
middle in the other half.

All Sharpe ratios are per period of the returns given, not annualised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist, stdev, variance

BLOCKS = 12
"""Pieces of time for the combinations: 924 ways to choose half of them."""
MAX_TRIALS = 2_000
EULER_GAMMA = 0.577_215_664_901_532_9
_NORMAL = NormalDist()

TRUSTED, DOUBTFUL, LUCK = "may be skill", "is doubtful", "is most likely luck"


@dataclass(frozen=True, slots=True)
class Moments:
    """What a probability about a Sharpe ratio needs of the returns.

    Attributes:
        periods: how many returns.
        sharpe: mean by standard deviation, per period.
        skewness: third standardised moment; 0 when normal.
        kurtosis: fourth standardised moment; 3 when normal.
    """

    periods: int
    sharpe: float
    skewness: float
    kurtosis: float


@dataclass(frozen=True, slots=True)
class Overfitting:
    """How far to trust the best of a search; None is what cannot be said.

    Attributes:
        trials: results that were compared.
        independent_trials: how many unlike each other they amount to.
        sharpe: of the winner, per period.
        luck_sharpe: what the best of so many tries without skill shows, per period.
        deflated_sharpe: probability that the winner's true Sharpe ratio is above zero, the tries counted.
        overfitting: probability that the best of one half of the time is below the middle in the other.
        verdict: the same in words.
    """

    trials: int
    independent_trials: float | None
    sharpe: float | None
    luck_sharpe: float | None
    deflated_sharpe: float | None
    overfitting: float | None
    verdict: str


def moments(returns: Sequence[float]) -> Moments | None:
    """Return the moments of returns; None when there are fewer than 3, or they are all alike."""
    count = len(returns)
    if count < 3:  # noqa: PLR2004  # A third moment of two values says nothing.
        return None
    mean = sum(returns) / count
    apart = [value - mean for value in returns]
    second = sum(x * x for x in apart) / count
    if second <= 1e-30:  # noqa: PLR2004  # What is left of equal returns after rounding.
        return None
    third = sum(x**3 for x in apart) / count
    fourth = sum(x**4 for x in apart) / count
    return Moments(count, mean / stdev(returns), third / second**1.5, fourth / second**2)


def probabilistic_sharpe(found: Moments, benchmark: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio is above `benchmark`.

    D. H. Bailey, M. López de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012,
    equation 11. None when the estimate's variance is not positive, as with extreme moments.
    """
    sharpe = found.sharpe
    spread = 1 - found.skewness * sharpe + (found.kurtosis - 1) / 4 * sharpe * sharpe
    if spread <= 0 or found.periods < 2:  # noqa: PLR2004  # One return has no spread.
        return None
    return _NORMAL.cdf((sharpe - benchmark) * sqrt((found.periods - 1) / spread))


def luck_sharpe(sharpe_variance: float, trials: float) -> float:
    """Return the expected highest Sharpe ratio of so many independent tries without skill.

    D. H. Bailey, M. López de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5),
    2014, equation 1 with a mean of zero.

    Args:
        sharpe_variance: variance of the Sharpe ratios across the tries.
        trials: how many independent ones; one and fewer have no luck to be counted.
    """
    if trials <= 1:
        return 0.0
    high = _NORMAL.inv_cdf(1 - 1 / trials)
    higher = _NORMAL.inv_cdf(1 - 1 / (trials * e))
    return sqrt(sharpe_variance) * ((1 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(found: Moments, sharpe_variance: float, trials: float) -> float | None:
    """Return the probability that the best of so many tries has a true Sharpe ratio above zero.

    The probabilistic Sharpe ratio against `luck_sharpe`: equation 2 of the same paper.
    """
    return probabilistic_sharpe(found, luck_sharpe(sharpe_variance, trials))


def independent_trials(returns: Sequence[Sequence[float]]) -> float:
    """Return how many independent tries these amount to, from their average correlation.

    "The Deflated Sharpe Ratio", appendix A.3: `average + (1 - average) * trials`, the average of all pairs
    taken at 0 where it is below. The sum over all pairs is the square of the sum of the standardised
    returns, so nothing of the size of the pairs is made. Tries whose returns are all alike are left out.
    """
    total: list[float] = [0.0] * (len(returns[0]) if returns else 0)
    count = 0
    for series in returns:
        found = _standardised(series)
        if found is not None:
            count += 1
            total = [x + y for x, y in zip(total, found, strict=True)]
    if count < 2:  # noqa: PLR2004  # There is no pair.
        return float(count)
    both = sum(x * x for x in total) / len(total)
    average = min(1.0, max(0.0, (both - count) / (count * (count - 1))))
    return average + (1 - average) * count


def probability_of_overfitting(returns: Sequence[Sequence[float]], blocks: int = BLOCKS) -> float | None:
    """Return how often the best of one half of the time is not above the median in the other half.

    Combinatorially symmetric cross-validation: D. H. Bailey, J. M. Borwein, M. López de Prado, Q. J. Zhu,
    "The Probability of Backtest Overfitting", Journal of Computational Finance 20(4), 2017, section 2.2.
    The time is cut into pieces; each choice of half of them is "in sample" once. Tries with equal results
    share their rank. None without two tries or too few periods.

    Args:
        returns: of each try, the same periods for all; at most `MAX_TRIALS` are looked at, evenly taken.
        blocks: pieces of time, an even number.
    """
    taken = [series for series in _evenly(returns) if moments(series) is not None]
    if len(taken) < 2 or len(taken[0]) < 2 * blocks:  # noqa: PLR2004  # One try is always its own best.
        return None
    length = len(taken[0]) // blocks
    # The periods that are too many go, so that all pieces are equally long.
    sums = [[sum(s[b * length : (b + 1) * length]) for b in range(blocks)] for s in taken]
    squares = [[sum(x * x for x in s[b * length : (b + 1) * length]) for b in range(blocks)] for s in taken]
    below = 0.0
    count = 0
    half = blocks // 2
    for chosen in combinations(range(blocks), half):
        rest = [block for block in range(blocks) if block not in chosen]
        inside = _sharpes(sums, squares, chosen, half * length)
        outside = _sharpes(sums, squares, rest, half * length)
        mark = outside[inside.index(max(inside))]
        worse = sum(value < mark for value in outside)
        equal = sum(value == mark for value in outside)
        # The relative rank is (worse + the middle of the equal ones) / (tries + 1); its logit is at most
        # zero exactly where it is at most one half.
        rank = (worse + (equal + 1) / 2) / (len(taken) + 1)
        below += rank <= 0.5  # noqa: PLR2004
        count += 1
    return below / count


def judge(returns: Sequence[Sequence[float]], winner: int) -> Overfitting:
    """Return how far to trust one of several results.

    Args:
        returns: of each trial, the same periods for all.
        winner: which of them was chosen.
    """
    found = [item for item in map(moments, returns) if item is not None]
    best = moments(returns[winner])
    independent = independent_trials(returns) if found else None
    spread = variance(item.sharpe for item in found) if len(found) > 1 else 0.0
    luck = luck_sharpe(spread, independent) if independent is not None else None
    deflated = None if best is None or luck is None else probabilistic_sharpe(best, luck)
    chance = probability_of_overfitting(returns)
    sharpe = None if best is None else best.sharpe
    verdict = _verdict(deflated, chance, len(returns))
    return Overfitting(len(returns), independent, sharpe, luck, deflated, chance, verdict)


def _verdict(deflated: float | None, chance: float | None, trials: int) -> str:
    """Return the two probabilities in words.

    95 % is the level of "The Deflated Sharpe Ratio"; a half is where choosing by the past is no better
    than choosing blindly.
    """
    if deflated is None:
        return "the winner's returns say nothing: they are too few or all alike"
    luck = f"{deflated:.0%} that its Sharpe ratio is above zero, {trials:,} trials counted"
    if chance is None:
        grade = TRUSTED if deflated >= 0.95 else LUCK if deflated < 0.5 else DOUBTFUL  # noqa: PLR2004
        return f"the winner {grade}: {luck}"
    where = f"{chance:.0%} of the best in one half of the time are below the middle in the other"
    if deflated >= 0.95 and chance <= 0.2:  # noqa: PLR2004
        return f"the winner {TRUSTED}: {luck}; {where}"
    if deflated < 0.5 or chance >= 0.5:  # noqa: PLR2004
        return f"the winner {LUCK}: {luck}; {where}"
    return f"the winner {DOUBTFUL}: {luck}; {where}"


def _evenly(returns: Sequence[Sequence[float]]) -> list[Sequence[float]]:
    """Return at most `MAX_TRIALS` of them."""
    if len(returns) <= MAX_TRIALS:
        return list(returns)
    return [returns[number * len(returns) // MAX_TRIALS] for number in range(MAX_TRIALS)]


def _sharpes(
    sums: Sequence[Sequence[float]], squares: Sequence[Sequence[float]], chosen: Sequence[int], count: int
) -> list[float]:
    """Return the Sharpe ratio of each try over the chosen pieces; without any spread, the mean's sign."""
    ratios = []
    for of_sums, of_squares in zip(sums, squares, strict=True):
        total = square = 0.0
        for block in chosen:
            total += of_sums[block]
            square += of_squares[block]
        mean = total / count
        spread = square / count - mean * mean
        # Half a time without any trade is worth nothing, neither good nor bad.
        ratios.append(mean / sqrt(spread) if spread > 1e-24 else 0.0)  # noqa: PLR2004
    return ratios


def _standardised(series: Sequence[float]) -> list[float] | None:
    mean = sum(series) / len(series)
    apart = [value - mean for value in series]
    spread = sqrt(sum(x * x for x in apart) / len(series))
    return [x / spread for x in apart] if spread > 1e-15 else None  # noqa: PLR2004
