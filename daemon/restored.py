"""What a restored journal must go behind: the events that the world saw and the backup did not have.

`taped backup restore` leaves `DATA/restored.json` where the journal it replaced, or its user, knew of later
events. Their numbers were given away: orders at a venue are called by them, and rows in TimescaleDB. A
start that would give them to other events is refused; `taped journal repair --accept-loss` writes a GAP
up to there and halts trading.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from daemon.journal.disk import DISK
from daemon.journal.errors import JournalError
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader

FILE = "restored.json"
_MAX_BYTES = 4096


class Restored(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a journal was restored, and how far it had come before.

    Attributes:
        journal: its id.
        seen_seq: the last event that somebody may know of.
        backup: which one was restored.
    """

    journal: str
    seen_seq: int
    backup: str


def read_restored(data: Path) -> Restored | None:
    """Return what the last restore left, or None.

    Raises:
        JournalError: the file is there and says nothing that can be believed.
    """
    try:
        with (data / FILE).open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(content, type=Restored)
    except msgspec.MsgspecError as error:
        raise JournalError(
            f"{data / FILE}: {error}",
            hint="it tells how far the journal had come before a restore; remove it if you know that",
        ) from error


def write_restored(data: Path, restored: Restored) -> None:
    """Leave a note for the next start, durably.

    Raises:
        OSError: the disk refused.
    """
    draft = data / f"{FILE}.tmp"
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(restored) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(data / FILE)
    DISK.sync_directory(data)


def seen_seq(data: Path) -> int:
    """Return how far a data folder's journal must reach because of a restore; 0 where there was none.

    Raises:
        JournalError: what the restore left cannot be read.
    """
    restored = read_restored(data)
    if restored is None:
        return 0
    with suppress(JournalError):
        if JournalReader(data / "journal").journal_id != restored.journal:
            return 0
    return restored.seen_seq


def refuse_behind(data: Path) -> None:
    """Refuse to start on a restored journal that ends before events that the world has seen.

    Raises:
        JournalError: it does, or what the restore left cannot be read.
    """
    restored = read_restored(data)
    directory = data / "journal"
    if restored is None or not directory.is_dir() or not list_journal(directory):
        return
    seen, last_seq = seen_seq(data), JournalReader(directory).last_seq
    if last_seq < seen:
        raise JournalError(
            f"{directory}: ends at seq {last_seq} since backup {restored.backup} was restored, and had come "
            f"to seq {seen} before: a venue or TimescaleDB may know events by those numbers",
            hint=f"`taped journal repair {data} --accept-loss` leaves them out and halts trading; "
            "then start, compare the books and resume",
        )
