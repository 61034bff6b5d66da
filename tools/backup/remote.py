"""A store on another host: rsync over ssh, by keys alone and to a host whose key is known.

What is written is staged here and sent in parcels; what is read is fetched in parcels and removed again.
rsync gives a file its name when it is whole. A line that breaks leaves files with other names behind,
which nobody counts, and which `taped backup prune` removes.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from daemon.backup_target import HostTarget
from tools.backup.errors import TargetError
from tools.backup.store import named, write_synced

PARCEL_BYTES = 256 << 20
PARCEL_FILES = 16
STALLED_S = 120
CONNECT_S = 20
_ABSENT = 23
"""rsync: some files could not be transferred."""

_VANISHED = 24
_LINE = re.compile(r"-\S+\s+([\d,]+)\s+\d{4}/\d\d/\d\d\s+\d\d:\d\d:\d\d\s+(.+)")
_MAX_TOLD = 300


class HostStore:
    """A store in a folder of another host, which must exist.

    Args:
        target: where.
        staging: an empty folder here.
        key: private key to log in with; ssh's own where None.
        known_hosts: file of the host's key; ssh's own where None.

    Raises:
        TargetError: rsync or ssh is absent, the host cannot be reached, or there is no such folder.
    """

    def __init__(
        self, target: HostTarget, staging: Path, *, key: Path | None = None, known_hosts: Path | None = None
    ) -> None:
        user = f"{target.user}@" if target.user else ""
        self.where = f"ssh://{user}{target.host}:{target.port}/{target.path.lstrip('/')}"
        host = f"[{target.host}]" if ":" in target.host else target.host
        self._login = f"{user}{target.host}"
        self._place = f"{user}{host}:{target.path}/"
        self._path = target.path
        # One login for all that follows. A socket's path must be short, so it is not in the staging folder.
        self._sockets = tempfile.TemporaryDirectory(prefix="taped-ssh-")
        self._ssh = ["ssh", "-p", str(target.port), *_options(key, known_hosts, Path(self._sockets.name))]
        self._out, self._in, self._drafts = (staging / name for name in ("out", "in", "drafts"))
        for folder in (self._out, self._in, self._drafts):
            folder.mkdir()
        self._waiting = 0
        try:
            told = self._rsync("list", ["-r", "--list-only", self._place])
        except BaseException:
            self.close()
            raise
        lines = (_LINE.fullmatch(line) for line in told.splitlines())
        self._listed = {line[2]: int(line[1].replace(",", "")) for line in lines if line is not None}

    def close(self) -> None:
        """End the login."""
        command = [*self._ssh, "-O", "exit", self._login]
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, capture_output=True, check=False, timeout=CONNECT_S)  # noqa: S603
        self._sockets.cleanup()

    def _rsync(
        self, doing: str, words: Sequence[str], *, names: Iterable[str] | None = None, fine: int = 0
    ) -> str:
        """Run rsync and return what it says; `fine` is an exit code that is fine beside 0."""
        command = [
            "rsync",
            f"--rsh={shlex.join(self._ssh)}",
            "--protect-args",
            "--no-human-readable",
            f"--timeout={STALLED_S}",
            *words,
        ]
        listed = None if names is None else "\0".join(names).encode()
        try:
            done = subprocess.run(command, input=listed, capture_output=True, check=False)  # noqa: S603
        except OSError as error:
            raise TargetError(
                f"{self.where}: rsync cannot be run: {error.strerror}",
                hint="apt install rsync openssh-client",
            ) from error
        if done.returncode not in {0, fine}:
            told = " ".join(done.stderr.decode("utf-8", "replace").split())[-_MAX_TOLD:]
            raise TargetError(
                f"{self.where}: {doing}: rsync ended with {done.returncode}: {told}",
                hint="is the host there, its key known, the folder made, rsync installed there? "
                "earlier backups are as they were",
            )
        return done.stdout.decode("utf-8", "replace")

    def listing(self, folder: str) -> dict[str, int]:
        """See `Store`."""
        # Asked once: whoever changes something there holds the store.
        prefix = f"{folder}/" if folder else ""
        return {name: size for name, size in self._listed.items() if name.startswith(prefix)}

    def read(self, name: str, limit: int) -> bytes:
        """See `Store`."""
        for _, path in self.fetch([name]):
            if path is None:
                raise TargetError(f"{self.where}: read {name}: No such file")
            if path.stat().st_size > limit:
                raise TargetError(f"{self.where}: {name} is longer than {limit} bytes")
            return path.read_bytes()
        raise AssertionError("each name is yielded")

    def write(self, content: bytes | Callable[[BinaryIO], object]) -> Path:
        """See `Store`."""
        with named(self._drafts, "write"):
            return write_synced(self._drafts / uuid.uuid4().hex, content)

    def put(self, draft: Path, name: str) -> None:
        """See `Store`."""
        staged = self._out / name
        with named(staged, "stage"):
            staged.parent.mkdir(parents=True, exist_ok=True)
            draft.rename(staged)
            self._listed[name] = staged.stat().st_size
            self._waiting += self._listed[name]
        if self._waiting >= PARCEL_BYTES:
            self.flush()

    def flush(self) -> None:
        """See `Store`."""
        if not any(self._out.iterdir()):
            return
        # Without times a file that is there is sent again, which is meant where it is to be replaced.
        self._rsync("send", ["-r", "--fsync", "--chmod=D750,F640", f"{self._out}/", self._place])
        with named(self._out, "clean up"):
            shutil.rmtree(self._out)
            self._out.mkdir()
        self._waiting = 0

    def fetch(self, names: Sequence[str]) -> Iterator[tuple[str, Path | None]]:
        """See `Store`."""
        for at in range(0, len(names), PARCEL_FILES):
            parcel = names[at : at + PARCEL_FILES]
            words = ["-r", "--from0", "--files-from=-", self._place, f"{self._in}/"]
            self._rsync("fetch", words, names=parcel, fine=_ABSENT)
            for name in parcel:
                path = self._in / name
                yield name, path if path.is_file() else None
            with named(self._in, "clean up"):
                shutil.rmtree(self._in)
                self._in.mkdir()

    def remove(self, names: Iterable[str]) -> None:
        """See `Store`."""
        listed = list(names)
        empty = self._in / "nothing"
        for at in range(0, len(listed), 1000):
            with named(empty, "make"):
                # What is missing is removed there only where its folder is here.
                for folder in {(empty / name).parent for name in listed[at : at + 1000]}:
                    folder.mkdir(parents=True, exist_ok=True)
            words = ["-r", "--from0", "--files-from=-", "--delete-missing-args", f"{empty}/", self._place]
            self._rsync("remove", words, names=listed[at : at + 1000], fine=_VANISHED)
        for name in listed:
            self._listed.pop(name, None)

    def free_bytes(self) -> int | None:
        """Return the free space there, or None where the key allows nothing but rsync."""
        command = [*self._ssh, self._login, f"df -Pk {shlex.quote(self._path)}"]
        try:
            done = subprocess.run(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=STALLED_S,
            )
            return int(done.stdout.splitlines()[-1].split()[3]) * 1024
        except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
            return None


def _options(key: Path | None, known_hosts: Path | None, sockets: Path) -> list[str]:
    settings = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "PasswordAuthentication": "no",
        "ConnectTimeout": str(CONNECT_S),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "ControlMaster": "auto",
        "ControlPath": str(sockets / "s"),
        "ControlPersist": "60",
    }
    if key is not None:
        settings["IdentitiesOnly"] = "yes"
    if known_hosts is not None:
        settings["UserKnownHostsFile"] = str(known_hosts)
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return [*words, *(["-i", str(key)] if key is not None else [])]
