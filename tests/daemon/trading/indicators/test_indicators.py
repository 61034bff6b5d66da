"""Indicators against slow exact calculations: any values, any length, a million of them."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.indicators import (
    ATR,
    EMA,
    MACD,
    RSI,
    SMA,
    VWAP,
    Bollinger,
    Donchian,
    StandardDeviation,
)
from daemon.trading.indicators.indicator import IndicatorError

prices = st.lists(st.integers(1, 10**7), min_size=1, max_size=80)
lengths = st.integers(1, 12)


def windows(values, length):
    """Return each value with those before it that are in the window, None while it is not full."""
    return [values[end - length : end] if end >= length else None for end in range(1, len(values) + 1)]


def is_near(reading, exact, relative=1e-12):
    if exact is None:
        return reading is None
    return math.isclose(reading, exact, rel_tol=relative, abs_tol=1e-12)


@given(prices, lengths)
def test_a_simple_average_is_the_mean_of_its_window(values, length):
    indicator = SMA(length)
    for value, window in zip(values, windows(values, length), strict=True):
        assert indicator.update(value) == (None if window is None else sum(window) / length)


@given(prices, lengths)
def test_a_deviation_is_that_of_its_window(values, length):
    indicator = StandardDeviation(length)
    for value, window in zip(values, windows(values, length), strict=True):
        exact = None if window is None else math.sqrt(statistics.pvariance(map(Fraction, window)))
        assert is_near(indicator.update(value), exact)
        assert window is None or indicator.mean == sum(window) / length


@given(prices, lengths)
def test_an_exponential_average_follows_its_definition(values, length):
    indicator, average = EMA(length), None
    for number, value in enumerate(values, 1):
        if number == length:
            average = Fraction(sum(values[:length]), length)
        elif average is not None:
            average += Fraction(2, length + 1) * (value - average)
        assert is_near(indicator.update(value), None if average is None else float(average))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=80), lengths)
def test_a_channel_holds_the_highest_and_lowest_of_its_window(bars, length):
    indicator = Donchian(length)
    for (low, height), window in zip(bars, windows(bars, length), strict=True):
        indicator.update(low + height, low)
        if window is None:
            assert indicator.value is None
        else:
            assert indicator.upper == max(low + height for low, height in window)
            assert indicator.lower == min(low for low, _ in window)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), min_size=1, max_size=60))
def test_a_volume_weighted_price_is_exact_over_its_session(traded):
    indicator = VWAP()
    for number, (price, volume) in enumerate(traded, 1):
        indicator.update(price, volume)
        weight = sum(v for _, v in traded[:number])
        if not weight:
            assert indicator.value is None
            continue
        mean = Fraction(sum(p * v for p, v in traded[:number]), weight)
        variance = sum(v * (p - mean) ** 2 for p, v in traded[:number]) / weight
        assert is_near(indicator.value, float(mean))
        assert is_near(indicator.deviation, math.sqrt(variance))


def test_a_new_session_forgets_what_was_traded_before():
    indicator = VWAP()
    indicator.update(100, 5)
    indicator.begin_session()
    assert indicator.value is None
    assert indicator.update(200, 1) == 200
    assert indicator.deviation == 0


def test_strength_reads_50_where_nothing_moves_and_its_ends_where_all_moves_one_way():
    for step, reading in ((0, 50), (1, 100), (-1, 0)):
        indicator = RSI(3)
        for number in range(10):
            indicator.update(1000 + step * number)
        assert indicator.value == reading


@pytest.mark.parametrize("scale", [1, 0.01])
def test_nothing_drifts_after_a_million_values(scale):
    chance = random.Random(7)
    average, deviation = SMA(50), StandardDeviation(50)
    price, window = 60_000_00, []
    for number in range(1_000_000):
        # A jump of a thousandfold and back leaves its squares behind, where they are only added up.
        price += chance.choice((-3, -1, 0, 1, 3))
        value = (price * 1000 if number == 777_777 else price) * scale
        average.update(value)
        deviation.update(value)
        if number >= 999_950:
            window.append(value)
    exact = [Fraction(value) for value in window]
    assert is_near(average.value, float(sum(exact) / 50), 1e-15)
    assert is_near(deviation.value, math.sqrt(statistics.pvariance(exact)), 1e-9)


def test_whole_numbers_beyond_a_float_are_added_up_exactly():
    average, deviation = SMA(4), StandardDeviation(4)
    for value in (2**62, 2**62 + 2, 2**62 + 4, 2**62 + 6, 2**62 + 8):
        average.update(value)
        deviation.update(value)
    assert average.value == deviation.mean == float(2**62 + 5)
    assert deviation.value == math.sqrt(5)


MAKERS = {
    "SMA": lambda: SMA(5),
    "EMA": lambda: EMA(5),
    "RSI": lambda: RSI(5),
    "MACD": lambda: MACD(3, 6, 4),
    "Bollinger": lambda: Bollinger(5),
    "StandardDeviation": lambda: StandardDeviation(5),
    "ATR": lambda: ATR(5),
    "Donchian": lambda: Donchian(5),
    "VWAP": VWAP,
}


def feed(indicator, value):
    if isinstance(indicator, ATR):
        return indicator.update(value + 3, value - 2, value)
    if isinstance(indicator, (Donchian, VWAP)):
        return indicator.update(value + 3, max(1, value - 2))
    return indicator.update(value)


@pytest.mark.parametrize("name", MAKERS)
@given(
    values=st.lists(st.one_of(st.integers(1, 2**62), st.floats(1, 1e9)), max_size=40),
    cut=st.integers(0, 40),
)
def test_a_dump_carries_everything_over_to_the_last_bit(name, values, cut):
    whole, first, second = MAKERS[name](), MAKERS[name](), MAKERS[name]()
    for value in values[:cut]:
        feed(whole, value)
        feed(first, value)
    second.load(msgspec.msgpack.decode(msgspec.msgpack.encode(first.dump())))
    assert second.dump() == whole.dump()
    for value in values[cut:]:
        assert feed(second, value) == feed(whole, value)
    assert second.dump() == whole.dump()


@pytest.mark.parametrize("make", [lambda: SMA(0), lambda: EMA(-1), lambda: MACD(5, 5), lambda: Donchian(0)])
def test_a_length_that_makes_no_window_is_refused(make):
    with pytest.raises(IndicatorError):
        make()
