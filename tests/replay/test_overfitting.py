from __future__ import annotations

from itertools import combinations
from random import Random
from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.overfitting import (
    BLOCKS,
    DOUBTFUL,
    LUCK,
    TRUSTED,
    Moments,
    deflated_sharpe,
    independent_trials,
    judge,
    luck_sharpe,
    moments,
    probabilistic_sharpe,
    probability_of_overfitting,
)

PERIODS = 240
DAYS = 250
PUBLISHED = Moments(periods=1250, sharpe=2.5 / DAYS**0.5, skewness=-3.0, kurtosis=10.0)
"""The numerical example of "The Deflated Sharpe Ratio": 5 years of days, annualised 2.5."""


def noise(trials, *, seed=1, periods=PERIODS):
    chance = Random(seed)
    return [[chance.gauss(0, 0.01) for _ in range(periods)] for _ in range(trials)]


def test_the_published_example_of_the_expected_best_of_100_tries_is_met():
    assert luck_sharpe(0.5 / DAYS, 100) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(("trials", "published"), [(100, 0.9004), (46, 0.9505)])
def test_the_published_examples_of_the_deflated_sharpe_ratio_are_met(trials, published):
    assert deflated_sharpe(PUBLISHED, 0.5 / DAYS, trials) == pytest.approx(published, abs=5e-5)


def test_one_try_is_not_deflated():
    assert luck_sharpe(0.5, 1) == 0.0
    assert deflated_sharpe(PUBLISHED, 0.5, 1) == probabilistic_sharpe(PUBLISHED)


def test_of_normal_returns_the_probability_is_that_of_the_t_statistic():
    plain = Moments(periods=101, sharpe=0.1, skewness=0.0, kurtosis=3.0)
    # sqrt(100) * 0.1 / sqrt(1 + 0.1**2 / 2) = 0.99751; the normal distribution there is 0.84074.
    assert probabilistic_sharpe(plain) == pytest.approx(0.84074, abs=1e-5)


def test_a_variance_below_zero_gives_no_probability():
    assert probabilistic_sharpe(Moments(periods=100, sharpe=1.0, skewness=9.0, kurtosis=3.0)) is None


@pytest.mark.parametrize("returns", [[], [0.1, 0.2], [0.5] * 20])
def test_returns_that_say_nothing_have_no_moments(returns):
    assert moments(returns) is None


def test_moments_are_those_of_the_definitions():
    found = moments([1.0, 2.0, 3.0, 10.0])
    assert found.sharpe == pytest.approx(4.0 / 4.0824829)
    assert found.skewness == pytest.approx(1.0182338)
    assert found.kurtosis == pytest.approx(2.2304)


def by_the_book(returns, blocks):
    """The same probability, written down again from the paper without any of the sums."""
    length = len(returns[0]) // blocks
    below = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = [t for b in chosen for t in range(b * length, (b + 1) * length)]
        outside = [t for t in range(blocks * length) if t not in set(inside)]
        scores = [
            [fmean(s[t] for t in part) / pstdev(s[t] for t in part) for s in returns]
            for part in (inside, outside)
        ]
        best = max(range(len(returns)), key=lambda at: scores[0][at])
        rank = sum(value <= scores[1][best] for value in scores[1]) / (len(returns) + 1)
        below.append(rank <= 0.5)
    return fmean(below)


def test_the_probability_of_overfitting_is_that_of_the_papers_recipe():
    for seed in range(3):
        returns = noise(7, seed=seed, periods=50)
        assert probability_of_overfitting(returns, 6) == pytest.approx(by_the_book(returns, 6))


def test_one_skilled_try_among_noise_is_not_overfitted():
    returns = noise(50)
    returns[7] = [value + 0.01 for value in returns[7]]
    assert probability_of_overfitting(returns) < 0.01


def test_choosing_among_noise_is_as_good_as_a_coin_on_average():
    found = [probability_of_overfitting(noise(20, seed=seed)) for seed in range(12)]
    assert 0.35 < fmean(found) < 0.65


@pytest.mark.parametrize("returns", [noise(1), noise(5, periods=2 * BLOCKS - 1), [[0.0] * PERIODS] * 9])
def test_too_little_to_compare_gives_no_probability(returns):
    assert probability_of_overfitting(returns) is None


def test_independent_tries_count_each_and_equal_ones_once():
    assert independent_trials(noise(40)) == pytest.approx(40, rel=0.02)
    assert independent_trials(noise(1) * 40) == pytest.approx(1)


@given(st.lists(st.lists(st.floats(-0.5, 0.5), min_size=30, max_size=30), min_size=1, max_size=6))
def test_whatever_the_returns_probabilities_are_between_0_and_1(returns):
    found = judge(returns, 0)
    for value in (found.deflated_sharpe, found.overfitting):
        assert value is None or 0 <= value <= 1
    assert 0 <= found.independent_trials <= len(returns) if found.independent_trials is not None else True


def test_the_verdict_follows_the_probabilities():
    lucky = noise(100)
    best = max(range(100), key=lambda at: sum(lucky[at]))
    assert LUCK in judge(lucky, best).verdict or DOUBTFUL in judge(lucky, best).verdict
    skilled = [*lucky, [value + 0.01 for value in noise(1, seed=9)[0]]]
    assert TRUSTED in judge(skilled, 100).verdict
    assert "say nothing" in judge([[0.0] * PERIODS] * 3, 0).verdict
