"""The lock that makes one process the journal's only writer.

The folder itself is locked (flock), so no removal or replacement of a file in it lets a second writer
in. `LOCK` only names the holder, for people; the kernel drops the lock with the process, so a killed
daemon leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from daemon.journal.errors import JournalError, JournalLockedError

_TRIES = 10
_PAUSE_S = 0.02


class JournalLock:
    """Holds a journal folder, which is made where there is none, until `release` or the process ends.

    Raises:
        JournalLockedError: somebody else holds it.
        JournalError: the folder cannot be made, opened or locked.
    """

    def __init__(self, directory: Path) -> None:
        self._name = directory / "LOCK"
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._fd = _open(directory)
        except OSError as error:
            raise JournalError(
                f"{directory}: {error.strerror}", hint="check space and permissions of the data folder"
            ) from error
        try:
            _lock(self._fd, directory)
        except BaseException:
            os.close(self._fd)
            raise
        _write_holder(self._name, f"{os.getpid()}\n")

    def release(self) -> None:
        """Let the journal go."""
        if self._fd >= 0:
            _write_holder(self._name, "")
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def holder(directory: Path) -> int | None:
    """Return the pid of the process that holds the journal (0: unknown), or None when nobody does."""
    try:
        fd = _open(directory)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(directory) or 0
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(fd)


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _lock(fd: int, directory: Path) -> None:
    """Lock the folder; `holder` has it for a moment when it looks, which is nobody's refusal."""
    for left in range(_TRIES, -1, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not left:
                raise JournalLockedError(directory, _read_holder(directory)) from None
            time.sleep(_PAUSE_S)
        except OSError as error:
            raise JournalError(
                f"{directory}: cannot be locked: {error.strerror}",
                hint="a journal needs a local file system",
            ) from error
        else:
            return


def _write_holder(path: Path, text: str) -> None:
    # On a full disk there may be no room for a name and a pid; the lock holds without them.
    with contextlib.suppress(OSError):
        path.write_text(text, encoding="ascii")


def _read_holder(directory: Path) -> int | None:
    try:
        text = (directory / "LOCK").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None
