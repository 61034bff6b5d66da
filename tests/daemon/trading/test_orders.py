from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.order_table import MAX_CLOSED_ORDERS, OrderTable
from daemon.trading.orders import TRANSITIONS, Order, OrderStateError, OrderStatus
from schemas.events import (
    CancelRequested,
    Event,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    OrderUnknown,
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
ACCEPTED = OrderAccepted(ts_ns=2, received_ns=2, order_id=1, venue_order_id="P1")
CANCELED = OrderCanceled(ts_ns=2, received_ns=2, order_id=1, reason="")

others = st.sampled_from(
    [
        SUBMITTED,
        ACCEPTED,
        CANCELED,
        OrderDenied(ts_ns=2, order_id=1, rule="CASH", reason=""),
        OrderRejected(ts_ns=2, received_ns=2, order_id=1, reason=""),
        OrderExpired(ts_ns=2, received_ns=2, order_id=1, reason=""),
        OrderUnknown(ts_ns=2, order_id=1, reason=""),
        CancelRequested(ts_ns=2, order_id=1, source="operator:test"),
    ]
)
fills = st.builds(
    fill,
    st.integers(-2, 12),
    st.sampled_from("abcdef"),
    price=st.integers(1, 1000),
    side=st.sampled_from([Side.BUY, Side.BUY, Side.BUY, Side.SELL]),
)
steps: st.SearchStrategy[Event] = st.one_of(others, fills)


@given(st.lists(steps, max_size=25))
def test_any_sequence_of_events_keeps_the_invariants(events):
    order = Order(1, request())
    counted: list[OrderFilled] = []
    for event in events:
        before = (order.status, order.filled_quantity, order.filled_value, set(order.trade_ids), order.reason)
        try:
            changed = order.apply(event)
        except OrderStateError:
            changed = False
            assert not (isinstance(event, OrderFilled) and event.venue_trade_id in before[3])
        if not changed:
            after = (order.status, order.filled_quantity, order.filled_value, order.trade_ids, order.reason)
            assert after == before
        elif isinstance(event, OrderFilled):
            counted.append(event)
        if before[0].is_terminal:
            assert order.status == before[0]
        assert 0 <= order.filled_quantity <= order.request.quantity
        assert (order.status == OrderStatus.FILLED) == (order.remaining == 0)
    assert order.filled_quantity == sum(event.quantity for event in counted)
    assert order.filled_value == sum(event.quantity * event.price for event in counted)
    assert len({event.venue_trade_id for event in counted}) == len(counted)


def test_the_table_names_exactly_the_states_that_are_not_terminal():
    assert set(TRANSITIONS) == {status for status in OrderStatus if not status.is_terminal}


def test_a_fill_seen_before_is_ignored_even_when_the_order_is_over():
    order = Order(1, request(quantity=5))
    assert order.apply(SUBMITTED)
    assert order.apply(fill(5, "x"))
    assert order.status == OrderStatus.FILLED
    assert not order.apply(fill(5, "x"))


def test_an_over_fill_is_an_error():
    order = Order(1, request(quantity=5), status=OrderStatus.ACCEPTED)
    order.apply(fill(3, "x"))
    with pytest.raises(OrderStateError, match="expected 1 to 2"):
        order.apply(fill(3, "y"))


def test_a_rejection_after_a_fill_is_an_error():
    order = Order(1, request(), status=OrderStatus.PENDING_CANCEL)
    order.apply(fill(1))
    with pytest.raises(OrderStateError, match="has fills"):
        order.apply(OrderRejected(ts_ns=1, received_ns=1, order_id=1, reason=""))


def test_an_unknown_order_that_turns_up_again_keeps_its_fills():
    order = Order(1, request(), status=OrderStatus.ACCEPTED)
    order.apply(fill(4))
    order.apply(OrderUnknown(ts_ns=3, order_id=1, reason="timed out"))
    order.apply(ACCEPTED)
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
