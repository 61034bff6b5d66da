from __future__ import annotations

from itertools import count

import msgspec
import pytest

from replay.backtest import BacktestError
from replay.optimise.pool import LocalPool
from replay.spec import BacktestSpec
from replay.strategy_checks import check_strategy, difference, look_ahead, repetition, warm_up
from replay.strategy_runs import Market, decide
from schemas.events import OperatorCommand
from tests.replay.optimise.conftest import market  # noqa: F401  # A fixture.
from tests.replay.recordings import START, instrument, trade, write_journal

HEAD = """
import sys
from daemon.trading.strategy import Strategy
from schemas.events import Side

class Own(Strategy):
    kind = "own"

    def __init__(self, *given):
        super().__init__(*given)
        self.seen = 0
        self.last = None

    def on_trade(self, trade):
        self.seen += 1
        self.decide(trade)
        self.last = trade.price

    def go(self, trade, *, long):
        self.context.hold(trade.instrument_id, 5 if long else 0)
"""
HONEST = """
    def decide(self, trade):
        self.go(trade, long=self.last is not None and trade.price > self.last)
"""
PEEKING = """
    def decide(self, trade):
        frame = sys._getframe(1)
        while frame is not None:
            for value in list(frame.f_locals.values()):
                if type(value) is list and any(event is trade for event in value):
                    after = value[[event is trade for event in value].index(True) + 1 :]
                    if after and self.seen % 7 == 0:
                        self.go(trade, long=after[0].price > trade.price)
                    return
            frame = frame.f_back
"""
READING = """
    def decide(self, trade):
        if self.seen == 50:
            with open(__file__) as file:
                self.go(trade, long=bool(file.read()))
"""
HASHING = """
    def decide(self, trade):
        self.go(trade, long=hash(f"{trade.price}") % 2 == 0)
"""
COUNTING = """
    def decide(self, trade):
        if self.seen % 777 == 0:
            self.go(trade, long=self.seen % 1554 != 0)
"""
SLOW = """
    def decide(self, trade):
        if self.seen > 1200:
            self.go(trade, long=self.last is not None and trade.price > self.last)
"""
IDLE = """
    def decide(self, trade):
        pass
"""


@pytest.fixture
def own(market, tmp_path):  # noqa: F811
    """A backtest of a strategy with this way to decide."""

    def make(source):
        (tmp_path / "own.py").write_text(HEAD + source)
        return BacktestSpec(
            data=(str(market),), strategy="own", strategies_folder=str(tmp_path), to_seq=3_000
        )

    return make


def checked(spec, **more):
    return {check.name: check for check in check_strategy(spec, **more)}


def test_an_honest_strategy_passes_every_check(own):
    checks = checked(own(HONEST))
    assert {name: check.passed for name, check in checks.items()} == {
        "purity": True,
        "look-ahead": True,
        "repetition": True,
        "warm-up": True,
    }
    assert "cut off at 12 places" in checks["look-ahead"].says


def ahead(spec, cuts=5):
    held = Market(spec)
    return look_ahead(spec, held, decide(spec, held.whole()), cuts=cuts)


def warmed(spec, settle=None):
    held = Market(spec)
    return warm_up(spec, held, decide(spec, held.whole()), settle=settle)


def test_a_strategy_that_peeks_at_the_next_event_is_caught_at_its_first_decision(own):
    spec = own(PEEKING)
    check = ahead(spec)
    assert check.passed is False
    first = decide(spec, Market(spec).whole()).orders[0]
    assert check.ts_ns == first.ts_ns
    assert "knows the future" in check.says


def test_the_first_difference_of_two_runs_is_told_with_field_and_values(own):
    spec = own(HONEST)
    whole = decide(spec, Market(spec).whole())
    seq, order = next(item for item in whole.decisions if item[1] is whole.orders[-1])
    changed = [(n, msgspec.structs.replace(e, quantity=99) if e is order else e) for n, e in whole.decisions]
    found = difference(whole.decisions, changed, "cut off")
    assert found == (f"seq {seq:,}, OrderRequested.quantity: 5 in whole batches, 99 cut off", order.ts_ns)


def test_a_strategy_that_reads_a_file_while_it_trades_is_caught(own):
    check = checked(own(READING))["purity"]
    assert check.passed is False
    assert "own.py" in check.says


def test_a_strategy_that_hangs_on_the_hash_seed_is_caught(own):
    assert repetition(own(HASHING)).passed is False


def test_a_strategy_that_counts_from_its_beginning_is_caught_with_the_event(own):
    check = warmed(own(COUNTING))
    assert check.passed is False
    assert check.ts_ns >= START
    assert "ticks later" in check.says


def test_a_strategy_that_needs_a_while_says_how_long(own):
    spec = own(SLOW)
    assert "after 1,201 ticks" in warmed(spec, 1_300).says
    check = warmed(spec, 1_000)
    assert check.passed is False
    assert "still differ 1,198 ticks on" in check.says


def test_a_strategy_that_does_nothing_gives_nothing_to_compare(own):
    spec = own(IDLE)
    assert (ahead(spec).passed, warmed(spec).passed) == (None, None)


def test_what_cannot_run_is_told_before_anything_is_checked(own):
    with pytest.raises(BacktestError, match="no instrument NOPE"):
        check_strategy(msgspec.structs.replace(own(HONEST), instruments=("NOPE",)))


def test_the_market_is_cut_behind_a_tick_and_begun_behind_one(own):
    held = Market(own(IDLE))
    ticks = len(held.times)
    assert ticks == 2_999

    def count(batches):
        return sum(len(batch.events) for batch in batches)

    assert count(held.whole()) == count(held.one_by_one()) == count(held.until(ticks + 1)) == ticks + 1
    assert count(held.until(11)) == 11
    assert count(held.since(10)) == ticks - 9


def test_what_is_decided_before_the_first_tick_is_no_look_into_the_future(tmp_path):
    data = write_journal(
        tmp_path / "late",
        [OperatorCommand(ts_ns=START, who="x", role="admin", command="import.start", arguments={})],
        [instrument()],
        [trade(number) for number in range(1, 200)],
    )
    spec = BacktestSpec(
        data=(str(data),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": "3"}
    )
    held = Market(spec)
    assert look_ahead(spec, held, decide(spec, held.whole()), cuts=12).passed


def test_all_runs_take_the_same_events_though_the_journal_grows(tmp_path, monkeypatch):
    data = write_journal(tmp_path / "tape", [instrument()], [trade(number) for number in range(200)])
    spec = BacktestSpec(
        data=(str(data),), strategy="ma_cross", parameters={"fast": 2, "slow": 4, "quantity": "3"}
    )
    later, start = count(200, 40), LocalPool.start

    def grow(*given):
        first = next(later)
        write_journal(data, [trade(number) for number in range(first, first + 40)])
        start(*given)

    monkeypatch.setattr(LocalPool, "start", grow)
    assert all(check.passed for check in check_strategy(spec))
    assert next(later) == 280
