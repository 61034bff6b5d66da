from __future__ import annotations

import math
import zipfile
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import metrics, trip_metrics
from replay.measure import DAY_NS, METRICS, EquityPoint, Trip, measure

returns_of_any_kind = st.lists(st.floats(-1, 10, allow_nan=False), max_size=60)
profits_of_any_kind = st.lists(st.floats(-1e9, 1e9, allow_nan=False), max_size=60)

# By empyrical-reloaded 0.7.1 (numpy 2.4.6, pandas 3.1.1) and scipy 1.17.1, of `spy_returns`, 252 a year.
BY_EMPYRICAL = {
    "total_return": 3.0707682826622955,
    "cagr": 0.0623606218487911,
    "volatility": 0.1953808915781106,
    "sharpe": 0.407501333297983,
    "sortino": 0.5733841342343383,
    "downside": 0.1388562554583859,
    "omega": 1.079945005541118,
    "max_drawdown": -0.5645140664961641,
    "calmar": 0.110467790884029,
    "value_at_risk": -0.01895457090737741,
    "conditional_value_at_risk": -0.029530374467944636,
    "tail_ratio": 0.9350826722446963,
    "skewness": -0.1475413690404314,
    "kurtosis": 11.97791511272778,
}


@pytest.fixture(scope="module")
def spy_closes(market_data):
    """Daily closes of SPY from 1998 to 2021, as the vendor adjusted them."""
    with zipfile.ZipFile(market_data / "lean/equity/usa/daily/spy.zip") as archive:
        lines = archive.read(archive.namelist()[0]).decode().split("\n")
    return [int(line.split(",")[4]) for line in lines if line]


@pytest.fixture(scope="module")
def spy_returns(spy_closes):
    return [after / before - 1 for before, after in pairwise(spy_closes)]


def ours(returns, closes) -> dict[str, float | None]:
    growth = metrics.total_return(returns)
    rate = metrics.cagr(growth, len(returns) / 252)
    deepest = metrics.drawdowns(list(enumerate(closes))).deepest
    return {
        "total_return": growth,
        "cagr": rate,
        "volatility": metrics.volatility(returns, 252),
        "sharpe": metrics.sharpe(returns, 252),
        "sortino": metrics.sortino(returns, 252),
        "downside": metrics.downside_deviation(returns, 252),
        "omega": metrics.omega(returns),
        "max_drawdown": deepest,
        "calmar": metrics.ratio(rate, -deepest),
        "value_at_risk": metrics.value_at_risk(returns),
        "conditional_value_at_risk": metrics.conditional_value_at_risk(returns),
        "tail_ratio": metrics.tail_ratio(returns),
        "skewness": metrics.skewness(returns),
        "kurtosis": metrics.kurtosis(returns),
    }


def test_figures_of_23_years_of_spy_are_those_that_empyrical_gave(spy_returns, spy_closes):
    assert len(spy_returns) == 5848
    assert ours(spy_returns, spy_closes) == pytest.approx(BY_EMPYRICAL, rel=1e-12)


def test_figures_of_every_year_of_spy_are_those_that_empyrical_gives(spy_returns):
    reason = "empyrical-reloaded is not installed: with pandas and scipy it takes 340 MB"
    empyrical = pytest.importorskip("empyrical", reason=reason)
    for start in range(0, len(spy_returns), 252):
        returns = spy_returns[start : start + 252]
        theirs = {
            "volatility": empyrical.annual_volatility(_array(returns)),
            "sharpe": empyrical.sharpe_ratio(_array(returns)),
            "sortino": empyrical.sortino_ratio(_array(returns)),
            "max_drawdown": empyrical.max_drawdown(_array(returns)),
            "cagr": empyrical.cagr(_array(returns)),
            "conditional_value_at_risk": empyrical.conditional_value_at_risk(_array(returns)),
        }
        closes = [1.0]
        for value in returns:
            closes.append(closes[-1] * (1 + value))
        found = ours(returns, closes)
        assert {name: found[name] for name in theirs} == pytest.approx(theirs, rel=1e-9)


def _array(returns):
    return pytest.importorskip("numpy").array(returns)


def test_measure_of_a_curve_of_days_gives_these_figures_too(spy_closes, spy_returns):
    curve = [EquityPoint(n * DAY_NS, close) for n, close in enumerate(spy_closes)]
    found = measure(curve)
    assert (found.period, found.returns, found.periods_per_year) == ("day", 5848, 252)
    for name in ("total_return", "volatility", "sharpe", "sortino", "omega", "tail_ratio", "max_drawdown"):
        assert found[name] == pytest.approx(BY_EMPYRICAL[name], rel=1e-12)


def test_the_probabilistic_sharpe_ratio_is_that_of_its_paper():
    # Bailey and López de Prado, 2012, equation 11, for returns whose moments are plain.
    returns = [0.03, -0.01, 0.02, 0.0, 0.01, -0.02, 0.04, 0.01]
    ratio = metrics.sharpe(returns)
    skew, tails = metrics.skewness(returns), metrics.kurtosis(returns)
    z = ratio * math.sqrt(7) / math.sqrt(1 - skew * ratio + (tails - 1) / 4 * ratio**2)
    assert metrics.probabilistic_sharpe(returns) == pytest.approx(0.5 * math.erfc(-z / math.sqrt(2)))
    assert metrics.probabilistic_sharpe(returns, ratio) == pytest.approx(0.5)


def test_drawdowns_of_a_curve_one_can_follow_by_hand():
    found = metrics.drawdowns([(0, 100), (10, 80), (20, 100), (30, 110), (50, 99), (60, 88)])
    assert found.deepest == pytest.approx(-0.2)
    assert found.longest_ns == 30
    assert found.under_water == pytest.approx((10 + 10) / 60)
    assert found.ulcer == pytest.approx(math.sqrt((0.2**2 + 0.1**2 + 0.2**2) / 6))


def test_figures_of_trips_one_can_follow_by_hand():
    profits = [10, 20, -5, -10, -5, 0, 30]
    assert trip_metrics.win_rate(profits) == pytest.approx(3 / 7)
    assert trip_metrics.profit_factor(profits) == pytest.approx(3)
    assert trip_metrics.expectancy(profits) == pytest.approx(40 / 7)
    assert trip_metrics.payoff(profits) == pytest.approx(3)
    assert trip_metrics.longest_streak(profits, 1) == 2
    assert trip_metrics.longest_streak(profits, -1) == 3


@pytest.mark.parametrize(
    "name",
    ["sharpe", "sortino", "omega", "skewness", "kurtosis", "tail_ratio", "probabilistic_sharpe"],
)
@pytest.mark.parametrize("returns", [[], [0.0], [0.0, 0.0, 0.0]])
def test_what_is_not_defined_is_none(name, returns):
    assert getattr(metrics, name)(returns) is None


def test_equal_returns_have_no_sharpe_ratio():
    assert metrics.sharpe([0.1] * 7) is None


@given(returns_of_any_kind, profits_of_any_kind)
def test_figures_are_finite_or_none(returns, profits):
    equity, curve = 1000.0, [EquityPoint(0, 1000.0)]
    for number, value in enumerate(returns, 1):
        equity *= 1 + value
        curve.append(EquityPoint(number * DAY_NS, equity, gross=equity))
    trips = [Trip(0, 1, profit) for profit in profits]
    found = measure(curve, trips, rounds=50)
    assert list(found.values) == list(METRICS)
    assert all(value is None or math.isfinite(value) for value in found.values.values())
    assert all(math.isfinite(bound) for bounds in found.intervals.values() for bound in bounds)


@given(returns_of_any_kind, st.integers(1, 9))
def test_drawdowns_lie_between_nothing_and_all(returns, start):
    curve = [(0, float(start))]
    for number, value in enumerate(returns, 1):
        curve.append((number, max(0.0, curve[-1][1] * (1 + value))))
    found = metrics.drawdowns(curve)
    assert -1 <= found.deepest <= 0
    assert 0 <= found.ulcer <= -found.deepest + 1e-12
    assert 0 <= found.longest_ns <= len(returns)
