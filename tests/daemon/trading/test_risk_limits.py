"""Each limit at its boundary: the last order it allows and the first it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.risk.limit_rules import ALWAYS, WHEN_OPENING
from daemon.trading.risk.limits import KEYED, KINDS, PREFIX
from schemas.events import (
    AssetClass,
    CancelRequested,
    ClockTicked,
    DaemonStarted,
    NotificationQueued,
    OrderDenied,
    OrderType,
    ReplaceDenied,
    ReplaceRequested,
    RiskLimitsChanged,
    SessionCalendarDefined,
    Side,
    TradingState,
    TradingStateChanged,
)

USD = 10**18
SECOND = 10**9
DAY = 86_400 * SECOND
MONDAY = 4 * DAY
"""The first Monday of 1970, 00:00 UTC."""


def limit(desk, make, **limits):
    """Set limits as an operator does; a dot in a name is written as two underscores."""
    merged = desk.take(make.command("risk.set", **limits))
    assert isinstance(merged[1], RiskLimitsChanged), merged[1:]


def verdict(desk, request) -> str:
    """Return LEFT, or the code of the rule that refused the order."""
    answer = desk.take(request)[1]
    return (
        answer.rule
        if isinstance(answer, OrderDenied)
        else type(answer).__name__.replace("OrderSubmitted", "LEFT")
    )


@pytest.fixture
def market(desk, make):
    """A desk where I1 and I2 last traded at 100.00."""
    desk.take(make.trade(10_000), make.trade(10_000, instrument_id=2))
    return desk


@pytest.mark.parametrize(
    ("limits", "code", "last", "first"),
    [
        ({"max_order_quantity__*": "10"}, "MAX_ORDER_QUANTITY", (10, 10_000), (11, 10_000)),
        (
            {"max_order_quantity__I1": "10", "max_order_quantity__*": "5"},
            "MAX_ORDER_QUANTITY",
            (10, 1),
            (11, 1),
        ),
        ({"max_order_value": "1000"}, "MAX_ORDER_VALUE", (10, 10_000), (10, 10_001)),
        ({"max_position_quantity__I1@V": "10"}, "MAX_POSITION_QUANTITY", (10, 10_000), (11, 10_000)),
        ({"max_position_value": "1000"}, "MAX_POSITION_VALUE", (10, 9_000), (11, 9_000)),
        ({"max_position_value": "1000"}, "MAX_POSITION_VALUE", (10, 10_000), (10, 10_001)),
        ({"max_concentration_ppm": 1_000}, "CONCENTRATION", (10, 10_000), (11, 10_000)),
        ({"max_exposure": "1000"}, "MAX_EXPOSURE", (10, 10_000), (11, 10_000)),
        ({"min_cash__USD": "999000"}, "MIN_CASH", (10, 10_000), (10, 10_001)),
        ({"margin": True}, "MARGIN", (10_000, 10_000), (10_001, 10_000)),
        (
            {"margin": True, "initial_margin_ppm__equity": 500_000},
            "MARGIN",
            (20_000, 10_000),
            (20_001, 10_000),
        ),
        ({"price_collar_ppm": 50_000}, "PRICE_COLLAR", (1, 10_500), (1, 10_501)),
    ],
)
@pytest.mark.parametrize("which", ["last", "first"])
def test_a_limit_allows_up_to_itself_and_nothing_beyond(market, make, limits, code, last, first, which):
    limit(market, make, **limits)
    quantity, price = last if which == "last" else first
    expected = "LEFT" if which == "last" else code
    assert verdict(market, make.order(Side.BUY, quantity, price=price)) == expected


@pytest.mark.parametrize(
    ("limits", "code", "last", "first"),
    [
        ({"max_order_quantity__*": "10"}, "MAX_ORDER_QUANTITY", (10, 20_000), (11, 20_000)),
        ({"max_position_quantity__*": "10"}, "MAX_POSITION_QUANTITY", (10, 20_000), (11, 20_000)),
        ({"max_position_value": "2000"}, "MAX_POSITION_VALUE", (10, 20_000), (11, 20_000)),
        ({"max_exposure": "2000"}, "MAX_EXPOSURE", (10, 20_000), (11, 20_000)),
        ({"margin": True}, "MARGIN", (10_000, 10_000), (10_001, 10_000)),
        ({"price_collar_ppm": 50_000}, "PRICE_COLLAR", (1, 9_500), (1, 9_499)),
    ],
)
@pytest.mark.parametrize("which", ["last", "first"])
def test_limits_hold_for_short_sales_too(market, make, limits, code, last, first, which):
    limit(market, make, **limits)
    quantity, price = last if which == "last" else first
    expected = "LEFT" if which == "last" else code
    assert verdict(market, make.order(Side.SELL, quantity, price=price)) == expected


OFF = {
    "max_order_quantity__*": "10", "max_order_value": "10", "max_position_quantity__*": "10",
    "max_position_value": "10", "max_concentration_ppm": 1, "max_exposure": "10", "min_cash__USD": "999999",
    "price_collar_ppm": 1,
}  # fmt: skip


def test_limits_that_are_switched_off_hold_nothing(market, make):
    limit(market, make, **OFF)
    limit(market, make, **dict.fromkeys(OFF))
    assert verdict(market, make.order(Side.BUY, 1_000, price=20_000)) == "LEFT"
    assert market.core.risk.chosen.in_force() == {}


def test_what_works_counts_as_if_it_were_filled(market, make):
    limit(market, make, **{"max_position_quantity__*": "10", "max_exposure": "1900"})
    assert verdict(market, make.order(Side.BUY, 6, price=9_000)) == "LEFT"
    assert verdict(market, make.order(Side.BUY, 5, price=9_000)) == "MAX_POSITION_QUANTITY"
    assert verdict(market, make.order(Side.BUY, 4, price=9_000)) == "LEFT"
    assert verdict(market, make.order(Side.SELL, 10, price=11_000)) == "LEFT"
    assert verdict(market, make.order(Side.BUY, 10, price=9_000, instrument_id=2)) == "MAX_EXPOSURE"
    assert verdict(market, make.order(Side.BUY, 9, price=9_000, instrument_id=2)) == "LEFT"


def test_an_order_that_was_taken_out_counts_no_more(market, make):
    limit(market, make, **{"max_position_quantity__*": "10"})
    order_id = market.take(make.order(Side.BUY, 10, price=9_000))[1].order_id
    market.take(CancelRequested(ts_ns=1, order_id=order_id, source="operator:test"))
    assert verdict(market, make.order(Side.BUY, 10, price=9_000)) == "LEFT"


def test_a_replace_is_checked_on_its_new_terms_without_the_old_ones(market, make):
    limit(market, make, **{"max_position_quantity__*": "10", "max_order_value": "950"})
    order_id = market.take(make.order(Side.BUY, 6, price=9_000))[1].order_id

    def replaced(**terms):
        fields = {"quantity": None, "price": None, "stop_price": None, **terms}
        merged = market.take(ReplaceRequested(ts_ns=1, order_id=order_id, source="operator:test", **fields))
        return merged[1].rule if isinstance(merged[1], ReplaceDenied) else "LEFT"

    assert replaced(quantity=10) == "LEFT"
    assert replaced(quantity=11) == "MAX_ORDER_VALUE"
    assert replaced(price=9_500) == "LEFT"
    assert replaced(price=9_501) == "MAX_ORDER_VALUE"
    limit(market, make, max_order_value=None)
    assert replaced(quantity=11) == "MAX_POSITION_QUANTITY"


def test_orders_that_take_each_others_place_count_once(market, make):
    market.take(make.quote(9_999, 10_000), make.order(Side.BUY, 10))
    limit(market, make, **{"max_position_quantity__*": "10"})
    group = market.core.next_seq
    first = make.order(Side.SELL, 20, price=12_000, oco_group=group)
    stop = make.order(
        Side.SELL, 20, order_type=OrderType.STOP, stop_price=9_000, oco_group=group, reduce_only=False
    )
    assert verdict(market, first) == "LEFT"
    assert verdict(market, stop) == "LEFT"
    assert verdict(market, make.order(Side.SELL, 1, price=12_000)) == "MAX_POSITION_QUANTITY"


def test_children_of_a_bracket_close_what_their_parent_opens_and_are_no_new_risk(market, make):
    limit(
        market, make, **{"max_position_quantity__*": "10", "max_exposure": "1000", "max_orders_per_minute": 5}
    )
    parent = market.take(make.order(Side.BUY, 10, price=9_000))[1].order_id
    child = market.take(make.order(Side.SELL, 10, price=12_000, parent_id=parent))[1]
    assert type(child).__name__ == "OrderHeld"


OPENING = {
    "CLOCK": {"synchronized_clock": True},
    "MARKET_DATA": {"max_data_age_ms": 1},
    "ORDERS_PER_MINUTE": {"max_orders_per_minute": 1},
    "ORDERS_PER_DAY": {"max_orders_per_day": 1},
    "MAX_POSITION_QUANTITY": {"max_position_quantity__*": "1"},
    "MAX_POSITION_VALUE": {"max_position_value": "1"},
    "CONCENTRATION": {"max_concentration_ppm": 1},
    "MAX_EXPOSURE": {"max_exposure": "1"},
    "MIN_CASH": {"min_cash__USD": "2000000"},
    "MARGIN": {"margin": True, "initial_margin_ppm__*": 100_000_000, "maintenance_margin_ppm__*": 1},
    "DAILY_LOSS": {"max_daily_loss": "0.01", "on_daily_loss": "deny"},
    "DRAWDOWN": {"max_drawdown_ppm": 1, "on_drawdown": "deny"},
}


@pytest.mark.parametrize("code", OPENING)
def test_a_limit_of_new_risk_refuses_what_opens_and_lets_what_reduces_pass(market, make, code):
    late = 10 * SECOND
    limit(market, make, max_orders_per_minute=1_000, max_daily_loss="1000000", max_drawdown_ppm=999_999)
    market.take(make.quote(9_999, 10_000), make.order(Side.BUY, 200_0))
    limit(market, make, **OPENING[code])
    market.take(make.trade(9_000))
    if code not in ("MARKET_DATA", "CLOCK"):
        market.take(make.tick(), make.quote(8_999, 9_000, ts_ns=late))
    opens = make.order(Side.BUY, 400, price=9_000, ts_ns=late)
    assert verdict(market, opens) == code
    assert verdict(market, make.order(Side.SELL, 500, price=9_000, ts_ns=late)) == "LEFT"
    assert verdict(market, make.order(Side.SELL, 1_500, price=9_000, ts_ns=late)) == "LEFT"


def test_every_rule_of_new_risk_is_in_the_test_above():
    assert {kind.code for kind in WHEN_OPENING} == set(OPENING)


def test_a_reducing_order_that_would_turn_the_position_opens_risk(market, make):
    market.take(make.quote(9_999, 10_000), make.order(Side.BUY, 10))
    limit(market, make, **{"max_position_quantity__*": "5"})
    assert verdict(market, make.order(Side.SELL, 16, price=20_000)) == "MAX_POSITION_QUANTITY"
    assert verdict(market, make.order(Side.SELL, 15, price=20_000)) == "LEFT"


@pytest.mark.parametrize(("age_ms", "expected"), [(500, "LEFT"), (501, "MARKET_DATA")])
def test_the_newest_tick_may_be_as_old_as_the_limit(market, make, age_ms, expected):
    limit(market, make, max_data_age_ms=500)
    market.take(make.quote(9_999, 10_000, ts_ns=SECOND), make.trade(10_000, ts_ns=SECOND // 2))
    request = make.order(price=9_000, ts_ns=SECOND + age_ms * 10**6)
    assert verdict(market, request) == expected


def test_an_instrument_without_any_tick_is_stale(desk, make):
    limit(desk, make, max_data_age_ms=500)
    assert verdict(desk, make.order(price=9_000)) == "MARKET_DATA"


def test_the_clock_counts_as_wrong_until_a_tick_says_otherwise_after_each_start(market, make):
    limit(market, make, synchronized_clock=True)
    request = make.order(price=9_000)
    assert verdict(market, request) == "CLOCK"
    market.take(ClockTicked(ts_ns=2, synchronized=True))
    assert verdict(market, request) == "LEFT"
    market.take(ClockTicked(ts_ns=3, synchronized=False))
    assert verdict(market, request) == "CLOCK"
    market.take(ClockTicked(ts_ns=4, synchronized=True), started())
    assert verdict(market, request) == "CLOCK"


def started(**limits) -> DaemonStarted:
    settings = {PREFIX + name.replace("__", "."): value for name, value in limits.items()}
    return DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=settings)


def test_orders_leave_only_while_the_market_is_open(market, make):
    calendar = {"venue": "V", "instrument_id": None, "zone": "UTC", "opens": [3600], "closes": [7200]}
    market.take(calendar_event(**calendar))
    limit(market, make, trading_hours=True)
    expected = {3_600 * SECOND - 1: "TRADING_HOURS", 3_600 * SECOND: "LEFT", 7_200 * SECOND: "TRADING_HOURS"}
    for after, code in expected.items():
        assert verdict(market, make.order(price=9_000, ts_ns=MONDAY + after)) == code


def calendar_event(**fields):
    return SessionCalendarDefined(ts_ns=0, holidays=[], early_days=[], early_closes=[], **fields)


def test_as_many_orders_leave_in_a_minute_as_the_limit_says(market, make):
    limit(market, make, max_orders_per_minute=3)
    times = [0, 10, 50, 59, 60, 61, 70]
    told = [verdict(market, make.order(price=9_000, ts_ns=second * SECOND)) for second in times]
    denied = "ORDERS_PER_MINUTE"
    assert told == ["LEFT", "LEFT", "LEFT", denied, "LEFT", denied, "LEFT"]


def test_replaces_count_as_orders_and_refused_ones_do_not(market, make):
    limit(market, make, max_orders_per_minute=2, max_order_value="1000")
    order_id = market.take(make.order(Side.BUY, 1, price=9_000))[1].order_id

    def replace(price):
        return market.take(
            ReplaceRequested(
                ts_ns=1,
                order_id=order_id,
                quantity=None,
                price=price,
                stop_price=None,
                source="operator:test",
            )
        )[1]

    assert [replace(200_000).rule for _ in range(5)] == ["MAX_ORDER_VALUE"] * 5
    assert type(replace(9_001)).__name__ == "OrderReplaced"
    assert replace(9_002).rule == "ORDERS_PER_MINUTE"
    assert market.core.risk.pace.day_count == 2


def test_the_orders_of_a_day_are_counted_anew_at_midnight_of_the_zone(market, make):
    limit(market, make, max_orders_per_day=2, day_zone="Asia/Tokyo")
    tokyo_midnight = MONDAY + 15 * 3_600 * SECOND
    told = [
        verdict(market, make.order(price=9_000, ts_ns=tokyo_midnight + after))
        for after in (-3, -2, -1, 0, 1, 2)
    ]
    assert told == ["LEFT", "LEFT", "ORDERS_PER_DAY"] * 2


def test_the_collar_of_a_market_order_is_about_the_quote_it_would_meet(market, make):
    limit(market, make, price_collar_ppm=10_000)
    market.take(make.quote(9_800, 10_100))
    assert verdict(market, make.order(Side.BUY)) == "LEFT"
    assert verdict(market, make.order(Side.SELL)) == "PRICE_COLLAR"


def test_the_collar_without_a_trade_is_about_the_middle_of_the_quote(desk, make):
    limit(desk, make, price_collar_ppm=10_000)
    desk.take(make.quote(9_900, 10_100))
    assert verdict(desk, make.order(Side.BUY, price=10_100)) == "LEFT"
    assert verdict(desk, make.order(Side.BUY, price=10_101)) == "PRICE_COLLAR"


def test_the_limit_of_a_stop_is_held_against_its_stop(market, make):
    limit(market, make, price_collar_ppm=10_000)
    stop_limit = {"order_type": OrderType.STOP_LIMIT, "stop_price": 5_000}
    assert verdict(market, make.order(Side.SELL, price=4_950, **stop_limit)) == "LEFT"
    assert verdict(market, make.order(Side.SELL, price=4_949, **stop_limit)) == "PRICE_COLLAR"
    assert verdict(market, make.order(Side.SELL, order_type=OrderType.STOP, stop_price=5_000)) == "LEFT"


def test_values_are_told_in_the_currency_in_which_all_is_summed_up(market, make):
    pair = {"asset_class": AssetClass.FOREX, "base_currency": "EUR", "symbol": "EUR-USD"}
    market.take(make.instrument(3, **pair), make.instrument(4, quote_currency="EUR"))
    market.take(make.trade(200, instrument_id=3), make.trade(10_000, instrument_id=4))
    limit(market, make, max_order_value="1000")
    assert verdict(market, make.order(Side.SELL, 5, price=10_000, instrument_id=4)) == "LEFT"
    assert verdict(market, make.order(Side.SELL, 6, price=10_000, instrument_id=4)) == "MAX_ORDER_VALUE"


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_order_value": "1000"}, "MAX_ORDER_VALUE"),
        ({"max_position_value": "1000"}, "MAX_POSITION_VALUE"),
        ({"max_exposure": "1000"}, "MAX_EXPOSURE"),
        ({"max_concentration_ppm": 500_000}, "CONCENTRATION"),
        ({"margin": True}, "MARGIN"),
    ],
)
def test_a_value_that_no_known_price_can_convert_is_beyond_every_limit(market, make, limits, code):
    market.take(make.instrument(4, quote_currency="EUR"), make.trade(10_000, instrument_id=4))
    limit(market, make, **limits)
    assert verdict(market, make.order(Side.SELL, 1, price=10_000, instrument_id=4)) == code


def test_margin_takes_the_place_of_cash(market, make):
    assert verdict(market, make.order(Side.BUY, 10_001, price=10_000)) == "CASH"
    limit(market, make, margin=True, initial_margin_ppm__I1=100_000)
    assert verdict(market, make.order(Side.BUY, 100_000, price=10_000)) == "LEFT"
    market.take(make.quote(9_999, 10_000, ask_quantity=100_000))
    assert market.core.account.cash["USD"] == -9_000_000 * USD


# --- equity ---------------------------------------------------------------------------------------


def loser(market, make, cents: int):
    """Hold 100 of I1 bought at 100.00, and let the price fall by so many cents."""
    market.take(make.quote(9_999, 10_000), make.order(Side.BUY, 100))
    market.take(make.trade(10_000 - cents))


@pytest.mark.parametrize(("cents", "expected"), [(500, "LEFT"), (501, "DAILY_LOSS")])
def test_equity_may_fall_by_the_daily_loss_and_no_further(market, make, cents, expected):
    limit(market, make, max_daily_loss="500", on_daily_loss="deny")
    loser(market, make, cents)
    assert verdict(market, make.order(Side.BUY, 1, price=9_000)) == expected


@pytest.mark.parametrize(("cents", "expected"), [(500, "LEFT"), (501, "DRAWDOWN")])
def test_equity_may_fall_from_its_peak_by_the_drawdown_and_no_further(market, make, cents, expected):
    limit(market, make, max_drawdown_ppm=500, on_drawdown="deny")
    loser(market, make, cents)
    assert verdict(market, make.order(Side.BUY, 1, price=9_000)) == expected


@pytest.mark.parametrize(
    ("limits", "cents", "code"),
    [
        ({"max_daily_loss": "500", "on_daily_loss": "reduce"}, 501, "DAILY_LOSS"),
        ({"max_drawdown_ppm": 500, "on_drawdown": "reduce"}, 501, "DRAWDOWN"),
        ({"margin": True, "maintenance_margin_ppm__*": 2_000_000, "initial_margin_ppm__*": 1}, 501, "MARGIN"),
    ],
)
@pytest.mark.parametrize("state", [TradingState.REDUCING, TradingState.HALTED])
def test_a_broken_limit_changes_the_trading_state_at_the_next_tick_of_the_clock(
    market, make, limits, cents, code, state
):
    action = {"MARGIN": "on_margin", "DAILY_LOSS": "on_daily_loss", "DRAWDOWN": "on_drawdown"}[code]
    limit(market, make, **{**limits, action: "reduce" if state == TradingState.REDUCING else "halt"})
    loser(market, make, cents)
    if code == "MARGIN":
        market.take(make.command("account.withdraw", currency="USD", amount="981000"))
    merged = market.take(make.tick(5))
    assert [type(event) for event in merged[1:]] == [TradingStateChanged]
    assert (merged[1].state, merged[1].source) == (state, f"risk:{code}")
    assert market.take(make.tick(6))[1:] == []


def test_a_state_that_a_rule_asked_for_stays_until_it_is_resumed_and_then_away(market, make):
    limit(market, make, max_daily_loss="500")
    loser(market, make, 501)
    market.take(make.tick(5), make.trade(10_000), make.tick(6))
    assert market.core.trading_state == TradingState.REDUCING
    market.take(make.trade(9_400), make.command("trading.resume", reason="looked at it"))
    market.take(make.tick(7))
    assert market.core.trading_state == TradingState.REDUCING
    market.take(make.command("trading.resume", reason="looked at it again"), make.tick(8))
    assert market.core.trading_state == TradingState.ACTIVE
    assert verdict(market, make.order(Side.BUY, 1, price=9_000)) == "DAILY_LOSS"


def test_a_day_begins_with_the_equity_of_its_first_look(market, make):
    limit(market, make, max_daily_loss="500", on_daily_loss="deny")
    loser(market, make, 400)
    market.take(make.tick(DAY), make.trade(9_200), make.tick(DAY + 1))
    assert market.core.risk.watch.broken == set()
    market.take(make.trade(9_099), make.tick(DAY + 2))
    assert market.core.risk.watch.broken == {"DAILY_LOSS"}
    market.take(make.tick(2 * DAY))
    assert market.core.risk.watch.broken == set()


def test_money_paid_in_or_out_is_neither_profit_nor_loss(market, make):
    limit(market, make, max_daily_loss="500", max_drawdown_ppm=500, on_daily_loss="deny", on_drawdown="deny")
    loser(market, make, 400)
    market.take(make.tick(2), make.deposit("5000000"), make.tick(3))
    market.take(make.command("account.withdraw", currency="USD", amount="5900000"), make.tick(4))
    assert market.core.risk.watch.broken == set()
    watch = market.core.risk.watch
    assert (watch.day_equity, watch.equity) == (100_000 * USD, 99_600 * USD)
    # 400 of a million are missing from the peak, before and after.
    assert watch.peak == 99_600 * USD * 1_000_000 // 999_600


def test_a_reset_takes_equity_now_for_the_day_and_for_the_peak(market, make):
    limit(market, make, max_daily_loss="500", max_drawdown_ppm=500, on_daily_loss="deny", on_drawdown="deny")
    loser(market, make, 600)
    market.take(make.tick(2))
    assert market.core.risk.watch.broken == {"DAILY_LOSS", "DRAWDOWN"}
    market.take(make.command("risk.reset"), make.tick(3))
    assert market.core.risk.watch.broken == set()
    assert market.core.risk.watch.peak == 999_400 * USD


def test_while_equity_cannot_be_told_nothing_is_opened(market, make):
    limit(market, make, max_daily_loss="500")
    market.take(make.deposit("5", "EUR"), make.tick(2))
    assert verdict(market, make.order(Side.BUY, 1, price=9_000)) == "DAILY_LOSS"
    assert verdict(market, make.order(Side.BUY, 1, price=9_000)) == "DAILY_LOSS"


# --- limits as values -----------------------------------------------------------------------------


def test_limits_of_the_configuration_are_in_force_from_the_start_on(market, make):
    market.take(started(max_order_value="1000", max_order_quantity__I1="5"))
    assert verdict(market, make.order(Side.BUY, 6, price=1)) == "MAX_ORDER_QUANTITY"
    assert verdict(market, make.order(Side.BUY, 5, price=20_001)) == "MAX_ORDER_VALUE"


def test_a_limit_that_was_set_outlives_a_restart_until_the_configuration_changes_it(market, make):
    market.take(started(max_order_value="1000", max_position_value="7"))
    limit(market, make, max_order_value="2000", max_exposure="3")
    market.take(started(max_order_value="1000", max_position_value="7"))
    assert market.core.risk.chosen.in_force() == {
        "max_order_value": "2000", "max_position_value": "7", "max_exposure": "3"
    }  # fmt: skip
    market.take(started(max_order_value="1500"))
    assert market.core.risk.chosen.in_force() == {"max_order_value": "1500", "max_exposure": "3"}
    market.take(started())
    assert market.core.risk.chosen.in_force() == {"max_exposure": "3"}


def test_a_limit_of_the_configuration_that_was_switched_off_stays_so_over_a_restart(market, make):
    market.take(started(max_order_value="1000"))
    limit(market, make, max_order_value=None)
    market.take(started(max_order_value="1000"))
    assert market.core.risk.chosen.in_force() == {}


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, "no limit is named"),
        ({"max_order_valu": "1"}, "no limit 'max_order_valu'"),
        ({"max_order_value": 1000}, "expected decimal text above zero"),
        ({"max_order_value": "-1"}, "expected decimal text above zero"),
        ({"max_order_value": "1e3"}, "expected decimal text above zero"),
        ({"max_order_value__I1": "1"}, "no limit 'max_order_value.I1'"),
        ({"max_order_quantity": "1"}, "no limit 'max_order_quantity'"),
        ({"max_order_quantity__": "1"}, "1 to 100 characters"),
        ({"max_orders_per_minute": 10_001}, "an integer from 1 to 10000"),
        ({"max_orders_per_minute": True}, "an integer from 1 to 10000"),
        ({"max_drawdown_ppm": 1_000_001}, "an integer from 1 to 1000000"),
        ({"margin": "yes"}, "true or false"),
        ({"on_margin": "sell"}, "deny, reduce or halt"),
        ({"day_zone": "Mars/Olympus"}, "an IANA time zone"),
        ({"low_profit": "minus"}, "decimal text, below zero for a loss"),
        ({"max_exposure": ["1"]}, "must be a single value"),
    ],
)
def test_a_limit_that_cannot_be_changes_nothing(market, make, limits, told):
    answer = market.take(make.command("risk.set", **limits))[1]
    assert isinstance(answer, NotificationQueued)
    assert told in answer.body
    assert market.core.risk.chosen.changed == {}


def test_more_limits_than_the_core_keeps_are_refused(market, make):
    many = {f"min_cash__C{number}": "1" for number in range(1_000)}
    limit(market, make, **many)
    answer = market.take(make.command("risk.set", max_exposure="1"))[1]
    assert "more than 1000 limits" in answer.body


def test_a_start_with_a_limit_that_cannot_be_halts_trading(market):
    merged = market.take(started(max_order_value="lots"))
    assert merged[-1].state == TradingState.HALTED
    assert market.core.risk.chosen.in_force() == {}


def test_settings_of_a_newer_taped_are_passed_over(market):
    market.take(started(max_of_something_new="1", max_order_value="5"))
    assert market.core.risk.chosen.in_force() == {"max_order_value": "5"}


def test_every_rule_has_a_limit_and_a_code_of_its_own():
    kinds = (*ALWAYS, *WHEN_OPENING)
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert {kind.setting for kind in kinds} <= KINDS.keys() | KEYED.keys()


# --- no sequence of accepted orders exceeds a limit ----------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 12),
        st.none() | st.integers(9_900, 10_100),
        st.sampled_from(["order", "order", "order", "fill", "cancel"]),
    ),
    max_size=40,
)


@given(steps)
def test_no_sequence_of_accepted_orders_exceeds_a_limit_once_all_is_filled(make, sequence):
    desk = make.Desk()
    desk.take(make.instrument(1), make.instrument(2), make.deposit())
    for number in (1, 2):
        desk.take(make.trade(10_000, instrument_id=number))
    most_quantity, most_value, most_exposure, share = 20, 1_800 * USD, 2_500 * USD, 1_750
    limit(
        desk, make,
        **{"max_position_quantity__*": "20", "max_exposure": "2500"},
        max_position_value="1800", max_concentration_ppm=share, max_order_value="1100",
    )  # fmt: skip
    for number, side, quantity, price, step in sequence:
        if step == "order":
            desk.take(make.order(side, quantity, price=price, instrument_id=number))
        elif step == "cancel":
            for order_id in list(desk.core.orders.working)[:1]:
                desk.take(CancelRequested(ts_ns=1, order_id=order_id, source="operator:test"))
        else:
            offer = (None, 9_990) if side > 0 else (10_010, None)
            desk.take(make.quote(*offer, instrument_id=number, bid_quantity=quantity, ask_quantity=quantity))
            desk.take(make.trade(10_000, instrument_id=number))
        core, exposure = desk.core, 0
        for key in (1, 2):
            worst = most_that_can_become(core, key)
            assert worst <= most_quantity
            assert worst * 100 * USD <= most_value
            assert worst * 100 * USD * 1_000_000 <= core.total().worth.equity * share
            exposure += worst
        assert exposure * 100 * USD <= most_exposure


def most_that_can_become(core, instrument_id: int) -> int:
    """Return the largest position there can be when any of the working orders are filled."""
    held = core.portfolio.quantity(instrument_id)
    orders = [o for o in core.orders.working.values() if o.request.instrument_id == instrument_id]
    bought, sold = (sum(o.remaining for o in orders if o.request.side == side) for side in (1, -1))
    return max(abs(held + bought), abs(held - sold))


@pytest.mark.parametrize("kind", [OrderType.STOP, OrderType.TRAILING_STOP])
def test_a_stop_that_is_reached_already_needs_the_cash_that_the_market_asks(make, kind):
    desk = make.Desk()
    desk.take(make.instrument(), make.deposit("1000"), make.trade(10_000))
    trail = 5 if kind is OrderType.TRAILING_STOP else None
    asked = make.order(Side.BUY, 11, order_type=kind, stop_price=1, trail_amount=trail)
    assert verdict(desk, asked) == "CASH"
    assert desk.core.account.cash == {"USD": 1_000 * USD}


@pytest.mark.parametrize(
    "terms",
    [
        {"price": 1},
        {"price": 1, "stop_price": 10_000, "order_type": OrderType.STOP_LIMIT},
        {"stop_price": 1, "trail_amount": 5, "order_type": OrderType.TRAILING_STOP},
    ],
)
def test_a_low_price_makes_no_sale_worth_less_than_the_market_pays(market, make, terms):
    limit(market, make, max_order_value="1000")
    assert verdict(market, make.order(Side.SELL, 11, **terms)) == "MAX_ORDER_VALUE"
    assert verdict(market, make.order(Side.SELL, 10, **terms)) == "LEFT"


def test_a_child_that_would_open_is_refused_while_only_reducing_is_allowed(market, make):
    market.take(make.quote(9_990, 10_010), make.order(Side.BUY, 10))
    market.take(make.command("trading.reduce", reason="drill"))
    parent = market.core.next_seq
    child = make.order(Side.BUY, 10, price=20_000, parent_id=parent)
    merged = market.take(make.order(Side.SELL, 10), child)
    assert [event.rule for event in merged if isinstance(event, OrderDenied)] == ["REDUCING"]
    assert not market.core.positions[1].quantity


def test_a_child_that_was_held_when_reducing_began_opens_nothing(market, make):
    market.take(make.quote(9_990, 10_010), make.order(Side.BUY, 10))
    parent = market.core.next_seq
    child = make.order(Side.BUY, 10, price=20_000, parent_id=parent)
    market.take(make.order(Side.SELL, 10, price=11_000), child)
    market.take(make.command("trading.reduce", reason="drill"))
    assert market.core.positions[1].quantity == 10
    market.take(make.trade(12_000, 100, ts_ns=2))
    assert not market.core.positions[1].quantity


def test_children_that_close_leave_while_only_reducing_is_allowed(market, make):
    parent = market.core.next_seq
    child = make.order(Side.SELL, 10, price=11_000, parent_id=parent)
    market.take(make.order(Side.BUY, 10, price=9_000), child)
    market.take(make.command("trading.reduce", reason="drill"))
    market.take(make.trade(8_000, 100, ts_ns=2))
    assert market.core.positions[1].quantity == 10
    market.take(make.trade(12_000, 100, ts_ns=3))
    assert not market.core.positions[1].quantity
