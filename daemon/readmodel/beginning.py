"""Opens a read model so that it can follow its journal: a fresh one begins where the journal begins."""

from __future__ import annotations

from pathlib import Path

from daemon.journal.base_file import BaseFile
from daemon.journal.listing import beginning
from daemon.journal.reader import JournalReader
from daemon.readmodel.database import REBUILD_HINT, ReadModelError, ReadModelMismatchError
from daemon.readmodel.writer import ReadModelWriter


def open_following(path: Path, journal: JournalReader, keep_ticks: int | None = None) -> ReadModelWriter:
    """Open the file for its one writer; what retention let go of comes from the base state.

    Raises:
        ReadModelMismatchError: it is another journal's, of a newer version, or ends before the journal
            begins.
        ReadModelError: it is damaged or cannot be opened, or the base state cannot be read.
        JournalError: the journal's beginning cannot be read.
    """
    writer = ReadModelWriter(path, journal.journal_id, keep_ticks=keep_ticks)
    try:
        begins = beginning(journal.directory)
        if begins is not None and writer.applied_seq < begins.first_seq - 1:
            _begin(writer, BaseFile(begins.path))
    except BaseException:
        writer.close()
        raise
    return writer


def _begin(writer: ReadModelWriter, base: BaseFile) -> None:
    first_seq = base.header.first_seq
    if writer.applied_seq:
        raise ReadModelMismatchError(
            f"{writer.path}: at seq {writer.applied_seq}, and its journal begins at seq {first_seq} by now",
            hint=REBUILD_HINT,
        )
    writer.seed(base.tables())
    if writer.applied_seq != first_seq - 1:
        raise ReadModelError(f"{base.path}: holds the tables at seq {writer.applied_seq}")
