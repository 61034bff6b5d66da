"""Space on the disk: what the journal holds back, and how its next segment waits where there is none.

Nothing here decides what follows from a lack of space; that is `daemon/disk_space.py`.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from daemon.journal.disk import DISK, Disk, Rest
from schemas.frame import PAGE

log = logging.getLogger(__name__)

T = TypeVar("T")

SPARE_EIGHTHS = 13
"""So many eighths of a segment must be free before the next spare is taken: a segment for it, and what
keeps the daemon above SHED_TICKS once it is taken."""
_FIRST_EIGHTHS = 9
"""The first segment of a process is tried at once, and again when so much is free: to journal without
a spare is better than not at all."""
_SEAL_ROOM = 64 * PAGE
_LAST_PAGES = 16 * PAGE
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

START_BYTES = 4 << 20
"""What a start may write before the journal has a segment: SQLite's index of its log, a torn tail."""
_PLENTY = 8


class Space(NamedTuple):
    """One look at the disk.

    `rest_bytes` is what the journal can still write without another segment; `waiting` says that
    the next segment waits for space; `exhausted` that all but the last pages are used as well.
    """

    free_bytes: int
    rest_bytes: int
    waiting: bool
    exhausted: bool = False


class ReserveDisk(Disk):
    """The disk of a journal whose next segment waits for space instead of failing.

    Until `be_patient` is called or a segment was taken, a full disk fails at once: whoever opens a
    journal must hear of it.

    Args:
        directory: any existing folder on the journal's file system.
        segment_bytes: what each segment takes.
        poll_s: how often a waiting segment asks for space.
        free_bytes: tells the free space of a folder's file system.
    """

    def __init__(
        self,
        directory: Path,
        segment_bytes: int,
        *,
        poll_s: float = 0.5,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._poll_s = poll_s
        self._free_bytes = free_bytes or free_bytes_of
        self._stopped = threading.Event()
        self._patient = False
        self._begun = False
        self._waiting = False
        self._written_to = segment_bytes

    def space(self) -> Space:
        """Look at the disk now."""
        frames_end = self._segment_bytes - min(_SEAL_ROOM, self._segment_bytes // 4)
        rest, waiting = max(0, frames_end - self._written_to), self._waiting
        return Space(self._free_bytes(self._directory), rest, waiting, waiting and rest <= _LAST_PAGES)

    def be_patient(self) -> None:
        """Wait for space from now on, also for the first segment."""
        self._patient = True

    def stop(self) -> None:
        """Let whoever waits for space fail: the journal is about to be closed."""
        self._stopped.set()

    def create(self, path: Path) -> int:
        """Open a new file; where the disk is full, wait."""
        return self._when_there_is_space(lambda: DISK.create(path), 0, at_once=True)

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write, and note how much of the segment is used."""
        super().write(fd, buffers, offset)
        self._written_to = offset + sum(map(len, buffers))

    def fill(self, fd: int, length: int, rest: Rest | None = None) -> None:
        """Take the space of a segment; where there is none, wait for it and hold none meanwhile."""
        first = not self._begun
        need = length * (_FIRST_EIGHTHS if first else SPARE_EIGHTHS) // 8
        self._when_there_is_space(lambda: _fill(fd, length, rest), need, at_once=first)
        self._begun = self._patient = True

    def _when_there_is_space(self, act: Callable[[], T], need_bytes: int, *, at_once: bool) -> T:
        while True:
            if at_once or self._free_bytes(self._directory) >= need_bytes:
                try:
                    done = act()
                except OSError as error:
                    if error.errno not in _FULL or not self._patient:
                        raise
                else:
                    self._waiting = False
                    return done
            at_once = False
            if not self._waiting:
                self._waiting = True
                log.warning("no space for the journal's next segment, waiting for %d bytes", need_bytes)
            if self._stopped.wait(self._poll_s):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def free_bytes_of(directory: Path) -> int:
    """Return how many bytes may still be written to the file system a folder lies on."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def _fill(fd: int, length: int, rest: Rest | None) -> None:
    try:
        DISK.fill(fd, length, rest)
    except OSError:
        # Whatever was taken is given back, to the read model among others. No page of it is synced
        # again: the next try writes new ones.
        DISK.truncate(fd, 0)
        raise


class StartReserve:
    """A file that is given up when taped starts on a full disk, so that at least reading works then.

    Args:
        data: the data folder.
        free_bytes: tells the free space of a folder's file system.

    Attributes:
        held: the space is held back.
    """

    def __init__(self, data: Path, *, free_bytes: Callable[[Path], int] | None = None) -> None:
        self._path = data / "start.reserve"
        self._free_bytes = free_bytes or free_bytes_of
        self.held = self._path.exists()

    def release(self) -> None:
        """Give the space back if there is little else."""
        if not self.held or self._free_bytes(self._path.parent) >= START_BYTES:
            return
        try:
            self._path.unlink()
        except OSError as error:
            log.warning("the disk is full, and %s cannot be given up: %s", self._path, error.strerror)
        else:
            self.held = False
            log.warning("the disk is full: %s was given up so that reading can start", self._path)

    def take(self) -> None:
        """Hold the space back where there is plenty."""
        if self._free_bytes(self._path.parent) < _PLENTY * START_BYTES:
            return
        draft = self._path.with_suffix(".tmp")
        try:
            draft.unlink(missing_ok=True)
            fd = DISK.create(draft)
            try:
                DISK.fill(fd, START_BYTES)
            finally:
                DISK.close(fd)
            DISK.rename(draft, self._path)
        except OSError as error:
            log.warning("no space is held back for the next start: %s", error)
        else:
            self.held = True
