"""Figures of merit of a series of returns, each with its definition and source. Pure; standard library only.

Returns are fractions a period (0.01 is one per cent), in order, and never below -1. What is not defined
(no spread, no loss, too few values) is None, never an infinity or a NaN; what is beyond a float may be one,
and `measure` leaves it out. Sums are exact ones (`math.fsum`): the built-in `sum` adds floats in another way
from Python 3.12 on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import erf, exp, floor, fsum, isfinite, log1p, nan, sqrt
from typing import NamedTuple

Returns = Sequence[float]


def total_return(returns: Returns) -> float | None:
    """Return the growth over all periods: the product of `1 + r`, less one. A fraction.

    Source: Bacon, Practical Portfolio Performance Measurement, 2nd ed., 2008, chapter 2 (chain-linking).
    """
    if not returns:
        return None
    growth = 1.0
    for value in returns:
        growth *= 1.0 + value
    return growth - 1.0


def cagr(growth: float | None, years: float) -> float | None:
    """Return the yearly growth that comes to the same: `(1 + growth) ** (1 / years) - 1`. A fraction a year.

    Source: GIPS Handbook, 2012, annualised time-weighted return.
    """
    if growth is None or years <= 0 or growth < -1:
        return None
    if growth == -1:
        return -1.0
    exponent = log1p(growth) / years
    # Beyond that a float overflows: a few minutes' gain, told as a year's.
    return None if exponent > 700 else exp(exponent) - 1.0  # noqa: PLR2004


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean."""
    return exact_sum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample (divided by n - 1); None below two values."""
    count = len(values)
    if count < 2:  # noqa: PLR2004
        return None
    middle = exact_sum(values) / count
    return sqrt(exact_sum(apart * apart for apart in (value - middle for value in values)) / (count - 1))


def volatility(returns: Returns, periods_per_year: float) -> float | None:
    """Return the yearly standard deviation: that of a period times the root of periods a year. A fraction.

    Source: Hull, Options, Futures and Other Derivatives, chapter on volatility.
    """
    spread = deviation(returns)
    return None if spread is None else spread * sqrt(periods_per_year)


def sharpe(returns: Returns, periods_per_year: float = 1.0) -> float | None:
    """Return mean over standard deviation, for a year; the risk-free rate is zero. A ratio.

    Source: Sharpe, The Sharpe Ratio, Journal of Portfolio Management 21 (1), 1994.
    """
    spread = deviation(returns)
    if spread is None or spread <= noise(returns):
        return None
    return exact_sum(returns) / len(returns) / spread * sqrt(periods_per_year)


def downside_deviation(returns: Returns, periods_per_year: float = 1.0) -> float | None:
    """Return the root of the mean square of returns below zero (over all n), for a year. A fraction.

    Source: Sortino and Price, Performance Measurement in a Downside Risk Framework, Journal of Investing 3
    (3), 1994.
    """
    if not returns:
        return None
    square = exact_sum(value * value for value in returns if value < 0) / len(returns)
    return sqrt(square) * sqrt(periods_per_year)


def sortino(returns: Returns, periods_per_year: float = 1.0) -> float | None:
    """Return mean over downside deviation, for a year. A ratio; None without a loss.

    Source: as `downside_deviation`.
    """
    if len(returns) < 2:  # noqa: PLR2004
        return None
    down = downside_deviation(returns)
    return None if not down else exact_sum(returns) / len(returns) / down * sqrt(periods_per_year)


def omega(returns: Returns) -> float | None:
    """Return the sum of gains over the sum of losses, around zero. A ratio; None without a loss.

    Source: Keating and Shadwick, A Universal Performance Measure, 2002.
    """
    lost = -exact_sum(value for value in returns if value < 0)
    return exact_sum(value for value in returns if value > 0) / lost if lost else None


def skewness(values: Sequence[float]) -> float | None:
    """Return the third standardised moment of the population. A number.

    Source: Joanes and Gill, Comparing measures of sample skewness and kurtosis, 1998, g1.
    """
    moments = _moments(values)
    return None if moments is None else moments[1] / (moments[0] * sqrt(moments[0]))


def kurtosis(values: Sequence[float]) -> float | None:
    """Return the fourth standardised moment of the population; 3 for a normal distribution. A number.

    Source: Joanes and Gill, 1998, g2 + 3.
    """
    moments = _moments(values)
    return None if moments is None else moments[2] / (moments[0] * moments[0])


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which that share of all lies, between neighbours by a straight line.

    Source: Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996, definition 7.
    """
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = floor(place)
    if low + 1 >= len(ordered):
        return ordered[-1]
    return ordered[low] + (ordered[low + 1] - ordered[low]) * (place - low)


def value_at_risk(returns: Returns, tail: float = 0.05) -> float | None:
    """Return the return that only that share of periods fell below. A fraction, a loss below zero.

    Source: Jorion, Value at Risk, 3rd ed., 2006 (historical simulation).
    """
    return percentile(returns, tail)


def conditional_value_at_risk(returns: Returns, tail: float = 0.05) -> float | None:
    """Return the mean of that share of the worst returns. A fraction, a loss below zero.

    Source: Rockafellar and Uryasev, Optimization of Conditional Value-at-Risk, 2000.
    """
    if not returns:
        return None
    worst = sorted(returns)[: int((len(returns) - 1) * tail) + 1]
    return exact_sum(worst) / len(worst)


def tail_ratio(returns: Returns) -> float | None:
    """Return the 95th percentile over the 5th, both without sign. A ratio; None where the 5th is zero.

    Source: empyrical, `tail_ratio`.
    """
    low, high = percentile(returns, 0.05), percentile(returns, 0.95)
    return None if not low or high is None else abs(high) / abs(low)


def probabilistic_sharpe(returns: Returns, benchmark: float = 0.0) -> float | None:
    """Return the probability that the true Sharpe ratio is above a benchmark (both of one period).

    Source: Bailey and López de Prado, The Sharpe Ratio Efficient Frontier, Journal of Risk 15 (2), 2012.
    """
    ratio, skew, tails = sharpe(returns), skewness(returns), kurtosis(returns)
    if ratio is None or skew is None or tails is None:
        return None
    variance = 1.0 - skew * ratio + (tails - 1.0) / 4.0 * ratio * ratio
    if variance <= 0:
        return None
    return _normal((ratio - benchmark) * sqrt(len(returns) - 1) / sqrt(variance))


class Drawdowns(NamedTuple):
    """How far and how long a curve was below its highest value so far.

    Attributes:
        deepest: the largest fall from a peak, as a fraction: at most zero.
        longest_ns: the longest time from a peak to where it was reached again, or to the end.
        under_water: share of the time below a peak.
        ulcer: the ulcer index.
    """

    deepest: float
    longest_ns: int
    under_water: float | None
    ulcer: float


def drawdowns(curve: Sequence[tuple[int, float]]) -> Drawdowns | None:
    """Return the drawdowns of `(ts_ns, value)` in order of time; None unless it begins above zero.

    The ulcer index is the root of the mean square of the drawdown over all points, a fraction. Source:
    Martin and McCann, The Investor's Guide to Fidelity Funds, 1989.
    """
    if not curve or curve[0][1] <= 0:
        return None
    peak_ns, peak = curve[0]
    deepest, longest_ns, below_ns = 0.0, 0, 0
    before_ns, was_below = peak_ns, False
    squares: list[float] = []
    for ts_ns, value in curve:
        if was_below:
            below_ns += ts_ns - before_ns
            longest_ns = max(longest_ns, ts_ns - peak_ns)
        if value >= peak:
            peak_ns, peak = ts_ns, value
        fall = value / peak - 1.0
        deepest = min(deepest, fall)
        squares.append(fall * fall)
        before_ns, was_below = ts_ns, value < peak
    length_ns = curve[-1][0] - curve[0][0]
    under_water = below_ns / length_ns if length_ns else None
    return Drawdowns(deepest, longest_ns, under_water, sqrt(exact_sum(squares) / len(squares)))


def exact_sum(values: Iterable[float]) -> float:
    """Return the sum, rounded once; a NaN where it is beyond what a float can hold."""
    try:
        return fsum(values)
    except (OverflowError, ValueError):
        return nan


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is no finite number."""
    return value if value is not None and isfinite(value) else None


def ratio(part: float | None, whole: float | None) -> float | None:
    """Return a quotient; None where a side is missing or the divisor is zero."""
    return None if part is None or not whole else finite(part / whole)


def noise(values: Sequence[float]) -> float:
    """Return the spread that equal values get from rounding alone."""
    return 1e-15 * max(1.0, *map(abs, values))


def _moments(values: Sequence[float]) -> tuple[float, float, float] | None:
    """Return the second, third and fourth central moments of the population; None without spread."""
    count = len(values)
    if count < 2:  # noqa: PLR2004
        return None
    middle = exact_sum(values) / count
    apart = [value - middle for value in values]
    squares = [value * value for value in apart]
    second = exact_sum(squares) / count
    if sqrt(second) <= noise(values):
        return None
    third = exact_sum(square * value for square, value in zip(squares, apart, strict=True)) / count
    return second, third, exact_sum(square * square for square in squares) / count


def _normal(value: float) -> float:
    """Return the share of a standard normal distribution below a value."""
    return 0.5 * (1.0 + erf(value / sqrt(2.0)))
