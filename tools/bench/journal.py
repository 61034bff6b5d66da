"""Durable events a second: the journal beside a bare loop over the same bytes, and beside SQLite."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import apsw

from daemon.journal.disk import DISK
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.codec import CODEC
from schemas.events import Trade
from schemas.frame import PAGE
from tools.bench import archive, commit, costs, redis
from tools.bench.report import Result, in_turn
from tools.bench.samples import trades

BATCH = 256
_SEGMENT_BYTES = 64 << 20
_INSERT = "INSERT INTO ticks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_TABLE = """
CREATE TABLE ticks (seq INTEGER PRIMARY KEY, ts_ns INTEGER, received_ns INTEGER, instrument_id INTEGER,
                    price INTEGER, quantity INTEGER, aggressor INTEGER, trade_id INTEGER)
"""


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `journal.batch_256`, whose competitors take turns, then group commit, verify and archives."""
    return [
        _batches(scratch, quick=quick),
        *commit.measure(scratch, quick=quick),
        _verify(scratch / "journal"),
        costs.measure(scratch, quick=quick),
        *archive.measure(scratch / "archives", market_data=market_data, quick=quick),
    ]


def _verify(directory: Path) -> Result:
    """Read and check every byte of the journal that was just written."""
    started = time.perf_counter()
    found = verify(directory, processes=len(os.sched_getaffinity(0)))
    seconds = time.perf_counter() - started
    assert found.passed, found.problems
    return Result(
        name="journal.verify",
        unit="events/s",
        value=found.events / seconds,
        detail={"mb_per_s": found.bytes / seconds / 1e6},
    )


def _batches(scratch: Path, *, quick: bool) -> Result:
    batch = trades(BATCH)
    batches = 100 if quick else 500
    with JournalWriter.open(scratch / "journal", segment_bytes=_SEGMENT_BYTES) as writer:
        competitors: dict[str, Callable[[], float]] = {
            "journal": lambda: _rate(lambda: writer.append(batch), batches),
            "bare_loop": _bare_loop(scratch / "bare", batch, batches),
            "sqlite_full": _sqlite_full(scratch / "sqlite.db", batch, batches),
        }
        with ExitStack() as stack:
            if redis.installed():
                connection = stack.enter_context(redis.redis(scratch / "redis"))
                competitors["redis_always"] = lambda: _rate(
                    lambda: redis.append(connection, batch), batches // 10
                )
            rates = in_turn(competitors, rounds=21)
    journal = rates.pop("journal")
    return Result(
        name="journal.batch_256",
        unit="events/s",
        value=journal,
        ratios={name: journal / rate for name, rate in rates.items()},
        detail=rates,
    )


def _rate(step: Callable[[], object], batches: int) -> float:
    started = time.perf_counter()
    for _ in range(batches):
        step()
    return batches * BATCH / (time.perf_counter() - started)


class _BareFiles:
    """Zero-filled files one behind the other, the next one filled in the background as the journal does."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._number = 0
        self._next = -1
        self._wanted = threading.Event()
        self._prepare()

    def _prepare(self) -> None:
        self._wanted.clear()
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        self._number += 1
        self._next = DISK.create(self._folder / str(self._number))
        DISK.fill(self._next, _SEGMENT_BYTES, self._wanted.wait)

    def take(self) -> int:
        self._wanted.set()
        self._thread.join()
        fd = self._next
        self._prepare()
        return fd


def _bare_loop(folder: Path, batch: list[Trade], batches: int) -> Callable[[], float]:
    """Pack the same events, write whole pages into zero-filled space, sync: no header, no checksum."""
    files = _BareFiles(folder)
    fd, at = files.take(), 0

    def step() -> None:
        nonlocal fd, at
        body = CODEC.encode(batch)
        total = -(-len(body) // PAGE) * PAGE
        if at + total > _SEGMENT_BYTES:
            os.close(fd)
            fd, at = files.take(), 0
        os.pwritev(fd, [body, bytes(total - len(body))], at)
        os.fdatasync(fd)
        at += total

    return lambda: _rate(step, batches)


def _sqlite_full(path: Path, batch: list[Trade], batches: int) -> Callable[[], float]:
    """Insert the same events as rows, one transaction a batch, WAL with synchronous=FULL."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute(_TABLE)
    seq = 0

    def step() -> None:
        nonlocal seq
        rows = [
            (n, e.ts_ns, e.received_ns, e.instrument_id, e.price, e.quantity, int(e.aggressor), e.trade_id)
            for n, e in enumerate(batch, seq + 1)
        ]
        seq += len(batch)
        with connection:
            connection.executemany(_INSERT, rows)

    return lambda: _rate(step, batches)
