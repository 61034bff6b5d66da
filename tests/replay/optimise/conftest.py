"""A market to search in."""

from __future__ import annotations

from random import Random

import pytest

from replay.spec import BacktestSpec
from tests.replay.recordings import instrument, trade, write_journal


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    """A data folder with 4,000 trades of a random walk, a second apart."""
    chance = Random(7)
    price = 10_000
    trades = []
    for number in range(4_000):
        price += chance.choice((-6, -3, 0, 3, 6))
        trades.append(trade(number, price))
    return write_journal(tmp_path_factory.mktemp("market"), [instrument()], trades)


@pytest.fixture
def spec(market):
    """A backtest on it."""
    return BacktestSpec(
        data=(str(market),), strategy="ma_cross", parameters={"fast": 5, "slow": 20, "quantity": "10"}
    )
