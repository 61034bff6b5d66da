"""A file system that forgets: what was not synced may be lost, torn or reordered at a power cut.

The real files below are what the running system sees. Beside them the model keeps what the device
holds: the content of each file at its last sync, and the names of each directory at its last sync. At a
power cut every unsynced write (in pieces), truncation, rename, creation and removal is kept or lost
as the test chooses. A folder whose own name was not synced is lost with all in it. That is harsher
than ext4, and as harsh as POSIX allows.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path

from daemon.journal.disk import Disk, Rest

PIECE = 512
"""Bytes of a write that reach the device together; two pieces of one page may have different fates."""


class PowerCut(BaseException):
    """The machine stops before this call; no handler of the code under test may answer it."""


class File:
    """One inode: what the device holds, and what it was only told."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.pending: list[tuple[int, bytes] | int] = []  # A write at an offset, or a length to cut to.

    def write(self, data: bytes, offset: int) -> None:
        # A piece that the device holds already has no fate worth trying: most of them are padding.
        untouched = not self.pending
        for start in range(0, len(data), PIECE):
            piece, at = data[start : start + PIECE], offset + start
            if not (untouched and self.durable[at : at + PIECE] == piece):
                self.pending.append((at, piece))

    def settle(self) -> None:
        self.durable = self.image([True] * len(self.pending))
        self.pending = []

    def image(self, kept: Sequence[bool]) -> bytes:
        content = bytearray(self.durable)
        for change, keep in zip(self.pending, kept, strict=True):
            if not keep:
                continue
            if isinstance(change, int):
                content[change:] = bytes(max(0, change - len(content)))
                continue
            offset, data = change
            content.extend(bytes(max(0, offset + len(data) - len(content))))
            content[offset : offset + len(data)] = data
        return bytes(content)


Name = tuple[Path, File | None]
"""A name and the file it stands for; None: the name is gone."""


class FaultDisk(Disk):
    """A disk for one journal folder, with a clock of calls at which things go wrong.

    Attributes:
        calls: names of the calls so far.
        cut_at: number of the call at which the power goes, or None.
        cut_again: for scripts that set `cut_at` themselves: how many calls later the power goes.
        fail_at: number of the call that fails with `fail_with`, or None.
        fail_on: only calls of this name count for `fail_at`, or None: all do.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[str] = []
        self.cut_at: int | None = None
        self.cut_again: int | None = None
        self.fail_at: int | None = None
        self.fail_on: str | None = None
        self.fail_with = 5
        self._files: dict[int, File] = {}
        self._names: dict[Path, File] = {}
        self._durable_names: dict[Path, File] = {}
        self._pending_names: list[list[Name]] = []
        self._folder_durable = False
        self._durable_folders: set[Path] = set()

    def reset(self) -> None:
        """Let nothing go wrong any more, and count from zero."""
        self.calls.clear()
        self.cut_at = self.fail_at = self.fail_on = None

    def _step(self, name: str) -> None:
        if self.cut_at is not None and len(self.calls) >= self.cut_at:
            raise PowerCut
        self.calls.append(name)
        counted = len(self.calls) if self.fail_on is None else self.calls.count(self.fail_on)
        if self.fail_on in (None, name) and counted - 1 == self.fail_at:
            raise OSError(self.fail_with, os.strerror(self.fail_with))

    def create(self, path: Path) -> int:
        self._step("create")
        fd = super().create(path)
        self._files[fd] = self._names[path] = File()
        self._pending_names.append([(path, self._files[fd])])
        return fd

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self._files[fd] = self._names[path]
        return fd

    def write(self, fd: int, buffers: Sequence[bytes], offset: int) -> None:
        data = b"".join(buffers)
        try:
            self._step("write")
        except OSError:
            # A write that fails may have reached the file in part.
            data = data[: len(data) // 2]
            os.pwrite(fd, data, offset)
            self._files[fd].write(data, offset)
            raise
        os.pwrite(fd, data, offset)
        self._files[fd].write(data, offset)

    def sync(self, fd: int) -> None:
        self._sync("sync", fd)

    def sync_file(self, fd: int) -> None:
        self._sync("sync_file", fd)

    def _sync(self, name: str, fd: int) -> None:
        try:
            self._step(name)
        except OSError:
            # As Linux does: the pages count as clean from now on, and never reach the device.
            self._files[fd].pending = []
            raise
        self._files[fd].settle()

    def forget(self, fd: int) -> None:
        file = self._files[fd]
        content = file.image([True] * len(file.pending))
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)

    def fill(self, fd: int, length: int, rest: Rest | None = None) -> None:
        self._step("fill")
        os.ftruncate(fd, length)
        self._files[fd].pending.append((0, bytes(length)))
        self._step("fill")
        self._files[fd].settle()

    def truncate(self, fd: int, length: int) -> None:
        self._step("truncate")
        os.ftruncate(fd, length)
        self._files[fd].pending.append(length)

    def close(self, fd: int) -> None:
        self._files.pop(fd)
        super().close(fd)

    def rename(self, old: Path, new: Path) -> None:
        self._step("rename")
        super().rename(old, new)
        self._names[new] = self._names.pop(old)
        self._pending_names.append([(old, None), (new, self._names[new])])

    def unlink(self, path: Path) -> None:
        self._step("unlink")
        super().unlink(path)
        del self._names[path]
        self._pending_names.append([(path, None)])

    def sync_directory(self, directory: Path) -> None:
        self._step("sync_directory")
        if directory == self.folder.parent:
            self._folder_durable = True
        self._durable_folders.update(path for path in directory.iterdir() if path.is_dir())
        for names in self._pending_names:
            _apply(self._durable_names, [name for name in names if name[0].parent == directory])
        self._pending_names = [n for n in self._pending_names if n[0][0].parent != directory]

    def unsynced(self) -> int:
        """Return how many things a power cut would decide on now."""
        files = {id(file): file for file in self._all_files()}
        return len(self._pending_names) + sum(len(file.pending) for file in files.values()) + self._may_vanish

    @property
    def _may_vanish(self) -> bool:
        return not self._folder_durable

    def _all_files(self) -> list[File]:
        named = [file for names in self._pending_names for _, file in names if file is not None]
        unique = {id(file): file for file in [*self._durable_names.values(), *named]}
        return list(unique.values())

    def image(self, kept: Sequence[bool]) -> dict[Path, bytes]:
        """Return the files after a power cut that kept those of the unsynced changes."""
        fates = iter(kept)
        if self._may_vanish and not next(fates):
            return {}
        names = dict(self._durable_names)
        for change in self._pending_names:
            if next(fates):
                _apply(names, change)
        contents = {}
        for file in self._all_files():
            contents[id(file)] = file.image([next(fates) for _ in file.pending])
        there = {self.folder, *self._durable_folders}
        return {path: contents[id(file)] for path, file in names.items() if path.parent in there}

    def images(self, limit: int) -> Iterator[dict[Path, bytes]]:
        """Yield every different state a power cut may leave; at most 2 ** limit choices are tried."""
        count = self.unsynced()
        assert count <= limit, f"{count} unsynced changes: too long a history to try all"
        seen = set()
        for kept in product((True, False), repeat=count):
            image = self.image(kept)
            key = hash(tuple(sorted(image.items())))
            if key not in seen:
                seen.add(key)
                yield image

    def cut_power(self, keep: Callable[[], bool]) -> None:
        """Leave on disk what the device holds, each unsynced change as `keep` decides."""
        image = self.image([keep() for _ in range(self.unsynced())])
        lay_out(self.folder, image)
        self.adopt(image)

    def adopt(self, image: dict[Path, bytes]) -> None:
        """Take these files for what the device holds."""
        self._names = {path: File(content) for path, content in image.items()}
        self._durable_names = dict(self._names)
        self._pending_names = []
        self._folder_durable = self._folder_durable or bool(image)
        self._durable_folders = {path.parent for path in image}
        self._files = {}


def _apply(names: dict[Path, File], change: Sequence[Name]) -> None:
    for path, file in change:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def lay_out(folder: Path, image: dict[Path, bytes]) -> None:
    """Make the folder hold exactly these files; their paths lie in or below it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in image.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
