"""How far the journal must reach: what was projected from it had been durable."""

from __future__ import annotations

from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.journal.segment import list_segments
from daemon.readmodel.database import ReadModelError, open_reader
from daemon.readmodel.writer import ReadModelWriter


def projected_seq(data: Path) -> int:
    """Return the last event that the read model of a data folder holds of the folder's journal.

    0 where there is no read model, where it cannot be read, and where it is another journal's. With
    no journal left, any read model counts.
    """
    path, directory = data / "readmodel.db", data / "journal"
    if not path.exists():
        return 0
    there = directory.is_dir() and list_segments(directory)
    return ReadModelWriter.applied_seq_of(path, JournalReader(directory).journal_id if there else None)


def keep_ticks_of(data: Path) -> int | None:
    """Return the limit of the tick tables of a data folder's read model; None where that cannot be read."""
    try:
        connection = open_reader(data / "readmodel.db")
    except ReadModelError:
        return None
    try:
        return int(connection.execute("SELECT value FROM meta WHERE name = 'keep_ticks'").get)
    finally:
        connection.close()
