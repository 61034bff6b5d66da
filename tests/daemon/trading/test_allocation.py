"""Shares of the equity: by each method, from returns alone."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import allocation
from daemon.trading.allocation import METHODS, shares

CALM = [0.01, -0.01, 0.01, -0.01, 0.02]
WILD = [0.1, -0.1, 0.1, -0.1, 0.2]
LOSING = [-0.01, -0.02, 0.0, -0.01, -0.02]

rows = st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=30)
histories = st.dictionaries(st.sampled_from("abcdef"), rows, min_size=1)


def test_equal_shares_are_equal():
    assert allocation.equal({"a": CALM, "b": WILD}) == {"a": 0.5, "b": 0.5}


def test_ten_times_the_volatility_gets_a_tenth():
    found = allocation.inverse_volatility({"calm": CALM, "wild": WILD})
    assert math.isclose(found["calm"], 10 * found["wild"])
    assert math.isclose(sum(found.values()), 1)


def test_shares_by_sharpe_follow_mean_over_deviation_and_losers_get_none():
    steady = [0.01, 0.012, 0.008, 0.01, 0.01]
    found = allocation.sharpe_weighted({"steady": steady, "calm": CALM, "losing": LOSING})
    ratio = [statistics.mean(row) / statistics.stdev(row) for row in (steady, CALM)]
    assert found["losing"] == 0
    assert math.isclose(found["steady"] / found["calm"], ratio[0] / ratio[1])


def test_kelly_stakes_mean_over_variance_up_to_its_cap():
    row = [0.02, -0.02, 0.03, -0.02]
    exact = statistics.mean(row) / statistics.variance(row)
    assert math.isclose(allocation.capped_kelly({"a": row}, cap=9.0)["a"], min(1, exact))
    assert allocation.capped_kelly({"a": row, "b": LOSING}, cap=0.25) == {"a": 0.25, "b": 0.0}


@pytest.mark.parametrize("method", METHODS)
@given(returns=histories, cap=st.floats(0.01, 1), floor=st.floats(0, 1))
def test_shares_lie_between_zero_and_one_and_add_up_to_one_at_most(method, returns, cap, floor):
    found = shares(method, returns, least_days=1, cap=cap, floor=floor)
    assert list(found) == list(returns)
    assert all(0 <= share <= 1 + 1e-9 for share in found.values())
    assert math.fsum(found.values()) <= 1 + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_one_short_history_makes_all_shares_equal(method):
    found = shares(method, {"old": CALM * 10, "new": CALM[:3]}, least_days=5)
    assert found == {"old": 0.5, "new": 0.5}


@pytest.mark.parametrize("method", ["inverse_volatility", "sharpe"])
def test_where_no_history_tells_anything_all_get_the_same(method):
    assert shares(method, {"a": [0.0] * 9, "b": [0.0] * 9}, least_days=5) == {"a": 0.5, "b": 0.5}


def test_a_floor_keeps_a_loser_alive():
    found = shares("sharpe", {"calm": CALM, "losing": LOSING}, least_days=5, floor=0.1)
    assert math.isclose(found["losing"], 0.1)
    assert math.isclose(found["calm"], 0.9)


@pytest.mark.parametrize("method", METHODS)
def test_no_strategy_gets_no_share(method):
    assert shares(method, {}, least_days=5) == {}


def test_returns_that_rounding_alone_tells_apart_count_as_the_same():
    row = [0.1, 0.1 + 1e-16, 0.1, 0.1]
    assert allocation.inverse_volatility({"still": row, "calm": CALM}) == {"still": 0.0, "calm": 1.0}
