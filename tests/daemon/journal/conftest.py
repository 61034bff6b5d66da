"""Small journals to attack."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.journal.archive_file import header_of
from daemon.journal.base_file import BaseContent, draft_base, put_base
from daemon.journal.disk import DISK, Disk
from daemon.journal.reader import JournalReader
from daemon.journal.retention import remove_leftovers
from daemon.journal.segment import SegmentName
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.events import Side, Trade
from tools.independent import compare

SMALL = 1 << 20


def trades(first: int, count: int) -> list[Trade]:
    """Trades whose price says which they are."""
    return [
        Trade(
            ts_ns=10**18 + n, received_ns=10**18 + n, instrument_id=1, price=n, quantity=1, aggressor=Side.BUY
        )
        for n in range(first, first + count)
    ]


def open_small(directory: Path, **options) -> JournalWriter:
    return JournalWriter.open(directory, segment_bytes=SMALL, **options)


def read_prices(directory: Path, first_seq: int = 1, last_seq: int | None = None) -> list[int]:
    return [e.price for b in JournalReader(directory).batches(first_seq, last_seq) for e in b.events]


def begin_with(directory: Path, first: SegmentName, disk: Disk = DISK) -> None:
    """Let go of what lies before a segment, as `daemon.shorten` does; the base state says nothing."""
    content = BaseContent([b"core"], [b"tables"])
    put_base(directory, draft_base(directory, header_of(first), content, made_ns=1, disk=disk), disk)
    remove_leftovers(directory, disk)


def crash(writer: JournalWriter) -> None:
    """Let go of everything as a killed process would: no seal, no truncation, the spare left behind."""
    if writer._spare._thread is not None:
        writer._spare._thread.join()
    if writer._spare._fd >= 0:
        os.close(writer._spare._fd)
        writer._spare._fd = -1
    os.close(writer._fd)
    writer._fd = -1
    writer._lock.release()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a journal may be made; if it is whole in the end, the second reader must say so too."""
    directory = tmp_path / "journal"
    yield directory
    if list(directory.glob("*.evl")) and verify(directory).passed:
        assert compare(directory) == []
