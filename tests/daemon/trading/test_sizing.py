"""Quantities by each rule of position sizing: exact, in whole lots, never more than the rule allows."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import sizing
from daemon.trading.money import MAX_INTEGER, MONEY_ONE, PPM, notional

equities = st.integers(-(10**6), 10**9).map(lambda units: units * MONEY_ONE)
parts = st.integers(0, PPM)
prices = st.integers(1, 10**8)


@pytest.fixture(scope="module")
def future(make):
    """Lots of 5, a hundred units of value to a point."""
    return make.instrument(lot_size=5, multiplier=100)


@pytest.fixture(scope="module")
def share(make):
    """A share at cents."""
    return make.instrument()


def test_ten_percent_of_100000_buys_66_shares_at_150(share):
    bought = sizing.percent_of_equity(share, equity=100_000 * MONEY_ONE, ppm=100_000, price=15_000)
    assert bought == 66


def test_one_percent_of_100000_at_risk_over_two_dollars_is_500_shares(share):
    assert sizing.percent_risk(share, equity=100_000 * MONEY_ONE, ppm=10_000, stop_distance=200) == 500


def test_an_average_range_of_half_a_dollar_allows_2000_shares_at_one_percent(share):
    assert sizing.volatility_adjusted(share, equity=100_000 * MONEY_ONE, ppm=10_000, atr=50.0) == 2000


@given(equity=equities, ppm=parts, price=prices)
def test_what_is_bought_costs_at_most_the_part_and_one_lot_more_would_not(future, equity, ppm, price):
    quantity = sizing.percent_of_equity(future, equity=equity, ppm=ppm, price=price)
    assert quantity >= 0
    assert quantity % 5 == 0
    allowed = Fraction(max(0, equity) * ppm, PPM)
    assert notional(future, price, quantity) <= allowed < notional(future, price, quantity + 5)


@given(equity=equities, ppm=parts, distance=st.floats(0.001, 1e6))
def test_what_is_risked_loses_at_most_the_part_at_the_stop(future, equity, ppm, distance):
    quantity = sizing.percent_risk(future, equity=equity, ppm=ppm, stop_distance=distance)
    lost_by_one = Fraction(distance) * notional(future, 1, 1)
    allowed = Fraction(max(0, equity) * ppm, PPM)
    assert lost_by_one * quantity <= allowed < lost_by_one * (quantity + 5)


@pytest.mark.parametrize("distance", [0, -1, float("inf"), float("nan")])
def test_a_stop_at_no_distance_sizes_nothing(share, distance):
    assert sizing.percent_risk(share, equity=MONEY_ONE, ppm=PPM, stop_distance=distance) == 0


@given(profits=st.lists(st.integers(-(10**6), 10**6), max_size=40), cap=parts)
def test_kellys_stake_is_his_formula_between_zero_and_the_cap(profits, cap):
    won = [profit for profit in profits if profit > 0]
    lost = [-profit for profit in profits if profit <= 0]
    stake = Fraction(0)
    if won:
        share = Fraction(len(won), len(profits))
        stake = share
        if lost:
            payoff = Fraction(sum(won), len(won)) / Fraction(sum(lost) or 1, len(lost))
            stake = share - (1 - share) / payoff if sum(lost) else share
    expected = max(0, min(cap, stake * PPM // 1))
    assert sizing.kelly_ppm(profits, cap_ppm=cap) == expected


def test_even_odds_at_twice_the_stake_are_worth_a_quarter():
    assert sizing.kelly_ppm([200, -100], cap_ppm=PPM) == 250_000


def test_no_quantity_is_above_what_a_journal_holds(share):
    huge = sizing.percent_of_equity(share, equity=10**60, ppm=PPM, price=1)
    assert huge == sizing.whole_lots(share, 10**40) == MAX_INTEGER
