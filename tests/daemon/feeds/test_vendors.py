"""Vendors' files: told by name and first line, parsed exactly, damaged rows rejected with the reason."""

from __future__ import annotations

import gzip
import string
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.venue.feeds.formats import FormatError, OptionError, ReadOptions, TickFile
from daemon.venue.feeds.histdata import Clock
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.kraken_history import pair
from daemon.venue.feeds.parsing import RejectedError
from daemon.venue.feeds.tardis import plain
from daemon.venue.feeds.vendor_rows import VendorError
from schemas.codec import CODEC
from schemas.events import AssetClass, Bar, BarSide, FeedGap, InstrumentDefined, Quote, Side, Trade

MS = 1_000_000
AGGREGATES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
KLINES = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    "taker_buy_quote_volume,ignore"
)
TARDIS_TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
TARDIS_QUOTES = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount"
KLINE = "1735689600000000,4.1507,4.1587,4.1506,4.1554,539.23,1735689659999999,2240.39,13,401.82,1669.98,0"


def read(path, **options):
    """Return format, definitions, ticks and tally of a file."""
    with TickFile(path, InstrumentRegistry(), ReadOptions(**options)) as file:
        events = [event for batch in file.batches() for event in batch]
    defined = [event for event in events if isinstance(event, InstrumentDefined)]
    ticks = [event for event in events if not isinstance(event, InstrumentDefined)]
    return file.format, defined, ticks, file.tally


def write(folder, name, *lines):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ("\n".join(lines) + "\n").encode()
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.stem + ".csv", text)
    else:
        path.write_bytes(text)
    return path


# --- Binance ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "zip", "csv.gz"])
def test_binance_spot_trades_are_told_by_their_name_and_seven_columns(tmp_path, suffix):
    rows = ["51175358,17.80180000,5.69000000,101.29,1583709433583,True,True",
            "51175359,17.80,1,17.8,1583709433584,False,True"]  # fmt: skip
    path = write(tmp_path, f"BNBUSDT-trades-2020-03-08.{suffix}", *rows)
    form, (defined,), trades, _ = read(path)
    assert (form, defined.symbol, defined.venue) == ("binance-trades", "BNBUSDT", "binance")
    assert trades[0] == Trade(
        ts_ns=1583709433583 * MS, received_ns=1583709433583 * MS, instrument_id=1, price=1_780_180_000,
        quantity=569_000_000, aggressor=Side.SELL, trade_id=51175358,
    )  # fmt: skip
    assert trades[1].aggressor == Side.BUY


def test_binance_times_are_microseconds_where_they_have_sixteen_digits(tmp_path):
    path = write(tmp_path, "ABCD-trades-2025-01.csv", "1,2,3,6,1735689600010866,True,True")
    _, _, (trade,), _ = read(path, base_currency="AB", quote_currency="CD")
    assert trade.ts_ns == 1735689600010866 * 1000


def test_binance_futures_trades_have_six_columns_and_may_have_a_header(tmp_path):
    row = "28457,4.00000100,12.00000000,48.00,1499865549590,true"
    headed = write(tmp_path, "any.csv", "id,price,qty,quote_qty,time,is_buyer_maker", row)
    plain_rows = write(tmp_path, "BTCUSDT-trades-2017-07.csv", row)
    _, (defined,), first, _ = read(headed, symbol="BTCUSDT")
    assert defined.venue == "binance-usdm"
    assert read(plain_rows)[2] == first


def test_a_binance_name_that_does_not_tell_the_symbol_needs_it(tmp_path):
    path = write(tmp_path, "any.csv", AGGREGATES, "1,2,3,1,1,1499865549590,true")
    with pytest.raises(OptionError, match="--symbol"):
        read(path)


def test_binance_aggregate_trades_are_of_spot_or_futures_by_their_columns(tmp_path):
    spot = write(tmp_path, "BTCUSDT-aggTrades-2024-01.csv", "0,0.2,50,0,0,1608872400000,False,True")
    futures = write(tmp_path, "ETHUSDT-aggTrades-2024-01.csv", AGGREGATES, "7,0.2,50,1,9,1608872400000,true")
    assert [item.venue for item in read(spot)[1] + read(futures)[1]] == ["binance", "binance-usdm"]
    (trade,) = read(futures)[2]
    assert (trade.trade_id, trade.aggressor, trade.ts_ns) == (7, Side.SELL, 1608872400000 * MS)


def test_a_trade_id_that_is_left_out_is_a_gap_and_one_that_repeats_is_rejected(tmp_path):
    ids = (5, 6, 9, 9, 10)
    rows = [f"{number},2,3,6,173568960000{place},true,true" for place, number in enumerate(ids)]
    _, _, ticks, tally = read(write(tmp_path, "BTCUSDT-trades-2025-01.csv", *rows))
    (gap,) = [tick for tick in ticks if isinstance(tick, FeedGap)]
    assert (gap.lost, gap.reason) == (2, "trade ids 7 to 8 missing")
    assert [(item.line, item.reason) for item in tally.rejections] == [(4, "duplicate trade id 9")]


def test_binance_klines_are_bars_known_at_their_end(tmp_path):
    path = write(tmp_path, "spot/BTCUSDT-1m-2025-01-01.csv", KLINE)
    form, (defined,), (bar,), _ = read(path)
    assert (form, defined.venue) == ("binance-klines", "binance")
    end = 1735689660 * 10**9
    assert bar == Bar(
        ts_ns=end, received_ns=end, instrument_id=1, interval_ns=60 * 10**9, side=BarSide.TRADE,
        open=415_070_000, high=415_870_000, low=415_060_000, close=415_540_000, volume=53_923_000_000,
    )  # fmt: skip


def test_klines_without_header_or_folder_need_their_venue(tmp_path):
    path = write(tmp_path, "BTCUSDT-1m-2025-01-01.csv", KLINE)
    with pytest.raises(OptionError, match="--venue binance"):
        read(path)
    assert read(path, venue="binance-usdm")[1][0].venue == "binance-usdm"
    assert read(write(tmp_path, "BTCUSDT-1mo-2025-01.csv", KLINES, KLINE))[1][0].venue == "binance-usdm"


def test_binance_book_tickers_are_quotes(tmp_path):
    header = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"
    row = "1,100.1,2,100.2,3,1704067200000,1704067200007"
    _, _, (quote,), _ = read(write(tmp_path, "BTCUSDT-bookTicker-2024-01-01.csv", header, row))
    assert (quote.bid_price, quote.ask_quantity, quote.ts_ns) == (
        10_010_000_000,
        3 * 10**8,
        1704067200000 * MS,
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("BTCUSD_PERP-trades-2024-01.csv", "inverse"),
        ("futures/cm/XY-trades-2024-01.csv", "inverse"),
        ("markPriceKlines/BTCUSDT-trades-2024-01.csv", "no prices of trades"),
    ],
)
def test_what_cannot_be_read_right_is_refused(tmp_path, name, says):
    with pytest.raises(VendorError, match=says):
        read(write(tmp_path, name, "28457,9635.0,1,0.01,1591250192508,true"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,2,3,6,1735689600000,true", "6 columns, expected 7"),
        ("x,2,3,6,1735689600000,true,true", "trade id 'x'"),
        ("1,0,3,6,1735689600000,true,true", "must be above zero"),
        ("1,2,0,6,1735689600000,true,true", "must be above zero"),
        ("1,-2,3,6,1735689600000,true,true", "not a decimal number"),
        ("1,2,3,6,17356896000,true,true", "not a time of 13 or 16 digits"),
        ("1,2,3,6,0000000000000,true,true", "outside 1990 to 2100"),
        ("1,2,3,6,1735689600000,yes,true", "expected true or false"),
        ("1,2,1e5,6,1735689600000,true,true", "not a decimal number"),
    ],
)
def test_a_damaged_binance_row_is_rejected_with_the_reason(tmp_path, row, reason):
    good = ["7,2,3,6,1735689600000,true,true", "8,2,3,6,1735689600000,true,true"]
    _, _, ticks, tally = read(write(tmp_path, "BTCUSDT-trades-2025-01.csv", good[0], row, good[1]))
    assert [type(tick) for tick in ticks] == [Trade, Trade]
    (rejection,) = tally.rejections
    assert rejection.line == 2
    assert reason in rejection.reason


@pytest.mark.parametrize(
    "cells",
    ["2,1,1,1", "1,1,2,1", "1,2,1,3", "0,1,0,1"],
)
def test_prices_that_no_bar_has_are_rejected(tmp_path, cells):
    row = f"1735689600000,{cells},5,1735689659999,1,1,1,1,0"
    _, _, ticks, tally = read(write(tmp_path, "spot/BTCUSDT-1m-2025-01-01.csv", row))
    assert (ticks, tally.rejected_count) == ([], 1)


# --- Kraken -------------------------------------------------------------------------------------


def test_kraken_time_and_sales_have_the_names_of_the_feed(tmp_path):
    path = write(tmp_path, "XBTUSD.csv", "1381095255,122.0,0.1", "1559347203.7998,8552.9,0.03190270")
    form, (defined,), trades, _ = read(path)
    assert (form, defined.symbol, defined.venue) == ("kraken-trades", "XBT/USD", "kraken")
    assert (defined.base_currency, defined.quote_currency) == ("XBT", "USD")
    assert [trade.ts_ns for trade in trades] == [1381095255 * 10**9, 1559347203_799_800_000]
    assert (trades[1].price, trades[1].quantity, trades[1].aggressor) == (
        85_529 * 10**9,
        3_190_270,
        Side.NONE,
    )


def test_a_kraken_archive_holds_many_pairs(tmp_path):
    path = tmp_path / "Kraken_Trading_History.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ETHEUR.csv", "1559347203,200,1\n")
        archive.writestr("__MACOSX/._ETHEUR.csv", b"\x00\x05")
        archive.writestr("LINKUSDT.csv", "1559347204,7,1\n")
    _, defined, _, tally = read(path)
    assert [item.symbol for item in defined] == ["ETH/EUR", "LINK/USDT"]
    assert tally.rejected_count == 0


def test_kraken_bars_have_their_minutes_in_the_name(tmp_path):
    path = write(tmp_path, "XBTEUR_15.csv", "1378854000,97.0,98,96.5,97.5,0.10000000,2")
    form, _, (bar,), _ = read(path)
    start = 1378854000 * 10**9
    assert (form, bar.interval_ns, bar.ts_ns) == ("kraken-ohlcvt", 900 * 10**9, start + 900 * 10**9)
    assert (bar.open, bar.volume) == (97 * 10**10, 10**7)


def test_three_columns_that_could_be_anybodys_need_the_format(tmp_path):
    path = write(tmp_path, "BTCUSD.csv", "1381095255,122.0,0.1")
    with pytest.raises(FormatError, match="give --format kraken-trades"):
        read(path)
    assert read(path, format="kraken-trades")[1][0].symbol == "BTC/USD"
    assert read(write(tmp_path, "kraken/BTCUSD.csv", "1381095255,122.0,0.1"))[0] == "kraken-trades"


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("XBTUSDT", "XBT/USDT"), ("USDTUSD", "USDT/USD"), ("BTCPYUSD", "BTC/PYUSD"), ("WHAT", "WHAT")],
)
def test_kraken_pairs_are_cut_before_their_quote_currency(name, symbol):
    assert pair(name) == symbol


# --- HistData -----------------------------------------------------------------------------------


def test_histdata_ticks_are_quotes_five_hours_behind_utc_in_summer_too(tmp_path):
    path = write(tmp_path, "DAT_ASCII_EURUSD_T_201207.csv", "20120701 230003660,1.306605,1.306770,0")
    form, (defined,), (quote,), _ = read(path)
    assert (form, defined.venue, defined.asset_class) == ("histdata-ticks", "histdata", AssetClass.FOREX)
    assert (defined.base_currency, defined.quote_currency, defined.price_scale) == ("EUR", "USD", 6)
    assert quote == Quote(
        ts_ns=1341201603_660_000_000, received_ns=1341201603_660_000_000, instrument_id=1,
        bid_price=1_306_605, bid_quantity=None, ask_price=1_306_770, ask_quantity=None,
    )  # fmt: skip


def test_histdata_bars_are_bars_of_the_bid_without_a_volume(tmp_path):
    path = write(
        tmp_path, "DAT_ASCII_EURUSD_M1_201202.csv", "20120201 000100;1.306570;1.306570;1.306470;1.306560;0"
    )
    form, _, (bar,), _ = read(path)
    assert (form, bar.side, bar.volume, bar.interval_ns) == ("histdata-bars", BarSide.BID, None, 60 * 10**9)
    assert bar.ts_ns == 1328072520 * 10**9


def test_a_report_beside_the_csv_in_a_zip_is_left_out(tmp_path):
    path = tmp_path / "HISTDATA_COM_ASCII_EURUSD_T201202.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("DAT_ASCII_EURUSD_T_201202.txt", "This is the status report\n")
        archive.writestr("DAT_ASCII_EURUSD_T_201202.csv", "20120201 000003660,1.306600,1.306770,0\n")
    form, (defined,), ticks, tally = read(path)
    assert (form, defined.symbol, len(ticks)) == ("histdata-ticks", "EURUSD", 1)
    assert tally.skipped == {"file inside that is no CSV": 1}


@pytest.mark.parametrize(
    "text", ["20120231 000003660", "20120201 240000000", "20120201 000060000", "2012", ""]
)
def test_what_is_no_time_of_histdata_is_rejected(text):
    with pytest.raises(RejectedError):
        Clock().ns(text)


# --- Tardis -------------------------------------------------------------------------------------


def test_tardis_trades_name_exchange_symbol_and_both_times(tmp_path):
    rows = [
        "binance-futures,BTCUSDT,1583020803145000,1583020803307160,7,buy,8541.5,0.001",
        "binance-futures,BTCUSDT,1583020803145000,1583020803307160,a-b-c,sell,8541,1e-7",
        "bitmex,XBTUSD,1583020803145000,1583020803307160,,unknown,8541,1",
    ]
    form, defined, trades, _ = read(write(tmp_path, "any.csv.gz", TARDIS_TRADES, *rows))
    assert form == "tardis-trades"
    assert [(item.venue, item.symbol) for item in defined] == [
        ("binance-futures", "BTCUSDT"), ("bitmex", "XBTUSD"),
    ]  # fmt: skip
    assert trades[0].received_ns - trades[0].ts_ns == 162_160_000
    assert [trade.trade_id for trade in trades] == [7, "a-b-c", None]
    assert [trade.aggressor for trade in trades] == [Side.BUY, Side.SELL, Side.NONE]
    assert trades[1].quantity == 10


def test_tardis_quotes_may_lack_a_side(tmp_path):
    rows = [
        "deribit,BTC_USDC,1583020803145000,1583020803307160,2,8542,8541,1",
        "deribit,BTC_USDC,1583020803145000,1583020803307160,,,8541,1",
    ]
    _, _, (both, bid), _ = read(write(tmp_path, "quotes.csv", TARDIS_QUOTES, *rows))
    assert (both.ask_price, both.ask_quantity, both.bid_quantity) == (8542 * 10**8, 2 * 10**8, 10**8)
    assert (bid.bid_price, bid.ask_price, bid.ask_quantity) == (8541 * 10**8, None, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-7", "0.0000001"), ("1.5e3", "1500"), ("1e999", "1e999"), ("1", "1"), ("e5", "e5")],
)
def test_exponents_of_small_numbers_are_written_out(text, number):
    assert plain(text) == number


# --- all ----------------------------------------------------------------------------------------

SAMPLES = {
    "BTCUSDT-trades-2025-01.csv": "1,2,3,6,1735689600000,true,true",
    "BTCUSDT-aggTrades-2025-01.csv": "1,2,3,1,1,1735689600000,true,true",
    "spot/BTCUSDT-1m-2025-01.csv": KLINE,
    "XBTUSD.csv": "1381095255,122.0,0.1",
    "XBTUSD_1.csv": "1378854000,97,98,96,97,0.1,2",
    "DAT_ASCII_EURUSD_T_1.csv": "20120201 000003660,1.306600,1.306770,0",
    "DAT_ASCII_EURUSD_M1_1.csv": "20120201 000000;1.3066;1.3066;1.30656;1.30656;0",
}
CELLS = st.text(string.digits + ".,;-e :TZ\"'\u0663x", max_size=40)


@pytest.mark.parametrize("name", SAMPLES)
@given(noise=st.lists(CELLS, max_size=4), cut=st.integers(0, 40), byte=st.binary(max_size=3))
def test_random_damage_never_crashes_a_parser_nor_makes_what_cannot_be_written(
    tmp_path_factory, name, noise, cut, byte
):
    sample = SAMPLES[name].encode()
    damaged = sample[:cut] + byte + sample[cut:]
    lines = [sample, damaged, *(line.encode() for line in noise)]
    path = tmp_path_factory.mktemp("fuzz") / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\n".join(lines))
    _, defined, ticks, _ = read(path)
    assert len(ticks) >= 1
    assert CODEC.decode(CODEC.encode([*defined, *ticks])) == [*defined, *ticks]


@pytest.mark.parametrize("header", [TARDIS_TRADES, TARDIS_QUOTES])
@given(rows=st.lists(st.lists(CELLS, min_size=6, max_size=9), max_size=4))
def test_random_rows_of_tardis_never_crash_its_parser(tmp_path_factory, header, rows):
    path = tmp_path_factory.mktemp("fuzz") / "x.csv"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]))
    _, defined, ticks, _ = read(path)
    assert CODEC.decode(CODEC.encode([*defined, *ticks])) == [*defined, *ticks]


def test_a_member_whose_name_tells_nothing_is_rejected_once(tmp_path):
    path = tmp_path / "kraken.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("XBTUSD.csv", "1381095255,122.0,0.1\n")
        archive.writestr("notes about it.csv", "a,b,c\nd,e,f\n")
    _, _, ticks, tally = read(path)
    assert (len(ticks), tally.rejected_count) == (1, 1)
    assert tally.rejections[0].source == "notes about it.csv"


def test_a_given_format_that_the_file_is_not_of_is_refused(tmp_path):
    path = write(tmp_path, "BTCUSDT-trades-2025-01.csv", SAMPLES["BTCUSDT-trades-2025-01.csv"])
    with pytest.raises(FormatError, match="not those of histdata-ticks"):
        read(path, format="histdata-ticks")
