"""Recorded days through each built-in strategy: a slow decimal account comes to the same, digit by digit."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from typing import NamedTuple

import pytest

from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.money import MONEY_ONE
from daemon.trading.strategies import STRATEGIES
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.paper import PaperVenue
from replay.backtest import _Run, _settings
from schemas.codec import CODEC
from schemas.events import InstrumentDefined, OrderFilled, OrderRequested, is_decision

CASH = "1000000"
SPY = "lean/equity/usa/tick/spy/20131008_trade.zip"
IBM = ("lean/equity/usa/tick/ibm/20131009_trade.zip", "lean/equity/usa/tick/ibm/20131009_quote.zip")
BITCOIN = "crypto/binance_spot_btcusdt_20240808.gz"

SECONDS = {"bars": "5s", "short": True}
RUNS = {
    ("SPY", "ma_cross"): {"fast": 50, "slow": 200, "short": True},
    ("SPY", "rsi_reversion"): {"length": 3, "short": True, "stop": "3"},
    ("SPY", "bollinger_bounce"): {"short": True, "sizing": "risk", "percent": "0.1", "stop": "2"},
    ("SPY", "vwap_bounce"): {"short": True, "sizing": "volatility", "percent": "0.05"},
    ("SPY", "opening_range"): {"opens": "09:30", "closes": "16:00", "short": True},
    ("SPY", "donchian_breakout"): {"length": 10, "exit_length": 5, "short": True, "sizing": "kelly"},
    ("IBM", "market_maker"): {"spread": "2", "step": "1", "short": True},
    ("BTC", "ma_cross"): {"fast": 50, "slow": 200, "sizing": "equity", "percent": "10"},
    ("BTC", "rsi_reversion"): {"length": 2, **SECONDS},
    ("BTC", "bollinger_bounce"): {"length": 10, "width": "1", **SECONDS},
    ("BTC", "vwap_bounce"): {"width": "1", "wait": 5, **SECONDS},
    ("BTC", "opening_range"): {"minutes": 1, "opens": "23:55", "closes": "23:59", "entries": 5, **SECONDS},
    ("BTC", "donchian_breakout"): {"length": 6, "exit_length": 3, "source": "mid", **SECONDS},
    ("BTC", "market_maker"): {"spread": "0.2", "step": "0.1", "short": True},
}
QUANTITY = {"SPY": "100", "IBM": "100", "BTC": "0.01"}
FILES = {"SPY": (SPY,), "IBM": IBM, "BTC": (BITCOIN,)}


class Batch(NamedTuple):
    events: list


class Recording(_Run):
    """A backtest that keeps what it decided and was told, beside the events it took."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.answers = []

    def _record(self, events):
        self.answers += events
        super()._record(events)


@cache
def day(folder, name):
    """Return the ticks of a day in the order of their receipt, behind the instrument."""
    registry, streams = InstrumentRegistry([]), []
    for path in FILES[name]:
        with TickFile(folder / path, registry) as file:
            streams += [event for batch in file.batches() for event in batch]
    ticks = [event for event in streams if not isinstance(event, InstrumentDefined)]
    first = next(event for event in streams if isinstance(event, InstrumentDefined))
    ticks.sort(key=lambda tick: tick.received_ns)
    # SPY has no quotes, so the market maker works on IBM, for half an hour of its day.
    return [first, *(ticks[40_000:70_000] if name == "IBM" else ticks)]


def run(folder, name, kind):
    core = Core("backtest")
    venue = PaperVenue(maker_fee_ppm=-5, taker_fee_ppm=100)
    parameters = {"quantity": QUANTITY[name], **RUNS[name, kind]}
    recording = Recording(core, venue, strategy=kind, parameters=parameters, cash=CASH, wanted=())
    recording.take([_settings(venue.options)])
    recording.batch(day(folder, name))
    return recording, recording.finish(1.0)


class SlowAccount:
    """Cash and one holding in decimals, booked as a textbook would."""

    def __init__(self, instrument):
        self.instrument = instrument
        self.cash = Decimal(CASH)
        self.fees = self.held = Decimal(0)

    def fill(self, event):
        price = Decimal(event.price).scaleb(-self.instrument.price_scale)
        quantity = Decimal(event.quantity).scaleb(-self.instrument.quantity_scale) * event.side
        fee = Decimal(event.fee).scaleb(-event.fee_scale)
        self.cash -= price * quantity * self.instrument.multiplier + fee
        self.held += quantity
        self.fees += fee

    def equity(self, price):
        mark = Decimal(price).scaleb(-self.instrument.price_scale)
        return self.cash + mark * self.held * self.instrument.multiplier


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_the_account_of_a_day_equals_a_slow_decimal_one_to_the_last_digit(market_data, name, kind):
    recording, result = run(market_data, name, kind)
    fills = [event for event in recording.answers if isinstance(event, OrderFilled)]
    assert fills
    assert (result.stopped, result.trading_state, result.notifications) == ({}, "ACTIVE", [])
    core = recording.core
    (instrument,) = core.instruments.values()
    currency, position = instrument.quote_currency, core.positions[instrument.instrument_id]
    with localcontext() as context:
        context.prec = 60
        slow = SlowAccount(instrument)
        for event in fills:
            slow.fill(event)
        mark = core.books[instrument.instrument_id].mark(position.quantity)
        assert Decimal(result.cash[currency]).scaleb(-18) == slow.cash
        assert Decimal(result.fees[currency]).scaleb(-18) == slow.fees
        assert Decimal(result.equity[currency]).scaleb(-18) == slow.equity(mark)
        assert Decimal(position.quantity).scaleb(-instrument.quantity_scale) == slow.held
    # No money was made or lost on the way: what is there is what was paid in, earned, and not yet earned.
    assert result.equity[currency] == (
        int(CASH) * MONEY_ONE
        + result.realised[currency]
        + result.unrealised[currency]
        - result.fees[currency]
    )
    # The strategy's own books say the same as the account's, for it is alone.
    (runner,) = core.strategies.values()
    assert runner.quantity(instrument.instrument_id) == position.quantity
    assert runner.worth()[currency] == result.equity[currency] - int(CASH) * MONEY_ONE


def test_every_built_in_strategy_has_a_day_of_bitcoin_and_one_of_stocks():
    assert {kind for name, kind in RUNS if name == "BTC"} == set(STRATEGIES)
    assert {kind for name, kind in RUNS if name != "BTC"} == set(STRATEGIES)


@pytest.mark.parametrize("kind", STRATEGIES)
def test_a_strategy_that_was_dumped_amid_a_day_goes_on_as_one_that_was_not(make, market_data, kind):
    parameters = {f"param__{name}": value for name, value in RUNS["BTC", kind].items()}
    instrument, *ticks = day(market_data, "BTC")
    desk = make.Desk()
    desk.take(instrument, make.deposit(CASH, instrument.quote_currency))
    if RUNS["BTC", kind].get("sizing", "fixed") == "fixed":
        parameters["param__quantity"] = QUANTITY["BTC"]
    desk.take(
        make.command(
            "strategy.start", strategy_id="s", kind=kind, instruments=[instrument.symbol], **parameters
        )
    )
    for tick in ticks[:20_000]:
        desk.take(tick)
    merged = desk.merged
    orders = [number for number, event in enumerate(merged) if isinstance(event, OrderRequested)]
    inputs = [number for number, event in enumerate(merged) if not is_decision(event)]
    assert orders
    for cut in (inputs[len(inputs) // 3], inputs[-1]):
        replayed = Core(make.journal)
        replayed.replay(1, merged[:cut])
        loaded = load(make.journal, list(dump(replayed).parts()))
        assert loaded.state() == replayed.state()
        rest, _ = loaded.run([event for event in merged[cut:] if not is_decision(event)])
        assert CODEC.encode(rest) == CODEC.encode(merged[cut:])
        assert loaded.state() == desk.core.state()
