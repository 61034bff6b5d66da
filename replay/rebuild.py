"""Makes the read model anew from the journal, in a file beside it that takes its place when it is whole.

Whatever happens in between, the read model that was there stays as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import apsw

from daemon.journal.errors import JournalCorruptError
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.readmodel.beginning import open_following
from daemon.readmodel.catch_up import in_transactions
from daemon.readmodel.content import content_hash
from daemon.readmodel.database import ReadModelError, merge_log, open_reader, remove
from daemon.readmodel.writer import PRUNE_EVERY, ReadModelWriter

Progress = Callable[[int, int], None]
"""Called with the last seq done and the last seq there is."""


@dataclass(frozen=True, slots=True)
class Former:
    """The read model before.

    `hash` is None where it could not be read; `problem` says why.
    """

    hash: str | None
    applied_seq: int
    keep_ticks: int | None
    journal_id: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What was made.

    Attributes:
        hash: content of the new read model.
        applied_seq: its last event.
        seconds: how long it took, hashing left out.
        former: the read model before; None where there was none.
        equal: whether both have the same content; None where they cannot be compared, because there was
            none, it could not be read, it stood at another seq, or it had other limits.
        begins_at: the journal's first event; what came before is from its base state.
        lacking: what the journal cannot give any more, or None.
    """

    hash: str
    applied_seq: int
    seconds: float
    former: Former | None
    equal: bool | None
    begins_at: int = 1
    lacking: str | None = None

    @property
    def events_per_second(self) -> float:
        """How fast it was."""
        return self.applied_seq / self.seconds if self.seconds else 0.0


def rebuild(
    data: Path,
    progress: Progress | None = None,
    *,
    keep_ticks: int | None = None,
    replace: bool = True,
    accept_loss: bool = False,
) -> RebuildResult:
    """Make the read model of a data folder from its journal.

    Args:
        data: the data folder.
        progress: told how far it has come.
        keep_ticks: limit of the tick tables; None keeps that of the former read model.
        replace: put the new read model in the place of the former; else only compare.
        accept_loss: replace also one that holds events which the journal has no more.

    Raises:
        JournalLockedError: a daemon holds the journal.
        JournalCorruptError: the former read model is ahead of the journal.
        JournalError: there is no journal, or it cannot be read.
        ReadModelError: SQLite failed.
    """
    path, fresh = data / "readmodel.db", data / "readmodel.db.rebuild"
    journal = JournalReader(data / "journal")
    with JournalLock(data / "journal"):
        former = _former(path)
        if keep_ticks is None and former is not None:
            keep_ticks = former.keep_ticks
        if replace and not accept_loss:
            _check_end(former, journal)
        started = time.perf_counter()
        remove(fresh)
        try:
            applied_seq, lacking = _build(fresh, journal, keep_ticks, progress)
            seconds = time.perf_counter() - started
            content = content_hash(fresh)
            equal = None if lacking else _compare(former, content, applied_seq, keep_ticks)
            if replace:
                _put(fresh, path)
        finally:
            remove(fresh)
    return RebuildResult(content, applied_seq, seconds, former, equal, journal.first_seq, lacking)


def _build(
    path: Path, journal: JournalReader, keep_ticks: int | None, progress: Progress | None
) -> tuple[int, str | None]:
    """Make a read model; return its last event and what it lacks."""
    last_seq = journal.last_seq
    writer = open_following(path, journal, keep_ticks)
    # Tick rows that the limit at the journal's end would delete again are not written in the first place.
    writer.skip_ticks_to = last_seq - last_seq % PRUNE_EVERY - writer.keep_ticks
    try:
        for first_seq, events in in_transactions(journal.batches(writer.applied_seq + 1, last_seq)):
            writer.skip_to(first_seq - 1)
            writer.apply(first_seq, events)
            if progress is not None:
                progress(writer.applied_seq, last_seq)
        return writer.applied_seq, _lacking(writer)
    finally:
        writer.close()


def _lacking(writer: ReadModelWriter) -> str | None:
    first, last = max(0, writer.skip_ticks_to) + 1, writer.ticks_from
    if first > last:
        return None
    return f"tick rows of events {first:,} to {last:,}: the journal has let them go, and kept fewer"


def _check_end(former: Former | None, journal: JournalReader) -> None:
    """Refuse to remove the only trace of acknowledged events that the journal has lost."""
    if former is None or former.journal_id != journal.journal_id:
        return
    last_seq = journal.last_seq
    if former.applied_seq > last_seq:
        raise JournalCorruptError(
            f"{journal.directory}: ends at seq {last_seq}, the read model at seq {former.applied_seq}: "
            "acknowledged events are missing, and it is their only trace (--accept-loss replaces it)"
        )


def _former(path: Path) -> Former | None:
    if not path.exists():
        return None
    try:
        connection = open_reader(path)
        try:
            meta = dict(connection.execute("SELECT name, value FROM meta"))
        finally:
            connection.close()
        return Former(
            content_hash(path), int(meta["applied_seq"]), int(meta["keep_ticks"]), str(meta["journal_id"])
        )
    except (ReadModelError, apsw.Error, KeyError, ValueError) as error:
        # A file that cannot be read is the very reason to rebuild it.
        return Former(None, 0, None, problem=str(error))


def _compare(former: Former | None, fresh: str, applied_seq: int, keep_ticks: int | None) -> bool | None:
    if former is None or former.hash is None:
        return None
    if former.applied_seq != applied_seq or former.keep_ticks != keep_ticks:
        return None
    return former.hash == fresh


def _put(fresh: Path, path: Path) -> None:
    """Let the new file take the old one's place, and make that durable."""
    if _log_bytes(fresh):
        raise ReadModelError(f"{fresh}: its log could not be merged into it", hint="is the disk full?")
    _sync(fresh)
    # A log left by the old file must not be taken for the new one's: merged, so that a crash between
    # the two steps leaves the old file whole, then removed.
    with suppress(ReadModelError):
        merge_log(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fresh.replace(path)
    _sync(path.parent)


def _log_bytes(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return log.stat().st_size if log.exists() else 0


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
