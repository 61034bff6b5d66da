"""Strategies that start, or are changed, at run time know the past; a replay tells them the same."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import history
from daemon.trading.bars import SECOND, parse_spec
from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.strategy import Parameter, Strategy
from schemas.codec import CODEC
from schemas.events import BarSide, DaemonStarted, OrderRequested, Side, Trade, is_decision

MINUTE = 60 * SECOND
NOON = 1_700_049_600 * SECOND


class Watcher(Strategy):
    """Remembers what it was told, and wants to buy whenever it is told something."""

    kind = "watcher"
    parameters = (
        Parameter("bars", str, "bars", "1m"),
        Parameter("factor", int, "some number", 1, minimum=1, maximum=9),
    )
    remembers: ClassVar = ("told", "warm")

    def __init__(self, context, instruments, parameters):
        super().__init__(context, instruments, parameters)
        self.told = []
        self.warm = []

    def bar_spec(self, instrument_id):
        scale = self.instruments[instrument_id].quantity_scale
        return parse_spec(self.values["bars"], BarSide.TRADE, quantity_scale=scale)

    def on_bar(self, bar):
        (self.warm if self.context.warming else self.told).append([bar.ts_ns, bar.close, bar.volume])
        self.context.submit(bar.instrument_id, Side.BUY, self.values["factor"])


class TickWatcher(Strategy):
    kind = "tick_watcher"
    remembers: ClassVar = ("told", "warm")

    def __init__(self, context, instruments, parameters):
        super().__init__(context, instruments, parameters)
        self.told = []
        self.warm = []

    def on_trade(self, trade):
        (self.warm if self.context.warming else self.told).append(["trade", trade.price])

    def on_quote(self, quote):
        (self.warm if self.context.warming else self.told).append(["quote", quote.bid_price])


class Fragile(TickWatcher):
    kind = "fragile"

    def on_trade(self, trade):
        if trade.price == 13:
            raise ValueError("13")


KINDS = {kind.kind: kind for kind in (Watcher, TickWatcher, Fragile)}


def settings(**given):
    named = {f"history.{key}": value for key, value in given.items()}
    return DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=named)


@pytest.fixture
def market(make):
    """A desk that keeps minutes and ticks, and ten minutes of trades in which it kept them."""
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.instrument(2), make.deposit())
    desk.take(settings(bars="1m", keep_bars=100, keep_ticks=7))
    for number in range(21):
        desk.take(make.trade(100 + number, ts_ns=NOON + number * MINUTE // 2))
    return desk


def begin(make, kind, **parameters):
    named = {f"param__{name}": value for name, value in parameters.items()}
    return make.command("strategy.start", strategy_id="w", kind=kind, instruments=["I1"], **named)


def strategy(desk):
    return desk.core.strategies["w"].strategy


def test_a_strategy_that_starts_late_is_told_of_the_bars_before(market, make):
    market.take(begin(make, "watcher"))
    assert [row[1] for row in strategy(market).warm] == list(range(101, 121, 2))
    assert strategy(market).told == []


def test_orders_of_a_strategy_that_warms_up_are_dropped(market, make):
    merged = market.take(begin(make, "watcher"))
    assert not any(isinstance(event, OrderRequested) for event in merged)
    merged = market.take(make.trade(200, ts_ns=NOON + 11 * MINUTE))
    assert [event.quantity for event in merged if isinstance(event, OrderRequested)] == [1]


def test_longer_bars_are_made_of_the_kept_ones_with_the_open_one(market, make):
    market.take(begin(make, "watcher", bars="4m"))
    assert [row[1] for row in strategy(market).warm] == [107, 115]
    market.take(make.trade(300, ts_ns=NOON + 12 * MINUTE))
    # The open bar held the trades since 12:08, which came before the strategy did.
    assert strategy(market).told == [[NOON + 12 * MINUTE, 120, 50]]


def test_bars_that_kept_ones_cannot_make_begin_with_the_next_tick(market, make):
    market.take(begin(make, "watcher", bars="2t"))
    assert strategy(market).warm == []
    market.take(make.trade(1, ts_ns=NOON + 11 * MINUTE), make.trade(2, ts_ns=NOON + 11 * MINUTE))
    assert [row[1] for row in strategy(market).told] == [2]


def test_a_strategy_without_bars_is_told_of_the_last_ticks_in_their_order(market, make):
    market.take(make.quote(50, 51), make.trade(60), make.quote(52, 53), make.trade(70, instrument_id=2))
    market.take(begin(make, "tick_watcher"))
    assert strategy(market).warm == [
        *(["trade", price] for price in (117, 118, 119, 120)),
        ["quote", 50],
        ["trade", 60],
        ["quote", 52],
    ]


def test_a_strategy_that_the_past_breaks_is_stopped(market, make):
    market.take(make.trade(13))
    merged = market.take(begin(make, "fragile"))
    assert [type(event).__name__ for event in merged[1:3]] == ["StrategyStarted", "StrategyStopped"]
    assert "w" not in market.core.strategies


def test_nothing_is_kept_and_no_tick_costs_anything_without_a_setting(make):
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.trade(100), make.quote(1, 2))
    assert desk.core.books[1].trade_hooks == desk.core.books[1].quote_hooks == ()


def test_bars_that_nobody_needs_any_more_are_dropped(market, make):
    market.take(begin(make, "watcher", bars="4m"))
    hooks = len(market.core.books[1].trade_hooks)
    market.take(make.command("strategy.stop", strategy_id="w"))
    assert len(market.core.books[1].trade_hooks) == hooks - 1


def test_a_setting_that_goes_takes_what_it_kept_with_it(market, make):
    market.take(settings(keep_ticks=3))
    market.take(begin(make, "watcher"))
    assert strategy(market).warm == []
    market.take(make.command("strategy.stop", strategy_id="w"), begin(make, "tick_watcher"))
    assert len(strategy(market).warm) == 3


@pytest.mark.parametrize("bars", ["", "1x", "1m sideways", "0.5v", "1m,,"])
def test_a_setting_that_names_no_bars_keeps_none_and_breaks_nothing(make, bars):
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(settings(bars=bars, keep_bars=10, keep_ticks=-5), make.instrument(1))
    desk.take(make.trade(1, ts_ns=NOON), make.trade(2, ts_ns=NOON + MINUTE))
    assert len(desk.core.books[1].trade_hooks) == (bars == "1m,,")


def test_an_instrument_with_other_scales_begins_anew(market, make):
    market.take(make.instrument(1, price_scale=4))
    market.take(begin(make, "watcher"))
    assert strategy(market).warm == []


def test_the_clock_ends_a_bar_for_its_strategy(market, make):
    market.take(begin(make, "watcher"))
    market.take(make.trade(50, ts_ns=NOON + 10 * MINUTE))
    market.take(make.tick(NOON + 11 * MINUTE + SECOND))
    assert [row[0] for row in strategy(market).told] == [NOON + 11 * MINUTE]


def test_changed_parameters_make_the_strategy_anew_and_leave_its_holdings(market, make):
    market.take(begin(make, "watcher"))
    market.take(make.trade(100, ts_ns=NOON + 11 * MINUTE))
    market.take(make.trade(100, ts_ns=NOON + 11 * MINUTE))
    assert market.core.strategies["w"].quantity(1) == 1
    merged = market.take(make.command("strategy.set", strategy_id="w", param__factor=5))
    assert type(merged[1]).__name__ == "StrategyParametersChanged"
    assert merged[1].parameters == {"bars": "1m", "factor": 5}
    runner = market.core.strategies["w"]
    assert runner.quantity(1) == 1
    assert (len(runner.strategy.warm), runner.strategy.told) == (11, [])
    merged = market.take(make.trade(100, ts_ns=NOON + 12 * MINUTE))
    assert [event.quantity for event in merged if isinstance(event, OrderRequested)] == [5]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"strategy_id": "x", "param__factor": 5}, "strategy x does not run"),
        ({"strategy_id": "w"}, "no parameter is named"),
        ({"strategy_id": "w", "param__factor": 1}, "has these parameters already"),
        ({"strategy_id": "w", "param__factor": 10}, "expected 1 to 9"),
        ({"strategy_id": "w", "param__speed": 1}, "no parameter 'speed'"),
        ({"strategy_id": "w", "param__bars": "1x"}, "names no bars"),
    ],
)
def test_parameters_that_do_not_fit_change_nothing(market, make, arguments, says):
    market.take(begin(make, "watcher"))
    before = strategy(market)
    (_, answer) = market.take(make.command("strategy.set", **arguments))
    assert says in answer.body
    assert strategy(market) is before


steps = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(1, 200), st.integers(0, 40)),
        st.tuples(st.just("quote"), st.integers(1, 200), st.integers(0, 40)),
        st.tuples(st.just("clock"), st.just(0), st.integers(0, 40)),
        st.tuples(st.just("start"), st.sampled_from(["1m", "3m", "2t", "25v"]), st.integers(1, 3)),
        st.tuples(st.just("stop"), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("set"), st.integers(1, 9), st.integers(1, 3)),
        st.tuples(st.just("keep"), st.sampled_from(["1m", "1m,2m mid", ""]), st.integers(0, 5)),
    ),
    max_size=40,
)


def input_of(make, step, *, at_ns):
    kind, value, other = step
    name = f"w{other}"
    if kind == "trade":
        return make.trade(value, ts_ns=at_ns + other * SECOND)
    if kind == "quote":
        return make.quote(value, value + 1, ts_ns=at_ns + other * SECOND)
    if kind == "clock":
        return make.tick(at_ns + other * SECOND)
    if kind == "keep":
        return settings(bars=value, keep_bars=other * 3, keep_ticks=other)
    more = {"start": {"kind": "watcher", "instruments": ["I1"], "param__bars": value}, "stop": {}}
    arguments = more.get(kind, {"param__factor": value})
    return make.command(f"strategy.{kind}", strategy_id=name, **arguments)


def lived(make, plan) -> tuple:
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.deposit())
    for number, step in enumerate(plan):
        desk.take(input_of(make, step, at_ns=NOON + number * 20 * SECOND))
    return desk.core, desk.merged


@given(plan=steps, data=st.data())
def test_a_replay_from_any_snapshot_knows_the_same_past_and_decides_the_same(make, plan, data):
    core, merged = lived(make, plan)
    starts = [0, *(n for n, event in enumerate(merged) if not is_decision(event)), len(merged)]
    cut = data.draw(st.sampled_from(starts))
    replayed = Core(make.journal, kinds=KINDS)
    replayed.replay(1, merged[:cut])
    loaded = load(make.journal, list(dump(replayed).parts()), kinds=KINDS)
    assert loaded.state() == replayed.state()
    rest, _ = loaded.run([event for event in merged[cut:] if not is_decision(event)])
    assert CODEC.encode(rest) == CODEC.encode(merged[cut:])
    assert loaded.state() == core.state()
    assert [hook for _, hook in loaded.books[1].trade_hooks] == [
        hook for _, hook in core.books[1].trade_hooks
    ]


def test_sums_of_volume_beyond_64_bits_are_told_as_the_most_there_is(market, make):
    market.take(begin(make, "watcher"))
    huge = make.trade(5, 2**63 - 1, ts_ns=NOON + 11 * MINUTE)
    market.take(huge, huge, make.trade(5, ts_ns=NOON + 12 * MINUTE))
    assert strategy(market).told[-1][2] == 2**63 - 1
    assert isinstance(market.core.books[1].trade, Trade)
    assert load(make.journal, list(dump(market.core).parts()), kinds=KINDS).state() == market.core.state()


def test_so_many_events_are_kept_in_all_of_the_instruments_that_were_defined_first(make, monkeypatch):
    monkeypatch.setattr(history, "MAX_EVENTS", 25)
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.instrument(2), settings(bars="1m", keep_bars=5, keep_ticks=5))
    desk.take(make.instrument(3), make.deposit())
    hooks = [len(desk.core.books[i].trade_hooks) for i in (1, 2, 3)]
    assert hooks == [2, 2, 0]
    loaded = load(make.journal, list(dump(desk.core).parts()), kinds=KINDS)
    for core in (desk.core, loaded):
        core.run([settings(bars="1m", keep_bars=3, keep_ticks=5)])
        assert [len(core.books[i].trade_hooks) for i in (1, 2, 3)] == [2, 2, 2]
        core.run([make.instrument(4), settings(bars="1m", keep_bars=20)])
        assert [len(core.books[i].trade_hooks) for i in (1, 2, 3, 4)] == [1, 0, 0, 0]


def test_a_strategy_hears_its_bars_of_an_instrument_that_is_not_kept(make, monkeypatch):
    monkeypatch.setattr(history, "MAX_EVENTS", 0)
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.deposit(), settings(bars="1m", keep_bars=5, keep_ticks=5))
    desk.take(begin(make, "watcher"))
    desk.take(make.trade(1, ts_ns=NOON), make.trade(2, ts_ns=NOON + MINUTE))
    assert [row[1] for row in strategy(desk).told] == [1]
