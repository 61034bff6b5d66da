"""Shares of the equity among strategies, from their past daily returns: pure functions, no state.

A share is between 0 and 1; shares add up to 1 at most. Returns are parts of the equity (0.01 is one
percent). Only additions, products, quotients and square roots are used, which IEEE 754 rounds alike
on every machine: the same history gives the same shares to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import fsum, sqrt

_STILL = 1e-12
"""Deviations below are what rounding leaves of none at all."""

Returns = Mapping[str, Sequence[float]]
"""Daily returns by strategy, oldest first."""


def equal(returns: Returns) -> dict[str, float]:
    """Return the same share for each."""
    return {strategy_id: 1 / len(returns) for strategy_id in returns}


def inverse_volatility(returns: Returns) -> dict[str, float]:
    """Return shares in inverse proportion to the standard deviation of returns.

    The simple form of risk parity, exact where returns do not depend on each other: E. Qian, "Risk
    Parity Portfolios", PanAgora, 2005. One that never moved would get all, so it gets none.
    """
    return _in_proportion({name: 1 / d if (d := _deviation(row)) else 0.0 for name, row in returns.items()})


def sharpe_weighted(returns: Returns) -> dict[str, float]:
    """Return shares in proportion to mean over deviation of returns; losers get nothing.

    W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21:1, 1994.
    """
    return _in_proportion(
        {
            name: max(0.0, _mean(row) / deviation) if (deviation := _deviation(row)) else 0.0
            for name, row in returns.items()
        }
    )


def capped_kelly(returns: Returns, *, cap: float) -> dict[str, float]:
    """Return mean over variance of each one's returns, at most the cap, all scaled down to 1 if above.

    Kelly's rule for returns that move little a day: E. O. Thorp, "The Kelly Criterion in Blackjack,
    Sports Betting and the Stock Market", 1997. What no strategy earns stays cash.
    """
    stakes = {}
    for name, row in returns.items():
        deviation = _deviation(row)
        stakes[name] = min(cap, max(0.0, _mean(row) / (deviation * deviation))) if deviation else 0.0
    total = fsum(stakes.values())
    return {name: stake / total for name, stake in stakes.items()} if total > 1 else stakes


METHODS: Mapping[str, Callable[[Returns, float], dict[str, float]]] = {
    "equal": lambda returns, _: equal(returns),
    "inverse_volatility": lambda returns, _: inverse_volatility(returns),
    "sharpe": lambda returns, _: sharpe_weighted(returns),
    "kelly": lambda returns, cap: capped_kelly(returns, cap=cap),
}
"""Methods by the name they have in the settings; the second argument is the cap of Kelly's rule."""


def shares(
    method: str, returns: Returns, *, least_days: int, cap: float = 1.0, floor: float = 0.0
) -> dict[str, float]:
    """Return each strategy's share; while one of them has too short a history, all get the same.

    Args:
        method: one of `METHODS`.
        returns: of the strategies that run.
        least_days: returns that each must have.
        cap: most that Kelly's rule gives to one.
        floor: what each gets whatever its returns: one without any share could never earn one again.
    """
    if not returns or any(len(row) < least_days for row in returns.values()):
        return equal(returns)
    found = METHODS[method](returns, cap)
    rest = max(0.0, 1 - floor * len(found))
    return {name: min(floor, 1 / len(found)) + rest * share for name, share in found.items()}


def _mean(row: Sequence[float]) -> float:
    return fsum(row) / len(row)


def _deviation(row: Sequence[float]) -> float:
    """Return the standard deviation of a sample; 0 where there is none, or none to speak of."""
    if len(row) < 2:  # noqa: PLR2004
        return 0.0
    mean = _mean(row)
    deviation = sqrt(fsum((value - mean) * (value - mean) for value in row) / (len(row) - 1))
    return deviation if deviation > _STILL else 0.0


def _in_proportion(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights scaled to a sum of 1; where none has any, all the same."""
    total = fsum(weights.values())
    if total <= 0:
        return dict.fromkeys(weights, 1 / len(weights))
    return {name: weight / total for name, weight in weights.items()}
