"""Every recorded file gives the counts, bars and faults that its README states."""

from __future__ import annotations

import gzip
import zipfile
from collections import Counter
from datetime import UTC, datetime

import pytest

from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import SUSPICIOUS, FeedGap, InstrumentDefined, Quote, Trade

MINUTE_NS = 60 * 10**9
LEAN = "lean/equity/usa/tick/ibm/"
RAW = [
    ("binance_spot_btcusdt_20240808.gz", 9_757, 28_040, 3_451, 1),
    ("binance_spot_ethusdt_20240808.gz", 6_106, 24_077, 3_434, 1),
    ("binance_spot_btcusdt_20240809.gz", 10_147, 45_134, 3_044, 0),
    ("binance_spot_ethusdt_20240809.gz", 8_409, 34_681, 3_036, 0),
    ("binance_usdm_btcusdt_20240808.gz", 21_313, 66_089, 6_551, 1),
    ("binance_spot_nexousdt_20240723.dat.gz", 178, 437, 1_188, 1),
    ("binance_spot_nexousdt_20240724.dat.gz", 12_280, 33_000, 66_994, 0),
]
EQUITY = [
    ("lean/equity/usa/tick/spy/20131008_trade.zip", 451_545),
    (LEAN + "20131007_trade.zip", 24_293),
    (LEAN + "20131008_trade.zip", 33_381),
    (LEAN + "20131009_trade.zip", 27_042),
    (LEAN + "20131010_trade.zip", 22_415),
    (LEAN + "20131011_trade.zip", 19_264),
]
EQUITY_QUOTES = [
    ("20131007", 109_067, 1, 54_533),
    ("20131008", 125_750, 1, None),
    ("20131009", 135_492, 0, 67_746),
    ("20131010", 105_428, 1, None),
    ("20131011", 99_852, 0, None),
]
EURUSD = [("20140508", 167_466, 1_431), ("20140509", 102_122, 959), ("20140511", 11_776, 543)]


def read(path):
    with TickFile(path, InstrumentRegistry()) as file:
        return [event for batch in file.batches() for event in batch], file.tally


def count(events):
    return Counter(type(event) for event in events)


def utc(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def vendor_rows(path, member=0):
    with zipfile.ZipFile(path) as archive:
        text = archive.read(archive.namelist()[member]).decode()
    return [line.split(",") for line in text.split()]


def bars(ticks):
    """(time, price) pairs to minute -> [open, high, low, close]."""
    made = {}
    for ts_ns, price in ticks:
        start = ts_ns // MINUTE_NS * MINUTE_NS
        bar = made.setdefault(start, [price] * 4)
        bar[1] = max(bar[1], price)
        bar[2] = min(bar[2], price)
        bar[3] = price
    return made


@pytest.mark.parametrize(("name", "trades", "quotes", "depth", "snapshots"), RAW)
def test_binance_recordings_give_all_trades_and_quotes(market_data, name, trades, quotes, depth, snapshots):
    events, tally = read(market_data / "crypto" / name)
    assert count(events) == {InstrumentDefined: 1, Trade: trades, Quote: quotes}
    assert tally.skipped == Counter(
        {"depth": depth, "REST depth snapshot": snapshots} if snapshots else {"depth": depth}
    )
    assert tally.rejected_count == 0
    ids = [event.trade_id for event in events if isinstance(event, Trade)]
    assert ids == list(range(ids[0], ids[0] + trades))
    venue = "binance-usdm" if "usdm" in name else "binance"
    assert {event.venue for event in events if isinstance(event, InstrumentDefined)} == {venue}


def test_a_binance_line_gives_the_numbers_that_it_shows(market_data):
    events, _ = read(market_data / "crypto/binance_spot_btcusdt_20240808.gz")
    trade = next(event for event in events if isinstance(event, Trade))
    assert trade == Trade(
        ts_ns=1_723_161_255_342_000_000,
        received_ns=1_723_161_254_087_896_568,
        instrument_id=1,
        price=6_183_763_000_000,
        quantity=2_000_000,
        aggressor=-1,
        trade_id=3_735_683_259,
    )


def test_receive_times_of_16_digits_are_microseconds(market_data):
    events, _ = read(market_data / "crypto/binance_spot_nexousdt_20240724.dat.gz")
    received = [event.received_ns for event in events if not isinstance(event, InstrumentDefined)]
    assert utc("2024-07-23T16:00:01") < received[0] <= received[-1] < utc("2024-07-24T16:00:00")


def test_a_good_csv_gives_every_trade(market_data):
    events, tally = read(market_data / "crypto/binance_spot_trxusdt_trades_20250304.csv.gz")
    assert count(events) == {InstrumentDefined: 1, Trade: 10_000}
    assert tally.rejected_count == 0
    assert (events[0].symbol, events[0].venue) == ("TRXUSDT", "binance")
    assert events[1].ts_ns == 1_741_046_401_271_497_000
    assert events[1].received_ns == 1_741_046_401_272_286_000


def test_a_damaged_csv_is_reported_line_by_line_and_the_good_rows_kept(market_data):
    events, tally = read(market_data / "crypto/binance_spot_trxusdt_trades_20250304_corrupted.csv.gz")
    assert count(events) == {InstrumentDefined: 1, Trade: 9_998}
    assert [(row.line, row.reason) for row in tally.rejections] == [
        (4, "duplicate trade id 348656871"),
        (10_001, "receive time lies 23.2 h after the event time"),
    ]


def test_the_binance_session_gives_its_quotes_and_aggregate_trades(market_data):
    events, tally = read(market_data / "ws/BINANCE-b38f7c.0.gz")
    assert count(events) == {InstrumentDefined: 10, Quote: 5_408, Trade: 1_240}
    assert tally.rejected_count == 0
    assert tally.skipped == Counter(
        {"depth": 4_709, "REST answer": 10, "configuration": 1, "connect": 1, "blank line": 1}
    )


def test_the_coinbase_session_gives_its_tickers_and_new_trades_in_order(market_data):
    events, tally = read(market_data / "ws/COINBASE.jsonl.gz")
    assert count(events) == {InstrumentDefined: 2, Quote: 160, Trade: 79}
    assert tally.rejected_count == 0
    assert tally.skipped["market_trades snapshot"] == 2
    assert tally.skipped["l2_data"] == 775
    for instrument_id in (1, 2):
        trades = [
            event for event in events if isinstance(event, Trade) and event.instrument_id == instrument_id
        ]
        assert [trade.trade_id for trade in trades] == sorted(trade.trade_id for trade in trades)
        assert [trade.ts_ns for trade in trades] == sorted(trade.ts_ns for trade in trades)


def test_coinbase_trades_hit_the_side_that_they_name(market_data):
    events, _ = read(market_data / "ws/COINBASE.jsonl.gz")
    quotes, agreeing, contradicting = {}, 0, 0
    for event in events:
        if isinstance(event, Quote):
            quotes[event.instrument_id] = event
        elif isinstance(event, Trade) and (quote := quotes.get(event.instrument_id)):
            agreeing += (
                (event.price >= quote.ask_price) if event.aggressor == 1 else (event.price <= quote.bid_price)
            )
            contradicting += (
                (event.price <= quote.bid_price) if event.aggressor == 1 else (event.price >= quote.ask_price)
            )
    assert (agreeing, contradicting) == (75, 1)


@pytest.mark.parametrize(
    ("name", "expected", "kind", "skipped"),
    [
        ("KRAKEN-82ac16", {InstrumentDefined: 3, Trade: 28}, "subscriptionStatus", 10),
        ("KRAKEN-4b7396", {InstrumentDefined: 10, Quote: 22}, "subscriptionStatus", 10),
        ("KRAKEN-c197c0", {}, "book", 14_506),
    ],
)
def test_kraken_sessions_give_their_channel(market_data, name, expected, kind, skipped):
    events, tally = read(market_data / f"ws/{name}.0.gz")
    assert count(events) == expected
    assert tally.rejected_count == 0
    assert tally.skipped[kind] == skipped


def test_kraken_trades_are_of_xbt_as_the_venue_writes_it(market_data):
    events, _ = read(market_data / "ws/KRAKEN-82ac16.0.gz")
    names = {event.instrument_id: event.symbol for event in events if isinstance(event, InstrumentDefined)}
    assert (
        Counter(names[event.instrument_id] for event in events if isinstance(event, Trade))["XBT/USD"] == 22
    )


@pytest.mark.parametrize(("name", "rows"), EQUITY)
def test_equity_trades_are_all_kept(market_data, name, rows):
    events, tally = read(market_data / name)
    assert count(events) == {InstrumentDefined: 1, Trade: rows}
    assert tally.rejected_count == 0


def test_equity_times_are_of_new_york_and_prices_in_ten_thousandths(market_data):
    events, _ = read(market_data / "lean/equity/usa/tick/spy/20131008_trade.zip")
    definition, first = events[0], events[1]
    assert (definition.symbol, definition.venue, definition.price_scale) == ("SPY", "usa", 4)
    assert first.ts_ns == utc("2013-10-08T08:00:17") + 34_000_000
    assert (first.price, first.quantity, first.exchange, first.conditions) == (1_674_200, 210, "Q", 0x2000)
    assert events[-1].ts_ns == utc("2013-10-08T23:59:58") + 962_000_000


@pytest.mark.parametrize(("day", "rows", "suspicious", "bids"), EQUITY_QUOTES)
def test_equity_quotes_keep_their_one_side(market_data, day, rows, suspicious, bids):
    events, tally = read(market_data / f"{LEAN}{day}_quote.zip")
    quotes = [event for event in events if isinstance(event, Quote)]
    assert (len(quotes), tally.rejected_count) == (rows, 0)
    assert all((quote.bid_price is None) != (quote.ask_price is None) for quote in quotes)
    assert all((quote.bid_price is None) == (quote.bid_quantity is None) for quote in quotes)
    assert sum(bool(quote.conditions & SUSPICIOUS) for quote in quotes) == suspicious
    if bids is not None:
        assert sum(quote.bid_price is not None for quote in quotes) == bids


@pytest.mark.parametrize(("day", "rows", "minutes"), EURUSD)
def test_minute_bars_from_eurusd_ticks_equal_the_vendors(market_data, day, rows, minutes):
    folder = market_data / "lean/forex/fxcm"
    events, tally = read(folder / f"tick/eurusd/{day}_quote.zip")
    quotes = [event for event in events if isinstance(event, Quote)]
    assert (len(quotes), tally.rejected_count) == (rows, 0)
    bids = bars((quote.ts_ns, quote.bid_price) for quote in quotes)
    asks = bars((quote.ts_ns, quote.ask_price) for quote in quotes)
    # FXCM's clock is UTC-05 all year.
    midnight = utc(f"{day[:4]}-{day[4:6]}-{day[6:]}T05:00:00")
    rows_of_vendor = vendor_rows(folder / f"minute/eurusd/{day}_quote.zip")
    vendor = {midnight + int(row[0]) * 1_000_000: row for row in rows_of_vendor}
    assert len(vendor) == minutes
    for made, first in ((bids, 1), (asks, 6)):
        assert made == {
            start: [round(float(price) * 100_000) for price in row[first : first + 4]]
            for start, row in vendor.items()
        }


def test_crossed_forex_quotes_are_kept(market_data):
    events, _ = read(market_data / "lean/forex/fxcm/tick/eurusd/20140511_quote.zip")
    assert sum(event.bid_price > event.ask_price for event in events if isinstance(event, Quote)) == 473


def test_gold_futures_are_one_instrument_per_expiry_and_keep_trades_of_quantity_zero(market_data):
    events, tally = read(market_data / "lean/future/comex/tick/gc/20131008_trade.zip")
    assert count(events) == {InstrumentDefined: 8, Trade: 52_322}
    assert tally.rejected_count == 0
    names = {event.instrument_id: event for event in events if isinstance(event, InstrumentDefined)}
    december = next(number for number, event in names.items() if event.symbol == "GC-201312")
    assert names[december].multiplier == 100
    trades = [event for event in events if isinstance(event, Trade)]
    assert sum(trade.quantity == 0 for trade in trades) == 100
    assert sum(trade.instrument_id == december for trade in trades) == 52_038


def test_minute_bars_of_december_gold_equal_the_vendors(market_data):
    folder = market_data / "lean/future/comex"
    events, _ = read(folder / "tick/gc/20131008_trade.zip")
    names = {event.instrument_id: event.symbol for event in events if isinstance(event, InstrumentDefined)}
    trades = [
        event for event in events if isinstance(event, Trade) and names[event.instrument_id] == "GC-201312"
    ]
    made = bars((trade.ts_ns, trade.price) for trade in trades)
    volumes = Counter()
    for trade in trades:
        volumes[trade.ts_ns // MINUTE_NS * MINUTE_NS] += trade.quantity
    midnight = utc("2013-10-08T00:00:00")
    vendor = {
        midnight + int(row[0]) * 1_000_000: row
        for row in vendor_rows(folder / "minute/gc/20131008_trade.zip", member=2)
    }
    assert len(vendor) == 1_377
    assert made == {start: [round(float(price) * 100) for price in row[1:5]] for start, row in vendor.items()}
    assert sum(volumes[start] == int(row[5]) for start, row in vendor.items()) == 1_376


def test_no_recording_shows_a_gap(market_data):
    for name in ("crypto/binance_spot_btcusdt_20240809.gz", "ws/COINBASE.jsonl.gz", "ws/BINANCE-b38f7c.0.gz"):
        events, _ = read(market_data / name)
        assert count(events)[FeedGap] == 0


def test_a_torn_recording_keeps_what_came_before_and_says_where_it_ends(market_data, tmp_path):
    whole = (market_data / "crypto/binance_spot_nexousdt_20240723.dat.gz").read_bytes()
    torn = tmp_path / "torn.gz"
    torn.write_bytes(whole[: len(whole) // 2])
    events, tally = read(torn)
    assert 100 < len(events) < 616
    assert tally.rejected_count == 1
    assert "cut or damaged" in tally.rejections[0].reason


def test_a_recording_reads_the_same_plain_and_packed(market_data, tmp_path):
    packed = market_data / "crypto/binance_spot_nexousdt_20240723.dat.gz"
    plain = tmp_path / "plain.dat"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    assert read(plain)[0] == read(packed)[0]
