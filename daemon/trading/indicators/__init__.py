"""Indicators of technical analysis: one value in, the new reading out, in constant time.

Each is None until it has seen enough, then a float. Whole numbers (scaled prices, quantities) are
added up exactly, however many come; floats are added up anew each time a window has turned, so no
error lives longer than two windows. Readings equal those of TA-Lib, from its first value on.

`dump` and `load` carry everything over, to the last bit.
"""

from __future__ import annotations

from daemon.trading.indicators.averages import EMA, SMA
from daemon.trading.indicators.bands import Bollinger, Donchian
from daemon.trading.indicators.deviation import StandardDeviation
from daemon.trading.indicators.indicator import Indicator
from daemon.trading.indicators.momentum import MACD, RSI
from daemon.trading.indicators.true_range import ATR
from daemon.trading.indicators.volume import VWAP

__all__ = [
    "ATR",
    "EMA",
    "MACD",
    "RSI",
    "SMA",
    "VWAP",
    "Bollinger",
    "Donchian",
    "Indicator",
    "StandardDeviation",
]
