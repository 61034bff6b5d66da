"""Recorded minute bars for indicators: SPY, IBM and BTC-USD, prices as whole numbers."""

from __future__ import annotations

import csv
import io
import zipfile
from decimal import Decimal
from typing import NamedTuple

import pytest

FILES = {
    "SPY": "lean/equity/usa/minute/spy/20131008_trade.zip",
    "IBM": "lean/equity/usa/minute/ibm/20131009_trade.zip",
    "BTC-USD": "lean/crypto/coinbase/minute/btcusd/20180404_trade.zip",
}


class Bars(NamedTuple):
    high: list[int]
    low: list[int]
    close: list[int]


@pytest.fixture(params=FILES)
def bars(request, market_data):
    with zipfile.ZipFile(market_data / FILES[request.param]) as archive:
        (name,) = archive.namelist()
        rows = list(csv.reader(io.TextIOWrapper(archive.open(name))))
    scale = 100 if request.param == "BTC-USD" else 1  # The equities' prices are whole already.
    prices = [[int(Decimal(cell) * scale) for cell in row[2:5]] for row in rows]
    return Bars(*(list(column) for column in zip(*prices, strict=True)))
