"""Figures of merit of round trips, each with its definition. Pure; standard library only.

Profits are those after fees, in one currency and in order of the trips' ends. A trip that came to
exactly nothing is neither won nor lost. What is not defined is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from replay.metrics import deviation, exact_sum, noise, ratio

Profits = Sequence[float]


def win_rate(profits: Profits) -> float | None:
    """Return the share of trips that won. A fraction.

    Source: Tharp, Trade Your Way to Financial Freedom, 2nd ed., 2006.
    """
    return ratio(float(sum(profit > 0 for profit in profits)), len(profits))


def profit_factor(profits: Profits) -> float | None:
    """Return what was won over what was lost. A ratio; None without a loss.

    Source: Schwager, A Complete Guide to the Futures Market, 1984.
    """
    return ratio(
        exact_sum(profit for profit in profits if profit > 0),
        -exact_sum(profit for profit in profits if profit < 0),
    )


def expectancy(profits: Profits) -> float | None:
    """Return the mean profit of a trip, in the currency.

    Source: Tharp, 2006, who divides by the risk taken; here it is money.
    """
    return ratio(exact_sum(profits), len(profits))


def payoff(profits: Profits) -> float | None:
    """Return the mean win over the mean loss. A ratio; None without both.

    Source: Vince, Portfolio Management Formulas, 1990.
    """
    return ratio(average_win(profits), _minus(average_loss(profits)))


def average_win(profits: Profits) -> float | None:
    """Return the mean profit of the trips that won, in the currency."""
    return expectancy([profit for profit in profits if profit > 0])


def average_loss(profits: Profits) -> float | None:
    """Return the mean profit of the trips that lost, in the currency; below zero."""
    return expectancy([profit for profit in profits if profit < 0])


def longest_streak(profits: Profits, sign: int) -> int:
    """Return the most trips in a row that won (sign 1) or lost (sign -1)."""
    runs = groupby(profits, key=lambda profit: (profit > 0) - (profit < 0))
    return max((len(list(run)) for of, run in runs if of == sign), default=0)


def system_quality(profits: Profits) -> float | None:
    """Return mean over standard deviation of the profits, times the root of their number. A number.

    None without spread. Source: Tharp, Definitive Guide to Position Sizing, 2008 (SQN).
    """
    spread, middle = deviation(profits), expectancy(profits)
    if spread is None or spread <= noise(profits):
        return None
    found = ratio(middle, spread)
    return None if found is None else found * float(len(profits)) ** 0.5


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
