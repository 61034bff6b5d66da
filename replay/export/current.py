"""A read model that stands at a journal's event: the one that is there, else one made for the purpose."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.readmodel.beginning import open_following
from daemon.readmodel.catch_up import in_transactions
from daemon.readmodel.database import ReadModelError
from daemon.readmodel.writer import ReadModelWriter

WAIT_S = 1.0
"""A daemon's read model follows within milliseconds; one that does not by then is nobody's."""
_POLL_S = 0.05


def read_model_at(
    data: Path, journal: JournalReader, last_seq: int, scratch: Path, tell: Callable[[str], None]
) -> Path:
    """Return the path of a read model that holds an event and those before it.

    Args:
        data: the data folder; nothing in it is changed.
        journal: in it.
        last_seq: the event.
        scratch: folder for a read model that has to be made; the caller removes it.
        tell: told when one has to be made, which reads the whole journal.

    Raises:
        ReadModelError: SQLite failed.
        JournalError: the journal cannot be read.
    """
    path = data / "readmodel.db"
    end = time.monotonic() + WAIT_S
    while _holds(path, journal, last_seq) is False and time.monotonic() < end:
        time.sleep(_POLL_S)
    if _holds(path, journal, last_seq):
        return path
    tell(f"{path} is not at seq {last_seq:,}; reading the whole journal for orders, fills and equity")
    return _make(scratch / "readmodel.db", journal, last_seq)


def _holds(path: Path, journal: JournalReader, last_seq: int) -> bool | None:
    """Return whether a read model holds an event; None where waiting will not help."""
    try:
        applied_seq = ReadModelWriter.applied_seq_of(path, journal.journal_id)
    except ReadModelError:
        return None
    return applied_seq >= last_seq if applied_seq else None


def _make(path: Path, journal: JournalReader, last_seq: int) -> Path:
    writer = open_following(path, journal)
    # Tick rows are of no use here, and most of the work.
    writer.skip_ticks_to = last_seq
    try:
        for first_seq, events in in_transactions(journal.batches(writer.applied_seq + 1, last_seq)):
            writer.skip_to(first_seq - 1)
            writer.apply(first_seq, events)
    finally:
        writer.close()
    return path
