"""Linked orders: children wait for their parent, orders of one group take each other's place."""

from __future__ import annotations

import pytest

from daemon.trading import order_table
from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.gate import hold_back
from daemon.trading.links import MAX_LINKED
from daemon.trading.orders import OrderStatus
from schemas.events import (
    CancelRejected,
    CancelRequested,
    Liquidity,
    NotificationQueued,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderHeld,
    OrderReleased,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    ReplaceRejected,
    ReplaceRequested,
    Side,
    StrategyStopped,
)

BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP
TIMES = {"ts_ns": 5, "received_ns": 5}


class Floor:
    """A core whose venue says what the test tells it to; keeps all events."""

    def __init__(self, make, lot_size: int = 1):
        self.make = make
        self.core = Core(make.journal)
        self.merged = []
        self.effects = []
        self.take(make.instrument(1, lot_size=lot_size), make.instrument(2), make.deposit())
        self.take(make.trade(100), make.trade(100, instrument_id=2))

    def take(self, *events):
        merged, effects = self.core.run(list(events))
        self.merged += merged
        self.effects += [event for _, event in effects]
        return merged[len(events) :] if len(events) == 1 else merged

    def order(self, side=BUY, quantity=10, **fields) -> int:
        order_id = self.core.next_seq
        self.take(self.make.order(side, quantity, **fields))
        return order_id

    def bracket(self, quantity=10, **fields):
        """A purchase with take profit and stop loss, requested together as a client would."""
        entry = self.core.next_seq
        self.take(
            self.make.order(BUY, quantity, price=100, **fields),
            self.make.order(SELL, quantity, price=120, parent_id=entry, oco_group=entry, **fields),
            self.make.order(
                SELL, quantity, order_type=STOP, stop_price=90, parent_id=entry, oco_group=entry, **fields
            ),
        )
        return entry, entry + 2, entry + 4

    def accept(self, order_id):
        return self.take(OrderAccepted(**TIMES, order_id=order_id, venue_order_id=f"V{order_id}"))

    def fill(self, order_id, quantity, price=100):
        order = self.core.orders[order_id]
        return self.take(
            OrderFilled(
                **TIMES,
                order_id=order_id,
                instrument_id=order.request.instrument_id,
                side=order.request.side,
                price=price,
                quantity=quantity,
                fee=0,
                fee_scale=0,
                fee_currency="USD",
                liquidity=Liquidity.TAKER,
                venue_trade_id=f"T{len(self.merged)}",
            )
        )

    def cancel(self, order_id):
        return self.take(CancelRequested(ts_ns=5, order_id=order_id, source="operator:test"))

    def canceled(self, order_id):
        return self.take(OrderCanceled(**TIMES, order_id=order_id, reason="asked for"))

    def replaced(self, order_id):
        order = self.core.orders[order_id]
        return self.take(
            OrderReplaced(
                **TIMES,
                order_id=order_id,
                quantity=order.replacing.quantity,
                price=order.price,
                stop_price=order.stop_price,
            )
        )

    def status(self, *order_ids):
        return [self.core.orders[order_id].status.name for order_id in order_ids]

    def again(self) -> Core:
        """The core, dumped and loaded."""
        return load(self.core.journal_id, list(dump(self.core).parts()))


@pytest.fixture
def floor(make):
    return Floor(make)


def replace_of(order_id, quantity):
    return ReplaceRequested(
        ts_ns=5, order_id=order_id, quantity=quantity, price=None, stop_price=None, source="core:link"
    )


def cancel_of(order_id):
    return CancelRequested(ts_ns=5, order_id=order_id, source="core:link")


def test_children_are_held_until_their_parent_fills(floor):
    entry, profit, loss = floor.bracket()
    assert floor.status(entry, profit, loss) == ["SUBMITTED", "HELD", "HELD"]
    assert [event.order_id for event in floor.effects] == [entry]
    assert [event.order_id for event in floor.merged if isinstance(event, OrderHeld)] == [profit, loss]
    floor.accept(entry)
    assert floor.status(profit, loss) == ["HELD", "HELD"]


def test_children_leave_with_what_their_parent_has_filled(floor):
    entry, profit, loss = floor.bracket()
    decisions = floor.fill(entry, 4)
    assert [type(event) for event in decisions] == [OrderReleased, OrderSubmitted] * 2
    assert [event.quantity for event in decisions[::2]] == [4, 4]
    assert floor.status(profit, loss) == ["SUBMITTED", "SUBMITTED"]
    assert [event.order_id for event in floor.effects] == [entry, profit, loss]
    assert [floor.core.orders[i].quantity for i in (profit, loss)] == [4, 4]


def test_children_grow_with_every_fill_of_their_parent(floor):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 4)
    floor.accept(profit)
    assert floor.fill(entry, 3) == [replace_of(profit, 7), replace_of(loss, 7)]
    # One replace is under way: what the parent fills meanwhile is asked for once that is answered.
    assert floor.fill(entry, 3) == []
    assert floor.replaced(profit) == [replace_of(profit, 10)]
    assert floor.replaced(profit) == []
    assert floor.core.orders[profit].quantity == 10


def test_what_one_child_fills_the_others_lose(floor):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    floor.accept(loss)
    assert floor.fill(profit, 4) == [replace_of(loss, 6)]
    floor.replaced(loss)
    assert floor.fill(profit, 6) == [cancel_of(loss)]
    assert floor.status(profit, loss) == ["FILLED", "PENDING_CANCEL"]
    assert floor.effects[-1] == cancel_of(loss)
    assert floor.canceled(loss) == []
    assert floor.core.positions[1].quantity == 0
    assert not floor.core.orders.links.children


def test_children_are_denied_when_their_parent_ends_with_nothing_filled(floor):
    entry, profit, loss = floor.bracket()
    floor.cancel(entry)
    decisions = floor.canceled(entry)
    assert [(type(event), event.order_id, event.rule) for event in decisions] == [
        (OrderDenied, profit, "PARENT"),
        (OrderDenied, loss, "PARENT"),
    ]
    assert not floor.core.orders.links.children
    assert [event.order_id for event in floor.effects] == [entry, entry]


def test_children_of_a_denied_parent_are_denied(floor):
    entry, profit, loss = floor.bracket(quantity=1_000_001)
    assert floor.status(entry, profit, loss) == ["DENIED", "DENIED", "DENIED"]
    assert floor.core.orders[profit].rule == "LINK"


def test_children_keep_what_was_filled_when_their_parent_ends_in_between(floor):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 4)
    floor.cancel(entry)
    assert floor.canceled(entry) == []
    assert floor.fill(profit, 4) == [cancel_of(loss)]


def test_a_held_order_that_is_canceled_ends_without_leaving(floor):
    entry, profit, _ = floor.bracket()
    (denied,) = floor.cancel(profit)
    assert (denied.order_id, denied.rule) == (profit, "CANCELED")
    assert "operator:test" in denied.reason
    decisions = floor.fill(entry, 10)
    assert [event.order_id for event in decisions if isinstance(event, OrderSubmitted)] == [entry + 4]


def test_a_parent_serves_its_groups_in_the_order_of_their_requests(floor, make):
    entry = floor.core.next_seq
    floor.take(make.order(BUY, 10, price=100))
    first = floor.order(SELL, 4, price=110, parent_id=entry)
    second = floor.order(SELL, 6, price=120, parent_id=entry)
    floor.fill(entry, 5)
    assert [floor.core.orders[i].quantity for i in (first, second)] == [4, 1]
    assert floor.fill(entry, 5) == [replace_of(second, 6)]


def test_a_group_that_is_over_leaves_its_share_to_the_next(floor, make):
    entry = floor.core.next_seq
    floor.take(make.order(BUY, 10, price=100))
    first = floor.order(SELL, 5, price=110, parent_id=entry)
    second = floor.order(SELL, 5, price=120, parent_id=entry)
    floor.fill(entry, 5)
    assert floor.status(first, second) == ["SUBMITTED", "HELD"]
    floor.cancel(first)
    decisions = floor.canceled(first)
    assert [type(event) for event in decisions] == [OrderReleased, OrderSubmitted]
    assert decisions[0] == OrderReleased(ts_ns=5, order_id=second, quantity=5)


def test_children_leave_in_whole_lots(make):
    floor = Floor(make, lot_size=5)
    entry, profit, _ = floor.bracket(20)
    assert floor.fill(entry, 4) == []
    assert floor.fill(entry, 9)[0] == OrderReleased(ts_ns=5, order_id=profit, quantity=10)


def test_one_order_of_a_group_that_fills_cancels_the_others(floor):
    upper = floor.core.next_seq
    floor.order(BUY, order_type=STOP, stop_price=110, oco_group=upper)
    lower = floor.order(SELL, order_type=STOP, stop_price=90, oco_group=upper)
    assert floor.status(upper, lower) == ["SUBMITTED", "SUBMITTED"]
    assert floor.fill(upper, 10) == [cancel_of(lower)]


def test_a_part_that_one_order_of_a_group_fills_is_taken_off_the_others(floor):
    upper = floor.order(BUY, order_type=STOP, stop_price=110, oco_group=floor.core.next_seq)
    lower = floor.order(SELL, order_type=STOP, stop_price=90, oco_group=upper)
    assert floor.fill(upper, 3) == [replace_of(lower, 7)]


def test_what_an_order_of_a_group_fills_beyond_its_quantity_is_taken_off_the_others_too(floor):
    upper = floor.order(SELL, 4, price=110, oco_group=floor.core.next_seq)
    lower = floor.order(SELL, 10, order_type=STOP, stop_price=90, oco_group=upper)
    assert replace_of(lower, 4) in floor.fill(upper, 6)


def test_an_order_of_a_group_that_ends_with_nothing_filled_leaves_the_others(floor):
    upper = floor.order(BUY, order_type=STOP, stop_price=110, oco_group=floor.core.next_seq)
    lower = floor.order(SELL, order_type=STOP, stop_price=90, oco_group=upper)
    floor.cancel(upper)
    assert floor.canceled(upper) == []
    assert floor.status(lower) == ["SUBMITTED"]


def test_what_the_venue_refuses_is_not_asked_for_again_until_something_happens(floor):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    floor.fill(profit, 4)
    assert floor.take(ReplaceRejected(**TIMES, order_id=loss, reason="no")) == []
    assert floor.fill(profit, 6) == [cancel_of(loss)]
    assert floor.take(CancelRejected(**TIMES, order_id=loss, reason="no")) == []
    assert floor.accept(loss) == [cancel_of(loss)]


def test_both_of_a_group_may_fill_at_the_venue_and_the_books_follow(floor):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    floor.fill(profit, 10)
    assert floor.fill(loss, 10, price=90) == []
    assert floor.core.positions[1].quantity == -10
    assert floor.core.instrument_states == {}


def test_while_trading_is_halted_children_stay_held_and_the_operator_is_told(floor, make):
    entry, profit, loss = floor.bracket()
    floor.take(make.command("trading.halt", reason="test"))
    (told,) = floor.fill(entry, 10)
    assert isinstance(told, NotificationQueued)
    assert f"{profit}, {loss}" in told.body
    assert floor.status(profit, loss) == ["HELD", "HELD"]
    decisions = floor.take(make.command("trading.resume", reason="test"))
    assert [event.order_id for event in decisions if isinstance(event, OrderSubmitted)] == [profit, loss]


def test_a_fill_told_twice_tells_of_held_children_once(floor, make):
    entry, _, _ = floor.bracket()
    floor.take(make.command("trading.halt", reason="test"))
    floor.fill(entry, 4)
    (fill,) = (event for event in floor.merged if isinstance(event, OrderFilled))
    assert floor.take(fill) == []


def test_while_an_instrument_is_halted_children_do_not_grow(floor, make):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 5)
    floor.take(make.command("instrument.halt", instrument="I1", reason="test"))
    assert floor.fill(entry, 5) == []
    assert floor.fill(profit, 2) == []
    resume = make.command("instrument.resume", instrument="I1", reason="test")
    wishes = [(event.order_id, event.quantity) for event in floor.take(resume)[1:]]
    assert wishes == [(profit, 10), (loss, 8)]


def test_while_trading_is_halted_children_still_shrink_at_the_venue(floor, make):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    floor.take(make.command("trading.halt", reason="test"))
    assert floor.fill(profit, 4) == [replace_of(loss, 6)]
    effects = [(1, floor.effects[-1])]
    assert hold_back(effects, floor.core, 9) == (effects, [])


def test_a_sale_and_its_children_close_the_other_way(floor, make):
    entry = floor.core.next_seq
    floor.take(
        make.order(SELL, 10, price=100),
        make.order(BUY, 10, order_type=STOP, stop_price=110, parent_id=entry),
    )
    decisions = floor.fill(entry, 10)
    assert [type(event) for event in decisions] == [OrderReleased, OrderSubmitted]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"parent_id": 999}, "no order 999"),
        ({"side": BUY}, "other side"),
        ({"instrument_id": 2}, "another instrument"),
        ({"quantity": 11}, "more than the 10"),
        ({"strategy_id": "s"}, "another instrument or strategy"),
        ({"oco_group": 999}, "no OCO group 999"),
    ],
)
def test_a_child_that_does_not_fit_its_parent_is_denied(floor, make, fields, why):
    entry = floor.order(BUY, 10, price=100)
    terms = {"side": SELL, "quantity": 10, "price": 120, "parent_id": entry, **fields}
    _, denied = floor.take(make.order(**terms), make.tick())[:2]
    assert (denied.rule, why in denied.reason) == ("LINK", True)


def test_children_beyond_their_parents_quantity_are_denied(floor):
    entry = floor.order(BUY, 10, price=100)
    floor.order(SELL, 6, price=120, parent_id=entry)
    late = floor.order(SELL, 5, price=130, parent_id=entry)
    assert floor.core.orders[late].rule == "LINK"
    assert floor.status(floor.order(SELL, 4, price=130, parent_id=entry)) == ["HELD"]


def test_a_child_of_a_child_and_one_that_comes_too_late_are_denied(floor):
    entry, profit, _ = floor.bracket()
    grandchild = floor.order(BUY, 1, price=90, parent_id=profit)
    floor.fill(entry, 10)
    late = floor.order(SELL, 1, price=130, parent_id=entry)
    for order_id, why in ((grandchild, "a child itself"), (late, "too late")):
        assert why in floor.core.orders[order_id].reason


def test_too_many_children_are_denied(floor):
    entry = floor.order(BUY, 100, price=100)
    for _ in range(MAX_LINKED):
        floor.order(SELL, 1, price=120, parent_id=entry)
    late = floor.order(SELL, 1, price=120, parent_id=entry)
    assert "children" in floor.core.orders[late].reason
    # One that ended with nothing filled makes room for another.
    floor.cancel(next(iter(floor.core.orders.held)))
    assert floor.status(floor.order(SELL, 1, price=120, parent_id=entry)) == ["HELD"]


def test_a_child_needs_neither_cash_nor_a_position_yet(make):
    floor = Floor(make)
    floor.core.account.cash["USD"] = 10 * 10**18
    entry = floor.order(SELL, 10, price=100)
    child = floor.order(BUY, 10, price=50_000, parent_id=entry, reduce_only=True)
    assert floor.status(child) == ["HELD"]


def test_prices_of_linked_orders_can_be_replaced_and_quantities_cannot(floor):
    entry, profit, _ = floor.bracket()
    floor.fill(entry, 10)
    terms = {"ts_ns": 5, "order_id": profit, "stop_price": None, "source": "operator:test"}
    (denied,) = floor.take(ReplaceRequested(**terms, quantity=5, price=None))
    assert denied.rule == "LINK"
    assert floor.take(ReplaceRequested(**terms, quantity=None, price=130)) == []
    assert floor.core.orders[profit].status is OrderStatus.PENDING_REPLACE


def test_linked_orders_outlive_a_dump_and_a_replay(floor, make):
    entry, _, loss = floor.bracket()
    floor.fill(entry, 4)
    replayed = Core(make.journal)
    replayed.replay(1, floor.merged)
    for core in (floor.again(), replayed):
        assert core.state() == floor.core.state()
        fill = OrderFilled(
            **TIMES,
            order_id=entry + 2,
            instrument_id=1,
            side=SELL,
            price=120,
            quantity=3,
            fee=0,
            fee_scale=0,
            fee_currency="USD",
            liquidity=Liquidity.MAKER,
            venue_trade_id="x",
        )
        assert core.run([fill])[0] == [fill, replace_of(loss, 1)]


def test_a_release_that_a_cut_journal_lost_is_made_good(floor, make):
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    ends = [i for i, event in enumerate(floor.merged) if isinstance(event, OrderFilled | OrderReleased)]
    for end in ends:
        core = Core(make.journal)
        core.replay(1, floor.merged[: end + 1])
        core.run([make.tick()])
        assert sorted(core.orders.working) == [profit, loss]


def test_parents_and_siblings_are_remembered_as_long_as_one_of_them_works(floor, monkeypatch):
    monkeypatch.setattr(order_table, "MAX_CLOSED_ORDERS", 3)
    entry, profit, loss = floor.bracket()
    floor.fill(entry, 10)
    floor.fill(profit, 4)
    others = [floor.order(BUY, 0) for _ in range(5)]
    assert [i for i in others if i in floor.core.orders] == others[-2:]
    floor.replaced(loss)
    floor.again()
    assert floor.fill(profit, 6) == [cancel_of(loss)]
    floor.canceled(loss)
    for _ in range(5):
        floor.order(BUY, 0)
    assert entry not in floor.core.orders
    assert len(floor.core.orders) == 3


def test_orders_of_a_strategy_that_stops_are_canceled_whether_held_or_working(floor):
    entry, profit, loss = floor.bracket(strategy_id="s", source="strategy:s")
    assert isinstance(floor.merged[-1], OrderHeld)
    assert isinstance(floor.core.orders[entry].request, OrderRequested)
    floor.core.run([StrategyStopped(ts_ns=5, strategy_id="s", reason="test")])
    assert floor.status(entry, profit, loss) == ["PENDING_CANCEL", "DENIED", "DENIED"]
