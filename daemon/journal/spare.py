"""The file that becomes the next segment: full size, full of zeros, made ahead of need."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

from daemon.journal.disk import Disk


class Spare:
    """The next segment's file, filled with zeros in the background so that a roll does not wait for it.

    While nobody waits for it, filling rests after each piece for as long as that took: for half of
    the time the disk is the journal's alone.
    """

    def __init__(self, directory: Path, disk: Disk, segment_bytes: int) -> None:
        self._path = directory / "spare.tmp"
        self._disk = disk
        self._bytes = segment_bytes
        self._thread: threading.Thread | None = None
        self._fd = -1
        self._error: OSError | None = None
        self._wanted = threading.Event()
        self.bytes_filled = 0

    def prepare(self) -> None:
        """Begin to fill the file."""
        self._wanted.clear()
        self._thread = threading.Thread(target=self._fill, name="taped-spare", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        fd = -1
        try:
            fd = self._disk.create(self._path)
            self._disk.fill(fd, self._bytes, self._wanted.wait)
            self.bytes_filled += self._bytes
            self._fd = fd
        except OSError as error:
            self._error = error
            if fd >= 0:
                self._disk.close(fd)
                with contextlib.suppress(OSError):
                    self._disk.unlink(self._path)

    def take(self) -> tuple[Path, int]:
        """Return the filled file; waits for it, and fills it now when nobody began to.

        Raises:
            OSError: the disk did not give the space.
        """
        self._wanted.set()
        if self._thread is None:
            self._fill()
        else:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error
        fd, self._fd = self._fd, -1
        return self._path, fd

    def discard(self) -> None:
        """Give the file's space back."""
        if self._thread is None:
            return
        self._wanted.set()
        self._thread.join()
        self._thread = None
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1
            self._disk.unlink(self._path)
