"""The kill switch: one command halts, cancels, and closes; nothing else leaves afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.gate import hold_back
from daemon.trading.orders import KILL, OrderStatus
from schemas.events import (
    CancelRejected,
    CancelRequested,
    NotificationQueued,
    OperatorCommand,
    OrderCanceled,
    OrderRejected,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    ReplaceRejected,
    ReplaceRequested,
    Side,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)
from tests.daemon.trading.test_links import Floor
from tests.daemon.trading.test_restart import KINDS, give, live, streams

BUY, SELL = Side.BUY, Side.SELL
TIMES = {"ts_ns": 5, "received_ns": 5}


@pytest.fixture
def floor(make):
    return Floor(make)


def kill(floor, *, flatten=False):
    return floor.take(floor.make.command("trading.kill", reason="fire", flatten=flatten))


def closing_orders(events):
    return [
        (event.instrument_id, event.side, event.quantity)
        for event in events
        if isinstance(event, OrderRequested) and event.source == KILL
    ]


def test_it_halts_trading_and_cancels_every_order(floor):
    entry, profit, loss = floor.bracket()
    other = floor.order(SELL, 3, price=200, instrument_id=2)
    decisions = kill(floor)
    assert decisions[0] == TradingStateChanged(
        ts_ns=1, state=TradingState.HALTED, reason="fire", source="operator:test"
    )
    assert floor.status(entry, profit, loss, other) == [
        "PENDING_CANCEL",
        "DENIED",
        "DENIED",
        "PENDING_CANCEL",
    ]
    assert [event.order_id for event in floor.effects if isinstance(event, CancelRequested)] == [entry, other]
    assert not closing_orders(decisions)


def test_no_order_leaves_afterwards_until_trading_is_resumed(floor):
    kill(floor)
    order_id = floor.order(BUY, 1, price=90)
    assert floor.core.orders[order_id].rule == "HALTED"
    floor.take(floor.make.command("trading.resume", reason="fire is out"))
    assert floor.status(floor.order(BUY, 1, price=90)) == ["SUBMITTED"]


def test_it_closes_positions_that_nothing_else_can_close(floor):
    floor.fill(floor.order(BUY, 10), 10)
    floor.fill(floor.order(SELL, 7, instrument_id=2), 7)
    decisions = kill(floor, flatten=True)
    assert closing_orders(decisions) == [(1, SELL, 10), (2, BUY, 7)]
    for event in decisions:
        if isinstance(event, OrderRequested):
            assert (event.order_type, event.reduce_only) == (OrderType.MARKET, True)
    assert len([event for event in floor.effects if isinstance(event, OrderSubmitted)]) == 4


def test_a_position_is_closed_once_no_cancel_is_open_that_could_close_it_too(floor):
    floor.fill(floor.order(BUY, 10), 10)
    resting = floor.order(SELL, 10, price=120)
    assert not closing_orders(kill(floor, flatten=True))
    assert closing_orders(floor.fill(resting, 4)) == []
    assert closing_orders(floor.canceled(resting)) == [(1, SELL, 6)]


def test_an_order_that_fills_against_its_cancel_is_closed_too(floor):
    resting = floor.order(BUY, 10, price=90)
    assert not closing_orders(kill(floor, flatten=True))
    assert closing_orders(floor.fill(resting, 4)) == [(1, SELL, 4)]
    assert closing_orders(floor.fill(resting, 6)) == []
    closing = max(floor.core.orders)
    assert closing_orders(floor.fill(closing, 4)) == [(1, SELL, 6)]


def test_a_closing_order_that_comes_to_nothing_is_told_and_not_repeated(floor):
    floor.fill(floor.order(BUY, 10), 10)
    kill(floor, flatten=True)
    closing = max(floor.core.orders)
    decisions = floor.take(OrderRejected(**TIMES, order_id=closing, reason="market is closed"))
    (told,) = decisions
    assert isinstance(told, NotificationQueued)
    assert ("I1" in told.subject, told.body) == (True, "market is closed")
    assert floor.core.state()["flattening"] == [1]
    assert closing_orders(kill(floor, flatten=True)) == [(1, SELL, 10)]


def test_a_closing_order_that_fills_in_part_is_followed_by_another(floor):
    floor.fill(floor.order(BUY, 10), 10)
    kill(floor, flatten=True)
    closing = max(floor.core.orders)
    floor.fill(closing, 4)
    assert closing_orders(floor.canceled(closing)) == [(1, SELL, 6)]


def test_no_rule_keeps_a_position_that_is_to_be_closed(floor, make):
    floor.fill(floor.order(BUY, 10), 10)
    floor.take(make.instrument(1, lot_size=7))
    assert closing_orders(kill(floor, flatten=True)) == [(1, SELL, 10)]
    assert floor.core.orders[max(floor.core.orders)].status is OrderStatus.SUBMITTED


def test_closing_stops_strategies_and_their_orders(make):
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.deposit())
    desk.take(make.command("strategy.start", strategy_id="y", kind="busy", instruments=["I1"]))
    desk.take(make.trade(100), make.trade(105))
    merged = desk.take(make.command("trading.kill", reason="fire", flatten=True))
    assert [event.reason for event in merged if isinstance(event, StrategyStopped)] == ["kill switch of test"]
    assert len([event for event in merged if isinstance(event, CancelRequested)]) == 2
    assert not desk.core.strategies
    assert not desk.core.orders.working


def test_resuming_ends_the_closing(floor, make):
    resting = floor.order(BUY, 10, price=90)
    kill(floor, flatten=True)
    floor.take(make.command("trading.reduce", reason="done"))
    assert closing_orders(floor.fill(resting, 4)) == []


def test_closing_goes_on_after_a_restart(floor, make):
    floor.fill(floor.order(BUY, 10), 10)
    resting = floor.order(SELL, 10, price=120)
    kill(floor, flatten=True)
    replayed = Core(make.journal)
    replayed.replay(1, floor.merged)
    ended = OrderCanceled(**TIMES, order_id=resting, reason="asked for")
    loaded = load(make.journal, list(dump(floor.core).parts()))
    for core in (replayed, loaded, floor.core):
        assert closing_orders(core.run([ended])[0]) == [(1, SELL, 10)]


def test_what_was_decided_before_a_halt_and_did_not_leave_stays(floor):
    order_id = floor.order(BUY, 1, price=90)
    waiting = [(order_id + 1, floor.effects[-1])]
    kill(floor)
    waiting.append((floor.core.next_seq - 1, floor.effects[-1]))
    leaving, reports = hold_back(waiting, floor.core, 7)
    assert leaving == []
    assert reports == [
        OrderCanceled(ts_ns=7, received_ns=7, order_id=order_id, reason="trading was halted before it left")
    ]
    floor.take(*reports)
    assert floor.status(order_id) == ["CANCELED"]


def test_a_replace_that_did_not_leave_before_a_halt_is_refused(floor):
    order_id = floor.order(BUY, 1, price=90)
    floor.accept(order_id)
    wish = ReplaceRequested(
        ts_ns=5, order_id=order_id, quantity=None, price=95, stop_price=None, source="operator:test"
    )
    floor.take(wish)
    waiting = [(1, floor.effects[-1])]
    floor.take(floor.make.command("instrument.halt", instrument="I1", reason="test"))
    leaving, (refused,) = hold_back(waiting, floor.core, 7)
    assert leaving == []
    assert isinstance(refused, ReplaceRejected)
    floor.take(refused)
    assert floor.core.orders[order_id].price == 90


def test_cancels_and_closing_orders_pass_while_trading_is_halted(floor):
    floor.fill(floor.order(BUY, 10), 10)
    floor.order(BUY, 5, price=80)
    before = len(floor.effects)
    kill(floor, flatten=True)
    waiting = [(i, event) for i, event in enumerate(floor.effects[before:])]
    assert [type(event) for _, event in waiting] == [CancelRequested, OrderSubmitted]
    assert hold_back(waiting, floor.core, 7) == (waiting, [])


def test_a_refused_cancel_leaves_the_order_and_a_second_kill_asks_again(floor):
    order_id = floor.order(BUY, 5, price=80)
    kill(floor)
    floor.take(CancelRejected(**TIMES, order_id=order_id, reason="not now"))
    assert floor.status(order_id) == ["SUBMITTED"]
    decisions = kill(floor)
    assert [type(event) for event in decisions] == [TradingStateChanged, CancelRequested]


@given(data=st.data(), flatten=st.booleans())
def test_whatever_came_before_only_cancels_and_closing_orders_leave_after_it(make, data, flatten):
    """Sends are watched where they happen; the paper venue answers, ticks and strategies go on."""
    groups = data.draw(streams(make))
    cut = data.draw(st.integers(0, len(groups)))
    desk = live(make, groups[:cut])
    desk.take(make.command("trading.kill", reason="fire", flatten=flatten))
    sent = []
    send = desk.venue.send
    desk.venue.send = lambda effects, core, now_ns: sent.extend(effects) or send(effects, core, now_ns)
    for group in groups[cut:]:
        give(desk, [event for event in group if not isinstance(event, OperatorCommand)])
    for _, event in sent:
        if isinstance(event, OrderSubmitted):
            assert desk.core.orders[event.order_id].request.source == KILL
        else:
            assert isinstance(event, CancelRequested)
    assert desk.core.trading_state is TradingState.HALTED


@given(data=st.data())
def test_every_position_with_a_market_is_closed(make, data):
    desk = live(make, data.draw(streams(make)))
    desk.take(make.command("trading.kill", reason="fire", flatten=True))
    desk.take(
        *(make.quote(99, 101, instrument_id=i) for i in (1, 2)),
        *(make.trade(100, 10**9, instrument_id=i) for i in (1, 2)),
    )
    assert all(position.quantity == 0 for position in desk.core.positions.values())
    assert not desk.core.orders.working
