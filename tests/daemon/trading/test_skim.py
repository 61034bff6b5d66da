"""Trades that are told many at once, against the same trades told one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.skim import is_plain
from daemon.trading.strategies.ma_cross import MovingAverageCross
from daemon.trading.strategy import Strategy
from schemas.events import SUSPICIOUS


class Counter(Strategy):
    """Buys at every trade whose price ends in seven, and breaks at one that ends in thirteen."""

    kind = "counter"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.told: list[int] = []

    def on_trade(self, trade) -> None:
        book = self.context.book(trade.instrument_id)
        assert book.trade is trade
        self.told.append(trade.price)
        if trade.price % 100 == 13:
            raise RuntimeError("thirteen")
        if trade.price % 10 == 7:
            self.context.hold(trade.instrument_id, trade.price % 3)

    def state(self):
        return {"told": list(self.told)}


class Sparing(Counter):
    """The same, which passes over what it does nothing at."""

    kind = "sparing"

    def trade_scan(self, instrument_id: int):
        def scan(trades, start: int) -> int:
            for at in range(start, len(trades)):
                if trades[at].price % 10 in (7, 3):
                    return at
                self.told.append(trades[at].price)
            return len(trades)

        return scan


class Heir(Sparing):
    """Hears of trades in a way of its own, which the scan above knows nothing of."""

    kind = "heir"

    def on_trade(self, trade) -> None:
        self.context.hold(trade.instrument_id, 1)


KINDS = {kind.kind: kind for kind in (Counter, Sparing, Heir, MovingAverageCross)}
_PRICES = st.lists(st.integers(9_900, 9_930), min_size=1, max_size=60)


def started(make, kind: str, instruments: int = 1, strategies: int = 1, **parameters) -> Core:
    core = Core(make.journal, kinds=KINDS)
    core.run([*(make.instrument(n + 1) for n in range(instruments)), make.deposit()])
    given_ = {f"param.{name}": value for name, value in parameters.items()}
    start = make.command("strategy.start", kind=kind, instruments=["I1"])
    for number in range(strategies):
        arguments = {**start.arguments, "strategy_id": f"s{number}", **given_}
        core.run([type(start)(ts_ns=1, who="t", role="admin", command=start.command, arguments=arguments)])
    return core


def one_by_one(core: Core, trades: list) -> list:
    return [decision for trade in trades for decision in core.advance(iter((trade,)))]


def together(core: Core, trades: list) -> list:
    decisions, at = [], 0
    while at < len(trades):
        at, found = core.advance_trades(trades, at)
        decisions += found
    return decisions


@pytest.mark.parametrize("strategies", [0, 1, 2])
@pytest.mark.parametrize("kind", ["counter", "sparing", "heir"])
@given(prices=_PRICES)
def test_many_trades_come_to_what_single_ones_come_to(make, kind, strategies, prices):
    trades = [make.trade(price, ts_ns=n + 2) for n, price in enumerate(prices)]
    singly, jointly = (started(make, kind, strategies=strategies) for _ in range(2))
    assert together(jointly, trades) == one_by_one(singly, trades)
    assert jointly.state() == singly.state()


@given(prices=_PRICES, fast=st.integers(1, 3), more=st.integers(1, 4))
def test_a_moving_average_cross_that_scans_trades_as_one_that_does_not(make, prices, fast, more):
    trades = [make.trade(price, ts_ns=n + 2) for n, price in enumerate(prices)]
    terms = {"fast": fast, "slow": fast + more, "quantity": "2", "short": True}
    singly, jointly = (started(make, "ma_cross", **terms) for _ in range(2))
    assert together(jointly, trades) == one_by_one(singly, trades)
    assert jointly.state() == singly.state()


def test_a_scan_counts_for_nothing_where_a_class_below_it_hears_of_trades_otherwise(make):
    core = started(make, "heir")
    assert core.books[1].trade_scan is None
    assert len(together(core, [make.trade(10_000, ts_ns=2)])) == 2


def test_a_scan_is_not_asked_while_somebody_else_hears_of_the_trades(make):
    assert started(make, "sparing").books[1].trade_scan is not None
    assert started(make, "sparing", strategies=2).books[1].trade_scan is None


def test_a_scan_that_raises_stops_its_strategy_at_the_trade_it_was_asked_about(make, monkeypatch):
    def scan(trades, start: int) -> int:
        raise RuntimeError("no")

    monkeypatch.setattr(Sparing, "trade_scan", lambda *_: scan)
    core = started(make, "sparing")
    at, decisions = core.advance_trades([make.trade(10_000, ts_ns=5), make.trade(10_001, ts_ns=6)], 0)
    assert (at, decisions[0].reason, decisions[0].ts_ns) == (1, "RuntimeError: no", 5)
    assert core.books[1].trade.price == 10_000


def test_trades_of_an_unknown_instrument_are_numbered_and_left_alone(make):
    core = started(make, "counter")
    before = core.next_seq
    assert core.advance_trades([make.trade(1, instrument_id=9)] * 3, 0) == (3, [])
    assert core.next_seq == before + 3


def test_trades_are_plain_when_they_are_of_one_instrument_and_none_is_doubted(make):
    assert is_plain([make.trade(1), make.trade(2, conditions=5)])
    assert not is_plain([make.trade(1), make.trade(2, instrument_id=2)])
    assert not is_plain([make.trade(1), make.trade(2, conditions=SUSPICIOUS | 1)])
