"""Redis with `appendfsync always` as a peer of the journal: the same batches, pipelined over loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from schemas.codec import CODEC
from schemas.errors import TapedError
from schemas.events import Event

_START_SECONDS = 10


def installed() -> bool:
    """Return whether there is a redis-server to measure."""
    return shutil.which("redis-server") is not None


@contextmanager
def redis(folder: Path) -> Iterator[socket.socket]:
    """Run a server of our own on a Unix socket while the block runs; yield a connection."""
    folder.mkdir()
    command = ["redis-server", "--port", "0", "--unixsocket", "s", "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603  # no input of others
    try:
        yield _connect(folder)
    finally:
        server.terminate()
        server.wait(10)


def _connect(folder: Path) -> socket.socket:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.path.relpath(folder / "s"))
        except OSError:
            connection.close()
            time.sleep(0.05)
        else:
            return connection
    raise TapedError("redis-server did not start", hint="leave it out: it is measured only where installed")


def append(connection: socket.socket, events: Sequence[Event]) -> None:
    """Append each event as one list entry, all in one pipeline; returns when all are acknowledged."""
    commands = bytearray()
    for event in events:
        body = CODEC.encode([event])
        commands += b"*3\r\n$5\r\nRPUSH\r\n$1\r\nj\r\n$%d\r\n%b\r\n" % (len(body), body)
    connection.sendall(commands)
    left = len(events)
    while left:
        answer = connection.recv(65_536)
        if not answer or b"-" in answer:
            raise TapedError(f"redis-server refused: {answer[:100]!r}")
        left -= answer.count(b"\r\n")
