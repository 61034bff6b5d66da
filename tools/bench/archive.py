"""Archived segments beside plain ones and beside Parquet: bytes a trade, and the speed of reading.

Parquet is written by pyarrow where that can be imported: once with its defaults (dictionaries, zstd
level 1) and once as an expert would (differences packed in bits, zstd level 19), so that the goal is
held against the better of both too.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from daemon.journal.archive import archive_journal
from daemon.journal.listing import is_archived, list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.venue.feeds.formats import ReadOptions, TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.codec import AnyEvent
from schemas.events import DaemonStopped, Trade
from tools.bench.report import Result, in_turn
from tools.bench.samples import trades

SPY = ("lean/equity/usa/tick/spy/20131008_trade.zip",)
BINANCE = ("crypto/binance_spot_btcusdt_20240808.gz", "crypto/binance_spot_btcusdt_20240809.gz")
_FRAME = 4096
_SEGMENT_BYTES = 64 << 20
_PACKED = "DELTA_BINARY_PACKED"


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `archive.bytes_NAME` and `archive.read_NAME` for each sample of market data."""
    results: list[Result] = []
    for name, events in _samples(market_data, quick=quick):
        only_trades = [event for event in events if isinstance(event, Trade)]
        results.append(_bytes(scratch / f"{name}-trades", name, only_trades))
        results.append(_reading(scratch / f"{name}-all", name, events, rounds=3 if quick else 7))
    return results


def _samples(market_data: Path | None, *, quick: bool) -> Iterator[tuple[str, list[AnyEvent]]]:
    if market_data is None:
        yield "generated", list(trades(50_000 if quick else 500_000))
        return
    for name, files in (("spy", SPY), ("binance", BINANCE)):
        registry = InstrumentRegistry()
        events: list[AnyEvent] = []
        for path in files:
            with TickFile(market_data / path, registry, ReadOptions()) as file:
                for batch in file.batches():
                    events += batch
        yield name, events


def _journals(folder: Path, events: list[AnyEvent]) -> tuple[Path, Path, int]:
    """Return the folder of a plain and of an archived journal of the events, and the archive's bytes."""
    plain, archived = folder / "plain", folder / "archived"
    for directory in (plain, archived):
        with JournalWriter.open(directory, segment_bytes=_SEGMENT_BYTES) as writer:
            for at in range(0, len(events), _FRAME):
                writer.append(events[at : at + _FRAME])
            last = events[-1].ts_ns
        # The newest segment is never archived, so it holds one event of its own.
        with JournalWriter.open(directory) as writer:
            writer.append([DaemonStopped(ts_ns=last, reason="bench")])
    archive_journal(archived)
    size = sum(name.path.stat().st_size for name in list_journal(archived) if is_archived(name))
    return plain, archived, size


def _bytes(folder: Path, name: str, events: list[Trade]) -> Result:
    plain, _, size = _journals(folder, list(events))
    whole = list_journal(plain)[0].path.stat().st_size
    value = size / len(events)
    parquet = _parquet(folder, events)
    return Result(
        name=f"archive.bytes_{name}",
        unit="bytes/trade",
        value=value,
        ratios={against: value / other for against, other in parquet.items()},
        detail={
            "trades": len(events),
            "plain": whole / len(events),
            **(parquet or {"parquet": "not measured: pip install '.[peers]' brings pyarrow"}),
        },
    )


def _parquet(folder: Path, events: list[Trade]) -> dict[str, float]:
    """Return bytes a trade of the same fields in Parquet; nothing where pyarrow is not installed."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        return {}
    fields = [field.name for field in msgspec.structs.fields(Trade) if field.name != "version"]
    table = arrow.table({name: [_plain(getattr(event, name)) for event in events] for name in fields})
    path = folder / "trades.parquet"
    parquet.write_table(table, path, compression="zstd")
    found = {"parquet": path.stat().st_size / len(events)}
    packed = [name for name in ("ts_ns", "received_ns", "trade_id") if table[name].null_count == 0]
    parquet.write_table(
        table,
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in fields if name not in packed],
        column_encoding=dict.fromkeys(packed, _PACKED),
    )
    found["parquet_tuned"] = path.stat().st_size / len(events)
    return found


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, int) else value


def _reading(folder: Path, name: str, events: list[AnyEvent], *, rounds: int) -> Result:
    plain, archived, _ = _journals(folder, events)
    rates = in_turn(
        {"archived": lambda: _read(archived), "plain": lambda: _read(plain)},
        rounds=rounds,
    )
    return Result(
        name=f"archive.read_{name}",
        unit="events/s",
        value=rates["archived"],
        ratios={"plain": rates["archived"] / rates["plain"]},
        detail={"events": len(events), "plain": rates["plain"]},
    )


def _read(directory: Path) -> float:
    count = 0
    started = time.perf_counter()
    for batch in JournalReader(directory).batches():
        count += len(batch.events)
    return count / (time.perf_counter() - started)
