"""LEAN and CSV lines, and telling formats apart."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.venue.feeds.columns import ColumnError, ColumnsParser, parse_mapping
from daemon.venue.feeds.formats import FormatError, ReadOptions, TickFile
from daemon.venue.feeds.instruments import InstrumentDefaults, InstrumentRegistry
from daemon.venue.feeds.lean import LeanError, LeanFile, LeanParser, lean_defaults, lean_file, lean_symbol
from daemon.venue.feeds.parsing import Listings, Tally
from schemas.codec import CODEC
from schemas.events import SUSPICIOUS, InstrumentDefined, Quote, Side, Trade

SPY = LeanFile("equity", "usa", "tick", "spy", date(2013, 10, 8), "trade")
NEW_YORK_MIDNIGHT = 1_381_204_800 * 10**9


def lean(lines, file=SPY, *, defaults=None):
    tally, out = Tally(), []
    listings = Listings(InstrumentRegistry(), file.market, defaults or lean_defaults(file))
    LeanParser(file, listings, "EURUSD", tally).parse_lines(lines, 1, out)
    return out, tally


def csv(text, columns="ts=time,price=price,quantity=amount", *, symbol="BTCUSDT", defaults=None):
    tally, out = Tally(), []
    listings = Listings(InstrumentRegistry(), "somewhere", defaults or InstrumentDefaults())
    parser = ColumnsParser(parse_mapping(columns), listings, tally, symbol=symbol)
    parser.parse_lines(text.encode().split(b"\n"), 1, out)
    return [event for event in out if not isinstance(event, InstrumentDefined)], tally


def test_a_lean_path_tells_market_symbol_day_and_kind():
    assert lean_file("/x/lean/equity/usa/tick/spy/20131008_trade.zip") == SPY
    assert lean_file("/x/spy.csv") is None


@pytest.mark.parametrize(
    "name", ["minute/spy/20131008_trade.zip", "second/spy/20131008_trade.zip", "daily/spy.zip"]
)
def test_lean_bars_are_refused_with_a_reason(name):
    with pytest.raises(LeanError, match="bars are not imported"):
        lean_defaults(lean_file(f"lean/equity/usa/{name}"))


def test_a_future_of_unknown_contract_size_is_refused_unless_it_is_given():
    file = LeanFile("future", "cme", "tick", "zz", date(2020, 1, 2), "trade")
    with pytest.raises(LeanError, match="contract size of future ZZ"):
        lean_defaults(file)
    assert lean_defaults(file, multiplier=7).multiplier == 7
    assert lean_symbol(file, "20200102_zz_tick_trade_202003.csv") == "ZZ-202003"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"14417034,1674200,210,Q,2000", "not a row"),
        (b"14417034,1674200,210,Q,2000,0,1", "not a row"),
        (b"14417034,-1674200,210,Q,2000,0", "not a row"),
        (b"14417034,1_674_200,210,Q,2000,0", "not a row"),
        (b"14417034, 1674200,210,Q,2000,0", "not a row"),
        (b"14417034,,210,Q,2000,0", "not a row"),
        (b"14417034,0,210,Q,2000,0", "price 0"),
        (b"14417034,1674200,210,Q,20x0,0", "conditions '20x0'"),
        (b"14417034,1674200,210,Q,2000,2", "suspicious '2'"),
        (b"14417034,1674200,210,Q!,2000,0", "exchange"),
        (b"86400000,1674200,210,Q,2000,0", "beyond the day"),
        (b"14417034,16742000000000000000,210,Q,2000,0", "64 bits"),
    ],
)
def test_a_damaged_equity_row_is_rejected_with_the_reason(line, reason):
    out, tally = lean([b"14417034,1674200,210,Q,2000,0", line, b"14417035,1674200,210,Q,2000,0"])
    assert [type(event) for event in out] == [InstrumentDefined, Trade, Trade]
    (rejection,) = tally.rejections
    assert rejection.line == 2
    assert reason in rejection.reason


def test_a_suspicious_tick_carries_the_flag():
    out, _ = lean([b"14417034,1674200,210,Q,2000,1"])
    assert out[1].conditions == 0x2000 | SUSPICIOUS


def test_an_equity_price_that_the_scale_cannot_hold_is_rejected_not_rounded():
    cents = InstrumentDefaults(price_scale=2, quantity_scale=0, quote_currency="USD", base_currency="X")
    out, tally = lean([b"1,1674200,1,Q,0,0", b"2,1674201,1,Q,0,0"], defaults=cents)
    assert [event.price for event in out[1:]] == [16_742]
    assert "more than the instrument's decimals" in tally.rejections[0].reason


def test_wall_clock_times_of_a_day_with_a_clock_change_are_right():
    day = SPY._replace(day=date(2013, 11, 3))
    out, _ = lean([b"0,1,1,Q,0,0", b"43200000,1,1,Q,0,0"], day)
    assert out[2].ts_ns - out[1].ts_ns == 13 * 3_600 * 10**9


def test_identical_rows_are_all_kept():
    out, tally = lean([b"14417034,1674200,210,Q,2000,0"] * 3)
    assert len(out) == 4
    assert tally.rejected_count == 0


@given(st.binary(max_size=60))
def test_random_lines_never_crash_the_lean_parser(line):
    for file in (SPY, SPY._replace(kind="quote"), SPY._replace(asset="forex", market="fxcm", kind="quote")):
        out, tally = lean([line.replace(b"\n", b"")], file)
        assert CODEC.decode(CODEC.encode(out)) == out
        assert len(out) in (0, 2)
        assert bool(out) or tally.rejected_count or tally.skipped


def test_columns_are_found_by_header():
    (trade,), _ = csv("price,x,amount,time\n1.25,?,3,1723161254087")
    assert (trade.ts_ns, trade.price, trade.quantity) == (1_723_161_254_087_000_000, 125_000_000, 300_000_000)


def test_columns_are_found_by_number_without_header():
    (trade,), _ = csv("1723161254,1.25,3,buy", "ts=1,price=2,quantity=3,side=4")
    assert trade.aggressor is Side.BUY
    (trade,), _ = csv("1.25,3,1723161254000000", "ts=3@us,price=1,quantity=2")
    assert trade.ts_ns == 1_723_161_254 * 10**9


@pytest.mark.parametrize(
    "text",
    [
        "1723161254",
        "1723161254.000000",
        "1723161254000",
        "1723161254000000000",
        "2024-08-08T23:54:14Z",
        "2024-08-08 23:54:14",
    ],
)
def test_times_tell_their_unit_by_their_length(text):
    (trade,), _ = csv(f"time,price,amount\n{text},1,1")
    assert trade.ts_ns == 1_723_161_254 * 10**9


def test_quoted_cells_are_unquoted():
    (trade,), _ = csv('time,price,amount\n"1723161254","1.5","2"')
    assert trade.price == 150_000_000


def test_quotes_may_have_one_side():
    quotes, _ = csv("t,b,a\n1723161254,1.5,\n1723161255,,1.6", "ts=t,bid=b,ask=a")
    assert [(quote.bid_price, quote.ask_price) for quote in quotes] == [
        (150_000_000, None),
        (None, 160_000_000),
    ]
    assert all(isinstance(quote, Quote) for quote in quotes)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1723161254,1.5", "2 columns, expected 3"),
        ("1723161254,-1.5,1", "not a decimal"),
        ("1723161254,0,1", "above zero"),
        ("1723161254,1.5,", "not a decimal"),
        ("172316,1.5,1", "not a time"),
        ("5,1.5,1", "not a time"),
        ('1723161254,"1.5,1', "not a row of CSV"),
    ],
)
def test_a_damaged_row_of_csv_is_rejected_with_the_reason(row, reason):
    ticks, tally = csv(f"time,price,amount\n{row}\n1723161254,1.5,1")
    assert len(ticks) == 1
    assert [rejection.line for rejection in tally.rejections] == [2]
    assert reason in tally.rejections[0].reason


@pytest.mark.parametrize(
    "columns", ["", "ts=a", "price=a,quantity=b", "ts=a,price=b", "ts=a@min,bid=b", "when=a,bid=b"]
)
def test_a_useless_column_mapping_is_refused(columns):
    with pytest.raises(ColumnError):
        parse_mapping(columns)


def test_a_mapping_to_an_absent_column_names_those_there_are():
    with pytest.raises(ColumnError, match="there are: time, cost"):
        csv("time,cost\n1,2", "ts=time,bid=price")


def test_ids_are_checked_where_there_are_any():
    ticks, tally = csv(
        "id,time,price,amount\n7,1723161254,1,1\n7,1723161254,1,1\n6,1723161254,1,1\n8,1723161254,1,1",
        "ts=time,price=price,quantity=amount,trade_id=id",
    )
    assert [trade.trade_id for trade in ticks] == [7, 8]
    assert [rejection.line for rejection in tally.rejections] == [3, 4]


@given(st.text(max_size=60))
def test_random_rows_never_crash_the_csv_parser(text):
    ticks, _ = csv("time,price,amount\n" + text)
    assert CODEC.decode(CODEC.encode(ticks)) == ticks


def test_an_unknown_file_is_refused_with_the_known_formats(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    with pytest.raises(FormatError, match="--format"):
        TickFile(path, InstrumentRegistry())


def test_a_csv_without_venue_or_symbol_says_what_to_give(tmp_path):
    path = tmp_path / "ticks.csv"
    path.write_text("time,price,amount\n")
    columns = "ts=time,price=price,quantity=amount"
    with pytest.raises(FormatError, match="--venue"):
        TickFile(path, InstrumentRegistry(), ReadOptions(columns=columns, symbol="BTCUSDT"))
    with pytest.raises(ColumnError, match="--symbol"):
        TickFile(path, InstrumentRegistry(), ReadOptions(columns=columns, venue="x"))


def test_given_scales_are_those_of_new_instruments(tmp_path):
    path = tmp_path / "ticks.csv"
    path.write_text("time,price,amount\n1723161254,1.25,3\n1723161254,1.255,3\n")
    options = ReadOptions(
        columns="ts=time,price=price,quantity=amount",
        symbol="A-B",
        venue="x",
        price_scale=2,
        quantity_scale=0,
    )
    with TickFile(path, InstrumentRegistry(), options) as file:
        ((definition, trade),) = file.batches()
        assert (definition.price_scale, trade.price, trade.quantity) == (2, 125, 3)
        assert [rejection.line for rejection in file.tally.rejections] == [3]
