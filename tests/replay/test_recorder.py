from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.strategy import Strategy
from replay.backtest import run_backtest
from replay.recorder import MAX_STRIDE, Recorder
from replay.report import equity_points, measure_recording, trips_of
from schemas.events import AssetClass, Quote, Side, Trade
from tests.replay.recordings import SECOND, START, instrument, trade

USD = 10**18
PARAMETERS = {"fast": 2, "slow": 4, "quantity": "3"}
TICKS = [trade(n) for n in range(3_000)]


class Batch(NamedTuple):
    events: list


def record(*batches, **options):
    recorder = Recorder()
    defaults = {"strategy": "ma_cross", "parameters": PARAMETERS, "recorder": recorder}
    result = run_backtest([Batch(list(batch)) for batch in batches], **{**defaults, **options})
    return result, recorder.finish()


class Buys(Strategy):
    """Buys three at the tenth second and sells two at the twentieth."""

    kind = "buys"

    def on_trade(self, trade):
        second = (trade.ts_ns - START) // SECOND
        if second in (10, 20):
            side, quantity = (Side.BUY, 3) if second == 10 else (Side.SELL, 2)
            self.context.submit(trade.instrument_id, side, quantity, tag=f"at {second}")


def buys(*events, **options):
    core = Core("backtest", kinds={"buys": Buys})
    return record(
        events, strategy="buys", parameters={}, core=core, maker_fee_ppm=0, taker_fee_ppm=0, **options
    )


def test_a_recorder_changes_nothing_of_the_result():
    result, _ = record([instrument(), *TICKS])
    plain = run_backtest([Batch([instrument(), *TICKS])], strategy="ma_cross", parameters=PARAMETERS)
    assert result.result_sha256 == plain.result_sha256


def test_trips_and_curve_add_up_to_the_account():
    result, recording = record([instrument(), *TICKS])
    gained = sum(trip.net for trip in [*recording.trips, *recording.open_trips])
    assert recording.curve[0].equity == 100_000 * USD
    assert recording.curve[-1].equity == result.equity["USD"] == 100_000 * USD + gained
    assert recording.fees == result.fees["USD"]
    assert len(recording.trips) > 20


@cache
def whole():
    return record([instrument(), *TICKS[:2_200]])[1]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2_200), max_size=30))
def test_the_recording_does_not_depend_on_how_the_stream_is_cut(cuts):
    places = [0, *sorted(cuts), 2_200]
    _, cut = record([instrument()], *(TICKS[a:b] for a, b in pairwise(places)))
    assert cut == whole()


def test_a_point_does_not_tell_of_what_came_later():
    _, recording = buys(instrument(), *(trade(n, 10_000 + n) for n in range(30)))
    by_second = {(point.ts_ns - START) // SECOND: point for point in recording.curve}
    # Bought at the trade of the eleventh second: three at 100.11, worth one cent more each a second later.
    assert by_second[11].gross == 0
    assert by_second[12].gross == by_second[12].net == 3 * 10_011 * USD // 100
    assert by_second[13].equity == 100_000 * USD + 3 * USD // 100
    assert by_second[13].marks == (10_012,)


def test_tags_and_slippage_are_told_of_each_trip():
    _, recording = buys(instrument(), *(trade(n, 10_000 + n) for n in range(30)))
    (trip,) = recording.open_trips
    assert (trip.tag, trip.strategy_id, trip.instrument) == ("at 10", "buys-I1@V", "I1@V")
    # Decided at 100.10 and filled at 100.11, three times; sold a cent better than decided, twice.
    assert trip.slippage == recording.slippage == (3 - 2) * USD // 100


def test_slippage_is_held_against_the_middle_of_the_quotes_where_there_are_two():
    quote = Quote(
        ts_ns=START + 1,
        received_ns=START,
        instrument_id=1,
        bid_price=9_990,
        bid_quantity=9,
        ask_price=10_010,
        ask_quantity=9,
    )

    class Once(Strategy):
        kind = "once"

        def on_quote(self, quote):
            if quote.ts_ns == START + 1:
                self.context.submit(1, Side.BUY, 1)

    again = msgspec.structs.replace(quote, ts_ns=START + 2)
    core = Core("backtest", kinds={"once": Once})
    _, recording = record([instrument(), quote, again], strategy="once", parameters={}, core=core)
    assert recording.slippage == 10 * USD // 100


def test_the_market_is_looked_at_often_enough_for_excursions():
    dip = [trade(n, 10_000) for n in range(50_000)]
    low = 40_000
    dip[low : low + MAX_STRIDE] = [trade(n, 9_000) for n in range(low, low + MAX_STRIDE)]
    _, recording = buys(instrument(), *dip)
    assert recording.open_trips[0].adverse == -1_000 * USD // 100


def crossing(currency, base, instrument_id, price):
    pair = instrument(instrument_id, currency=currency, base=base, asset_class=AssetClass.FOREX)
    return [pair, Trade(ts_ns=START, received_ns=START, instrument_id=instrument_id, price=price, quantity=1)]


def test_money_of_other_currencies_is_summed_up_in_the_reporting_currency():
    events = [
        *crossing("USD", "EUR", 1, 125),
        *crossing("EUR", "CHF", 2, 100),
        *(trade(n, 100, instrument_id=2) for n in range(9)),
    ]
    result, recording = record(events, parameters=PARAMETERS)
    assert result.deposits == {"USD": 100_000 * USD, "EUR": 100_000 * USD}
    assert (recording.currency, recording.unknown) == ("USD", ())
    assert recording.curve[-1].equity == (100_000 + 125_000) * USD
    assert measure_recording(recording)["total_return"] == pytest.approx(0)


def test_another_reporting_currency_can_be_asked_for():
    events = [
        *crossing("USD", "EUR", 1, 125),
        *crossing("EUR", "CHF", 2, 100),
        *(trade(n, 100, instrument_id=2) for n in range(9)),
    ]
    _, recording = record(events, currency="EUR")
    assert recording.currency == "EUR"
    assert recording.curve[-1].equity == (100_000 + 80_000) * USD


def test_a_currency_that_no_price_leads_from_is_named_and_left_out():
    events = [instrument(1), instrument(2, currency="JPY"), *(trade(n) for n in range(9))]
    _, recording = record(events)
    assert recording.unknown == ("JPY",)
    assert recording.curve[-1].equity == 100_000 * USD


def test_figures_of_a_recording_are_those_of_its_parts():
    _, recording = record([instrument(), *TICKS])
    found = measure_recording(recording, rounds=50)
    assert found["trips"] == len(trips_of(recording.trips)) == len(recording.trips)
    assert found["total_return"] == pytest.approx(equity_points(recording)[-1].equity / 100_000 - 1)
    assert found["fees"] == pytest.approx(recording.fees / USD)
    assert set(found.intervals) > {"sharpe", "win_rate"}
