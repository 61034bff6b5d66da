from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.order_states import NO_NEWS, TRANSITIONS
from daemon.trading.order_table import MAX_CLOSED_ORDERS, OrderTable
from daemon.trading.orders import Order, OrderStateError, OrderStatus
from schemas.events import (
    CancelRejected,
    CancelRequested,
    Event,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRejected,
    OrderReleased,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderTriggered,
    OrderType,
    OrderUnknown,
    ReplaceDenied,
    ReplaceRejected,
    ReplaceRequested,
    Side,
)


def request(quantity: int = 10, **fields) -> OrderRequested:
    return OrderRequested(
        ts_ns=1,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=quantity,
        source="operator:test",
        **fields,
    )


def fill(quantity: int, trade_id: str = "a", *, price: int = 100, side: Side = Side.BUY) -> OrderFilled:
    return OrderFilled(
        ts_ns=2,
        received_ns=2,
        order_id=1,
        instrument_id=1,
        side=side,
        price=price,
        quantity=quantity,
        fee=0,
        fee_scale=0,
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        venue_trade_id=trade_id,
    )


SUBMITTED = OrderSubmitted(ts_ns=2, order_id=1, client_order_id="j-1", venue="paper")
REPORT = {"ts_ns": 2, "received_ns": 2, "order_id": 1}
ACCEPTED = OrderAccepted(**REPORT, venue_order_id="P1")
CANCELED = OrderCanceled(**REPORT, reason="")
UNKNOWN = OrderUnknown(ts_ns=2, order_id=1, reason="")
CANCEL = CancelRequested(ts_ns=2, order_id=1, source="operator:test")


def replace(**terms) -> ReplaceRequested:
    wish = {"quantity": None, "price": None, "stop_price": None, "source": "operator:test", **terms}
    return ReplaceRequested(ts_ns=2, order_id=1, **wish)


def replaced(quantity: int, price: int | None = None, stop_price: int | None = None) -> OrderReplaced:
    return OrderReplaced(**REPORT, quantity=quantity, price=price, stop_price=stop_price)


def working(quantity: int = 10, *events: Event) -> Order:
    order = Order.requested(1, request(quantity))
    for event in (SUBMITTED, ACCEPTED, *events):
        assert order.apply(event)
    return order


others = st.sampled_from(
    [
        SUBMITTED,
        ACCEPTED,
        CANCELED,
        OrderDenied(ts_ns=2, order_id=1, rule="CASH", reason=""),
        OrderHeld(ts_ns=2, order_id=1),
        OrderRejected(**REPORT, reason=""),
        OrderTriggered(**REPORT, price=5),
        OrderExpired(**REPORT, reason=""),
        UNKNOWN,
        CANCEL,
        CancelRejected(**REPORT, reason=""),
        ReplaceDenied(ts_ns=2, order_id=1, rule="CASH", reason=""),
        ReplaceRejected(**REPORT, reason=""),
    ]
)
released = st.builds(
    lambda quantity: OrderReleased(ts_ns=2, order_id=1, quantity=quantity), st.integers(1, 10)
)
wishes = st.builds(replace, quantity=st.none() | st.integers(1, 20), price=st.none() | st.integers(1, 9))
replaces = st.builds(replaced, st.integers(0, 20), st.none() | st.integers(1, 9))
fills = st.builds(
    fill,
    st.integers(-2, 12),
    st.sampled_from("abcdef"),
    price=st.integers(1, 1000),
    side=st.sampled_from([Side.BUY, Side.BUY, Side.BUY, Side.SELL]),
)
steps: st.SearchStrategy[Event] = st.one_of(others, others, fills, fills, released, wishes, replaces)


def plain(order: Order):
    return {name: repr(getattr(order, name)) for name in order.__slots__}


@given(st.lists(steps, max_size=40))
def test_any_sequence_of_events_keeps_the_invariants(events):
    order = Order.requested(1, request())
    counted: list[OrderFilled] = []
    submits = 0
    for event in events:
        before, status = plain(order), order.status
        try:
            changed = order.apply(event)
        except OrderStateError:
            changed = False
        if not changed:
            assert plain(order) == before
        elif isinstance(event, OrderFilled):
            counted.append(event)
        submits += changed and isinstance(event, OrderSubmitted)
        if status.is_terminal:
            assert order.status == status
        assert 0 <= order.filled_quantity <= order.quantity
        assert order.filled_quantity == order.quantity or order.status != OrderStatus.FILLED
        if order.status.is_working:
            assert order.most_remaining > 0
            assert (order.status == OrderStatus.PENDING_CANCEL) <= bool(order.canceling)
            assert (order.status == OrderStatus.PENDING_REPLACE) <= (order.replacing is not None)
    assert submits <= 1
    assert order.filled_quantity + order.excess_quantity == sum(event.quantity for event in counted)
    assert len({event.venue_trade_id for event in counted}) == len(counted)


def test_the_table_names_exactly_the_states_that_are_not_terminal():
    assert set(TRANSITIONS) == {status for status in OrderStatus if not status.is_terminal}


def test_the_table_and_what_is_no_news_together_name_every_status():
    assert set(TRANSITIONS) | set(NO_NEWS) == set(OrderStatus) - {OrderStatus.DENIED}


def test_a_fill_seen_before_is_ignored_even_when_the_order_is_over():
    order = working(5, fill(5, "x"))
    assert order.status == OrderStatus.FILLED
    assert not order.apply(fill(5, "x"))


def test_an_over_fill_is_a_contradiction_and_counts_apart():
    order = working(5, fill(3, "x"))
    assert order.contradicts(fill(2, "y")) is None
    assert "at most 2 were left" in order.contradicts(fill(3, "y"))
    assert order.apply(fill(3, "y"))
    assert (order.status, order.filled_quantity, order.excess_quantity) == (OrderStatus.FILLED, 5, 1)


def test_a_fill_of_what_never_left_is_an_error():
    for events in ([], [OrderHeld(ts_ns=2, order_id=1)]):
        order = Order.requested(1, request())
        for event in events:
            order.apply(event)
        with pytest.raises(OrderStateError, match="never left"):
            order.apply(fill(1))


def test_a_held_order_leaves_once_it_is_released_and_with_that_quantity():
    order = Order.requested(1, request(10))
    order.apply(OrderHeld(ts_ns=2, order_id=1))
    with pytest.raises(OrderStateError, match="HELD: OrderSubmitted is illegal"):
        order.apply(SUBMITTED)
    order.apply(OrderReleased(ts_ns=2, order_id=1, quantity=4))
    order.apply(SUBMITTED)
    assert (order.status, order.remaining, order.request.quantity) == (OrderStatus.SUBMITTED, 4, 10)


def test_a_refused_cancel_leaves_the_order_as_it_was():
    for events, status in (
        ([], OrderStatus.ACCEPTED),
        ([OrderTriggered(**REPORT, price=5)], OrderStatus.TRIGGERED),
        ([fill(1)], OrderStatus.PARTIALLY_FILLED),
    ):
        order = working(10, *events, CANCEL)
        assert order.status == OrderStatus.PENDING_CANCEL
        order.apply(CancelRejected(**REPORT, reason="too late"))
        assert (order.status, order.canceling) == (status, "")


def test_a_cancel_that_was_under_way_is_so_again_when_an_unknown_order_turns_up():
    order = working(10, CANCEL, UNKNOWN, ACCEPTED)
    assert order.status == OrderStatus.PENDING_CANCEL


def test_a_replace_changes_the_terms_once_the_venue_agrees():
    order = working(10, replace(quantity=20, price=7))
    assert (order.status, order.quantity, order.most_remaining) == (OrderStatus.PENDING_REPLACE, 10, 20)
    order.apply(replaced(20, 7))
    assert (order.status, order.quantity, order.price) == (OrderStatus.ACCEPTED, 20, 7)
    assert (order.request.quantity, order.request.price) == (10, None)


def test_a_refused_replace_leaves_the_old_terms():
    order = working(10, replace(quantity=20), ReplaceRejected(**REPORT, reason="no"))
    assert (order.status, order.quantity, order.most_remaining) == (OrderStatus.ACCEPTED, 10, 10)


def test_a_replace_to_what_is_filled_already_completes_the_order():
    assert working(10, fill(4), replace(quantity=5), fill(1, "b"), replaced(5)).status == OrderStatus.FILLED


def test_an_order_that_may_grow_is_not_complete_before_the_replace_is_answered():
    order = working(10, replace(quantity=15), fill(10))
    assert order.status == OrderStatus.PENDING_REPLACE
    order.apply(ReplaceRejected(**REPORT, reason="it is filled"))
    assert order.status == OrderStatus.FILLED


def test_a_fill_beyond_the_old_quantity_proves_a_replace():
    order = working(10, replace(quantity=15), fill(12))
    assert (order.quantity, order.filled_quantity, order.excess_quantity) == (15, 12, 0)


def test_a_cancel_overtakes_a_replace():
    order = working(10, replace(price=7), CANCEL)
    assert order.status == OrderStatus.PENDING_CANCEL
    order.apply(replaced(10, 7))
    assert (order.status, order.price) == (OrderStatus.PENDING_CANCEL, 7)
    order.apply(CANCELED)
    assert order.status == OrderStatus.CANCELED


def test_a_rejection_after_a_fill_is_an_error():
    order = working(10, fill(1), CANCEL)
    with pytest.raises(OrderStateError, match="has fills"):
        order.apply(OrderRejected(ts_ns=1, received_ns=1, order_id=1, reason=""))


def test_an_unknown_order_that_turns_up_again_keeps_its_fills():
    order = working(10, fill(4), UNKNOWN, ACCEPTED)
    assert (order.status, order.remaining) == (OrderStatus.PARTIALLY_FILLED, 6)


def test_the_first_order_of_a_client_id_stays_its_order():
    table = OrderTable()
    first = table.open(1, request(client_id="mine"))
    table.open(2, request(client_id="mine"))
    assert table.by_client_id("mine") is first


def test_closed_orders_are_forgotten_oldest_first():
    table = OrderTable()
    for order_id in range(1, MAX_CLOSED_ORDERS + 3):
        table.open(order_id, request(client_id=str(order_id)))
        table.apply(order_id, OrderDenied(ts_ns=1, order_id=order_id, rule="CASH", reason=""))
    assert len(table) == MAX_CLOSED_ORDERS
    assert 2 not in table
    assert table.by_client_id("2") is None
    assert table.by_client_id("3") is table[3]


def test_an_event_of_an_unknown_order_is_an_error():
    with pytest.raises(OrderStateError, match="not known"):
        OrderTable().apply(7, ACCEPTED)
