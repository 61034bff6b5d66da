"""What can be wrong with a journal, as errors an operator can act on."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import TapedError


class JournalError(TapedError):
    """The journal cannot be used as asked."""


class JournalLockedError(JournalError):
    """Another process holds the journal.

    Attributes:
        pid: the holder, or None where it could not be read.
    """

    def __init__(self, directory: Path, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{directory}: the journal is held by {holder}",
            hint="stop that process first; one journal has one writer",
        )
        self.pid = pid


class JournalCorruptError(JournalError):
    """Durable bytes are not what was written: never skipped, never repaired silently."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            hint="restore a backup; `taped journal verify` tells all that is wrong",
        )


class JournalPoisonedError(JournalError):
    """A write or sync failed: nothing more can be promised until the process starts again."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the journal stopped: {reason}",
            hint="nothing acknowledged is lost; mend the disk and restart taped",
        )
