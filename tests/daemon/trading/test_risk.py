from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.orders import Order
from daemon.trading.risk.order_rules import ORDER_RULES, passes_at_once
from daemon.trading.risk.view import Proposal
from daemon.trading.terms import TERMS_RULES, flaw, is_plain
from schemas.events import DaemonStarted, OrderDenied, OrderSubmitted, OrderType, Side, TimeInForce

MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP
STOP_LIMIT, TRAILING = OrderType.STOP_LIMIT, OrderType.TRAILING_STOP


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("UNKNOWN_INSTRUMENT", {"instrument_id": 99}),
        ("NOT_TRADABLE", {"instrument_id": 4}),
        ("NOT_TRADABLE", {"instrument_id": 6, "side": Side.SELL}),
        ("NOT_TRADABLE", {"instrument_id": 7}),
        ("NOT_TRADABLE", {"instrument_id": 8}),
        ("SIDE", {"side": Side.NONE}),
        ("LINK", {"parent_id": 1}),
        ("LINK", {"oco_group": 1}),
        ("STOP_PRICE", {"order_type": STOP}),
        ("STOP_PRICE", {"order_type": STOP, "stop_price": 0}),
        ("STOP_PRICE", {"order_type": STOP_LIMIT, "price": 100}),
        ("STOP_PRICE", {"stop_price": 100}),
        ("STOP_PRICE", {"price": 100, "stop_price": 100}),
        ("PRICE", {"order_type": STOP, "stop_price": 90, "price": 90}),
        ("PRICE", {"order_type": STOP_LIMIT, "stop_price": 90}),
        ("PRICE", {"order_type": TRAILING, "trail_amount": 5, "price": 90}),
        ("TRAIL", {"order_type": TRAILING}),
        ("TRAIL", {"order_type": TRAILING, "trail_amount": 5, "trail_ppm": 5}),
        ("TRAIL", {"order_type": TRAILING, "trail_amount": 0}),
        ("TRAIL", {"order_type": TRAILING, "trail_ppm": 0}),
        ("TRAIL", {"order_type": TRAILING, "trail_ppm": 1_000_000}),
        ("TRAIL", {"trail_amount": 5}),
        ("TRAIL", {"price": 100, "trail_ppm": 5}),
        ("TIME_IN_FORCE", {"time_in_force": TimeInForce.GTD}),
        ("TIME_IN_FORCE", {"time_in_force": TimeInForce.GTD, "expire_ns": 1}),
        ("TIME_IN_FORCE", {"time_in_force": TimeInForce.DAY, "expire_ns": 5}),
        ("TIME_IN_FORCE", {"order_type": STOP, "stop_price": 90, "time_in_force": TimeInForce.IOC}),
        ("TIME_IN_FORCE", {"order_type": TRAILING, "trail_ppm": 9, "time_in_force": TimeInForce.FOK}),
        ("POST_ONLY", {"post_only": True}),
        ("POST_ONLY", {"order_type": STOP_LIMIT, "price": 90, "stop_price": 90, "post_only": True}),
        ("POST_ONLY", {"post_only": True, "price": 100, "time_in_force": TimeInForce.IOC}),
        ("QUANTITY", {"quantity": 0}),
        ("QUANTITY", {"quantity": -1}),
        ("LOT_SIZE", {"instrument_id": 3, "quantity": 150}),
        ("PRICE", {"order_type": MARKET, "price": 100}),
        ("PRICE", {"order_type": LIMIT}),
        ("PRICE", {"price": 0}),
        ("PRICE", {"price": -5}),
        ("TICK_SIZE", {"instrument_id": 3, "quantity": 100, "price": 101}),
        ("TICK_SIZE", {"instrument_id": 3, "quantity": 100, "order_type": STOP, "stop_price": 101}),
        ("TICK_SIZE", {"instrument_id": 3, "quantity": 100, "order_type": TRAILING, "trail_amount": 7}),
        ("REDUCE_ONLY", {"reduce_only": True}),
        ("VALUE", {"price": 10**13, "quantity": 10**6}),
        ("VALUE", {"side": Side.SELL, "price": 10**13, "quantity": 10**6}),
        ("VALUE", {"instrument_id": 2}),
        ("CASH", {"price": 100, "quantity": 1_000_001}),
        ("CASH", {"order_type": STOP, "stop_price": 200, "quantity": 500_001}),
        ("CASH", {"instrument_id": 5, "price": 100}),
    ],
)
def test_each_rule_refuses_under_its_own_code(desk, make, rule, fields):
    desk.take(
        make.instrument(3, lot_size=100, tick_size=5),
        make.instrument(4, price_scale=10, quantity_scale=10),
        make.instrument(5, quote_currency="EUR"),
        make.instrument(6, multiplier=0),
        make.instrument(7, multiplier=-5),
        make.instrument(8, multiplier=2**63),
        make.trade(100),
        *(make.trade(100, instrument_id=number) for number in (4, 6, 7, 8)),
    )
    denied = desk.take(make.order(**fields))[1]
    assert isinstance(denied, OrderDenied)
    assert denied.rule == rule
    assert denied.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": 1_000_000},
        {"price": 100, "time_in_force": TimeInForce.DAY},
        {"price": 100, "time_in_force": TimeInForce.GTD, "expire_ns": 2},
        {"price": 100, "post_only": True, "time_in_force": TimeInForce.DAY},
        {"order_type": STOP, "stop_price": 110},
        {"order_type": STOP_LIMIT, "stop_price": 110, "price": 111, "time_in_force": TimeInForce.DAY},
        {"order_type": TRAILING, "trail_amount": 5},
        {"order_type": TRAILING, "trail_ppm": 999_999, "stop_price": 90},
    ],
)
def test_an_order_that_breaks_no_rule_leaves(desk, make, fields):
    desk.take(make.trade(100))
    merged, effects = desk.core.run([make.order(**fields)])
    assert isinstance(merged[1], OrderSubmitted)
    assert effects == [(desk.core.next_seq - 1, merged[1])]


def test_the_same_client_id_twice_is_denied(desk, make):
    desk.take(make.trade(100))
    assert isinstance(desk.take(make.order(client_id="mine"))[1], OrderSubmitted)
    assert desk.take(make.order(client_id="mine"))[1].rule == "DUPLICATE_CLIENT_ID"
    assert desk.core.order_by_client_id("mine").order_id == 5


def test_cash_that_working_purchases_need_is_not_free(desk, make):
    assert isinstance(desk.take(make.order(price=100, quantity=600_000))[1], OrderSubmitted)
    assert desk.take(make.order(price=100, quantity=600_000))[1].rule == "CASH"
    assert isinstance(desk.take(make.order(price=100, quantity=400_000))[1], OrderSubmitted)


def test_the_fee_counts_into_the_cash_an_order_needs(desk, make):
    settings = {"venue.taker_fee_ppm": 1000}
    desk.take(DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=settings))
    assert desk.take(make.order(price=100, quantity=1_000_000))[1].rule == "CASH"
    assert isinstance(desk.take(make.order(price=100, quantity=999_000))[1], OrderSubmitted)


def test_selling_short_needs_no_cash_and_buying_back_needs_none_either(make):
    desk = make.Desk()
    desk.take(make.instrument(), make.quote(99, 101))
    desk.take(make.order(Side.SELL, 10))
    desk.core.account.cash["USD"] = 0
    assert isinstance(desk.take(make.order(Side.BUY, 10, price=50))[1], OrderSubmitted)
    assert desk.take(make.order(Side.BUY, 1, price=50))[1].rule == "CASH"


def test_while_reducing_only_orders_that_reduce_leave(desk, make):
    desk.take(make.quote(99, 101), make.order(quantity=10))
    desk.take(make.command("trading.reduce", reason="test"))
    assert desk.take(make.order(Side.BUY, 1))[1].rule == "REDUCING"
    assert desk.take(make.order(Side.SELL, 11))[1].rule == "REDUCING"
    assert isinstance(desk.take(make.order(Side.SELL, 6, price=500))[1], OrderSubmitted)
    assert desk.take(make.order(Side.SELL, 5))[1].rule == "REDUCING"
    assert isinstance(desk.take(make.order(Side.SELL, 4))[1], OrderSubmitted)


def test_reduce_only_counts_the_orders_that_already_reduce(desk, make):
    desk.take(make.quote(99, 101), make.order(quantity=10))
    desk.take(make.order(Side.SELL, 8, price=500, reduce_only=True))
    denied = desk.take(make.order(Side.SELL, 3, price=500, reduce_only=True))[1]
    assert (denied.rule, denied.reason) == ("REDUCE_ONLY", "at most 2 would reduce the position")


def test_too_many_working_orders_are_refused(desk, make):
    for _ in range(1000):
        desk.take(make.order(Side.SELL, 1, price=500))
    assert desk.take(make.order(Side.SELL, 1, price=500))[1].rule == "TOO_MANY_ORDERS"


PLAIN_OR_NOT = {
    "side": st.sampled_from(Side),
    "order_type": st.sampled_from(OrderType),
    "quantity": st.sampled_from([-1, 0, 1, 10, 15, 2**63 - 1]),
    "price": st.sampled_from([None, None, -5, 0, 100, 102]),
    "stop_price": st.sampled_from([None, None, None, 100]),
    "trail_amount": st.sampled_from([None, None, None, 5]),
    "trail_ppm": st.sampled_from([None, None, None, 5]),
    "time_in_force": st.sampled_from(TimeInForce),
    "expire_ns": st.sampled_from([None, None, None, 5]),
    "post_only": st.booleans(),
    "client_id": st.sampled_from([None, None, "a"]),
    "parent_id": st.sampled_from([None, None, None, 1]),
    "oco_group": st.sampled_from([None, None, None, 1]),
}
STEPS = st.sampled_from([-1, 0, 1, 1, 5])


@given(fields=st.fixed_dictionaries(PLAIN_OR_NOT), tick=STEPS, lot=STEPS, scale=st.sampled_from([-1, 0, 19]))
def test_an_order_that_looks_plain_breaks_no_rule_on_terms(make, fields, tick, lot, scale):
    core = Core(make.journal)
    core.run([make.instrument(1, tick_size=tick, lot_size=lot, price_scale=scale)])
    order = Order.requested(5, make.order(**fields))
    if is_plain(order, core.instruments[1]):
        assert [code for code, rule in TERMS_RULES if rule(order, core)] == []


def test_common_orders_look_plain(make):
    instrument = make.instrument(1, tick_size=5, lot_size=5)
    for fields in ({}, {"price": 100}, {"price": 100, "time_in_force": TimeInForce.IOC}):
        assert is_plain(Order.requested(5, make.order(**fields)), instrument)


@given(
    side=st.sampled_from([Side.BUY, Side.SELL]),
    quantity=st.integers(1, 30_000),
    price=st.integers(-100, 20_000),
    held=st.integers(-500, 500),
    fields=st.sampled_from([{}, {"reduce_only": True}, {"tag": "x"}, {"time_in_force": TimeInForce.IOC}]),
    settings=st.sampled_from(
        [{}, {"venue.taker_fee_ppm": 2_500}, {"risk.max_order_quantity.*": "900"}, {"risk.margin": True}]
    ),
)
def test_what_passes_at_one_look_no_rule_would_refuse(make, side, quantity, price, held, fields, settings):
    desk = make.Desk()
    started = DaemonStarted(ts_ns=0, daemon_version="", config_hash="", code_hash="", settings=settings)
    desk.take(started, make.instrument(), make.deposit("1000000"), make.trade(100))
    if held:
        desk.take(make.order(Side.BUY if held > 0 else Side.SELL, abs(held)), make.trade(100, 1_000))
    desk.take(make.trade(price))
    core = desk.core
    new = Order.requested(core.next_seq, make.order(side, quantity, **fields))
    if passes_at_once(new, core):
        proposal = Proposal(new, core)
        assert flaw(new, core) is None
        assert [code for code, rule in ORDER_RULES if rule(proposal) is not None] == []
        assert not core.risk.always_asked + core.risk.asked_when_opening
