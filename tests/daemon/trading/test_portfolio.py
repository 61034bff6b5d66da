from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.books import mark_price
from daemon.trading.money import MAX_MONEY, MONEY_SCALE, MoneyError, is_tradable, money, notional
from daemon.trading.portfolio import Portfolio, Position
from schemas.decimals import DecimalError, decimal_text
from schemas.events import AssetClass, InstrumentDefined, Liquidity, OrderFilled, Side

USD = 10**MONEY_SCALE


def instrument(instrument_id: int = 1, *, price_scale: int = 2, quantity_scale: int = 3, multiplier: int = 1):
    return InstrumentDefined(
        ts_ns=0,
        instrument_id=instrument_id,
        symbol=f"I{instrument_id}",
        venue="V",
        asset_class=AssetClass.CRYPTO,
        base_currency="I",
        quote_currency="USD",
        price_scale=price_scale,
        quantity_scale=quantity_scale,
        multiplier=multiplier,
    )


def fill(side: Side, price: int, quantity: int, *, instrument_id: int = 1, fee: int = 0, fee_scale: int = 8):
    return OrderFilled(
        ts_ns=0,
        received_ns=0,
        order_id=1,
        instrument_id=instrument_id,
        side=side,
        price=price,
        quantity=quantity,
        fee=fee,
        fee_scale=fee_scale,
        fee_currency="USD",
        liquidity=Liquidity.TAKER,
        venue_trade_id="t",
    )


fills = st.lists(
    st.builds(
        fill,
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 10**9),
        st.integers(1, 10**6),
        instrument_id=st.sampled_from([1, 2]),
        fee=st.integers(-(10**6), 10**9),
        fee_scale=st.integers(0, 18),
    ),
    max_size=30,
)
INSTRUMENTS = {1: instrument(1), 2: instrument(2, price_scale=5, quantity_scale=8, multiplier=100)}


def slow_value(event: OrderFilled) -> Decimal:
    terms = INSTRUMENTS[event.instrument_id]
    price = Decimal(event.price).scaleb(-terms.price_scale)
    return price * Decimal(event.quantity).scaleb(-terms.quantity_scale) * terms.multiplier


@given(fills)
def test_cash_positions_and_fees_equal_a_slow_decimal_history(events):
    portfolio = Portfolio()
    portfolio.account.deposit("USD", 5 * USD)
    with localcontext() as context:
        context.prec = 120
        cash, fees, held = Decimal(5), Decimal(0), {1: 0, 2: 0}
        for event in events:
            portfolio.apply_fill(event, INSTRUMENTS[event.instrument_id])
            fee = Decimal(event.fee).scaleb(-event.fee_scale)
            cash -= event.side * slow_value(event) + fee
            fees += fee
            held[event.instrument_id] += event.side * event.quantity
        assert Decimal(portfolio.account.cash["USD"]).scaleb(-MONEY_SCALE) == cash
        assert Decimal(portfolio.account.fees.get("USD", 0)).scaleb(-MONEY_SCALE) == fees
    assert {key: held[key] for key in portfolio.positions} == {
        key: position.quantity for key, position in portfolio.positions.items()
    }


@given(fills)
def test_no_money_is_created_or_lost(events):
    portfolio = Portfolio()
    portfolio.account.deposit("USD", 5 * USD)
    for event in events:
        portfolio.apply_fill(event, INSTRUMENTS[event.instrument_id])
        account, positions = portfolio.account, portfolio.positions.values()
        cost = sum(position.cost_basis for position in positions)
        realised = sum(position.realised for position in positions)
        assert account.cash["USD"] + cost == account.deposits["USD"] + realised - account.fees["USD"]
        assert all(position.cost_basis == 0 for position in positions if position.quantity == 0)


@given(fills)
def test_realised_profit_equals_average_cost_in_fractions_up_to_one_unit_a_fill(events):
    portfolio = Portfolio()
    held: dict[int, int] = {1: 0, 2: 0}
    average: dict[int, Fraction] = {1: Fraction(0), 2: Fraction(0)}
    realised = Fraction(0)
    for event in events:
        key, signed = event.instrument_id, event.side * event.quantity
        each = Fraction(notional(INSTRUMENTS[key], event.price, 1))
        closed = min(abs(held[key]), abs(signed)) if held[key] * signed < 0 else 0
        realised += closed * (each - average[key]) * (1 if held[key] > 0 else -1)
        opened = abs(signed) - closed
        after = held[key] + signed
        if opened:
            kept = 0 if closed else abs(held[key])
            average[key] = (average[key] * kept + each * opened) / (kept + opened)
        held[key] = after
        portfolio.apply_fill(event, INSTRUMENTS[key])
    found = sum(position.realised for position in portfolio.positions.values())
    # The remainder of a closing part stays in the basis and comes out with the next one.
    assert abs(found - realised) <= len(events)


@given(fills)
def test_long_and_short_are_mirror_images(events):
    one, other = Position(), Position()
    for event in events:
        value = notional(instrument(), event.price, event.quantity)
        one.apply(event.side * event.quantity, event.side * value, 0)
        other.apply(-event.side * event.quantity, -event.side * value, 0)
    assert (one.quantity, one.cost_basis) == (-other.quantity, -other.cost_basis)


def test_a_fill_through_zero_realises_the_old_side_and_opens_the_new_one():
    portfolio = Portfolio()
    portfolio.apply_fill(fill(Side.BUY, 10_000, 2_000), instrument())
    profit = portfolio.apply_fill(fill(Side.SELL, 11_000, 5_000), instrument())
    position = portfolio.positions[1]
    assert profit == (20 * USD, 20 * USD)
    assert (position.quantity, position.cost_basis, position.realised) == (-3_000, -330 * USD, 20 * USD)
    assert position.unrealised(instrument(), 10_000).average == 30 * USD


def test_a_fee_scale_that_money_cannot_hold_changes_nothing():
    portfolio = Portfolio()
    with pytest.raises(MoneyError, match="fee scale 19"):
        portfolio.apply_fill(fill(Side.BUY, 1, 1, fee_scale=19), instrument())
    assert portfolio == Portfolio()


@given(st.integers(-MAX_MONEY, MAX_MONEY))
def test_money_is_read_back_exactly(value):
    assert money(decimal_text(value, MONEY_SCALE)) == value


@pytest.mark.parametrize(
    "text",
    ["", "-", "--1", "1e3", "+1", " 1", "1.", ".5", "1_0", "٣", "NaN", "1" * 21, "0." + "1" * 19],
)
def test_what_is_no_plain_decimal_is_no_money(text):
    with pytest.raises(DecimalError):
        money(text)


def test_scales_that_money_cannot_hold_are_not_tradable():
    assert is_tradable(instrument(price_scale=10, quantity_scale=8))
    assert not is_tradable(instrument(price_scale=10, quantity_scale=9))
    with pytest.raises(MoneyError):
        notional(instrument(price_scale=10, quantity_scale=9), 1, 1)


@pytest.mark.parametrize("multiplier", [0, -5, 2**63])
def test_a_multiplier_that_makes_no_money_of_more_is_not_tradable(multiplier):
    assert is_tradable(instrument(multiplier=2**63 - 1))
    assert not is_tradable(instrument(multiplier=multiplier))


def test_a_position_is_marked_at_the_last_trade_else_at_the_quote_it_would_close_against():
    assert mark_price(100, 98, 99, quantity=1) == 100
    assert mark_price(None, 98, 99, quantity=1) == 98
    assert mark_price(None, 98, 99, quantity=-1) == 99
    assert mark_price(None, None, 99, quantity=1) == 99
    assert mark_price(None, None, None, quantity=1) is None
