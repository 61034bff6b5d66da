from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.montecarlo import MAX_STEPS, METHODS, MonteCarloError, Stakes, quantiles, simulate, walk_of

STAKES = Stakes(start=10_000.0, ruin=8_000.0, target=12_000.0)


def trades(count=200, *, mean=5.0, spread=100.0, seed=3):
    chance = Random(seed)
    return [chance.gauss(mean, spread) for _ in range(count)]


def test_another_order_of_the_same_trades_ends_where_they_ended():
    results = trades()
    odds = simulate(results, STAKES, method="shuffle", paths=200)
    assert odds.final_equity[0.01] == pytest.approx(odds.final_equity[0.99])
    assert odds.final_equity[0.5] == pytest.approx(10_000 + sum(results))
    assert odds.max_drawdown[0.05] < odds.max_drawdown[0.95]


def test_drawn_anew_the_end_varies_around_the_mean():
    results = trades()
    odds = simulate(results, STAKES, method="bootstrap", paths=2_000)
    assert odds.final_equity[0.05] < odds.final_equity[0.5] < odds.final_equity[0.95]
    assert odds.final_equity[0.5] == pytest.approx(10_000 + sum(results), abs=200)


def test_streaks_drawn_as_blocks_fall_deeper_than_single_trades():
    streaks = ([100.0] * 20 + [-100.0] * 20) * 5
    single = simulate(streaks, STAKES, method="bootstrap", paths=500)
    blocks = simulate(streaks, STAKES, method="block", block=20, paths=500)
    assert blocks.max_drawdown[0.5] > 1.2 * single.max_drawdown[0.5]


def test_sure_losses_ruin_and_sure_gains_reach_the_target():
    assert simulate([-100.0] * 30, STAKES, method="bootstrap", paths=50).ruin == 1.0
    gains = simulate([100.0] * 30, STAKES, method="block", paths=50)
    assert (gains.target, gains.ruin, gains.loss) == (1.0, 0.0, 0.0)


def test_ruin_of_a_fair_coin_is_that_of_the_reflection_principle():
    # A walk of 100 steps of one falls to -10 with probability 2 P(S < -10) + P(S = -10) = 0.3197
    odds = simulate([1.0, -1.0] * 50, Stakes(100.0, 90.0, 1e6), method="bootstrap", paths=20_000)
    assert odds.ruin == pytest.approx(0.320, abs=0.012)


def test_compounded_results_are_fractions_of_the_equity():
    odds = simulate([0.1, 0.1], Stakes(100.0, 1.0, 120.5, compound=True), method="shuffle", paths=5)
    assert odds.final_equity[0.5] == pytest.approx(121.0)
    assert odds.target == 1.0


def test_equal_seeds_give_equal_paths():
    assert simulate(trades(), STAKES, method="block", paths=50, seed=4) == simulate(
        trades(), STAKES, method="block", paths=50, seed=4
    )
    assert simulate(trades(), STAKES, method="block", paths=50, seed=4) != simulate(
        trades(), STAKES, method="block", paths=50, seed=5
    )


@pytest.mark.parametrize(
    ("results", "more", "says"),
    [
        ([1.0], {}, "1 closed trades, expected at least 2"),
        ([1.0] * 100, {"paths": MAX_STEPS}, "expected 1 to 500,000 paths"),
        ([1.0] * 100, {"paths": 0}, "0 paths"),
        ([1.0] * 100, {"block": 101}, "blocks of 101, expected 1 to 100"),
    ],
)
def test_what_cannot_be_drawn_is_refused(results, more, says):
    with pytest.raises(MonteCarloError, match=says):
        simulate(results, STAKES, method="block", **more)


@pytest.mark.parametrize(("ruin", "target"), [(10_000.0, 12_000.0), (1.0, 10_000.0), (-1.0, 12_000.0)])
def test_stakes_that_do_not_lie_around_the_start_are_refused(ruin, target):
    with pytest.raises(MonteCarloError, match="expected ruin below the start"):
        Stakes(10_000.0, ruin, target)


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=30), st.sampled_from(METHODS))
def test_whatever_the_trades_quantiles_rise_and_shares_are_shares(results, method):
    odds = simulate(results, STAKES, method=method, paths=20)
    for table in (odds.final_equity, odds.max_drawdown):
        assert list(table.values()) == sorted(table.values())
    assert all(0 <= share <= 1 for share in (odds.ruin, odds.target, odds.loss))


def test_the_deepest_fall_is_from_the_high_before_it():
    path = walk_of([100.0, 120.0, 90.0, 130.0, 120.0])
    assert (path.final, path.low, path.high) == (120.0, 90.0, 130.0)
    assert path.drawdown == pytest.approx(0.25)


def test_a_quantile_is_the_smallest_value_that_its_share_does_not_exceed():
    found = quantiles([float(n) for n in range(1, 101)])
    assert (found[0.01], found[0.5], found[0.99]) == (1.0, 50.0, 99.0)
