from __future__ import annotations

import random
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.strategy import Strategy
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from replay.backtest import BacktestError, run_backtest
from schemas.events import (
    AssetClass,
    InstrumentDefined,
    Liquidity,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
    OrderType,
    Quote,
    SessionCalendarDefined,
    Side,
    Trade,
)

USD = 10**18
PARAMETERS = {"fast": 3, "slow": 7, "quantity": "5"}


class Batch(NamedTuple):
    events: list


def instrument(instrument_id: int = 1, currency: str = "USD") -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=0,
        instrument_id=instrument_id,
        symbol=f"I{instrument_id}",
        venue="V",
        asset_class=AssetClass.EQUITY,
        base_currency="I",
        quote_currency=currency,
        price_scale=2,
        quantity_scale=0,
    )


def walk(count: int, *, instrument_ids=(1,), quotes: bool = False, seed: int = 1) -> list:
    """Return a random walk of trades, with quotes between them when asked for."""
    chance = random.Random(seed)
    prices = dict.fromkeys(instrument_ids, 10_000)
    events: list = []
    for number in range(count):
        instrument_id = chance.choice(instrument_ids)
        prices[instrument_id] += chance.choice((-2, -1, 0, 1, 2))
        price = prices[instrument_id]
        if quotes and number % 3:
            events.append(
                Quote(
                    ts_ns=number,
                    received_ns=number,
                    instrument_id=instrument_id,
                    bid_price=price - 1,
                    bid_quantity=chance.choice((None, 2, 50)),
                    ask_price=price + 1,
                    ask_quantity=chance.choice((None, 2, 50)),
                )
            )
        else:
            events.append(
                Trade(
                    ts_ns=number,
                    received_ns=number,
                    instrument_id=instrument_id,
                    price=price,
                    quantity=chance.randint(1, 9),
                )
            )
    return events


def backtest(*batches: list, **options):
    options = {"strategy": "ma_cross", "parameters": PARAMETERS, **options}
    return run_backtest([Batch(batch) for batch in batches], **options)


def comparable(result) -> dict:
    return {name: getattr(result, name) for name in result.__slots__ if name != "seconds"}


def test_a_strategy_trades_and_the_account_adds_up():
    result = backtest([instrument()], walk(2000, quotes=True), maker_fee_ppm=10, taker_fee_ppm=100)
    assert result.events == 2001
    assert result.orders > 50
    assert result.fills >= result.orders - 1
    assert result.fees["USD"] > 0
    assert result.equity["USD"] == (
        100_000 * USD + result.realised["USD"] + result.unrealised["USD"] - result.fees["USD"]
    )


@pytest.mark.parametrize("quotes", [False, True])
@given(cuts=st.lists(st.integers(0, 600), max_size=30))
def test_the_result_does_not_depend_on_how_the_stream_is_cut(quotes, cuts):
    stream = [instrument(1), instrument(2), *walk(600, instrument_ids=(1, 2), quotes=quotes)]
    places = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places)]
    assert comparable(backtest(*pieces)) == comparable(backtest(stream))


def test_the_same_events_give_the_same_decisions_and_others_do_not():
    first = backtest([instrument()], walk(500))
    assert backtest([instrument()], walk(500)).decisions_sha256 == first.decisions_sha256
    assert backtest([instrument()], walk(500, seed=2)).decisions_sha256 != first.decisions_sha256


def test_recorded_orders_and_commands_are_left_out():
    ticks = walk(500)
    recorded = [
        OrderRequested(
            ts_ns=1,
            instrument_id=1,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            quantity=1,
            source="operator:x",
        ),
        OrderFilled(
            ts_ns=1,
            received_ns=1,
            order_id=3,
            instrument_id=1,
            side=Side.BUY,
            price=1,
            quantity=1,
            fee=0,
            fee_scale=0,
            fee_currency="USD",
            liquidity=Liquidity.TAKER,
            venue_trade_id="x",
        ),
        OperatorCommand(ts_ns=1, who="x", role="admin", command="trading.halt", arguments={"reason": "x"}),
    ]
    mixed = [instrument(), *ticks[:100], *recorded, *ticks[100:]]
    clean = backtest([instrument(), *ticks])
    assert comparable(backtest(mixed)) == comparable(clean)
    assert comparable(backtest([instrument()], [*recorded, *ticks])) == comparable(clean)


def test_recorded_calendars_hold_in_the_backtest_from_where_they_stand():
    calendar = SessionCalendarDefined(
        ts_ns=0, venue="V", instrument_id=None, zone="UTC", opens=[0], closes=[60], holidays=[],
        early_days=[], early_closes=[],
    )  # fmt: skip
    ticks, core = walk(50), Core("backtest")
    result = backtest([instrument(), *ticks[:20], calendar, *ticks[20:]], core=core)
    assert result.events == 51
    assert not core.books[1].calendar.is_open(0)


def test_only_the_named_instruments_are_traded():
    stream = [instrument(1), instrument(2), *walk(1000, instrument_ids=(1, 2))]
    assert list(backtest(stream).positions) == ["I1@V", "I2@V"]
    assert list(backtest(stream, instruments=["I2"]).positions) == ["I2@V"]
    assert list(backtest(stream, instruments=["I1@V"]).positions) == ["I1@V"]


def test_each_quote_currency_gets_the_cash_once():
    stream = [instrument(1), instrument(2, "EUR"), instrument(3), instrument(1)]
    assert backtest(stream, cash="250.5").deposits == {"USD": 2505 * USD // 10, "EUR": 2505 * USD // 10}


def test_an_instrument_that_never_appears_is_an_error():
    with pytest.raises(BacktestError, match="no instrument NOPE"):
        backtest([instrument()], instruments=["NOPE"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"strategy": "none"}, "no strategy kind"),
        ({"parameters": {}}, "quantity must be given"),
        ({"parameters": {**PARAMETERS, "fast": 9}}, "less than slow"),
        ({"parameters": {**PARAMETERS, "quantity": "0.5"}}, "decimals"),
    ],
)
def test_a_strategy_that_cannot_be_started_is_an_error(options, says):
    with pytest.raises(BacktestError, match=says):
        backtest([instrument()], **options)


def test_an_order_fills_at_a_later_event_than_the_one_that_caused_it():
    class Once(Strategy):
        kind = "once"

        def on_trade(self, trade):
            if trade.price == 100:
                self.context.submit(1, Side.BUY, 1)

    ticks = [
        Trade(ts_ns=n, received_ns=n, instrument_id=1, price=price, quantity=1)
        for n, price in enumerate((100, 107, 108))
    ]
    result = backtest(
        [instrument(), *ticks], strategy="once", parameters={}, core=Core("backtest", kinds={"once": Once})
    )
    assert result.positions["I1@V"]["cost_basis"] == 107 * USD // 100


def test_a_strategy_that_raises_is_reported_and_the_backtest_goes_on():
    class Raises(Strategy):
        kind = "raises"

        def on_trade(self, trade):
            raise KeyError(trade.price)

    core = Core("backtest", kinds={"raises": Raises})
    result = backtest([instrument()], walk(10), strategy="raises", parameters={}, core=core)
    assert result.events == 11
    assert list(result.stopped) == ["raises-I1@V"]


def test_a_strategy_that_answers_its_own_fills_without_end_is_an_error():
    class Echo(Strategy):
        kind = "echo"

        def on_quote(self, quote):
            self.context.submit(1, Side.SELL, 1)

        def on_fill(self, fill, order):
            self.context.submit(1, Side.SELL, 1)

    core = Core("backtest", kinds={"echo": Echo})
    with pytest.raises(BacktestError, match="its own fills"):
        backtest([instrument()], walk(10, quotes=True), strategy="echo", parameters={}, core=core)


def test_the_moving_averages_cross_where_a_slow_calculation_says():
    ticks = walk(3000)
    result = backtest([instrument()], ticks)
    prices = [tick.price for tick in ticks]
    crosses, above = 0, None
    for end in range(7, len(prices) + 1):
        fast, slow = 7 * sum(prices[end - 3 : end]), 3 * sum(prices[end - 7 : end])
        if end == 7:
            above = fast > slow
        elif fast != slow and (fast > slow) != above:
            above = fast > slow
            crosses += 1
    assert crosses > 100
    # Each cross is one order, but one that comes while an order still works: that order's rest is left to it.
    assert crosses * 0.7 < result.orders <= crosses * 1.3


def test_a_day_of_spy_and_of_bitcoin_adds_up_and_is_independent_of_frames(market_data):
    for name, quantity in (
        ("lean/equity/usa/tick/spy/20131008_trade.zip", "100"),
        ("crypto/binance_spot_btcusdt_20240808.gz", "0.01"),
    ):
        with TickFile(market_data / name, InstrumentRegistry([])) as file:
            stream = [event for batch in file.batches() for event in batch]
        parameters = {"fast": 50, "slow": 200, "quantity": quantity}
        options = {"parameters": parameters, "taker_fee_ppm": 100, "cash": "1000000"}
        result = backtest(stream, **options)
        pieces = [stream[start : start + 777] for start in range(0, len(stream), 777)]
        assert comparable(backtest(*pieces, **options)) == comparable(result)
        assert result.events == len(stream)
        assert result.orders > 20
        assert result.denied == 0
        (currency,) = result.cash
        gained = result.realised[currency] + result.unrealised[currency] - result.fees[currency]
        assert result.equity[currency] == result.deposits[currency] + gained
