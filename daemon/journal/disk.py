"""The few file operations a journal is written with, in one place, so that faults can be put under it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_ZEROS = bytes(1 << 19)

Rest = Callable[[float], bool]
"""Called between pieces of a long job with the seconds the last one took; may sleep. True: hurry now."""


class Disk:
    """The real file system. Every method raises OSError as the call under it does."""

    def create(self, path: Path) -> int:
        """Open a new file for reading and writing; its name must be free."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def open(self, path: Path) -> int:
        """Open an existing file for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        """Write all the buffers one behind the other, however short each call falls."""
        length = sum(map(len, buffers))
        written = os.pwritev(fd, buffers, offset)
        if written == length:
            return
        rest = memoryview(b"".join(buffers))
        while written < length:
            step = os.pwrite(fd, rest[written:], offset + written)
            if step == 0:
                raise OSError(28, "the device took no byte")
            written += step

    def start_writing(self, fd: int, offset: int, length: int) -> None:
        """Let the device begin with written data now rather than at the sync; promises nothing.

        Linux writes the range out before it considers dropping it from memory (mm/fadvise.c). What the
        device refuses is told by the next sync.
        """
        os.posix_fadvise(fd, offset, length, os.POSIX_FADV_DONTNEED)

    def sync(self, fd: int) -> None:
        """Make written data durable."""
        os.fdatasync(fd)

    def sync_file(self, fd: int) -> None:
        """Make data and metadata (length) durable."""
        os.fsync(fd)

    def forget(self, fd: int) -> None:
        """Drop what memory holds of the file, so that the next read comes from the device.

        A failed sync leaves pages in memory that look written and never will be (Linux marks them
        clean); reading those after a restart would promise what the device does not hold.
        """
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def fill(self, fd: int, length: int, rest: Rest | None = None) -> None:
        """Take `length` bytes of disk with real zeros and make them durable.

        Zeros that were written, not reserved extents: a sync into them changes no metadata
        (1.7 times the durable rate of a growing file). A sync of another file waits for all that was
        written before it: one sync at the end of 64 MiB held up the journal's own for up to 30 ms, one
        behind each half mebibyte for 1 ms. So pieces are synced while there is somebody to rest for.
        """
        hurry = rest is None
        for offset in range(0, length, len(_ZEROS)):
            started = time.perf_counter()
            self.write(fd, [_ZEROS[: min(len(_ZEROS), length - offset)]], offset)
            if rest is not None and not hurry:
                os.fdatasync(fd)
                hurry = rest(time.perf_counter() - started)
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file to that length."""
        os.ftruncate(fd, length)

    def close(self, fd: int) -> None:
        """Close the file."""
        os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give the file another name, replacing what has it."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove the name."""
        path.unlink()

    def sync_directory(self, directory: Path) -> None:
        """Make names in the directory durable."""
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


DISK = Disk()
"""The disk everything uses unless a test puts another under it."""


def make_folder(folder: Path, *, mode: int = 0o777, disk: Disk = DISK) -> None:
    """Make a folder and those above it where they are not there; their names are durable on return.

    Raises:
        OSError: one cannot be made, or the device refused.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in made:
        disk.sync_directory(path.parent)
