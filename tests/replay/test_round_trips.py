from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.portfolio import Portfolio
from replay.round_trips import RoundTrips
from schemas.events import Liquidity, OrderFilled, Side
from tests.replay.recordings import instrument

USD = 10**18


def fill(side, quantity, price, *, ts_ns=0, fee=0, instrument_id=1) -> OrderFilled:
    return OrderFilled(
        ts_ns=ts_ns,
        received_ns=ts_ns,
        order_id=1,
        instrument_id=instrument_id,
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        fee_scale=2,
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        venue_trade_id="x",
    )


def trips(*fills, strategies=("s",), tags=("",), slippage=0, **options) -> RoundTrips:
    found = RoundTrips(lambda amount, _: amount, **options)
    for number, one in enumerate(fills):
        found.fill(
            one,
            instrument(one.instrument_id),
            strategy_id=strategies[number % len(strategies)],
            tag=tags[number % len(tags)],
            slippage=slippage,
        )
    return found


def test_a_trip_goes_from_nothing_to_nothing():
    found = trips(
        fill(Side.BUY, 2, 10_000, ts_ns=1),
        fill(Side.BUY, 2, 11_000, ts_ns=2),
        fill(Side.SELL, 1, 12_000, ts_ns=3),
        fill(Side.SELL, 3, 11_000, ts_ns=9),
        tags=("in", "more", "out", "out"),
    )
    (trip,) = found.closed
    assert (trip.side, trip.quantity, trip.exit_quantity) == (1, 4, 4)
    assert (trip.opened_ns, trip.closed_ns, trip.tag) == (1, 9, "in")
    assert trip.entry_value / trip.quantity == 10_500
    assert trip.exit_value / trip.exit_quantity == 11_250
    assert trip.profit == 4 * 750 * USD // 100
    assert found.in_market_ns == 8
    assert not found.any_open


def test_a_fill_that_turns_a_position_round_ends_a_trip_and_begins_another_and_shares_its_costs():
    found = trips(
        fill(Side.BUY, 1, 10_000), fill(Side.SELL, 4, 11_000, fee=400), fill(Side.BUY, 3, 10_500), slippage=8
    )
    first, second = found.closed
    assert (first.side, first.fees, first.slippage) == (1, USD, 8 + 2)
    assert (second.side, second.fees, second.slippage) == (-1, 3 * USD, 6 + 8)
    assert second.profit == 3 * 500 * USD // 100


def test_strategies_and_instruments_have_trips_of_their_own():
    found = trips(
        fill(Side.BUY, 1, 10_000),
        fill(Side.SELL, 1, 10_000),
        fill(Side.BUY, 1, 10_000, instrument_id=2),
        strategies=("a", "b", "a"),
    )
    assert found.closed == []
    still = found.finish(0, lambda *_: 10_100)
    assert [(trip.strategy_id, trip.instrument, trip.side) for trip in still] == [
        ("a", "I1@V", 1),
        ("b", "I1@V", -1),
        ("a", "I2@V", 1),
    ]
    assert [trip.profit for trip in still] == [USD, -USD, USD]
    assert all(trip.closed_ns is None for trip in still)


def test_excursions_are_the_lowest_and_highest_profit_on_the_way():
    found = trips(fill(Side.SELL, 2, 10_000))
    for price in (10_100, 9_700, 10_300, None):
        found.look(lambda *_, price=price: price)
    found.fill(fill(Side.BUY, 2, 9_900), instrument(), strategy_id="s", tag="", slippage=0)
    (trip,) = found.closed
    assert (trip.adverse, trip.favourable, trip.profit) == (-6 * USD, 6 * USD, 2 * USD)


def test_beyond_the_limit_trips_are_counted():
    found = trips(*[fill(side, 1, 10_000) for side in (Side.BUY, Side.SELL)] * 5, max_trips=3)
    assert (len(found.closed), found.dropped) == (3, 2)


fills = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9), st.integers(1, 20_000), st.integers(0, 99)
    ),
    min_size=1,
    max_size=40,
)


@given(fills)
def test_trips_add_up_to_what_the_portfolio_has(drawn):
    portfolio = Portfolio()
    portfolio.account.deposit("USD", 0)
    made = [fill(side, quantity, price, fee=fee) for side, quantity, price, fee in drawn]
    for one in made:
        portfolio.apply_fill(one, instrument())
    found = trips(*made)
    whole = [*found.closed, *found.finish(0, lambda *_: 5_000)]
    value = portfolio.positions[1].quantity * 5_000 * USD // 100
    assert sum(trip.net for trip in whole) == portfolio.account.cash["USD"] + value
    assert sum(trip.fees for trip in whole) == portfolio.account.fees["USD"]
    assert all(trip.adverse <= 0 <= trip.favourable for trip in whole)
    assert all(trip.adverse <= trip.profit <= trip.favourable for trip in whole)


@pytest.mark.parametrize("side", [Side.BUY, Side.SELL])
def test_time_in_the_market_is_counted_once_for_trips_at_the_same_time(side):
    found = trips(
        fill(side, 1, 100, ts_ns=10),
        fill(side, 1, 100, ts_ns=15, instrument_id=2),
        fill(Side(-side), 1, 100, ts_ns=20),
        fill(Side(-side), 1, 100, ts_ns=30, instrument_id=2),
        fill(side, 1, 100, ts_ns=50),
    )
    found.finish(60, lambda *_: 100)
    assert found.in_market_ns == 20 + 10
