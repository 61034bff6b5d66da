"""Starts a real daemon for a benchmark and stops it by its own pid."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.errors import TapedError

START_SECONDS = 30


class Running(NamedTuple):
    """A daemon that answers."""

    pid: int
    host: str
    port: int
    data: Path


@contextmanager
def demo(data: Path, *flags: str) -> Iterator[Running]:
    """Run `taped demo` on a free loopback port while the block runs."""
    with running(data, "demo", *flags) as found:
        yield found


@contextmanager
def running(data: Path, command: str, *flags: str) -> Iterator[Running]:
    """Run a command that starts a daemon, on a free loopback port, while the block runs."""
    words = ["-m", "tools.cli", command, "--json", "--port", "0", "--data", str(data), *flags]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)  # noqa: S603  # our own program
    try:
        yield _started(process, data)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _started(process: subprocess.Popen[bytes], data: Path) -> Running:
    assert process.stdout is not None
    text = b""
    for line in process.stdout:
        text += line
        if line.startswith(b"}"):
            host, _, port = msgspec.json.decode(text)["url"].removeprefix("http://").rpartition(":")
            return Running(process.pid, host, int(port), data)
    raise TapedError("the daemon under test did not start", hint="try `taped demo`")


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Return a process's resident memory in MB as the kernel counts it."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise TapedError(f"process {pid} has no {field}")


def child_of(pid: int, module: str) -> int | None:
    """Return the process that a process has started to run a module; None while there is none."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # It has ended meanwhile.
        if module.encode() in words:
            return int(child)
    return None
