"""What `backup.target` says: a folder, a disk by label or UUID, or a folder of another host; reaches none."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from schemas.errors import TapedError

_DISK = re.compile(r"(LABEL|UUID)=([^/]{1,64})((?:/.*)?)")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
SSH_PORT = 22
EXAMPLES = "/mnt/backup, LABEL=TAPED, UUID=1234-ABCD/pi or ssh://pi@nas/srv/taped"


class TargetTextError(TapedError):
    """The text names no place for backups."""


class FolderTarget(NamedTuple):
    """A folder of this machine."""

    path: Path


class DiskTarget(NamedTuple):
    """A disk that is mounted only for as long as it is needed, and a folder on it.

    `by` is LABEL or UUID, as blkid calls them.
    """

    by: str
    value: str
    folder: PurePosixPath


class HostTarget(NamedTuple):
    """A folder of another host, reached by rsync over ssh.

    `path` begins at the root, or without a slash at the home of the user; `user` may be empty.
    """

    user: str
    host: str
    port: int
    path: str


Target = FolderTarget | DiskTarget | HostTarget


def parse_target(text: str) -> Target:
    """Return the place that a text names.

    Raises:
        TargetTextError: it names none.
    """
    if text.startswith("ssh://"):
        return _host(text)
    disk = _DISK.fullmatch(text)
    if disk is not None:
        folder = PurePosixPath(disk[3].strip("/") or ".")
        if ".." in folder.parts:
            raise TargetTextError(f"{text}: the folder leads off the disk")
        return DiskTarget(disk[1], disk[2], folder)
    if not text or "\0" in text or re.match(r"[A-Za-z][A-Za-z0-9+.-]*(://|=)", text):
        raise TargetTextError(f"{text!r}: names no place for backups", hint=f"such as {EXAMPLES}")
    try:
        return FolderTarget(Path(text).expanduser())
    except RuntimeError as error:
        raise TargetTextError(f"{text}: {error}") from error


def _host(text: str) -> HostTarget:
    hint = "such as ssh://pi@nas/srv/taped, or ssh://pi@nas/~/taped below the home of the user"
    try:
        parts = urlsplit(text)
        port = parts.port or SSH_PORT
    except ValueError as error:
        raise TargetTextError(f"{text}: {error}", hint=hint) from error
    host, user, path = parts.hostname or "", parts.username or "", unquote(parts.path)
    # A name that begins with a dash would be an option of ssh.
    fits = _HOST.fullmatch(host) and (not user or _USER.fullmatch(user))
    if not fits or parts.password is not None or parts.query or parts.fragment:
        raise TargetTextError(f"{text}: expected ssh://user@host:port/folder, and no password", hint=hint)
    path = path.removeprefix("/~/").rstrip("/")
    if not path or not path.isprintable() or path.startswith("-"):
        raise TargetTextError(f"{text}: names no folder", hint=hint)
    return HostTarget(user, host, port, path)
