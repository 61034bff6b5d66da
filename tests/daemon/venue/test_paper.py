"""Fill rules that stood from the first day: what meets what, in which order, and what a fill may be."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.venue.paper import PaperVenue, VenueOptions
from daemon.venue.protocol import Venue
from schemas.codec import CODEC
from schemas.events import (
    SUSPICIOUS,
    Liquidity,
    NotificationQueued,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderSubmitted,
    TimeInForce,
    Trade,
    TradingState,
)
from tests.daemon.venue.tape import (
    BUY,
    SELL,
    Tape,
    cancel,
    deposit,
    fills,
    instrument,
    kinds,
    order,
    quote,
    trade,
)

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


class Market(Tape):
    """A core and a paper venue with one instrument and a million USD, one event at a time."""

    def __init__(self, **options):
        super().__init__(VenueOptions(**options))
        self.start(instrument(), deposit())

    def tick(self, event):
        return self.take(event)

    def order(self, *arguments, **fields):
        made = self.take(order(*arguments, **fields))
        assert type(made[0]) is OrderSubmitted, "the order was denied"
        return made[1:]

    def cancel(self, order_id):
        return self.take(cancel(order_id))


@pytest.fixture
def market():
    return Market()


def test_it_is_a_venue():
    venue: Venue = PaperVenue()
    assert venue.name == "paper"


def test_a_market_order_takes_the_standing_quote_after_its_acceptance(market):
    market.tick(quote(99, 101))
    reports = market.order(BUY)
    assert kinds(reports) == [OrderAccepted, OrderFilled]
    assert fills(reports) == [(101, 10, Liquidity.TAKER)]
    assert reports[1].venue_trade_id == f"P{reports[1].order_id}-1"
    assert fills(market.order(SELL)) == [(99, 10, Liquidity.TAKER)]


def test_a_quote_fills_no_more_than_it_shows_and_the_rest_waits_for_the_next(market):
    market.tick(quote(99, 101, 5, 6))
    assert fills(market.order(BUY, 10)) == [(101, 6, Liquidity.TAKER)]
    assert market.tick(trade(101)) == []
    assert fills(market.tick(quote(99, 102, 5, 9))) == [(102, 4, Liquidity.TAKER)]


def test_what_our_orders_took_of_a_quote_is_gone(market):
    market.tick(quote(99, 101, 5, 6))
    assert fills(market.order(BUY, 4)) == [(101, 4, Liquidity.TAKER)]
    assert fills(market.order(BUY, 4)) == [(101, 2, Liquidity.TAKER)]
    assert fills(market.order(BUY, 4)) == []
    assert fills(market.tick(quote(99, 101, 5, 7))) == [(101, 2, Liquidity.TAKER), (101, 4, Liquidity.TAKER)]


def test_a_quote_of_one_side_leaves_the_other_side_standing(market):
    market.tick(quote(99, None))
    market.tick(quote(None, 101))
    assert fills(market.order(SELL)) == [(99, 10, Liquidity.TAKER)]


def test_without_quotes_a_market_order_waits_for_the_next_trade(market):
    market.tick(trade(100))
    assert fills(market.order(BUY, 15)) == []
    assert fills(market.tick(trade(103, 10))) == [(103, 10, Liquidity.TAKER)]
    assert fills(market.tick(trade(104, 10))) == [(104, 5, Liquidity.TAKER)]


def test_a_limit_order_that_crosses_takes_the_better_price(market):
    market.tick(quote(99, 101))
    assert fills(market.order(BUY, price=105)) == [(101, 10, Liquidity.TAKER)]


def test_a_resting_order_fills_at_its_limit_when_the_quote_reaches_it(market):
    market.tick(quote(99, 101))
    assert fills(market.order(BUY, price=100)) == []
    assert fills(market.tick(quote(98, 101))) == []
    assert fills(market.tick(quote(97, 99, 5, 4))) == [(100, 4, Liquidity.MAKER)]
    assert fills(market.tick(quote(97, 100, 5, 40))) == [(100, 6, Liquidity.MAKER)]


def test_a_resting_order_fills_when_a_trade_passes_it_and_not_when_one_meets_it(market):
    market.tick(quote(99, 101))
    market.order(SELL, price=102)
    assert fills(market.tick(trade(102))) == []
    assert fills(market.tick(trade(103, 4))) == [(102, 4, Liquidity.MAKER)]


def test_a_trade_is_shared_among_our_orders_in_order_of_arrival(market):
    market.tick(quote(99, 101))
    first, second = market.order(SELL, 6, price=102), market.order(SELL, 6, price=102)
    reports = market.tick(trade(103, 8))
    assert [(event.order_id, event.quantity) for event in reports] == [
        (first[0].order_id, 6),
        (second[0].order_id, 2),
    ]


def test_what_ioc_cannot_fill_at_once_is_canceled(market):
    market.tick(quote(99, 101, 5, 6))
    reports = market.order(BUY, 10, price=101, time_in_force=IOC)
    assert kinds(reports) == [OrderAccepted, OrderFilled, OrderCanceled]
    assert kinds(market.order(BUY, 10, price=100, time_in_force=IOC)) == [OrderAccepted, OrderCanceled]


def test_fok_fills_in_one_piece_or_not_at_all(market):
    market.tick(quote(99, 101, 5, 10))
    assert kinds(market.order(BUY, 11, time_in_force=FOK)) == [OrderAccepted, OrderCanceled]
    assert kinds(market.order(BUY, 10, time_in_force=FOK)) == [OrderAccepted, OrderFilled]


def test_without_quotes_ioc_meets_the_next_trade_and_ends(market):
    market.tick(trade(100))
    market.order(BUY, 10, price=101, time_in_force=IOC)
    assert fills(reports := market.tick(trade(101, 4))) == [(101, 4, Liquidity.TAKER)]
    assert kinds(reports)[1:] == [OrderCanceled]


def test_post_only_is_rejected_when_it_would_take_and_rests_otherwise(market):
    market.tick(quote(99, 101))
    assert kinds(market.order(BUY, price=101, post_only=True)) == [OrderRejected]
    assert kinds(market.order(BUY, price=100, post_only=True)) == [OrderAccepted]


def test_a_doubted_tick_fills_nothing(market):
    market.tick(trade(100))
    market.order(BUY)
    assert market.tick(trade(100, conditions=SUSPICIOUS)) == []
    assert market.tick(quote(99, 101, conditions=SUSPICIOUS)) == []


def test_a_doubted_quote_does_not_become_the_standing_one(market):
    market.tick(quote(99, 101))
    market.tick(quote(1, 2, conditions=SUSPICIOUS))
    assert fills(market.order(BUY)) == [(101, 10, Liquidity.TAKER)]


def test_a_trade_of_nothing_fills_nothing(market):
    market.tick(trade(100))
    market.order(BUY)
    assert market.tick(trade(100, 0)) == []


def test_an_order_sees_no_event_from_before_its_arrival(market):
    market.tick(trade(100))
    first_seq = market.core.next_seq
    before = [trade(90), quote(80, 81)]
    market.core.run(before)
    market.order(BUY, 10, price=79)
    assert market.venue.on_market(before, first_seq) == []
    # The same ticks again under the numbers they would have had afterwards do fill.
    assert fills(market.venue.on_market([trade(70)], market.core.next_seq)) == [(79, 10, Liquidity.MAKER)]


def test_batches_that_follow_each_other_need_no_numbers(market):
    market.order(BUY, price=95)
    venue = market.venue
    venue.on_market([], market.core.next_seq)
    assert venue.on_market([trade(96)] * 4) == []
    assert fills(venue.on_market([trade(90)])) == [(95, 10, Liquidity.MAKER)]


def test_fees_are_by_liquidity_and_rounded_up():
    market = Market(maker_fee_ppm=-100, taker_fee_ppm=333)
    market.tick(quote(99, 101))
    taker = market.order(BUY, 7)[1]
    # 7.07 USD * 333 ppm = 0.00235431
    assert (taker.fee, taker.fee_scale, taker.fee_currency) == (235_431, 8, "USD")
    market.order(SELL, 7, price=102)
    maker = market.tick(quote(103, 105))[0]
    assert maker.fee == -71_400


def test_a_fee_beyond_64_bits_gives_up_decimals():
    market = Market(taker_fee_ppm=1_000_000)
    market.tick(quote(10**13, 10**13))
    fill = market.order(SELL, 5)[1]
    assert fill.fee * 10 ** (8 - fill.fee_scale) == 5 * 10**11 * 10**8
    assert fill.fee < 2**63


FAR = 2**63 - 1
IMMENSE = {
    "a trade": [trade(FAR, 10**12)],
    "a quote": [quote(FAR, FAR)],
    "a quote with quantities": [quote(FAR, FAR, 10**12, 10**12)],
    "a price beyond 64 bits": [trade(FAR + 1, 10**12)],
    "a price below 64 bits": [trade(-FAR - 1, 10**12)],
}


@pytest.mark.parametrize("ticks", IMMENSE.values(), ids=IMMENSE.keys())
@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, IOC, FOK])
def test_an_order_whose_fill_no_journal_can_hold_is_canceled(ticks, time_in_force):
    market = Market(taker_fee_ppm=5000, maker_fee_ppm=5000)
    market.tick(trade(1))
    market.order(SELL, 10**12, time_in_force=time_in_force)
    reports = [report for tick in ticks for report in market.tick(tick)]
    assert kinds(reports) == [OrderCanceled]
    assert "64 bits" in reports[0].reason
    assert market.venue.idle
    assert market.core.trading_state == TradingState.ACTIVE


def test_an_order_whose_fill_no_journal_can_hold_leaves_the_tick_to_the_next_one():
    market = Market(taker_fee_ppm=5000)
    market.tick(trade(1))
    market.order(SELL, 10**12)
    small = market.order(SELL, 5)[0].order_id
    reports = market.tick(trade(FAR, 10**12))
    assert [(type(report), report.order_id) for report in reports] == [
        (OrderCanceled, small - 3),
        (OrderFilled, small),
    ]


immense = st.integers(-(2**64), 2**64) | st.sampled_from([1, 10**4, FAR, FAR + 1])


@given(st.lists(st.tuples(immense, immense), min_size=1, max_size=5), st.integers(0, 10**6))
def test_no_tick_makes_a_report_that_the_journal_cannot_hold(prices, fee_ppm):
    market = Market(taker_fee_ppm=fee_ppm, maker_fee_ppm=-fee_ppm)
    market.tick(trade(1))
    market.order(SELL, 10**12)
    market.order(SELL, 7, price=10**4)
    market.order(BUY, 7, price=10**4)
    for price, ask in prices:
        reports = market.tick(trade(price, 10**12)) + market.tick(quote(price, ask, 9, 9))
        for report in CODEC.decode(CODEC.encode(reports)):
            assert all(abs(value) < 2**63 for value in msgspec.structs.astuple(report) if type(value) is int)


def test_a_cancel_takes_the_order_out_once(market):
    market.tick(quote(99, 101))
    order_id = market.order(BUY, price=90)[0].order_id
    assert kinds(market.cancel(order_id)) == [OrderCanceled]
    assert market.venue.idle
    assert kinds(market.cancel(order_id)) == [NotificationQueued]


def test_an_order_sent_twice_works_once(market):
    market.tick(quote(99, 101))
    order_id = market.order(BUY, price=90)[0].order_id
    again = OrderSubmitted(ts_ns=1, order_id=order_id, client_order_id="x", venue="paper")
    assert market.venue.send([(99, again)], market.core, 9) == []


def test_an_idle_venue_reports_nothing(market):
    assert market.venue.idle
    assert market.venue.on_market([trade(1)] * 10) == []


deep_ticks = st.one_of(
    st.builds(trade, st.integers(90, 110), st.just(10**6)),
    st.builds(quote, st.none() | st.integers(90, 110), st.none() | st.integers(90, 110)),
)
limit_orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from([BUY, SELL]),
        "quantity": st.integers(1, 30),
        "price": st.integers(90, 110),
    }
)


@given(st.lists(deep_ticks | limit_orders | st.integers(0, 30), max_size=40))
def test_no_order_is_left_working_that_a_deep_tick_has_reached(steps):
    market = Market()
    market.tick(trade(100))
    for step in steps:
        working = list(market.core.orders.working)
        if isinstance(step, dict):
            market.order(**step)
        elif isinstance(step, int):
            if step < len(working):
                market.cancel(working[step])
        else:
            market.tick(step)
            for known in market.core.orders.working.values():
                side, limit = known.request.side, known.request.price
                if isinstance(step, Trade):
                    assert (step.price - limit) * side >= 0
                else:
                    price = step.ask_price if side == BUY else step.bid_price
                    assert price is None or (price - limit) * side > 0


ticks = st.one_of(
    st.builds(trade, st.integers(90, 110), st.integers(0, 20)),
    st.builds(
        quote,
        st.none() | st.integers(90, 110),
        st.none() | st.integers(90, 110),
        st.none() | st.integers(0, 20),
        st.none() | st.integers(0, 20),
    ),
)
orders = st.fixed_dictionaries(
    {
        "side": st.sampled_from([BUY, SELL]),
        "quantity": st.integers(1, 30),
        "price": st.none() | st.integers(90, 110),
        "time_in_force": st.sampled_from([TimeInForce.GTC, IOC, FOK]),
    }
)


@given(st.lists(ticks | orders, max_size=40))
def test_every_fill_is_at_the_limit_or_better_and_within_what_the_tick_showed(steps):
    market = Market()
    market.tick(trade(100))
    for step in steps:
        if isinstance(step, dict):
            for report in market.order(**step):
                if isinstance(report, OrderFilled) and step["price"] is not None:
                    assert (report.price - step["price"]) * step["side"] <= 0
            continue
        reports = market.tick(step)
        for side in (BUY, SELL):
            filled = sum(r.quantity for r in reports if isinstance(r, OrderFilled) and r.side == side)
            if isinstance(step, Trade):
                shown = step.quantity
            else:
                shown = step.ask_quantity if side == BUY else step.bid_quantity
            assert shown is None or filled <= shown
    assert market.core.trading_state == TradingState.ACTIVE
    for known in market.core.orders.values():
        if known.request.time_in_force == FOK:
            assert known.filled_quantity in (0, known.request.quantity)
    assert set(market.core.orders.working) == set(market.venue.matching.working)
