"""Averages that pass over many prices at once, against the same averages told one by one."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.cross import averages

_STEPS = st.lists(st.integers(-3, 3), min_size=1, max_size=120)
_LEVELS = st.sampled_from([0, 7, 10**9, 2**52, 2**53 + 1, 2**62])
_SCALES = st.sampled_from([1, 10**6, 2**40, 2**58 + 1])


def signs(fast: int, slow: int):
    """Return averages and the spreads they were asked about; they know a side once `slow` prices are in."""
    asked: list[float] = []

    def turn(spread: float) -> bool | None:
        asked.append(spread)
        return spread > 0 if len(asked) >= slow else None

    return averages(fast, slow, turn), asked


def scanned(prices: list, cuts: list[int], fast: int, slow: int):
    """Tell prices by scans that are cut, and those that a scan stops at one by one."""
    kept, asked = signs(fast, slow)
    for start, end in zip([0, *cuts], [*cuts, len(prices)], strict=True):
        batch = prices[start:end]
        at = 0
        while at < len(batch):
            at = kept.scan(batch, at)
            if at < len(batch):
                kept.on_price(batch[at])
                at += 1
    return kept.state(), asked


@given(
    steps=_STEPS,
    level=_LEVELS,
    scale=_SCALES,
    fast=st.integers(1, 9),
    more=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 120), max_size=4),
)
def test_passing_over_many_prices_leaves_the_same_state_to_the_last_bit(
    steps, level, scale, fast, more, cuts
):
    prices = [SimpleNamespace(price=(level + step * scale) % 2**63) for step in steps]
    kept, asked = signs(fast, fast + more)
    for price in prices:
        kept.on_price(price)
    places = sorted(min(cut, len(prices)) for cut in cuts)
    assert scanned(prices, places, fast, fast + more) == (kept.state(), asked)


def test_a_scan_goes_on_where_single_prices_were_told_meanwhile():
    prices = [SimpleNamespace(price=1000 + n) for n in range(60)]
    kept, _ = signs(2, 5)
    alike, _ = signs(2, 5)
    for price in prices:
        kept.on_price(price)
    for price in prices[:10]:
        alike.on_price(price)
    assert alike.scan(prices[:30], 10) == 30
    for price in prices[30:40]:
        alike.on_price(price)
    assert alike.scan(prices, 40) == 60
    assert alike.state() == kept.state()


def test_nothing_is_passed_over_before_the_averages_are_known():
    kept, _ = signs(2, 5)
    assert kept.scan([SimpleNamespace(price=1)], 0) == 0


def test_a_batch_that_is_told_by_scans_and_singly_in_turn_comes_to_the_same():
    prices = [SimpleNamespace(price=1000 + n * n % 37) for n in range(400)]
    kept, asked = signs(3, 11)
    alike, asked_alike = signs(3, 11)
    for price in prices:
        kept.on_price(price)
    for price in prices[:20]:
        alike.on_price(price)
    at = 20
    while at < len(prices):
        at = alike.scan(prices, at)
        for price in prices[at : at + 3]:
            alike.on_price(price)
        at += 3
    assert (alike.state(), asked_alike) == (kept.state(), asked)


def test_a_price_that_is_not_the_next_of_a_batch_known_ahead_counts_all_the_same():
    prices = [SimpleNamespace(price=1000 + n) for n in range(60)]
    other = SimpleNamespace(price=1041)
    kept, _ = signs(2, 5)
    alike, _ = signs(2, 5)
    for price in [*prices[:40], other, *prices[41:]]:
        kept.on_price(price)
    for price in prices[:10]:
        alike.on_price(price)
    falling = [*prices[10:40], SimpleNamespace(price=0)]
    assert alike.scan(falling, 0) == 30
    alike.on_price(other)
    assert alike.scan(prices, 41) == 60
    assert alike.state() == kept.state()
