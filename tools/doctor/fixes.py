"""The doctor's own remedies: each is one command or one file, shown before it is done."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.doctor.finding import Fix

_TIMEOUT_S = 60.0


def enable_unit(unit: str) -> Fix:
    """Let systemd start a unit now and at each boot."""
    return _command(("systemctl", "enable", "--now", unit))


def set_mode(path: Path, mode: int) -> Fix:
    """Give a file other permissions."""
    return Fix(f"chmod {mode:04o} {shlex.quote(str(path))}", lambda: path.chmod(mode))


def write_file(path: Path, text: str, *, then: Sequence[str] = ()) -> Fix:
    """Put a small file in place, and run a command that reads it."""

    def apply() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if then:
            _run(then)

    shown = f"echo {shlex.quote(text.rstrip())} > {shlex.quote(str(path))}"
    return Fix(f"{shown} && {shlex.join(then)}" if then else shown, apply)


def write_values(paths: Sequence[Path], value: str) -> Fix:
    """Write one value to files of the kernel, which holds until the next boot."""

    def apply() -> None:
        for path in paths:
            path.write_text(value, encoding="ascii")

    return Fix(f"echo {value} | tee {shlex.join(map(str, paths))}", apply)


def _command(words: Sequence[str]) -> Fix:
    return Fix(shlex.join(words), lambda: _run(words))


def _run(words: Sequence[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # Fixed words, no shell.
            list(words), stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{words[0]} did not end within {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or "it said nothing"
        raise OSError(f"{words[0]} ended with {done.returncode}: {said}")
