"""What is held, at the marks: by currency, in one currency, and what no price leads to."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.lots import Lot, Lots
from daemon.trading.money import MONEY_SCALE
from daemon.trading.portfolio import Portfolio, Position
from daemon.trading.valuation import Exchange, Worth, margin, worth_by_currency
from schemas.events import AssetClass, DaemonStarted
from tests.daemon.trading.oracle import exactly

USD = 10**MONEY_SCALE


def pair(make, number: int, base: str, quote: str, **fields):
    return make.instrument(
        number, symbol=f"{base}-{quote}", asset_class=AssetClass.CRYPTO, base_currency=base,
        quote_currency=quote, **fields,
    )  # fmt: skip


def held(quantity: int, cost: int) -> Position:
    return Position(quantity, cost, 0, 0, Lots([Lot(quantity, cost, 0)]))


def marks(**prices):
    return lambda instrument_id, _: prices.get(f"i{instrument_id}")


def started(currency: str) -> DaemonStarted:
    settings = {"account.currency": currency}
    return DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=settings)


def test_long_and_short_positions_add_up_without_signs_to_the_gross_exposure(make):
    portfolio = Portfolio(positions={1: held(10, 900 * USD), 2: held(-4, -400 * USD), 3: held(7, 70 * USD)})
    portfolio.account.deposit("USD", 1000 * USD)
    instruments = {number: make.instrument(number) for number in (1, 2)}
    instruments[3] = make.instrument(3, quote_currency="EUR")
    found = worth_by_currency(portfolio, instruments, marks(i1=10_000, i2=11_000, i3=1_000))
    assert found == {
        "USD": Worth(1000 * USD, 560 * USD, 1440 * USD, 1440 * USD, 1440 * USD),
        "EUR": Worth(0, 70 * USD, 70 * USD, 70 * USD, 70 * USD),
    }
    assert (found["USD"].equity, found["USD"].net) == (1560 * USD, 560 * USD)


def test_a_position_without_a_known_price_counts_at_its_cost(make):
    portfolio = Portfolio(positions={1: held(-4, -400 * USD)})
    assert worth_by_currency(portfolio, {1: make.instrument(1)}, marks())["USD"].gross == 400 * USD


def test_margins_are_the_rates_of_the_value_held_rounded_up(make):
    portfolio = Portfolio(positions={1: held(1, 1)})
    rates = {"I1": (333_333, 250_000)}
    worth = worth_by_currency(portfolio, {1: make.instrument(1)}, marks(i1=100), lambda i: rates[i.symbol])[
        "USD"
    ]
    assert (worth.initial, worth.maintenance) == (333_333 * USD // 10**6, USD // 4)
    assert (margin(1, 1), margin(10**6, 1), margin(0, 500_000)) == (1, 1, 0)


def test_money_is_exchanged_at_the_mark_of_the_pair_and_back(make):
    exchange = Exchange({1: pair(make, 1, "BTC", "USDT")})
    mark = marks(i1=6_000_050)
    assert exchange.converted(2 * USD, "BTC", "USDT", mark) == 120_001 * USD
    assert exchange.converted(120_001 * USD, "USDT", "BTC", mark) == 2 * USD
    assert exchange.converted(-USD, "USDT", "BTC", mark) == -(USD * 100 // 6_000_050)


def test_no_price_leads_from_a_currency_without_a_pair_or_without_a_mark(make):
    exchange = Exchange({1: pair(make, 1, "BTC", "USDT")})
    assert exchange.converted(USD, "ETH", "USDT", marks(i1=5)) is None
    assert exchange.converted(USD, "BTC", "USDT", marks()) is None
    assert exchange.converted(USD, "BTC", "USDT", marks(i1=0)) is None
    assert exchange.converted(0, "ETH", "USDT", marks()) == 0
    assert exchange.converted(7, "USDT", "USDT", marks()) == 7


def test_contracts_and_equities_exchange_nothing(make):
    instruments = {
        1: pair(make, 1, "XAU", "USD", multiplier=100),
        2: make.instrument(2, base_currency="XAU"),
    }
    assert Exchange(instruments).converted(USD, "XAU", "USD", marks(i1=5, i2=5)) is None


def test_of_several_pairs_the_first_with_a_price_is_taken(make):
    exchange = Exchange({number: pair(make, number, "BTC", "USD") for number in (3, 2, 1)})
    assert exchange.converted(USD, "BTC", "USD", marks(i2=200, i3=300)) == 2 * USD


def test_the_total_names_what_it_leaves_out(make):
    worths = {
        "USD": Worth(10 * USD),
        "BTC": Worth(USD, -USD // 2, USD // 2, 5, 4),
        "XYZ": Worth(1),
        "ABC": Worth(),
    }
    exchange = Exchange({1: pair(make, 1, "BTC", "USD")})
    total = exchange.total(worths, "USD", marks(i1=1_000))
    assert total.unknown == ("XYZ",)
    assert total.worth == Worth(20 * USD, -5 * USD, 5 * USD, 50, 40)


@given(st.integers(-(10**40), 10**40), st.integers(1, 10**18), st.integers(0, 18))
def test_an_exchange_is_exact_but_for_the_last_unit_it_cuts(make, amount, price, scale):
    exchange = Exchange({1: pair(make, 1, "A", "B", price_scale=scale)})
    with exactly():
        rate = Decimal(price).scaleb(-scale)
        there = (amount * rate).to_integral_value(ROUND_DOWN)
        back = (amount / rate).to_integral_value(ROUND_DOWN)
    assert exchange.converted(amount, "A", "B", marks(i1=price)) == there
    assert exchange.converted(amount, "B", "A", marks(i1=price)) == back


def test_the_core_sums_up_in_the_configured_currency_else_in_that_of_the_first_deposit(desk, make):
    desk.take(pair(make, 3, "USD", "EUR"), make.deposit("10", "EUR"), make.quote(200, 200, instrument_id=3))
    assert desk.core.total().worth.equity == 1_000_005 * USD
    desk.take(started("EUR"))
    assert desk.core.total().worth.equity == 2_000_010 * USD
    desk.take(started(""))
    assert desk.core.total().worth.equity == 1_000_005 * USD


def test_the_core_sees_new_terms_of_a_pair_at_once(desk, make):
    desk.take(make.deposit("10", "EUR"))
    assert desk.core.total().unknown == ("EUR",)
    desk.take(pair(make, 3, "EUR", "USD"), make.trade(200, instrument_id=3))
    assert desk.core.total() == (Worth(1_000_020 * USD), ())
