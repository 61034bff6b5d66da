"""On recorded bars every indicator reads what TA-Lib reads, from TA-Lib's first value on."""

from __future__ import annotations

import math

import pytest

from daemon.trading.indicators import ATR, EMA, MACD, RSI, SMA, Bollinger, Donchian, StandardDeviation

np = pytest.importorskip("numpy", reason="TA-Lib is not installed; tools/setup --dev installs it")
talib = pytest.importorskip("talib", reason="TA-Lib is not installed; tools/setup --dev installs it")

LENGTHS = (5, 14, 50)


def same(ours, theirs, *, relative=1e-9, absolute=0.0):
    """Hold our readings against an array in which NaN stands for none yet."""
    assert len(ours) == len(theirs)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine is None:
            assert math.isnan(other), number
        else:
            assert math.isclose(mine, other, rel_tol=relative, abs_tol=absolute), (number, mine, other)
    assert sum(mine is not None for mine in ours) > len(ours) / 2


def array(values):
    return np.asarray(values, dtype=float)


@pytest.mark.parametrize("length", LENGTHS)
def test_simple_average(bars, length):
    indicator = SMA(length)
    same([indicator.update(close) for close in bars.close], talib.SMA(array(bars.close), length))


@pytest.mark.parametrize("length", LENGTHS)
def test_exponential_average(bars, length):
    indicator = EMA(length)
    same([indicator.update(close) for close in bars.close], talib.EMA(array(bars.close), length))


@pytest.mark.parametrize("length", LENGTHS)
def test_relative_strength(bars, length):
    indicator = RSI(length)
    same([indicator.update(close) for close in bars.close], talib.RSI(array(bars.close), length))


@pytest.mark.parametrize(("fast", "slow", "signal"), [(12, 26, 9), (3, 10, 16)])
def test_convergence_of_averages(bars, fast, slow, signal):
    indicator = MACD(fast, slow, signal)
    readings = []
    for close in bars.close:
        indicator.update(close)
        ready = indicator.signal is not None
        readings.append((indicator.value if ready else None, indicator.signal, indicator.histogram))
    line, its_signal, histogram = talib.MACD(array(bars.close), fast, slow, signal)
    for ours, theirs in zip(zip(*readings, strict=True), (line, its_signal, histogram), strict=True):
        # Distances of averages that nearly meet: what counts is the size of the averages, that of prices.
        same(ours, theirs, absolute=1e-12 * min(bars.close))


@pytest.mark.parametrize("length", LENGTHS)
def test_standard_deviation(bars, length):
    indicator = StandardDeviation(length)
    readings = [indicator.update(close) for close in bars.close]
    # TA-Lib adds up squares of prices over all bars and loses digits: 1 in 10**9 after 200 bars of
    # Bitcoin. Each window by itself, as distances from its first price, it reads exactly.
    closes = array(bars.close)
    windows = [closes[end - length : end] for end in range(length, len(closes) + 1)]
    theirs = [talib.STDDEV(window - window[0], length)[-1] for window in windows]
    same(readings, [math.nan] * (length - 1) + theirs)


@pytest.mark.parametrize("length", LENGTHS)
def test_bollinger_bands(bars, length):
    indicator = Bollinger(length, 2.0)
    readings = []
    for close in bars.close:
        indicator.update(close)
        readings.append((indicator.upper, indicator.value, indicator.lower))
    theirs = talib.BBANDS(array(bars.close), length, 2.0, 2.0)
    for ours, other in zip(zip(*readings, strict=True), theirs, strict=True):
        same(ours, other)


@pytest.mark.parametrize("length", LENGTHS)
def test_average_true_range(bars, length):
    indicator = ATR(length)
    readings = [
        indicator.update(high, low, close)
        for high, low, close in zip(bars.high, bars.low, bars.close, strict=True)
    ]
    same(readings, talib.ATR(array(bars.high), array(bars.low), array(bars.close), length))


@pytest.mark.parametrize("length", LENGTHS)
def test_highest_and_lowest(bars, length):
    indicator = Donchian(length)
    readings = []
    for high, low in zip(bars.high, bars.low, strict=True):
        indicator.update(high, low)
        readings.append((indicator.upper, indicator.lower))
    upper, lower = zip(*readings, strict=True)
    same(upper, talib.MAX(array(bars.high), length))
    same(lower, talib.MIN(array(bars.low), length))
