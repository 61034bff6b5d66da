"""What was exported can be imported again, and gives the same events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from replay.export.journal import ExportRequest, export_journal
from schemas.events import (
    SUSPICIOUS,
    AssetClass,
    Bar,
    BarSide,
    InstrumentDefined,
    Quote,
    Side,
    Trade,
)
from tests.daemon.readmodel.conftest import START
from tools.cli import main

INSTRUMENTS = [
    InstrumentDefined(
        ts_ns=START, instrument_id=1, symbol="BTCUSDT", venue="binance", asset_class=AssetClass.CRYPTO,
        base_currency="BTC", quote_currency="USDT", price_scale=8, quantity_scale=8, tick_size=1000000,
    ),
    InstrumentDefined(
        ts_ns=START, instrument_id=2, symbol="GC-201312", venue="comex", asset_class=AssetClass.FUTURE,
        base_currency="GC", quote_currency="USD", price_scale=2, quantity_scale=0, tick_size=10,
        multiplier=100, session_zone="America/New_York",
    ),
]  # fmt: skip
INT64 = st.integers(0, 2**63 - 1)
TIMES = st.integers(START, START + 10**15)
CELLS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S"), exclude_characters="\r\n"), max_size=12
)
IDS = st.none() | INT64 | CELLS.filter(bool)
TRADES = st.builds(
    Trade, ts_ns=TIMES, received_ns=TIMES, instrument_id=st.integers(1, 2), price=INT64, quantity=INT64,
    aggressor=st.sampled_from(Side), trade_id=IDS, conditions=st.integers(0, 2 * SUSPICIOUS - 1),
    exchange=CELLS,
)  # fmt: skip
QUOTES = st.builds(
    Quote, ts_ns=TIMES, received_ns=TIMES, instrument_id=st.integers(1, 2), bid_price=st.none() | INT64,
    bid_quantity=st.none() | INT64, ask_price=st.none() | INT64, ask_quantity=st.none() | INT64,
    conditions=st.integers(0, 2 * SUSPICIOUS - 1), exchange=CELLS,
)  # fmt: skip
BARS = st.builds(
    Bar, ts_ns=TIMES, received_ns=TIMES, instrument_id=st.integers(1, 2), interval_ns=st.integers(1, 10**15),
    side=st.sampled_from(BarSide), open=INT64, high=INT64, low=INT64, close=INT64, volume=st.none() | INT64,
)  # fmt: skip


def journal(folder, events):
    writer = JournalWriter.open(folder / "journal")
    writer.append(events)
    writer.close()
    return folder


def market_events(folder, kinds):
    reader = JournalReader(folder / "journal")
    return [event for batch in reader.batches() for event in batch.events if type(event) in kinds]


def back(folder, files, tmp_path):
    again = tmp_path / "again"
    assert main(["import", str(again), *map(str, files)]) == 0
    return again


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
@settings(max_examples=15)
@given(ticks=st.lists(TRADES | QUOTES, min_size=1, max_size=20))
def test_ticks_of_any_kind_come_back_as_they_were(tmp_path_factory, form, ticks):
    tmp_path = tmp_path_factory.mktemp("back")
    data = journal(tmp_path / "data", [*INSTRUMENTS, *ticks])
    export_journal(ExportRequest(data=data, out=tmp_path / "out", tables=["ticks"], format=form))
    again = back(data, [tmp_path / "out" / f"ticks.{form}"], tmp_path)
    names = {item.instrument_id: item.symbol for item in INSTRUMENTS}
    defined = {item.symbol: item for item in market_events(again, {InstrumentDefined})}
    for item in INSTRUMENTS:
        if any(tick.instrument_id == item.instrument_id for tick in ticks):
            found = defined[item.symbol]
            assert (found.price_scale, found.quantity_scale, found.tick_size, found.multiplier) == (
                item.price_scale, item.quantity_scale, item.tick_size, item.multiplier,
            )  # fmt: skip
            assert (found.asset_class, found.session_zone) == (item.asset_class, item.session_zone)
    ids = {item.symbol: item.instrument_id for item in defined.values()}
    expected = [
        type(tick)(**{**as_fields(tick), "instrument_id": ids[names[tick.instrument_id]]}) for tick in ticks
    ]
    assert market_events(again, {Trade, Quote}) == expected


@settings(max_examples=10)
@given(bars=st.lists(BARS, min_size=1, max_size=10))
def test_received_bars_come_back_as_they_were(tmp_path_factory, bars):
    tmp_path = tmp_path_factory.mktemp("back")
    bars = [Bar(**{**as_fields(bar), "instrument_id": 1}) for bar in bars]
    data = journal(tmp_path / "data", [*INSTRUMENTS, *bars])
    export_journal(ExportRequest(data=data, out=tmp_path / "out", tables=["bars_received"]))
    again = back(data, [tmp_path / "out" / "bars_received.parquet"], tmp_path)
    assert market_events(again, {Bar}) == bars


def as_fields(event):
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_table_of_instruments_that_is_none_is_refused(tmp_path, capsys):
    data = journal(tmp_path / "data", [*INSTRUMENTS, Trade(ts_ns=START, received_ns=START, instrument_id=1,
                                                           price=1, quantity=1)])  # fmt: skip
    export_journal(ExportRequest(data=data, out=tmp_path / "out", tables=["ticks"], format="csv"))
    (tmp_path / "out" / "instruments.csv").write_text("a,b\n1,2\n")
    assert main(["import", str(tmp_path / "again"), str(tmp_path / "out" / "ticks.csv")]) == 1
    assert "no table of instruments" in capsys.readouterr().err


def test_real_ticks_of_three_markets_come_back_as_they_were(market_data, tmp_path):
    files = [
        "crypto/binance_spot_nexousdt_20240723.dat.gz",
        "lean/future/comex/tick/gc/20131008_trade.zip",
        "lean/forex/fxcm/tick/eurusd/20140511_quote.zip",
    ]
    data = tmp_path / "data"
    assert main(["import", str(data), *(str(market_data / name) for name in files)]) == 0
    assert main(["replay", "export", str(data), str(tmp_path / "out"), "--what", "ticks"]) == 0
    again = back(data, [tmp_path / "out" / "ticks.parquet"], tmp_path)
    ticks = {Trade, Quote}
    assert market_events(again, ticks) == market_events(data, ticks)
    strip = {"ts_ns"}
    assert [
        {name: value for name, value in as_fields(item).items() if name not in strip}
        for item in market_events(again, {InstrumentDefined})
    ] == [
        {name: value for name, value in as_fields(item).items() if name not in strip}
        for item in market_events(data, {InstrumentDefined})
    ]
