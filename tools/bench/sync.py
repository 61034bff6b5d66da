"""The journal to PostgreSQL: ticks a second, and what the daemon notices of it while it catches up.

The server is one of our own, on this machine, with its disk synced: both share processor and disk, which
is worse than a database elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.sync import schema
from daemon.sync.packets import MAX_EVENTS
from daemon.sync.process import MODULE
from daemon.sync.run import Target, ship_all
from daemon.sync.tables import INSTRUMENTS, TABLES, TRADES
from daemon.sync.verify import compare
from schemas.errors import TapedError
from tools.bench.api import RATE, Connection
from tools.bench.postgres import PostgresServer
from tools.bench.process import Running, child_of, demo, resident_mb
from tools.bench.report import Result, in_turn, percentile
from tools.bench.samples import bitcoin, trades

EVENTS = 600_000
BACKLOG = 10_000_000
_FRAME = 1_024
_BLOCK = 100_000


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `sync.ticks`, and from a daemon with a backlog `sync.api_p95_ms` and its like."""
    del market_data
    # A server that is not root must be able to walk through it.
    for folder in (scratch, scratch.parent):
        folder.chmod(0o711)
    server = PostgresServer(scratch / "postgres", durable=True)
    server.start()
    try:
        asyncio.run(_apply(server.dsn()))
        rates = _rates(scratch, server, EVENTS // 6 if quick else EVENTS)
        return [*rates, *_beside_a_daemon(scratch, server, BACKLOG // 10 if quick else BACKLOG)]
    finally:
        server.stop()


def _rates(scratch: Path, server: PostgresServer, events: int) -> list[Result]:
    directory, dsn = scratch / "ticks" / "journal", server.dsn()
    _write(directory, events)
    records = _records(events)
    target = Target(dsn)
    rates = in_turn(
        {
            "sync": lambda: _timed(dsn, events, ship_all(directory, target)),
            "bare": lambda: _timed(dsn, events, _bare(dsn, records)),
        },
        rounds=3,
    )
    asyncio.run(_empty(dsn))
    asyncio.run(ship_all(directory, target))
    started = time.perf_counter()
    found = asyncio.run(compare(dsn, directory))
    seconds = time.perf_counter() - started
    if not found.passed:
        raise TapedError(f"journal and database differ: {found.difference}")
    return [
        Result(
            name="sync.ticks",
            unit="events/s",
            value=rates["sync"],
            ratios={"bare": rates["sync"] / rates["bare"]},
            detail={"events": events, "a_transaction": MAX_EVENTS},
        ),
        Result(name="sync.verify", unit="events/s", value=found.events / seconds),
    ]


def _write(directory: Path, events: int) -> None:
    """Write a journal of ticks, as a busy feed would."""
    with JournalWriter.open(directory) as writer:
        writer.append([bitcoin()])
        for block in range(0, events, _BLOCK):
            ticks = trades(min(_BLOCK, events - block), seed=1 + block)
            for at in range(0, len(ticks), _FRAME):
                writer.append(ticks[at : at + _FRAME])


def _records(events: int) -> list[list[tuple[Any, ...]]]:
    """Return rows as asyncpg takes them, in portions of one transaction; times are left to the server."""
    rows = [
        (seq, e.ts_ns, e.received_ns, e.price, e.quantity, e.conditions, e.instrument_id, int(e.aggressor),
         8, 8, str(e.trade_id), e.exchange)
        for seq, e in enumerate(trades(events), 2)
    ]  # fmt: skip
    return [rows[at : at + MAX_EVENTS] for at in range(0, len(rows), MAX_EVENTS)]


def _timed(dsn: str, events: int, work: Any) -> float:
    asyncio.run(_empty(dsn))
    started = time.perf_counter()
    asyncio.run(work)
    return events / (time.perf_counter() - started)


async def _bare(dsn: str, portions: list[list[tuple[Any, ...]]]) -> None:
    """Copy ready rows to a staging table and move them: no journal, no watermark, nothing is made."""
    connection = await asyncpg.connect(dsn)
    names = [name for name in TRADES.columns if name != "ts"]
    kinds = dict(zip(TRADES.columns, TRADES.kinds, strict=True))
    columns = ", ".join(names)
    await connection.execute(
        f"CREATE TEMPORARY TABLE bare ({', '.join(f'{name} {kinds[name]}' for name in names)})"
        " ON COMMIT DELETE ROWS"
    )
    for rows in portions:
        async with connection.transaction():
            await connection.copy_records_to_table("bare", records=rows, columns=names)
            await connection.execute(
                f"INSERT INTO taped.trades (journal, ts, {columns})"  # noqa: S608  # names of our own
                " SELECT '00000000-0000-0000-0000-000000000001', to_timestamp(ts_ns / 1000000 / 1000.0),"
                f" {columns} FROM bare ON CONFLICT DO NOTHING"
            )
    await connection.close()


def _beside_a_daemon(scratch: Path, server: PostgresServer, backlog: int) -> list[Result]:
    """Measure a daemon that ingests, first without a database, then while it ships a backlog to it."""
    asyncio.run(_empty(server.dsn()))
    data = scratch / "daemon"
    _write(data / "journal", backlog)
    dsn_file = scratch / "dsn"
    dsn_file.touch(0o600)
    dsn_file.write_text(server.dsn())
    server.stop()
    with _settings(dsn_file), demo(data, "--rate", str(RATE)) as running:
        connection = Connection(running)
        _until(lambda: _status(connection)["lag"] < RATE)
        time.sleep(3)
        idle = _sample(connection, running, 8.0)
        server.start()
        _until(lambda: _sync(connection)["state"] == "working")
        busy = _sample(connection, running, 300.0, until_shipped=True)
        connection.close()
    JournalReader(data / "journal")
    found = asyncio.run(compare(server.dsn(), data / "journal"))
    if not found.passed:
        raise TapedError(f"journal and database differ: {found.difference}")
    return [
        Result(
            name="sync.api_p95_ms", unit="ms", value=busy["api_p95_ms"],
            ratios={"idle": busy["api_p95_ms"] / idle["api_p95_ms"]},
            detail={"shipped_per_s": busy["rate"], "backlog": backlog, "ingested_per_s": busy["ingested"]},
        ),
        Result(
            name="sync.journal_sync_p99_ms", unit="ms", value=busy["sync_p99_ms"],
            ratios={"idle": busy["sync_p99_ms"] / idle["sync_p99_ms"]},
        ),
        Result(
            name="sync.memory_mb", unit="MB", value=busy["memory_mb"] - idle["memory_mb"],
            detail={"idle_mb": idle["memory_mb"], "worker_mb": busy["worker_mb"]},
        ),
    ]  # fmt: skip


@contextmanager
def _settings(dsn_file: Path) -> Iterator[None]:
    """Let a daemon that is started in the block ship."""
    told = {
        "TAPED_SYNC__ENABLED": "true",
        "TAPED_SYNC__DSN_FILE": str(dsn_file),
        "TAPED_SYNC__EVERY_S": "1",
        "TAPED_BREAKER__OPEN_S": "2",
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _sample(
    connection: Connection, running: Running, seconds: float, *, until_shipped: bool = False
) -> dict[str, float]:
    """Read the API 10 ms apart, and what the journal's syncs take and what is resident meanwhile."""
    api, syncs, memory, worker = [], [], 0.0, 0.0
    first, started = _status(connection), time.perf_counter()
    while time.perf_counter() - started < seconds:
        before = time.perf_counter()
        connection.request("GET", "/api/v1/positions")
        api.append((time.perf_counter() - before) * 1000)
        syncs.append(connection.metric("taped_journal_sync_seconds") * 1000)
        shipping = child_of(running.pid, MODULE)
        of_worker = 0.0 if shipping is None else resident_mb(shipping)
        memory, worker = max(memory, resident_mb(running.pid) + of_worker), max(worker, of_worker)
        if until_shipped and len(api) % 50 == 0 and _sync(connection)["state"] != "working":
            break
        time.sleep(0.01)
    last, taken = _status(connection), time.perf_counter() - started
    return {
        "api_p95_ms": percentile(api, 95),
        "sync_p99_ms": percentile(syncs, 99),
        "memory_mb": memory,
        "worker_mb": worker,
        "ingested": (last["durable_seq"] - first["durable_seq"]) / taken,
        "rate": (last["sync"]["events"] - first["sync"]["events"]) / taken,
    }


def _status(connection: Connection) -> Any:
    return connection.request("GET", "/api/v1/status")[1]


def _sync(connection: Connection) -> Any:
    return _status(connection)["sync"]


def _until(holds: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TapedError("the daemon under test did not come so far")
        time.sleep(0.1)


async def _apply(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await schema.apply(connection)
    await connection.close()


async def _empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    names = [table.name for table in (*TABLES, INSTRUMENTS)]
    await connection.execute(f"TRUNCATE {', '.join(f'taped.{name}' for name in (*names, 'watermarks'))}")
    await connection.execute("CHECKPOINT")
    await connection.close()
