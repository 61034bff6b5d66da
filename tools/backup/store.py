"""Where backups are kept, as files under names: a folder. Others copy to and from one (`remote.py`).

A file that has its name is whole: content is written under another name, synced, renamed, and the
folder synced. Whatever moment the process or the disk goes away, what was there before is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from daemon.journal.disk import DISK, Disk, make_folder
from tools.backup.errors import TargetError

PARTIAL = "partial"
"""Folder of a store for what has no name yet; whatever a crash leaves there is removed by the next run."""

MODE = 0o750


class Store(Protocol):
    """A tree of files that are written once.

    Attributes:
        where: what to call it to people.
    """

    where: str

    def listing(self, folder: str) -> dict[str, int]:
        """Return the files below a folder and their lengths; nothing where there is no such folder.

        Raises:
            TargetError: the store cannot be read.
        """

    def read(self, name: str, limit: int) -> bytes:
        """Return a short file's content.

        Raises:
            TargetError: it is not there, cannot be read, or is longer than the limit.
        """

    def write(self, content: bytes | Callable[[BinaryIO], object]) -> Path:
        """Write new content, durably but without a name, and return where; threads may call it at once.

        Args:
            content: the bytes, or what writes them to a file.

        Raises:
            TargetError: the store refused; what the callable raises passes through.
        """

    def put(self, draft: Path, name: str) -> None:
        """Give a draft its name, replacing what has it; whole and durable after `flush`.

        Raises:
            TargetError: the store refused.
        """

    def flush(self) -> None:
        """Return when all that was put is durable.

        Raises:
            TargetError: the store refused.
        """

    def fetch(self, names: Sequence[str]) -> Iterator[tuple[str, Path | None]]:
        """Yield each file as a path to read it from until the next one is asked for; None: it is missing.

        Raises:
            TargetError: the store cannot be read.
        """

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, durably; one that is not there is fine.

        Raises:
            TargetError: the store refused.
        """

    def free_bytes(self) -> int | None:
        """Return the free space, or None where nobody can tell."""


@contextmanager
def named(where: object, doing: str) -> Iterator[None]:
    """Turn an error of the operating system into one that says what could not be done where."""
    try:
        yield
    except OSError as error:
        raise TargetError(
            f"{where}: {doing}: {error.strerror or error}",
            hint="is the disk there, writable, and has it space? earlier backups are as they were",
        ) from error


class FolderStore:
    """A store in a folder of this machine, which must exist.

    Args:
        root: the folder.
        where: what to call it; the folder when empty.
        disk: where everything is written.

    Raises:
        TargetError: there is no such folder.
    """

    def __init__(self, root: Path, *, where: str = "", disk: Disk = DISK) -> None:
        self.where = where or str(root)
        self._root = root
        self._disk = disk
        self._unsynced: set[Path] = set()
        if not root.is_dir():
            raise TargetError(f"{self.where}: no such folder", hint="make it, or mount the disk that has it")

    def sweep(self) -> None:
        """Remove what earlier runs left unfinished; the caller has locked it."""
        with named(self.where, "clean up"):
            for path in self._inside(PARTIAL).glob("*"):
                self._disk.unlink(path)

    def _inside(self, name: str) -> Path:
        """Return where something lies in the store, refusing a way there that leads out of it.

        A disk that somebody else had in hand may hold links to folders of this machine, in which nothing
        may be written or removed.

        Raises:
            TargetError: a folder on the way is a link.
        """
        path = self._root
        for part in name.split("/"):
            path /= part
            if path.is_symlink() and (path.is_dir() or not path.exists()):
                raise TargetError(
                    f"{path}: is a link, where a backup's folder should be",
                    hint="remove it, and look who made it",
                )
        return path

    def listing(self, folder: str) -> dict[str, int]:
        """See `Store`."""
        found: dict[str, int] = {}
        base = self._inside(folder) if folder else self._root
        if not base.is_dir():
            return found
        with named(self.where, "list"):
            for place, _, names in os.walk(base, onerror=_raise):
                for name in names:
                    path = Path(place) / name
                    found[path.relative_to(self._root).as_posix()] = path.lstat().st_size
        return found

    def read(self, name: str, limit: int) -> bytes:
        """See `Store`."""
        with named(self.where, f"read {name}"), (self._root / name).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TargetError(f"{self.where}: {name} is longer than {limit} bytes")
        return data

    def write(self, content: bytes | Callable[[BinaryIO], object]) -> Path:
        """See `Store`."""
        folder = self._inside(PARTIAL)
        with named(self.where, "write"):
            make_folder(folder, mode=MODE, disk=self._disk)
            return write_synced(folder / uuid.uuid4().hex, content, disk=self._disk)

    def put(self, draft: Path, name: str) -> None:
        """See `Store`."""
        path = self._inside(name)
        with named(self.where, f"write {name}"):
            make_folder(path.parent, mode=MODE, disk=self._disk)
            self._disk.rename(draft, path)
        self._unsynced.add(path.parent)

    def flush(self) -> None:
        """See `Store`."""
        with named(self.where, "sync"):
            for folder in sorted(self._unsynced):
                self._disk.sync_directory(folder)
        self._unsynced.clear()

    def fetch(self, names: Sequence[str]) -> Iterator[tuple[str, Path | None]]:
        """See `Store`."""
        for name in names:
            path = self._root / name
            yield name, path if path.is_file() else None

    def remove(self, names: Iterable[str]) -> None:
        """See `Store`."""
        folders = set()
        with named(self.where, "remove"):
            for name in names:
                path = self._inside(name)
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(path)
                folders.add(path.parent)
            for folder in sorted(folders):
                if folder.is_dir():
                    self._disk.sync_directory(folder)

    def free_bytes(self) -> int | None:
        """See `Store`."""
        with named(self.where, "measure"):
            return shutil.disk_usage(self._root).free


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder against other runs of `taped backup`, until the block ends or the process does.

    Raises:
        TargetError: another one holds it, or it cannot be locked.
    """
    with named(folder, "lock"):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TargetError(
                f"{folder}: another run of `taped backup` uses this {what}", hint="try again when it is done"
            ) from None
        except OSError as error:
            raise TargetError(f"{folder}: cannot be locked: {error.strerror}") from error
        yield
    finally:
        os.close(fd)


def write_synced(path: Path, content: bytes | Callable[[BinaryIO], object], *, disk: Disk = DISK) -> Path:
    """Write a new file and make its content durable; nothing is left where that fails."""
    fd = disk.create(path)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
        disk.sync_file(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        disk.close(fd)
    return path


def _raise(error: OSError) -> None:
    raise error
