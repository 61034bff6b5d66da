"""Pauses after losses: when they come, whom they concern, when they end, and how little they remember."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.risk import protections as module
from daemon.trading.risk.limits import Limits
from daemon.trading.risk.protections import Close, Curve, Protections
from schemas.events import CancelRequested, Liquidity, OrderFilled, OrderType, Side, TradingPaused
from tests.daemon.trading.test_risk_limits import limit, verdict

USD = 10**18
SECOND = 10**9
STOP, MARKET = OrderType.STOP, OrderType.MARKET


@pytest.fixture
def market(desk, make):
    desk.take(make.quote(9_999, 10_000), make.quote(9_999, 10_000, instrument_id=2))
    return desk


def round_trip(market, make, profit: int, *, at_s: int, instrument_id: int = 1, stop: bool = False, **fields):
    """Buy 1 at 100.00 and sell it for that much more, in dollars; return what the sale led to."""
    market.take(make.quote(9_999, 10_000, instrument_id=instrument_id, ts_ns=at_s * SECOND))
    market.take(make.order(instrument_id=instrument_id, quantity=1, ts_ns=at_s * SECOND, **fields))
    price = 10_000 + profit * 100
    if stop:
        market.take(
            make.order(
                Side.SELL, 1, instrument_id=instrument_id, order_type=STOP, stop_price=price,
                ts_ns=at_s * SECOND, **fields,
            )
        )  # fmt: skip
        return market.take(
            make.quote(price, price + 1, instrument_id=instrument_id, ts_ns=at_s * SECOND),
            make.trade(price, instrument_id=instrument_id, ts_ns=at_s * SECOND),
        )
    market.take(make.quote(price, price + 1, instrument_id=instrument_id, ts_ns=at_s * SECOND))
    return market.take(make.order(Side.SELL, 1, instrument_id=instrument_id, ts_ns=at_s * SECOND, **fields))


def pauses(events):
    return [
        (p.rule, p.instrument_id, p.strategy_id, p.until_ns // SECOND)
        for p in events
        if type(p) is TradingPaused
    ]


def opens(market, make, *, at_s: int, instrument_id: int = 1, **fields) -> str:
    return verdict(market, make.order(price=100, instrument_id=instrument_id, ts_ns=at_s * SECOND, **fields))


def test_a_losing_stop_pauses_its_instrument_for_the_cool_down(market, make):
    limit(market, make, cooldown_s=60)
    assert pauses(round_trip(market, make, -1, at_s=100, stop=True)) == [("COOLDOWN", 1, None, 160)]
    assert opens(market, make, at_s=159) == "COOLDOWN"
    assert opens(market, make, at_s=159, instrument_id=2) == "LEFT"
    assert opens(market, make, at_s=160) == "LEFT"


def test_a_stop_that_won_and_a_loss_without_a_stop_need_no_cool_down(market, make):
    limit(market, make, cooldown_s=60)
    assert pauses(round_trip(market, make, 1, at_s=100)) == []
    assert pauses(round_trip(market, make, -1, at_s=101)) == []


def test_the_stop_of_a_strategy_pauses_that_strategy_alone(market, make):
    limit(market, make, cooldown_s=60)
    mine = {"strategy_id": "mine", "source": "operator:mine"}
    assert pauses(round_trip(market, make, -1, at_s=100, stop=True, **mine)) == [("COOLDOWN", 1, "mine", 160)]
    assert opens(market, make, at_s=120, **mine) == "COOLDOWN"
    assert opens(market, make, at_s=120, strategy_id="yours") == "LEFT"
    assert opens(market, make, at_s=120) == "LEFT"


def test_while_paused_what_reduces_a_position_leaves(market, make):
    market.take(make.order(quantity=5))
    limit(market, make, cooldown_s=60)
    market.take(make.order(Side.SELL, 1, order_type=STOP, stop_price=9_000))
    merged = market.take(make.quote(9_000, 9_001), make.trade(9_000))
    assert [rule for rule, *_ in pauses(merged)] == ["COOLDOWN"]
    assert verdict(market, make.order(Side.BUY, 1, price=100)) == "COOLDOWN"
    assert verdict(market, make.order(Side.SELL, 4, price=20_000)) == "LEFT"


def test_so_many_losing_closes_in_the_window_pause_everything(market, make):
    limit(market, make, stop_guard_losses=3, stop_guard_window_s=100, stop_guard_pause_s=50)
    told = [
        pauses(round_trip(market, make, profit, at_s=at_s, instrument_id=number))
        for profit, at_s, number in [(-1, 0, 1), (-1, 10, 2), (5, 20, 1), (-1, 101, 1), (-1, 109, 2)]
    ]
    assert told == [[], [], [], [], [("STOP_GUARD", None, None, 159)]]
    assert opens(market, make, at_s=158) == "STOP_GUARD"
    assert opens(market, make, at_s=159, instrument_id=2) == "LEFT"


def test_the_stop_guard_may_count_each_instrument_by_itself(market, make):
    limit(market, make, stop_guard_losses=2, stop_guard_per_instrument=True, stop_guard_pause_s=50)
    told = [pauses(round_trip(market, make, -1, at_s=n, instrument_id=n)) for n in (1, 2)]
    assert told == [[], []]
    assert pauses(round_trip(market, make, -1, at_s=3, instrument_id=2)) == [("STOP_GUARD", 2, None, 53)]
    assert opens(market, make, at_s=4) == "LEFT"


def test_an_instrument_that_earns_too_little_in_the_window_is_paused(market, make):
    limit(
        market, make, low_profit="-2.50", low_profit_closes=2, low_profit_window_s=100, low_profit_pause_s=50
    )
    told = [
        pauses(round_trip(market, make, profit, at_s=at_s)) for profit, at_s in [(-3, 0), (1, 10), (-1, 20)]
    ]
    assert told == [[], [], [("LOW_PROFIT", 1, None, 70)]]
    assert pauses(round_trip(market, make, -2, at_s=115, instrument_id=2)) == []
    assert pauses(round_trip(market, make, -1, at_s=119)) == []


def test_what_was_closed_may_fall_by_a_share_of_equity_and_no_further(market, make):
    limit(market, make, drawdown_guard_ppm=10, drawdown_guard_window_s=100, drawdown_guard_pause_s=50)
    assert pauses(round_trip(market, make, 20, at_s=0)) == []
    assert pauses(round_trip(market, make, -6, at_s=10)) == []
    assert pauses(round_trip(market, make, -4, at_s=20)) == []
    assert pauses(round_trip(market, make, -1, at_s=30)) == [("DRAWDOWN_GUARD", None, None, 80)]
    assert opens(market, make, at_s=79, instrument_id=2) == "DRAWDOWN_GUARD"


def test_a_close_counts_once_when_its_order_is_over_with_all_its_fills_and_fees(market, make):
    market.take(make.order(quantity=10))
    limit(market, make, stop_guard_losses=2)
    core = market.core
    order_id = core.run([make.order(Side.SELL, 10, price=9_900)])[0][1].order_id
    fills = [
        OrderFilled(
            ts_ns=5, received_ns=5, order_id=order_id, instrument_id=1, side=Side.SELL, price=9_900,
            quantity=quantity, fee=quantity, fee_scale=2, fee_currency="USD", liquidity=Liquidity.TAKER,
            venue_trade_id=f"t{quantity}",
        )
        for quantity in (1, 2, 7)
    ]  # fmt: skip
    core.run(fills[:2])
    assert core.risk.protections.closing == {order_id: -3 * USD - 3 * USD // 100}
    core.run(fills[2:])
    (close,) = core.risk.protections.closes
    assert close.profit == -10 * USD - 10 * USD // 100
    assert core.risk.protections.closing == {}


def test_an_order_that_is_canceled_after_a_part_counts_with_that_part(market, make):
    market.take(make.order(quantity=10))
    limit(market, make, stop_guard_losses=2)
    order_id = market.take(make.order(Side.SELL, 10, price=10_500))[1].order_id
    market.take(make.quote(10_500, 10_501, bid_quantity=4))
    market.take(CancelRequested(ts_ns=1, order_id=order_id, source="operator:test"))
    (close,) = market.core.risk.protections.closes
    assert close.profit == 4 * 5 * USD


def test_a_longer_pause_is_not_cut_short_by_a_later_one(market, make):
    limit(market, make, stop_guard_losses=1, stop_guard_per_instrument=True, stop_guard_pause_s=1_000)
    round_trip(market, make, -1, at_s=0)
    limit(market, make, stop_guard_pause_s=10)
    market.take(make.order(Side.SELL, 1, ts_ns=SECOND), make.quote(10_500, 10_501))
    assert opens(market, make, at_s=999) == "STOP_GUARD"


def test_a_reset_lifts_pauses_and_forgets_losses(market, make):
    limit(market, make, cooldown_s=60, stop_guard_losses=2)
    round_trip(market, make, -1, at_s=100, stop=True)
    market.take(make.command("risk.reset"))
    assert opens(market, make, at_s=101) == "LEFT"
    assert pauses(round_trip(market, make, -1, at_s=102)) == []


def test_a_loss_in_another_currency_still_counts_as_a_loss(market, make):
    limit(market, make, stop_guard_losses=1)
    market.take(make.instrument(3, quote_currency="EUR"), make.deposit("1000", "EUR"))
    assert [rule for rule, *_ in pauses(round_trip(market, make, -1, at_s=5, instrument_id=3))] == [
        "STOP_GUARD"
    ]
    assert market.core.risk.protections.closes[-1].profit == -1


def test_times_that_go_back_are_taken_for_the_latest():
    limits = Limits(stop_guard_losses=2, stop_guard_window_s=10)
    protections = Protections()
    for ts_s in (100, 5):
        protections.closed(Close(ts_s * SECOND, 1, None, -1, MARKET), limits, None)
    assert [close.ts_ns // SECOND for close in protections.closes] == [100, 100]
    assert list(protections.due) == [(None, None)]


closes = st.lists(
    st.builds(
        Close,
        st.integers(0, 60).map(lambda second: second * SECOND),
        st.sampled_from([1, 2]),
        st.none(),
        st.integers(-5, 4),
        st.sampled_from([STOP, MARKET]).map(int),
    ),
    max_size=40,
).map(lambda found: sorted(found, key=lambda close: close.ts_ns))
LIMITS = Limits(
    stop_guard_losses=3, stop_guard_window_s=20, low_profit=-4, low_profit_closes=2, low_profit_window_s=30,
    drawdown_guard_ppm=100_000, drawdown_guard_window_s=25, stop_guard_pause_s=1, low_profit_pause_s=1,
    drawdown_guard_pause_s=1,
)  # fmt: skip


def slow_pauses(history: list[Close], limits: Limits, equity: int) -> set:
    """Say from the whole history what the last close leads to."""
    last = history[-1]
    found = set()

    def within(seconds: int) -> list[Close]:
        return [close for close in history if close.ts_ns > last.ts_ns - seconds * SECOND]

    losses = [close for close in within(limits.stop_guard_window_s) if close.profit < 0]
    if last.profit < 0 and len(losses) >= limits.stop_guard_losses:
        found.add(("STOP_GUARD", None))
    mine = [c.profit for c in within(limits.low_profit_window_s) if c.instrument_id == last.instrument_id]
    if len(mine) >= limits.low_profit_closes and sum(mine) < limits.low_profit:
        found.add(("LOW_PROFIT", last.instrument_id))
    heights, height = [0], 0
    for close in within(limits.drawdown_guard_window_s):
        height += close.profit
        heights.append(height)
    fallen = max(heights) - height
    if fallen * 1_000_000 > max(0, equity + fallen) * limits.drawdown_guard_ppm:
        found.add(("DRAWDOWN_GUARD", None))
    return found


@given(closes, st.integers(0, 60))
def test_windows_say_what_a_walk_over_all_closes_says(history, equity):
    protections = Protections()
    for number, close in enumerate(history, 1):
        protections._add(close, LIMITS)
        found = {(pause.rule, key[0]) for key, pause in protections._wanted(close, LIMITS, equity)}
        assert found == slow_pauses(history[:number], LIMITS, equity)


@given(closes, st.integers(1, 5))
def test_windows_made_anew_from_what_is_remembered_say_the_same(history, most):
    known, module.MAX_CLOSES = module.MAX_CLOSES, most
    try:
        live = Protections()
        for close in history:
            again = Protections()
            again.load(list(live.closes), LIMITS)
            for one in (live, again):
                one._add(close, LIMITS)
            assert list(again.closes) == list(live.closes)
            assert len(live.closes) <= most
            assert list(again._wanted(close, LIMITS, 10)) == list(live._wanted(close, LIMITS, 10))
    finally:
        module.MAX_CLOSES = known


def test_a_curve_that_only_rises_has_fallen_by_nothing():
    curve = Curve()
    for number in range(5):
        curve.add(Close(number, 1, None, number, 1), 100)
    assert curve.fallen == 0
