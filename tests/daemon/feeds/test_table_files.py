"""Parquet and Arrow files are read like CSV: exactly, a block at a time, damage told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daemon.venue.feeds import table_files
from daemon.venue.feeds.formats import ReadOptions, TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.parsing import Tally
from daemon.venue.feeds.sources import SourceError
from daemon.venue.feeds.table_files import TableFile, is_table_file
from schemas.events import Trade


def write(path, columns, *, group=100):
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=group)
    else:
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=group)
    return path


def lines(path):
    with TableFile(path) as file:
        return [line.decode() for block in file.blocks(Tally()) for line in block.lines]


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_every_kind_of_column_becomes_exact_text(tmp_path, suffix):
    moment = datetime(2024, 8, 8, 23, 54, 14, 87896, tzinfo=UTC)
    path = write(
        tmp_path / f"t.{suffix}",
        {
            "i": pa.array([2**63 - 1, None]),
            "d": pa.array([Decimal("0.000000000000000001"), None], pa.decimal128(38, 18)),
            "f": pa.array([1e-7, 61837.63]),
            "b": pa.array([True, False]),
            "t": pa.array(['a,"b"', ""]),
            "c": pa.array(["x", "y"]).dictionary_encode(),
            "ns": pa.array([1723161254087896568, None], pa.int64()).view(pa.timestamp("ns")),
            "us": pa.array([moment, None], pa.timestamp("us", "America/New_York")),
            "l": pa.array([[1], [2]]),
        },
    )
    header, first, second = lines(path)
    assert header == "i,d,f,b,t,c,ns,us,l"
    assert first == (
        '9223372036854775807,0.000000000000000001,0.0000001,true,"a,""b""",x,'
        "2024-08-08T23:54:14.087896568Z,2024-08-08T23:54:14.087896000Z,"
    )
    assert second == ",,61837.63,false,,y,,,"


def test_rows_come_in_blocks_with_their_numbers(tmp_path):
    path = write(tmp_path / "t.parquet", {"a": list(range(25))}, group=10)
    with patch.object(table_files, "ROWS", 4), TableFile(path) as file:
        blocks = list(file.blocks(Tally()))
        assert file.position == file.total_bytes
    assert blocks[0].lines == [b"a"]
    assert max(len(block.lines) for block in blocks) <= 4
    numbers = [n for block in blocks for n, _ in enumerate(block.lines, block.first_line)]
    assert numbers == list(range(1, 27))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_anybodys_table_can_be_imported_with_a_mapping_of_its_columns(tmp_path, suffix):
    path = write(
        tmp_path / f"t.{suffix}",
        {
            "when": pa.array([1723161254087896568], pa.int64()).view(pa.timestamp("ns")),
            "px": [61837.63],
            "sz": [0.5],
        },
    )
    options = ReadOptions(columns="ts=when,price=px,quantity=sz", symbol="BTC-USDT", venue="x")
    with TickFile(path, InstrumentRegistry(), options) as file:
        ((_, trade),) = file.batches()
    assert isinstance(trade, Trade)
    assert (trade.ts_ns, trade.price, trade.quantity) == (1723161254087896568, 6183763000000, 50000000)


def test_a_vendors_columns_in_parquet_are_told_like_those_in_csv(tmp_path):
    path = write(
        tmp_path / "t.parquet",
        {
            "exchange": ["bitmex"], "symbol": ["XBTUSD"], "timestamp": [1583020803145000],
            "local_timestamp": [1583020803307160], "id": ["a"], "side": ["buy"], "price": [8541.5],
            "amount": [1.0],
        },
    )  # fmt: skip
    with TickFile(path, InstrumentRegistry()) as file:
        ((_, trade),) = file.batches()
        assert file.format == "tardis-trades"
    assert trade.price == 854_150_000_000


@pytest.mark.parametrize("cut", [5, 60, 200])
def test_a_damaged_file_is_told_as_such(tmp_path, cut):
    path = write(tmp_path / "t.parquet", {"a": list(range(1000))})
    path.write_bytes(path.read_bytes()[:-cut])
    assert is_table_file(path)
    with pytest.raises(SourceError, match="cut or damaged"):
        lines(path)


def test_damage_in_the_middle_ends_the_import_with_a_rejection(tmp_path):
    columns = {"t": [f"17231612{n % 100:02}" for n in range(5000)], "p": ["1"] * 5000, "q": ["2"] * 5000}
    path = write(tmp_path / "t.arrow", columns, group=5000)
    data = bytearray(path.read_bytes())
    data[300:380] = b"\xff" * 80
    path.write_bytes(data)
    options = ReadOptions(columns="ts=t@s,price=p,quantity=q", symbol="A-B", venue="x")
    try:
        with TickFile(path, InstrumentRegistry(), options) as file:
            for _ in file.batches():
                pass
            assert file.tally.rejected_count > 0
    except SourceError:
        pass


def test_without_pyarrow_it_is_said_what_to_install(tmp_path):
    path = write(tmp_path / "t.parquet", {"a": [1]})
    with (
        patch("daemon.venue.feeds.table_files.import_module", side_effect=ImportError),
        pytest.raises(SourceError, match="extra `research`"),
    ):
        TableFile(path)
