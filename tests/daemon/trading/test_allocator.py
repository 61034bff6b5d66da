"""Shares of the equity in the core: computed at a set time from what strategies earned, as events."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.money import MONEY_ONE, PPM
from daemon.trading.strategy import Parameter, Strategy
from schemas.codec import CODEC
from schemas.events import AllocationChanged, DaemonStarted, is_decision

HOUR = 3_600 * 10**9
DAY = 24 * HOUR
MONDAY = 19_676 * DAY


class Holder(Strategy):
    """Holds a quantity of its instrument from the first trade on, and tells what it may size with."""

    kind = "holder"
    parameters = (Parameter("quantity", int, "what to hold", 1),)
    remembers: ClassVar = ("equity",)

    def __init__(self, *given):
        super().__init__(*given)
        self.equity = 0

    def on_trade(self, trade):
        self.context.hold(trade.instrument_id, self.values["quantity"])
        self.equity = self.context.equity("USD")


KINDS = {"holder": Holder}


def settings(method="inverse_volatility", **given):
    terms = {"method": method, "days": 5, "least_days": 2, "floor_ppm": 0, "at_s": 0, **given}
    named = {f"allocation.{key}": value for key, value in terms.items()} if method else {}
    return DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=named)


def begin(make, name, instrument, quantity):
    return make.command(
        "strategy.start", strategy_id=name, kind="holder", instruments=[instrument], param__quantity=quantity
    )


def shares(merged):
    return [event.share_ppm for event in merged if isinstance(event, AllocationChanged)]


@pytest.fixture
def desk(make):
    """Two strategies on two instruments, which move by 1 and by 4 a day, and a million USD."""
    made = make.Desk(Core(make.journal, kinds=KINDS))
    made.take(make.instrument(1), make.instrument(2), make.deposit())
    return made


def start_both(desk, make):
    desk.take(begin(make, "calm", "I1", 1000), begin(make, "wild", "I2", 1000))


def live(desk, make, days, *, first=0):
    """Trade each day at noon and tick at midnight; return all events."""
    merged = []
    for day in range(first, first + days):
        swing = 1 if day % 2 else -1
        merged += desk.take(make.tick(MONDAY + day * DAY))
        for instrument_id, step in ((1, 1), (2, 4)):
            price = 10_000 + swing * step * 100
            for _ in range(2):
                noon = MONDAY + day * DAY + 12 * HOUR
                merged += desk.take(make.trade(price, 5000, instrument_id=instrument_id, ts_ns=noon))
    return merged


def test_without_a_method_each_strategy_may_use_all(desk, make):
    start_both(desk, make)
    assert shares(live(desk, make, 5)) == []
    assert desk.core.strategies.share_ppm == {}
    assert desk.core.strategies["calm"].strategy.equity > 900_000 * MONEY_ONE


def test_a_start_and_a_stop_share_out_anew_at_once(desk, make):
    assert shares(desk.take(settings())) == [{}]
    assert shares(desk.take(begin(make, "calm", "I1", 1))) == [{"calm": PPM}]
    assert shares(desk.take(begin(make, "wild", "I2", 1))) == [{"calm": PPM // 2, "wild": PPM // 2}]
    assert shares(desk.take(make.command("strategy.stop", strategy_id="calm"))) == [{"wild": PPM}]


def test_a_strategy_that_raises_gives_its_share_to_the_others(desk, make):
    desk.take(settings())
    start_both(desk, make)
    desk.core.strategies["calm"].strategy.values.clear()
    assert shares(desk.take(make.trade(100)))[-1] == {"wild": PPM}


def test_shares_follow_from_the_daily_returns_once_there_are_enough(desk, make):
    desk.take(settings())
    start_both(desk, make)
    found = shares(live(desk, make, 6))
    # After one day there is one return; then the prices, which swing by 2 and by 8, tell the calm one.
    assert found[0] == {"calm": PPM // 2, "wild": PPM // 2}
    assert abs(found[-1]["calm"] - 800_000) < 5_000
    assert abs(found[-1]["wild"] - 200_000) < 5_000


def test_a_strategy_sizes_with_its_share(desk, make):
    desk.take(settings())
    start_both(desk, make)
    live(desk, make, 6)
    share = desk.core.strategies.share_ppm["calm"]
    seen = desk.core.strategies["calm"].strategy.equity
    assert abs(seen - 1_000_000 * MONEY_ONE * share // PPM) < 5_000 * MONEY_ONE


def test_returns_are_taken_once_a_day_at_the_time_that_is_set(desk, make):
    desk.take(settings(at_s=6 * 3_600))
    start_both(desk, make)
    hours = [hour for hour in range(60) if shares(desk.take(make.tick(MONDAY + hour * HOUR)))]
    assert hours == [6, 30, 54]


def test_days_without_a_clock_are_in_the_return_of_the_next(desk, make):
    desk.take(settings())
    start_both(desk, make)
    desk.take(make.tick(MONDAY + HOUR))
    assert len(shares(desk.take(make.tick(MONDAY + 4 * DAY)))) == 1
    assert shares(desk.take(make.tick(MONDAY + 4 * DAY + HOUR))) == []


def test_the_same_settings_at_the_next_start_change_nothing(desk, make):
    desk.take(settings())
    start_both(desk, make)
    live(desk, make, 4)
    before = desk.core.strategies.share_ppm
    assert shares(desk.take(settings())) == []
    assert desk.core.strategies.share_ppm == before


def test_a_method_that_goes_takes_its_shares_with_it(desk, make):
    desk.take(settings())
    start_both(desk, make)
    desk.take(settings(""))
    assert desk.core.strategies.share_ppm == {}
    assert shares(live(desk, make, 4)) == []


def test_shares_that_a_lost_frame_left_out_are_computed_with_the_next_second(desk, make):
    desk.take(settings())
    start_both(desk, make)
    cut = max(n for n, event in enumerate(desk.merged) if isinstance(event, AllocationChanged))
    core = Core(make.journal, kinds=KINDS)
    core.replay(1, desk.merged[:cut])
    merged, _ = core.run([make.tick(MONDAY)])
    assert shares(merged) == [{"calm": PPM // 2, "wild": PPM // 2}]


@pytest.mark.parametrize(
    "given", [{"days": "x"}, {"days": 10**9}, {"at_s": -5}, {"floor_ppm": 10**9}, {"cap_ppm": None}]
)
def test_settings_of_another_version_break_nothing(desk, make, given):
    desk.take(settings(**given))
    start_both(desk, make)
    assert sum(desk.core.strategies.share_ppm.values()) <= PPM


@given(data=st.data())
def test_a_loaded_core_shares_out_as_the_one_that_went_on(make, data):
    method = data.draw(st.sampled_from(["equal", "inverse_volatility", "sharpe", "kelly"]))
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.instrument(2), make.deposit(), settings(method, cap_ppm=250_000))
    start_both(desk, make)
    live(desk, make, 4)
    if data.draw(st.booleans()):
        desk.take(make.command("strategy.stop", strategy_id="calm"))
    live(desk, make, 2, first=4)
    merged = desk.merged
    inputs = [number for number, event in enumerate(merged) if not is_decision(event)]
    cut = data.draw(st.sampled_from(inputs))
    replayed = Core(make.journal, kinds=KINDS)
    replayed.replay(1, merged[:cut])
    loaded = load(make.journal, list(dump(replayed).parts()), kinds=KINDS)
    assert loaded.state() == replayed.state()
    rest, _ = loaded.run([event for event in merged[cut:] if not is_decision(event)])
    assert CODEC.encode(rest) == CODEC.encode(merged[cut:])
    assert loaded.state() == desk.core.state()
