"""Small journals, the events in them, and the one question every attack asks of them.

An event's price is its sequence number and its quantity is the life of the writer that wrote it, so
that an event at a wrong place, or of a history that was given up, cannot pass for the right one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from daemon.journal.disk import Disk, Rest
from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.events import Event, Side, Trade
from schemas.frame import PAGE
from tools.independent import compare

TINY = 6 * PAGE


class NoSync(Disk):
    """The real file system without its waits: for what is attacked thousands of times."""

    def sync(self, fd: int) -> None:
        pass

    def sync_file(self, fd: int) -> None:
        pass

    def forget(self, fd: int) -> None:
        pass

    def sync_directory(self, directory: Path) -> None:
        pass

    def fill(self, fd: int, length: int, rest: Rest | None = None) -> None:
        os.ftruncate(fd, length)


NO_SYNC = NoSync()


def trade(seq: int, life: int = 1) -> Trade:
    return Trade(
        ts_ns=10**18 + seq,
        received_ns=10**18 + seq,
        instrument_id=1,
        price=seq,
        quantity=life,
        aggressor=Side.BUY,
    )


def trades(first_seq: int, count: int, life: int = 1) -> list[Trade]:
    return [trade(seq, life) for seq in range(first_seq, first_seq + count)]


def facts(events: Iterable[Event]) -> list[tuple[int, int]]:
    """Return price and quantity of each event."""
    return [(event.price, event.quantity) for event in events]  # type: ignore[attr-defined]


def history(*counts: int) -> list[tuple[int, int]]:
    """Return the facts of a journal to which each life appended that many events."""
    found: list[tuple[int, int]] = []
    for life, count in enumerate(counts, 1):
        found += [(seq, life) for seq in range(len(found) + 1, len(found) + count + 1)]
    return found


def read_facts(directory: Path, first_seq: int = 1, last_seq: int | None = None) -> list[tuple[int, int]]:
    """Read events with `JournalReader`, checking that batches follow each other."""
    found: list[tuple[int, int]] = []
    for batch in JournalReader(directory).batches(first_seq, last_seq):
        assert batch.first_seq == first_seq + len(found)
        found += facts(batch.events)
    return found


def open_tiny(directory: Path, *, disk: Disk = NO_SYNC, **options) -> JournalWriter:
    return JournalWriter.open(directory, segment_bytes=TINY, disk=disk, **options)


def let_go(writer: JournalWriter) -> None:
    """Drop descriptors and lock as the kernel does for a killed process; nothing is written."""
    spare = writer._spare
    if spare._thread is not None:
        spare._thread.join()
    for fd in (spare._fd, writer._fd, writer._lock._fd):
        if fd >= 0:
            os.close(fd)
    spare._fd = writer._fd = writer._lock._fd = -1


def make_journal(
    directory: Path, batches: Sequence[int], *, seal: bool = False, mark: bool = False, life: int = 1
) -> int:
    """Append batches of that many events and end as killed, or sealed; return the number of events."""
    writer = open_tiny(directory)
    for count in batches:
        writer.append(trades(writer.next_seq, count, life))
    if mark:
        writer.mark()
    last_seq = writer.next_seq - 1
    if seal:
        writer.close()
    else:
        let_go(writer)
        (directory / "spare.tmp").unlink(missing_ok=True)
    return last_seq


def assert_whole(directory: Path) -> None:
    """The verifier finds nothing, and the independent reader finds the same."""
    found = verify(directory)
    assert found.passed, found.problems
    assert compare(directory) == []


def assert_recovers(
    directory: Path, submitted: Sequence[tuple[int, int]], acknowledged: int, *, thorough: bool = True
) -> int:
    """Open as the next start would; what is there must be a prefix that holds all acknowledged events.

    Returns:
        the number of events that survived.
    """
    writer = open_tiny(directory)
    count = writer.next_seq - 1
    writer.close()
    assert acknowledged <= count <= len(submitted), f"{acknowledged} acknowledged, {count} recovered"
    assert read_facts(directory) == list(submitted[:count])
    if thorough:
        assert_whole(directory)
    return count
