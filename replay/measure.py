"""All figures of merit of a run, by name: `measure` of a curve and its round trips. Pure; seeded draws only.

Returns are those of equal periods: days, where the run has enough of them, else hours, minutes or seconds.
A period in which nothing was recorded is no period: a weekend is not a day without profit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from replay import metrics, trip_metrics
from replay.metrics import exact_sum, ratio
from replay.resampling import in_blocks, intervals, one_by_one

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
YEAR_NS = 31_557_600 * SECOND_NS
"""365.25 days."""
PERIODS = (("day", DAY_NS), ("hour", 3_600 * SECOND_NS), ("minute", 60 * SECOND_NS), ("second", SECOND_NS))
ENOUGH = 20
"""The longest period of which there are so many returns is taken."""
YEARLY_FROM_NS = 30 * DAY_NS
"""A shorter run is not told as a yearly rate."""
ALL_DAYS, TRADING_DAYS = 365.25, 252.0


class Metric(NamedTuple):
    """What a figure is: its unit, which way is better (1 higher, -1 lower, 0 neither), and its meaning."""

    unit: str
    better: int
    meaning: str


METRICS: dict[str, Metric] = {
    "total_return": Metric("fraction", 1, "growth of the equity over the whole run, money paid in left out"),
    "cagr": Metric("fraction a year", 1, "growth a year that comes to the same; from 30 days on"),
    "volatility": Metric("fraction a year", -1, "standard deviation of returns, for a year"),
    "sharpe": Metric("ratio", 1, "mean over standard deviation of returns, for a year"),
    "sortino": Metric("ratio", 1, "mean over downside deviation of returns, for a year"),
    "calmar": Metric("ratio", 1, "yearly growth over the deepest drawdown"),
    "omega": Metric("ratio", 1, "sum of gains over sum of losses, of returns"),
    "probabilistic_sharpe": Metric("probability", 1, "that the true Sharpe ratio is above zero"),
    "max_drawdown": Metric("fraction", 1, "largest fall from a peak; at most zero"),
    "max_drawdown_days": Metric("days", -1, "longest time from a peak until it was reached again"),
    "under_water": Metric("fraction", -1, "share of the time below a peak"),
    "ulcer_index": Metric("fraction", -1, "root of the mean square of the drawdown"),
    "value_at_risk": Metric("fraction", 1, "return that one period in twenty falls below"),
    "conditional_value_at_risk": Metric("fraction", 1, "mean return of the worst twentieth of periods"),
    "tail_ratio": Metric("ratio", 1, "95th over 5th percentile of returns, without signs"),
    "skewness": Metric("number", 0, "of returns; below zero: rare large losses"),
    "kurtosis": Metric("number", 0, "of returns; 3 is that of a normal distribution"),
    "best_period": Metric("fraction", 0, "highest return of a period"),
    "worst_period": Metric("fraction", 0, "lowest return of a period"),
    "exposure": Metric("fraction", 0, "share of the time with any position"),
    "average_gross": Metric("fraction", 0, "mean value of all positions over equity, over time"),
    "highest_gross": Metric("fraction", 0, "highest value of all positions over equity"),
    "turnover": Metric("ratio", 0, "value of all fills over mean equity"),
    "fees": Metric("money", -1, "paid to venues"),
    "slippage": Metric("money", -1, "paid beyond the middle of the market at the time of the order"),
    "trips": Metric("number", 0, "round trips that ended"),
    "net_profit": Metric("money", 1, "profit of these trips after fees"),
    "win_rate": Metric("fraction", 1, "share of trips that won"),
    "profit_factor": Metric("ratio", 1, "what was won over what was lost"),
    "expectancy": Metric("money", 1, "mean profit of a trip"),
    "payoff": Metric("ratio", 1, "mean win over mean loss"),
    "average_win": Metric("money", 1, "mean profit of trips that won"),
    "average_loss": Metric("money", 1, "mean profit of trips that lost; below zero"),
    "best_trip": Metric("money", 1, "highest profit of a trip"),
    "worst_trip": Metric("money", 1, "lowest profit of a trip"),
    "win_streak": Metric("number", 1, "most trips in a row that won"),
    "loss_streak": Metric("number", -1, "most trips in a row that lost"),
    "system_quality": Metric("number", 1, "mean over deviation of profits, times the root of their number"),
    "average_adverse": Metric("money", 1, "mean of the lowest that trips' profits were on the way (MAE)"),
    "average_favourable": Metric("money", 1, "mean of the highest they were (MFE)"),
    "average_hours": Metric("hours", 0, "mean time a trip took"),
}
"""Every figure `measure` gives, in the order of a report."""


class EquityPoint(NamedTuple):
    """The account at a time.

    Attributes:
        ts_ns: when.
        equity: what it was worth.
        flow: what was paid in since the point before.
        gross: value of all positions, without signs.
    """

    ts_ns: int
    equity: float
    flow: float = 0.0
    gross: float = 0.0


class Trip(NamedTuple):
    """A round trip that ended; money in the currency of the curve.

    Attributes:
        opened_ns: when it began.
        closed_ns: when it ended.
        profit: after fees.
        adverse: the lowest the profit was on the way.
        favourable: the highest.
    """

    opened_ns: int
    closed_ns: int
    profit: float
    adverse: float = 0.0
    favourable: float = 0.0


class Costs(NamedTuple):
    """What trading came to in all, in the currency of the curve; and how long there was any position."""

    traded: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    in_market_ns: int = 0


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run.

    Attributes:
        period: of the returns.
        returns: how many there are.
        periods_per_year: by which figures are told for a year.
        values: by the names in `METRICS`, all of them; None where a figure is not defined.
        intervals: of those that were resampled: lower and upper bound.
        confidence: of the intervals.
    """

    period: str
    returns: int
    periods_per_year: float
    values: dict[str, float | None]
    intervals: dict[str, tuple[float, float]]
    confidence: float

    def __getitem__(self, name: str) -> float | None:
        """Return a figure by its name."""
        return self.values[name]


def measure(
    curve: Sequence[EquityPoint],
    trips: Sequence[Trip] = (),
    costs: Costs = Costs(),  # noqa: B008  # immutable
    *,
    days_per_year: float = TRADING_DAYS,
    rounds: int = 0,
    confidence: float = 0.95,
    seed: int = 1,
) -> Measures:
    """Return every figure.

    Args:
        curve: points in order of time.
        trips: round trips in order of their ends.
        costs: sums over all fills.
        days_per_year: days on which the market is open, `TRADING_DAYS` or `ALL_DAYS`.
        rounds: how often to resample for the intervals; 0 for none.
        confidence: of the intervals.
        seed: of the resampling.
    """
    period, period_ns, returns = periodic_returns(curve)
    yearly = _periods_per_year(curve, period_ns, returns, days_per_year)
    profits = [trip.profit for trip in trips]
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    values.update(_of_curve(curve, returns, yearly))
    values.update(_of_exposure(curve, costs))
    values.update(_of_trips(trips, profits))
    found = intervals(
        returns,
        lambda drawn: _resampled_returns(drawn, yearly),
        resample=in_blocks,
        rounds=rounds,
        confidence=confidence,
        seed=seed,
    )
    found |= intervals(
        profits,
        _resampled_profits,
        resample=one_by_one,
        rounds=rounds,
        confidence=confidence,
        seed=seed,
    )
    return Measures(
        period=period,
        returns=len(returns),
        periods_per_year=yearly,
        values={name: metrics.finite(value) for name, value in values.items()},
        intervals={name: bounds for name, bounds in found.items() if values[name] is not None},
        confidence=confidence,
    )


def growth_of(curve: Sequence[EquityPoint]) -> list[tuple[int, float]]:
    """Return `(ts_ns, growth)` of each point, 1 at the first: what was paid in on the way is no growth."""
    found: list[tuple[int, float]] = []
    growth, before = 1.0, 0.0
    for point in curve:
        if found and before > 0:
            growth *= max(0.0, (point.equity - point.flow) / before)
        before = point.equity
        found.append((point.ts_ns, growth))
    return found


def periodic_returns(curve: Sequence[EquityPoint]) -> tuple[str, int, list[float]]:
    """Return the period, its length and its returns: the longest period that gives `ENOUGH` of them.

    A period ends with its last point; one without a point does not count.
    """
    growth = growth_of(curve)
    best: tuple[str, int, list[float]] = ("second", SECOND_NS, [])
    for name, length_ns in PERIODS:
        returns = _returns(growth, length_ns)
        if len(returns) >= ENOUGH:
            return name, length_ns, returns
        if len(returns) > len(best[2]):
            best = (name, length_ns, returns)
    return best


def _returns(growth: Sequence[tuple[int, float]], length_ns: int) -> list[float]:
    if len(growth) < 2:  # noqa: PLR2004
        return []
    closes = [growth[0][1]]
    # A point at the very end of a period belongs to it: it is the state before the next one.
    period = -1
    for ts_ns, value in growth[1:]:
        number = (ts_ns - 1) // length_ns
        if number == period:
            closes[-1] = value
        else:
            closes.append(value)
        period = number
    return [after / before - 1.0 if before > 0 else 0.0 for before, after in pairwise(closes)]


def _periods_per_year(
    curve: Sequence[EquityPoint], period_ns: int, returns: Sequence[float], days_per_year: float
) -> float:
    """Return periods a year: where markets never close as many as here by the time, else by the day."""
    if period_ns == DAY_NS or not returns:
        return days_per_year
    if days_per_year == ALL_DAYS:
        return len(returns) * YEAR_NS / (curve[-1].ts_ns - curve[0].ts_ns)
    days = len({(point.ts_ns - 1) // DAY_NS for point in curve[1:]})
    return days_per_year * len(returns) / max(1, days)


def _of_curve(
    curve: Sequence[EquityPoint], returns: Sequence[float], yearly: float
) -> dict[str, float | None]:
    growth = growth_of(curve)
    total = growth[-1][1] - 1.0 if growth else None
    length_ns = growth[-1][0] - growth[0][0] if growth else 0
    rate = metrics.cagr(total, length_ns / YEAR_NS) if length_ns >= YEARLY_FROM_NS else None
    falls = metrics.drawdowns(growth)
    return {
        "total_return": total,
        "cagr": rate,
        "volatility": metrics.volatility(returns, yearly),
        "sharpe": metrics.sharpe(returns, yearly),
        "sortino": metrics.sortino(returns, yearly),
        "calmar": None if falls is None else ratio(rate, -falls.deepest),
        "omega": metrics.omega(returns),
        "probabilistic_sharpe": metrics.probabilistic_sharpe(returns),
        "max_drawdown": None if falls is None else falls.deepest,
        "max_drawdown_days": None if falls is None else falls.longest_ns / DAY_NS,
        "under_water": None if falls is None else falls.under_water,
        "ulcer_index": None if falls is None else falls.ulcer,
        "value_at_risk": metrics.value_at_risk(returns),
        "conditional_value_at_risk": metrics.conditional_value_at_risk(returns),
        "tail_ratio": metrics.tail_ratio(returns),
        "skewness": metrics.skewness(returns),
        "kurtosis": metrics.kurtosis(returns),
        "best_period": max(returns, default=None),
        "worst_period": min(returns, default=None),
    }


def _of_exposure(curve: Sequence[EquityPoint], costs: Costs) -> dict[str, float | None]:
    length_ns = curve[-1].ts_ns - curve[0].ts_ns if curve else 0
    # A point's value holds until the next point.
    spans = [(after.ts_ns - before.ts_ns, before) for before, after in pairwise(curve)]
    equity = ratio(exact_sum(span * point.equity for span, point in spans), length_ns)
    gross = exact_sum(span * point.gross / point.equity for span, point in spans if point.equity > 0)
    return {
        "exposure": ratio(costs.in_market_ns, length_ns),
        "average_gross": ratio(gross, length_ns),
        "highest_gross": max(
            (point.gross / point.equity for point in curve if point.equity > 0), default=None
        ),
        "turnover": ratio(costs.traded, equity),
        "fees": costs.fees,
        "slippage": costs.slippage,
    }


def _of_trips(trips: Sequence[Trip], profits: Sequence[float]) -> dict[str, float | None]:
    hours = [(trip.closed_ns - trip.opened_ns) / (3_600 * SECOND_NS) for trip in trips]
    return {
        "trips": float(len(trips)),
        "net_profit": exact_sum(profits),
        "win_rate": trip_metrics.win_rate(profits),
        "profit_factor": trip_metrics.profit_factor(profits),
        "expectancy": trip_metrics.expectancy(profits),
        "payoff": trip_metrics.payoff(profits),
        "average_win": trip_metrics.average_win(profits),
        "average_loss": trip_metrics.average_loss(profits),
        "best_trip": max(profits, default=None),
        "worst_trip": min(profits, default=None),
        "win_streak": float(trip_metrics.longest_streak(profits, 1)),
        "loss_streak": float(trip_metrics.longest_streak(profits, -1)),
        "system_quality": trip_metrics.system_quality(profits),
        "average_adverse": metrics.mean([trip.adverse for trip in trips]),
        "average_favourable": metrics.mean([trip.favourable for trip in trips]),
        "average_hours": metrics.mean(hours),
    }


def _resampled_returns(returns: Sequence[float], yearly: float) -> dict[str, float | None]:
    falls = metrics.drawdowns(_grown(returns))
    return {
        "total_return": metrics.total_return(returns),
        "volatility": metrics.volatility(returns, yearly),
        "sharpe": metrics.sharpe(returns, yearly),
        "sortino": metrics.sortino(returns, yearly),
        "max_drawdown": None if falls is None else falls.deepest,
    }


def _grown(returns: Sequence[float]) -> list[tuple[int, float]]:
    growth = 1.0
    curve = [(0, growth)]
    for number, value in enumerate(returns, 1):
        growth *= 1.0 + value
        curve.append((number, growth))
    return curve


def _resampled_profits(profits: Sequence[float]) -> dict[str, float | None]:
    return {
        "win_rate": trip_metrics.win_rate(profits),
        "profit_factor": trip_metrics.profit_factor(profits),
        "expectancy": trip_metrics.expectancy(profits),
        "payoff": trip_metrics.payoff(profits),
    }
