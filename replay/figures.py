"""Figures of merit as text: names, units, signs; the same on a terminal and on a page. Pure."""

from __future__ import annotations

from replay.measure import METRICS

SHOWN = (
    "total_return",
    "cagr",
    "volatility",
    "sharpe",
    "sortino",
    "calmar",
    "probabilistic_sharpe",
    "max_drawdown",
    "max_drawdown_days",
    "conditional_value_at_risk",
    "exposure",
    "turnover",
    "fees",
    "slippage",
    "trips",
    "win_rate",
    "profit_factor",
    "expectancy",
    "payoff",
    "average_adverse",
    "average_favourable",
    "average_hours",
)
"""Those that a short report shows."""
YEARLY = frozenset({"volatility", "sharpe", "sortino"})
"""Those that are told for a year, and of a run below a day are not worth showing."""
_NAMES = {
    "cagr": "growth a year (CAGR)",
    "probabilistic_sharpe": "probability of Sharpe > 0",
    "max_drawdown": "deepest drawdown",
    "max_drawdown_days": "longest drawdown",
    "value_at_risk": "value at risk, 95 %",
    "conditional_value_at_risk": "expected shortfall, 95 %",
    "average_gross": "mean exposure",
    "highest_gross": "highest exposure",
    "exposure": "time in the market",
    "trips": "round trips",
    "expectancy": "profit of a trip",
    "average_adverse": "mean adverse excursion",
    "average_favourable": "mean favourable excursion",
    "average_hours": "mean time of a trip",
    "win_streak": "most wins in a row",
    "loss_streak": "most losses in a row",
    "system_quality": "system quality number",
}
_SECONDS_OF = {"days": 86_400, "hours": 3_600}
_LENGTHS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (0, "seconds"))


def name_text(name: str) -> str:
    """Return a figure's name for people."""
    return _NAMES.get(name, name.replace("_", " "))


def figure_text(name: str, value: float | None, currency: str) -> str:
    """Return a figure with its unit; a dash where it is not defined."""
    if value is None:
        return "-"
    unit = METRICS[name].unit
    if unit.startswith("fraction") or unit == "probability":
        return f"{_signed(value * 100, 2)} %"
    if unit == "money":
        return f"{_signed(value, 2)} {currency}".rstrip()
    if unit in _SECONDS_OF:
        return length_text(value * _SECONDS_OF[unit])
    whole = unit == "number" and float(value).is_integer()
    return f"{value:,.0f}" if whole else _signed(value, 2)


def interval_text(name: str, bounds: tuple[float, float] | None) -> str:
    """Return an interval in brackets; empty where there is none."""
    if bounds is None:
        return ""
    low, high = (figure_text(name, bound, "").removesuffix(" %") for bound in bounds)
    return f"[{low} to {high}]"


def length_text(seconds: float) -> str:
    """Return a length of time in the largest unit that it fills."""
    for length, name in _LENGTHS:
        if seconds >= length:
            return f"{seconds / (length or 1):,.1f} {name}"
    return f"{seconds:,.1f} seconds"


def _signed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    # Small amounts would be told as nothing.
    if value and not text.strip("-0.,"):
        text = f"{value:.2g}"
    return text
