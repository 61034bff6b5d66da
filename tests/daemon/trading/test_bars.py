"""Bars by time, ticks and volume: what is in them, when they end, and that vendors' bars are the same."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.bars import (
    FRESH_NS,
    GRACE_NS,
    SECOND,
    BarError,
    Unit,
    bar_builder,
    check_spec,
    parse_spec,
)
from daemon.trading.books import Book
from daemon.trading.calendar import Calendar, always
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import BarSide, InstrumentDefined, Quote, Trade

MINUTE = 60 * SECOND
NOON = 1_700_049_600 * SECOND


class Maker:
    """A builder, its book and what came of it."""

    def __init__(self, make, text="1m", side=BarSide.TRADE, *, calendar=None, instrument=None):
        instrument = instrument or make.instrument()
        self.book = Book(instrument, calendar or always("UTC"))
        self.bars = []
        self.spec = parse_spec(text, side, quantity_scale=instrument.quantity_scale)
        self.builder = bar_builder(self.spec, self.book, self.bars.append)
        self.make = make

    def trades(self, *ticks):
        for ts_ns, price, quantity in ticks:
            self.builder.on_trade(self.make.trade(price, quantity, ts_ns=ts_ns))

    def quote(self, quote):
        if quote.bid_price is not None:
            self.book.bid = quote
        if quote.ask_price is not None:
            self.book.ask = quote
        self.builder.on_quote(quote)

    @property
    def plain(self):
        return [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in self.bars]


def test_a_bar_holds_open_high_low_close_and_volume_of_its_minute(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1), (NOON + 5, 14, 2), (NOON + 9, 8, 3), (NOON + 59 * SECOND, 11, 4))
    assert maker.bars == []
    maker.trades((NOON + MINUTE, 12, 5))
    assert maker.plain == [(10, 14, 8, 11, 10)]
    (bar,) = maker.bars
    assert (bar.ts_ns, bar.interval_ns, bar.received_ns) == (NOON + MINUTE, MINUTE, NOON + MINUTE)


def test_an_interval_without_a_tick_has_no_bar(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1), (NOON + 7 * MINUTE, 11, 1), (NOON + 8 * MINUTE, 12, 1))
    assert [bar.ts_ns for bar in maker.bars] == [NOON + MINUTE, NOON + 8 * MINUTE]


def test_the_clock_ends_a_bar_a_second_after_its_end(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1))
    maker.builder.on_clock(NOON + MINUTE + GRACE_NS - 1)
    assert maker.bars == []
    maker.builder.on_clock(NOON + MINUTE + GRACE_NS)
    assert maker.plain == [(10, 10, 10, 10, 1)]
    maker.builder.on_clock(NOON + 2 * MINUTE + GRACE_NS)
    assert len(maker.bars) == 1


def test_a_clock_of_another_year_ends_no_bar_of_a_recording(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1))
    maker.builder.on_clock(NOON + MINUTE + GRACE_NS + FRESH_NS + 1)
    assert maker.bars == []


def test_a_late_tick_counts_into_the_bar_that_is_open(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1), (NOON + MINUTE, 20, 1), (NOON + 59 * SECOND, 5, 1), (NOON + 2 * MINUTE, 9, 1))
    assert maker.plain == [(10, 10, 10, 10, 1), (20, 20, 5, 5, 2)]


def test_a_tick_that_comes_after_the_clock_has_ended_its_bar_is_in_the_next(make):
    maker = Maker(make)
    maker.trades((NOON, 10, 1))
    maker.builder.on_clock(NOON + MINUTE + GRACE_NS)
    maker.trades((NOON + 58 * SECOND, 7, 1), (NOON + 2 * MINUTE, 9, 1))
    assert maker.plain[1] == (7, 7, 7, 7, 1)
    assert maker.bars[1].ts_ns == NOON + 2 * MINUTE


def test_a_time_far_after_the_receipt_ends_no_bar(make):
    maker = Maker(make)
    day_ahead = make.trade(11, 1, ts_ns=NOON + 5)
    maker.trades((NOON, 10, 1))
    maker.builder.on_trade(
        Trade(
            ts_ns=NOON + 86_400 * SECOND, received_ns=day_ahead.ts_ns, instrument_id=1, price=11, quantity=1
        )
    )
    maker.trades((NOON + MINUTE, 12, 1))
    assert maker.plain == [(10, 11, 10, 11, 2)]


def test_bars_by_ticks_end_with_their_last_tick(make):
    maker = Maker(make, "3t")
    maker.trades((1, 10, 1), (2, 12, 1), (3, 9, 1), (4, 20, 1))
    assert maker.plain == [(10, 12, 9, 9, 3)]
    assert (maker.bars[0].ts_ns, maker.bars[0].interval_ns) == (3, 2)


def test_bars_by_volume_end_with_the_trade_that_fills_them_and_keep_what_it_has_too_much(make):
    maker = Maker(make, "2.5v", instrument=make.instrument(quantity_scale=1))
    maker.trades((1, 10, 20), (2, 12, 30), (3, 9, 24), (4, 8, 1))
    assert maker.plain == [(10, 12, 10, 12, 50), (9, 9, 8, 8, 25)]


def test_bars_of_quotes_take_a_side_or_the_middle_rounded_down(make):
    quotes = [
        make.quote(10, 13, ts_ns=NOON),
        make.quote(None, 14, ts_ns=NOON + 1),
        make.quote(9, None, ts_ns=NOON + 2),
    ]
    last = make.quote(20, 21, ts_ns=NOON + MINUTE)
    found = {}
    for side in (BarSide.BID, BarSide.ASK, BarSide.MID):
        maker = Maker(make, side=side)
        for quote in (*quotes, last):
            maker.quote(quote)
        (found[side],) = maker.plain
    assert found[BarSide.BID] == (10, 10, 9, 9, None)
    assert found[BarSide.ASK] == (13, 14, 13, 14, None)
    assert found[BarSide.MID] == (11, 12, 11, 11, None)


def test_a_middle_needs_both_sides(make):
    maker = Maker(make, "1t", BarSide.MID)
    maker.quote(make.quote(10, None))
    assert maker.bars == []
    maker.quote(make.quote(None, 12))
    assert maker.plain == [(11, 11, 11, 11, None)]


def stock_exchange() -> Calendar:
    """New York, 09:30 to 16:00 on weekdays."""
    day = 86_400
    return Calendar("America/New_York", [(d * day + 34_200, d * day + 57_600) for d in range(5)])


def new_york(*clock) -> int:
    at = datetime(2023, 11, 14, *clock, tzinfo=ZoneInfo("America/New_York"))
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1) * SECOND


def test_hours_begin_where_the_session_does_and_end_with_it(make):
    maker = Maker(make, "1h", calendar=stock_exchange())
    clocks = [(9, 0), (9, 40), (10, 20), (10, 31), (15, 40), (16, 10), (17, 0)]
    maker.trades(*((new_york(*clock), 10, 1) for clock in clocks))
    starts = [(bar.ts_ns - bar.interval_ns, bar.ts_ns) for bar in maker.bars]
    expected = [
        ((8, 30), (9, 30)),
        ((9, 30), (10, 30)),
        ((10, 30), (11, 30)),
        ((15, 30), (16, 0)),
        ((16, 0), (16, 30)),
    ]
    assert starts == [(new_york(*start), new_york(*end)) for start, end in expected]


def test_days_begin_at_midnight_of_the_zone_also_when_the_clocks_change(make):
    maker = Maker(make, "1d", calendar=always("America/New_York"))
    zone = ZoneInfo("America/New_York")
    days = [int(datetime(2023, 11, day, 12, tzinfo=zone).timestamp()) * SECOND for day in (4, 5, 6, 7)]
    maker.trades(*((day, 10, 1) for day in days))
    hours = [bar.interval_ns // (3600 * SECOND) for bar in maker.bars]
    assert hours == [24, 25, 24]


@pytest.mark.parametrize(
    ("text", "unit", "length"),
    [
        ("30s", Unit.TIME, 30 * SECOND),
        ("5m", Unit.TIME, 5 * MINUTE),
        ("4h", Unit.TIME, 240 * MINUTE),
        ("1d", Unit.TIME, 1440 * MINUTE),
        ("500t", Unit.TICKS, 500),
        ("2.5v", Unit.VOLUME, 2_500),
    ],
)
def test_a_text_names_bars(text, unit, length):
    assert parse_spec(text, BarSide.TRADE, quantity_scale=3) == (unit, length, BarSide.TRADE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "1",
        "0m",
        "-1m",
        "1.5m",
        "2d",
        "25h",
        "0t",
        "1000001t",
        "0v",
        "1 m",
        "1M",
        "٣m",
        "9" * 19 + "s",
    ],
)
def test_other_texts_name_none(text):
    with pytest.raises(BarError):
        check_spec(text)


def test_a_volume_finer_than_the_instrument_counts_names_none_and_quotes_have_none():
    with pytest.raises(BarError, match="decimals"):
        parse_spec("0.5v", BarSide.TRADE, quantity_scale=0)
    with pytest.raises(BarError, match="trades only"):
        parse_spec("5v", BarSide.MID, quantity_scale=0)


ticks = st.lists(
    st.tuples(st.integers(0, 20 * 60), st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=60
)


def at_noon(rows):
    return [(NOON + second * SECOND, price, quantity) for second, price, quantity in rows]


@given(rows=ticks)
def test_nothing_is_lost_or_counted_twice(make, rows):
    maker = Maker(make)
    maker.trades(*at_noon(rows))
    bars = [*maker.bars, maker.builder.open_bar()]
    assert sum(bar.volume for bar in bars) == sum(quantity for _, _, quantity in rows)
    assert max(bar.high for bar in bars) == max(price for _, price, _ in rows)
    assert min(bar.low for bar in bars) == min(price for _, price, _ in rows)
    ends = [bar.ts_ns for bar in bars]
    assert ends == sorted(set(ends))


@given(rows=ticks.map(sorted))
def test_five_minutes_made_of_minutes_are_those_made_of_trades(make, rows):
    minutes, direct, made = Maker(make), Maker(make, "5m"), Maker(make, "5m")
    minutes.trades(*at_noon(rows))
    direct.trades(*at_noon(rows))
    for bar in (*minutes.bars, minutes.builder.open_bar()):
        made.builder.add(bar)
    assert made.plain == direct.plain
    assert made.builder.open_bar() == direct.builder.open_bar()


@pytest.mark.parametrize("text", ["1m", "7t", "9v"])
@given(rows=ticks, cut=st.integers(0, 60))
def test_a_dump_carries_the_open_bar_over(make, text, rows, cut):
    whole, first, second = Maker(make, text), Maker(make, text), Maker(make, text)
    whole.trades(*at_noon(rows))
    first.trades(*at_noon(rows[:cut]))
    second.builder.load(first.builder.dump())
    second.trades(*at_noon(rows[cut:]))
    assert first.bars + second.bars == whole.bars
    assert second.builder.dump() == whole.builder.dump()


def recorded(path, symbol=None):
    """Return the instrument of a tick file, or that of a symbol, and its ticks."""
    with TickFile(path, InstrumentRegistry([])) as file:
        events = [event for batch in file.batches() for event in batch]
    named = {e.symbol: e for e in events if isinstance(e, InstrumentDefined)}
    instrument = named[symbol] if symbol else next(iter(named.values()))
    ticks = [
        e for e in events if isinstance(e, (Trade, Quote)) and e.instrument_id == instrument.instrument_id
    ]
    return instrument, ticks


def vendors_rows(path, contains=""):
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if contains in name]
        return list(csv.reader(io.TextIOWrapper(archive.open(name))))


def scaled_prices(cells, instrument):
    return tuple(int(Decimal(cell) * 10**instrument.price_scale) for cell in cells)


@pytest.mark.parametrize("day", ["20140508", "20140509", "20140511"])
def test_minutes_of_eur_usd_are_all_equal_to_the_vendors(make, market_data, day):
    folder = market_data / "lean/forex/fxcm"
    instrument, ticks = recorded(folder / f"tick/eurusd/{day}_quote.zip")
    rows = vendors_rows(folder / f"minute/eurusd/{day}_quote.zip")
    for side, columns in ((BarSide.BID, slice(1, 5)), (BarSide.ASK, slice(6, 10))):
        maker = Maker(make, side=side, instrument=instrument)
        for tick in ticks:
            maker.quote(tick)
        bars = [*maker.bars, maker.builder.open_bar()]
        assert [(b.open, b.high, b.low, b.close) for b in bars] == [
            scaled_prices(row[columns], instrument) for row in rows
        ]
        midnight = (bars[0].ts_ns - MINUTE) // MINUTE * MINUTE - int(rows[0][0]) * 10**6
        assert [b.ts_ns - MINUTE for b in bars] == [midnight + int(row[0]) * 10**6 for row in rows]


def test_minutes_of_gold_have_the_vendors_prices_and_all_but_one_its_volumes(make, market_data):
    folder = market_data / "lean/future/comex"
    instrument, ticks = recorded(folder / "tick/gc/20131008_trade.zip", "GC-201312")
    rows = vendors_rows(folder / "minute/gc/20131008_trade.zip", "201312")
    maker = Maker(make, instrument=instrument)
    for tick in ticks:
        maker.builder.on_trade(tick)
    bars = [*maker.bars, maker.builder.open_bar()]
    assert len(bars) == len(rows) == 1377
    assert [(b.open, b.high, b.low, b.close) for b in bars] == [
        scaled_prices(row[1:5], instrument) for row in rows
    ]
    assert sum(bar.volume == int(row[5]) for bar, row in zip(bars, rows, strict=True)) == 1376


@pytest.mark.parametrize("text", ["500v", "2.5v", "999999999999999999v", "0.000000000000000001v"])
def test_a_volume_that_some_instrument_can_hold_names_bars(text):
    check_spec(text)


@pytest.mark.parametrize("text", ["0v", "0.00v", "999999999999999999.9999999999v", "5.5t"])
def test_a_length_that_no_instrument_can_hold_is_refused(text):
    with pytest.raises(BarError):
        check_spec(text)
