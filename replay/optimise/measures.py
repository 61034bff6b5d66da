"""The metrics that a search can look for, from what a backtest came to and its equity curve. Pure.

All are numbers without a currency, so that trials, markets and folds can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from math import sqrt
from statistics import mean, stdev

from replay.backtest import BacktestResult

Curve = list[tuple[int, float]]
"""Time of an event in ns, and equity behind it in whole money."""
METRICS: Mapping[str, bool] = {
    "total_return": True,
    "sharpe": True,
    "sortino": True,
    "max_drawdown": False,
    "calmar": True,
    "orders": True,
    "fills": True,
    "denied": False,
}
"""Metrics by name, and whether more of it is better."""
_YEAR_NS = 365.25 * 86_400 * 1e9


def metrics_of(result: BacktestResult, curve: Curve) -> dict[str, float | None]:
    """Return every metric; None where it is undefined.

    Returns, ratios and drawdown are of the equity at the points of the curve; the ratios are annualised
    by its mean distance in time, without a risk-free rate.
    """
    levels = [level for _, level in curve if level > 0]
    returns = [after / before - 1 for before, after in pairwise(levels)]
    whole = levels[-1] / levels[0] - 1 if levels else None
    drawdown = max(
        (1 - low / high for low, high in zip(levels, accumulate(levels, max), strict=True)), default=0.0
    )
    years = (curve[-1][0] - curve[0][0]) / _YEAR_NS if curve else 0.0
    scale = sqrt(len(returns) / years) if years > 0 else 0.0
    ratio, downside = _ratios(returns)
    calmar = whole / drawdown if whole is not None and drawdown > 0 else None
    return {
        "total_return": whole,
        "sharpe": ratio and ratio * scale,
        "sortino": downside and downside * scale,
        "max_drawdown": drawdown,
        "calmar": calmar,
        "orders": result.orders,
        "fills": result.fills,
        "denied": result.denied,
    }


def _ratios(returns: list[float]) -> tuple[float | None, float | None]:
    """Return mean by standard deviation and mean by downside deviation, per period."""
    if len(returns) < 2:  # noqa: PLR2004
        return None, None
    average = mean(returns)
    spread = stdev(returns)
    down = sqrt(sum(value * value for value in returns if value < 0) / len(returns))
    return average / spread if spread > 0 else None, average / down if down > 0 else None
