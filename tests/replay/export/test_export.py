"""Exported tables hold what the journal and the read model hold, to the last digit and nanosecond."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.journal.writer import JournalWriter
from daemon.readmodel.bars import INTERVALS
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.writer import ReadModelWriter
from replay.export import table_file
from replay.export.journal import ExportRequest, export_journal
from replay.export.market import ExportError, Span
from replay.export.tables import TABLES
from schemas.events import Bar, BarSide, Quote, Side, Trade
from tests.daemon.readmodel.conftest import SECOND, START, busy_stream, instrument, quote, trade

STREAM = busy_stream(5, 600).stream
MARKET = [
    instrument(1),
    instrument(2, price_scale=0, quantity_scale=18, symbol="TINY"),
    trade(START + 1, 10_001, 5, trade_id=2**63 - 1, aggressor=Side.BUY, exchange="X"),
    trade(START + 2, 2**63 - 1, 2**63 - 1, trade_id="uuid-7", conditions=(1 << 32) | 5, instrument_id=2),
    quote(START + 3, 9_990, None),
    trade(START - 3 * SECOND, 10_000, 7, received_ns=START + 9),
    Bar(
        ts_ns=START + 60 * SECOND, received_ns=START, instrument_id=1, interval_ns=60 * SECOND,
        side=BarSide.MID, open=1, high=4, low=1, close=3,
    ),
]  # fmt: skip


def recorded(folder, events, *, read_model=True):
    """Write a data folder as a daemon leaves it."""
    journal = JournalWriter.open(folder / "journal", segment_bytes=1 << 20)
    model = ReadModelWriter(folder / "readmodel.db", journal.journal_id)
    for start in range(0, len(events), 41):
        part = events[start : start + 41]
        first_seq = journal.append(part)
        if read_model:
            model.apply(first_seq, part)
    journal.close()
    model.close()
    return folder


@pytest.fixture
def market(data_folder):
    return recorded(data_folder, MARKET)


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("busy"), STREAM)


def parquet(out, table):
    """Return rows, with times as nanoseconds: a datetime holds microseconds."""
    found = pq.read_table(out / f"{table}.parquet")
    for place, field in enumerate(found.schema):
        if pa.types.is_timestamp(field.type):
            found = found.set_column(place, field.name, found.column(place).cast(pa.int64()))
    return found.to_pylist()


def lines(out, table):
    with (out / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def export(data, out, **wanted):
    return export_journal(ExportRequest(data=data, out=out, **wanted))


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_ticks_keep_every_digit_and_nanosecond(market, tmp_path, form):
    export(market, tmp_path / "out", tables=["ticks"], format=form)
    path = tmp_path / "out" / f"ticks.{form}"
    table = pq.read_table(path) if form == "parquet" else pa.ipc.open_file(path).read_all()
    assert table.schema.field("ts").type == pa.timestamp("ns")
    assert table.column("ts").cast(pa.int64()).to_pylist() == [
        START + 1, START + 2, START + 3, START - 3 * SECOND,
    ]  # fmt: skip
    rows = table.drop_columns(["ts", "received"]).to_pylist()
    assert [row["seq"] for row in rows] == [3, 4, 5, 6]
    assert rows[0]["price"] == Decimal("100.01")
    assert (rows[0]["trade_id"], rows[0]["trade_id_text"], rows[0]["aggressor"]) == (2**63 - 1, None, "buy")
    assert (rows[1]["price"], rows[1]["quantity"]) == (2**63 - 1, Decimal(2**63 - 1).scaleb(-18))
    assert (rows[1]["trade_id"], rows[1]["trade_id_text"]) == (None, "uuid-7")
    assert rows[1]["conditions"] == (1 << 32) | 5
    assert (rows[2]["kind"], rows[2]["bid_price"], rows[2]["ask_price"]) == ("quote", Decimal("99.9"), None)


def test_csv_holds_exact_decimals_and_times_with_all_nine_digits(market, tmp_path):
    export(market, tmp_path / "out", tables=["trades", "bars_received"], format="csv")
    first, huge, _ = lines(tmp_path / "out", "trades")
    assert first["ts"] == "2023-11-14T22:13:20.000000001Z"
    assert (first["price"], first["quantity"], first["exchange"]) == ("100.01", "0.005", "X")
    assert huge["quantity"] == "9.223372036854775807"
    (bar,) = lines(tmp_path / "out", "bars_received")
    assert (bar["side"], bar["high"], bar["volume"], bar["interval_ns"]) == ("mid", "0.04", "", "60000000000")


def test_bars_from_ticks_equal_those_of_the_read_model(busy, tmp_path):
    export(busy, tmp_path / "out", tables=["bars"], intervals=list(INTERVALS))
    exported = parquet(tmp_path / "out", "bars")
    queries = ReadModelQueries(busy / "readmodel.db")
    expected = []
    for row in queries.instruments():
        for name in INTERVALS:
            for side in (BarSide.TRADE, BarSide.BID, BarSide.ASK):
                expected += [
                    (row["symbol"], name, side.name.lower(), bar["start_ns"], bar["high"], bar["count"])
                    for bar in queries.bars(row["instrument_id"], name, side, from_ns=0, limit=1000)
                ]
    queries.close()
    assert len(expected) > 500
    found = [
        (
            bar["symbol"], bar["interval"], bar["side"], bar["start"],
            int(bar["high"].scaleb(2)), bar["count"],
        )
        for bar in exported
    ]  # fmt: skip
    assert sorted(found) == sorted(expected)


def test_orders_and_fills_are_those_of_the_read_model(busy, tmp_path):
    export(busy, tmp_path / "out", tables=["orders", "fills", "equity"])
    out = tmp_path / "out"
    queries = ReadModelQueries(busy / "readmodel.db")
    orders, fills = queries.orders(limit=1000)[::-1], queries.fills(limit=1000)[::-1]
    equity = queries.equity("USD", from_ns=0, limit=1000)
    queries.close()
    rows = parquet(out, "orders")
    assert [row["order_id"] for row in rows] == [row["order_id"] for row in orders]
    assert [row["status"] for row in rows] == [row["status"].lower() for row in orders]
    exported = parquet(out, "fills")
    assert len(exported) == len(fills) > 10
    assert [row["realised"].scaleb(18) for row in exported] == [row["realised"] for row in fills]
    curve = [row["equity"].scaleb(18) for row in parquet(out, "equity") if row["currency"] == "USD"]
    assert curve == [row["equity"] for row in equity]


def test_a_read_model_that_is_missing_or_behind_is_made_for_the_purpose(busy, tmp_path):
    bare = recorded(tmp_path / "bare", STREAM, read_model=False)
    told = []
    with patch("replay.export.current.WAIT_S", 0):
        request = ExportRequest(data=bare, out=tmp_path / "out", tables=["orders", "fills", "equity"])
        export_journal(request, tell=told.append)
    export(busy, tmp_path / "same", tables=["orders", "fills", "equity"])
    for table in ("orders", "fills", "equity"):
        assert parquet(tmp_path / "out", table) == parquet(tmp_path / "same", table)
    assert "reading the whole journal" in told[0]


def test_rows_are_written_in_groups_that_end_where_they_are_full(busy, tmp_path):
    with patch.object(table_file, "GROUP_ROWS", 50):
        result = export(busy, tmp_path / "out", tables=["ticks"])
    file = pq.ParquetFile(tmp_path / "out" / "ticks.parquet")
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert set(sizes[:-1]) == {50}
    assert sum(sizes) == result.rows["ticks"] == sum(type(e) in (Trade, Quote) for e in STREAM)


def test_a_range_is_by_number_or_by_time(market, tmp_path):
    export(market, tmp_path / "a", tables=["ticks"], span=Span(first_seq=4, last_seq=5))
    assert [row["seq"] for row in parquet(tmp_path / "a", "ticks")] == [4, 5]
    export(market, tmp_path / "b", tables=["ticks"], span=Span(from_ns=START - 5 * SECOND, to_ns=START + 1))
    assert [row["seq"] for row in parquet(tmp_path / "b", "ticks")] == [3, 6]


def test_a_range_behind_the_definitions_knows_its_instruments(market, tmp_path):
    export(market, tmp_path / "a", tables=["ticks"], span=Span(first_seq=5))
    (market / "readmodel.db").unlink()
    export(market, tmp_path / "b", tables=["ticks"], span=Span(first_seq=5))
    a, b = parquet(tmp_path / "a", "ticks"), parquet(tmp_path / "b", "ticks")
    assert a == b
    assert [row["symbol"] for row in a] == ["S1-USD"] * 2


def test_only_the_instruments_asked_for_are_exported(busy, tmp_path):
    export(busy, tmp_path / "out", instruments=["S2-USD@TEST"])
    out = tmp_path / "out"
    for table in ("ticks", "bars", "fills", "orders", "instruments"):
        assert {row["symbol"] for row in parquet(out, table)} == {"S2-USD"}


def test_an_instrument_that_never_appears_is_an_error_and_leaves_nothing(market, tmp_path):
    with pytest.raises(ExportError, match="no instrument NOPE"):
        export(market, tmp_path / "out", instruments=["NOPE"])
    assert [path.name for path in tmp_path.iterdir() if path.name != "data"] == []


def test_prices_before_and_after_a_change_of_scale_are_both_right(data_folder, tmp_path):
    events = [instrument(1), trade(START, 12_345), instrument(1, price_scale=4), trade(START + 1, 1_234_567)]
    recorded(data_folder, events)
    export(data_folder, tmp_path / "out", tables=["trades", "bars"])
    prices = [Decimal("123.45"), Decimal("123.4567")]
    assert [row["price"] for row in parquet(tmp_path / "out", "trades")] == prices
    assert [row["close"] for row in parquet(tmp_path / "out", "bars")] == prices


def test_volumes_beyond_64_bits_are_exact(data_folder, tmp_path):
    quantity = 2**63 - 1
    recorded(data_folder, [instrument(1), *(trade(START + n, 1, quantity) for n in range(3))])
    export(data_folder, tmp_path / "out", tables=["bars"], format="csv")
    (bar,) = lines(tmp_path / "out", "bars")
    assert Decimal(bar["volume"]) == Decimal(3 * quantity).scaleb(-3)


def test_a_journal_that_is_being_written_can_be_exported(data_folder, tmp_path):
    journal = JournalWriter.open(data_folder / "journal", segment_bytes=1 << 20)
    journal.append(MARKET[:3])
    result = export(data_folder, tmp_path / "out", tables=["ticks"])
    assert (result.last_seq, result.rows["ticks"]) == (3, 1)
    journal.append(MARKET[3:])
    journal.close()


def test_the_manifest_says_what_was_exported(market, tmp_path):
    result = export(market, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "export.json").read_bytes())
    assert told["rows"] == result.rows
    assert (told["rows"]["ticks"], told["rows"]["orders"], told["rows"]["instruments"]) == (4, 0, 2)
    assert told["journal_id"] == result.journal_id


def test_every_table_has_its_columns_even_when_it_is_empty(data_folder, tmp_path):
    recorded(data_folder, [instrument(1)])
    export(data_folder, tmp_path / "out", tables=list(TABLES))
    for name, table in TABLES.items():
        assert pq.read_schema(tmp_path / "out" / f"{name}.parquet").names == [c.name for c in table.columns]


def test_without_pyarrow_csv_works_and_parquet_says_what_to_install(market, tmp_path):
    with patch("replay.export.sinks.import_module", side_effect=ImportError):
        export(market, tmp_path / "csv", format="csv")
        with pytest.raises(ExportError, match="extra `research`"):
            export(market, tmp_path / "parquet")
    assert not (tmp_path / "parquet").exists()


def test_a_value_that_no_column_holds_is_an_error_that_names_the_column(data_folder, tmp_path):
    recorded(data_folder, [instrument(1), trade(START, 1, 5, conditions=2**63)])
    with pytest.raises(ExportError, match="conditions does not fit"):
        export(data_folder, tmp_path / "out", tables=["trades"])
