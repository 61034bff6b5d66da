"""The account against a slow one in decimals, to the last digit: cash, fees, both ways of profit, lots."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import lots as lots_module
from daemon.trading.lots import MAX_LOTS, Lots
from daemon.trading.money import MONEY_SCALE
from daemon.trading.portfolio import Account, AccountError, Portfolio
from schemas.events import AssetClass, InstrumentDefined, Liquidity, OrderFilled, Side
from tests.daemon.trading.oracle import SlowAccount, exactly

USD = 10**MONEY_SCALE
CURRENCIES = ("USD", "EUR", "BNB")


def instrument(
    number: int, currency: str, prices: int, quantities: int, multiplier: int
) -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=0, instrument_id=number, symbol=f"I{number}", venue="V", asset_class=AssetClass.CRYPTO,
        base_currency="I", quote_currency=currency, price_scale=prices, quantity_scale=quantities,
        multiplier=multiplier,
    )  # fmt: skip


INSTRUMENTS = {
    1: instrument(1, "USD", 2, 3, 1),
    2: instrument(2, "USD", 5, 8, 100),
    3: instrument(3, "EUR", 0, 18, 1),
    4: instrument(4, "EUR", 18, 0, 7),
}
fills = st.builds(
    OrderFilled,
    ts_ns=st.integers(0, 2**62),
    received_ns=st.just(0),
    order_id=st.just(1),
    instrument_id=st.sampled_from(list(INSTRUMENTS)),
    side=st.sampled_from([Side.BUY, Side.SELL]),
    price=st.integers(1, 10**12),
    quantity=st.integers(1, 10**9) | st.integers(1, 5),
    fee=st.integers(-(10**6), 10**12),
    fee_scale=st.integers(0, 18),
    fee_currency=st.sampled_from(CURRENCIES),
    liquidity=st.sampled_from(list(Liquidity)),
    venue_trade_id=st.just("t"),
)
moves = st.tuples(st.sampled_from(CURRENCIES), st.integers(-(10**30), 10**30).filter(bool))
histories = st.lists(fills | moves, max_size=40)


def scaled(number: int, scale: int = MONEY_SCALE) -> Decimal:
    return Decimal(number).scaleb(-scale)


def both(history) -> tuple[Portfolio, SlowAccount]:
    """Return the fast account and the slow one after the same history."""
    fast, slow = Portfolio(), SlowAccount()
    for step in history:
        if isinstance(step, OrderFilled):
            terms = INSTRUMENTS[step.instrument_id]
            fast.apply_fill(step, terms)
            quantity = scaled(step.side * step.quantity, terms.quantity_scale)
            unit_value = scaled(step.price, terms.price_scale) * terms.multiplier
            slow.fill(step.instrument_id, terms.quote_currency, quantity, unit_value)
            fee = scaled(step.fee, step.fee_scale)
            slow.fee(step.fee_currency, fee, resting=step.liquidity == Liquidity.MAKER)
            continue
        currency, amount = step
        if amount > 0:
            fast.account.deposit(currency, amount)
        elif fast.account.cash.get(currency, 0) >= -amount:
            fast.account.withdraw(currency, -amount)
        else:
            continue
        slow.move(currency, scaled(amount))
    return fast, slow


@given(histories)
def test_cash_and_fees_equal_the_oracle(history):
    with exactly():
        fast, slow = both(history)
        account = fast.account
        for currency in CURRENCIES:
            assert scaled(account.cash.get(currency, 0)) == slow.cash(currency)
            assert scaled(account.fees.get(currency, 0)) == slow.fees_of(currency)
            assert scaled(account.maker_fees.get(currency, 0)) == slow.fees_of(currency, resting=True)


@given(histories)
def test_profit_and_cost_at_average_cost_equal_the_oracle(history):
    with exactly():
        fast, slow = both(history)
        for key, position in fast.positions.items():
            assert scaled(position.quantity, INSTRUMENTS[key].quantity_scale) == slow.quantity(key)
            assert (scaled(position.realised), scaled(position.cost_basis)) == slow.average(key)


@given(histories)
def test_profit_and_lots_first_in_first_out_equal_the_oracle(history):
    with exactly():
        fast, slow = both(history)
        for key, position in fast.positions.items():
            profit, open_lots = slow.fifo(key)
            scale = INSTRUMENTS[key].quantity_scale
            assert scaled(position.realised_fifo) == profit
            assert [(scaled(lot.quantity, scale), scaled(lot.cost)) for lot in position.lots] == [
                (quantity, quantity * unit_value) for quantity, unit_value in open_lots
            ]


@given(histories)
def test_cash_and_cost_basis_are_deposits_and_profit_less_fees_in_both_ways(history):
    fast, _ = both(history)
    account = fast.account
    for currency in CURRENCIES:
        held = [p for key, p in fast.positions.items() if INSTRUMENTS[key].quote_currency == currency]
        paid_in = account.deposits.get(currency, 0) - account.withdrawals.get(currency, 0)
        left = account.cash.get(currency, 0) - paid_in + account.fees.get(currency, 0)
        assert left == sum(p.realised - p.cost_basis for p in held)
        assert left == sum(p.realised_fifo - p.cost_basis_fifo for p in held)


@given(histories)
def test_the_open_lots_are_the_position(history):
    fast, _ = both(history)
    for position in fast.positions.values():
        assert sum(lot.quantity for lot in position.lots) == position.quantity
        assert sum(lot.cost for lot in position.lots) == position.cost_basis_fifo
        assert len({lot.quantity > 0 for lot in position.lots}) <= 1


@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 1000)), max_size=60))
def test_full_lots_keep_the_whole_cost_and_join_what_is_opened_further(trades):
    known, lots_module.MAX_LOTS = lots_module.MAX_LOTS, 3
    try:
        lots, flow, realised, held = Lots(), 0, 0, 0
        for quantity, price in trades:
            realised += lots.apply(quantity, quantity * price, 0)
            flow -= quantity * price
            held += quantity
            assert len(lots) <= 3
            assert sum(lot.quantity for lot in lots) == held
            assert realised - sum(lot.cost for lot in lots) == flow
    finally:
        lots_module.MAX_LOTS = known


def test_what_is_opened_beyond_the_limit_joins_the_newest_lot():
    lots = Lots()
    for number in range(MAX_LOTS + 2):
        lots.apply(2, 200 + number, number)
    assert len(lots) == MAX_LOTS
    newest = list(lots)[-1]
    assert (newest.quantity, newest.opened_ns) == (6, MAX_LOTS - 1)
    assert newest.cost == 3 * 200 + 3 * MAX_LOTS


def test_a_part_of_a_joined_lot_gives_up_its_share_cut_towards_zero():
    lots = Lots([lots_module.Lot(3, 100, 0)])
    assert lots.apply(-1, -40, 1) == 40 - 33
    assert lots.apply(-2, -80, 2) == 80 - 67
    short = Lots([lots_module.Lot(-3, -100, 0)])
    assert short.apply(1, 40, 1) == 33 - 40


def test_the_oldest_lots_are_closed_first_and_the_rest_turns_the_position():
    portfolio = Portfolio()
    for side, price, quantity in ((Side.BUY, 100, 2), (Side.BUY, 200, 2), (Side.SELL, 300, 3)):
        portfolio.apply_fill(a_fill(side, price, quantity), INSTRUMENTS[1])
    profit = portfolio.apply_fill(a_fill(Side.SELL, 400, 3), INSTRUMENTS[1])
    unit = USD // 10**5
    assert profit == (250 * unit, 200 * unit)
    position = portfolio.positions[1]
    assert (position.realised, position.realised_fifo) == (700 * unit, 700 * unit)
    assert [(lot.quantity, lot.cost) for lot in position.lots] == [(-2, -800 * unit)]


def a_fill(side: Side, price: int, quantity: int) -> OrderFilled:
    return OrderFilled(
        ts_ns=7, received_ns=7, order_id=1, instrument_id=1, side=side, price=price, quantity=quantity, fee=0,
        fee_scale=0, fee_currency="USD", liquidity=Liquidity.TAKER, venue_trade_id="t",
    )  # fmt: skip


def test_both_ways_value_what_is_open_alike_together_with_what_is_realised():
    portfolio = Portfolio()
    for side, price, quantity in ((Side.BUY, 100, 2), (Side.BUY, 200, 2), (Side.SELL, 300, 1)):
        portfolio.apply_fill(a_fill(side, price, quantity), INSTRUMENTS[1])
    position, unit = portfolio.positions[1], USD // 10**5
    unrealised = position.unrealised(INSTRUMENTS[1], 400)
    assert unrealised == (1200 * unit - 450 * unit, 1200 * unit - 500 * unit)
    assert position.realised + unrealised.average == position.realised_fifo + unrealised.fifo


def test_no_more_is_paid_out_than_is_there():
    account = Account()
    account.deposit("USD", 10 * USD)
    with pytest.raises(AccountError, match=r"10\.000000000000000001 USD were to be paid out, 10 are there"):
        account.withdraw("USD", 10 * USD + 1)
    assert account.cash == {"USD": 10 * USD}
    account.withdraw("USD", 10 * USD)
    assert (account.cash, account.withdrawals) == ({"USD": 0}, {"USD": 10 * USD})
