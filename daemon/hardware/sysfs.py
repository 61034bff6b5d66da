"""Small files of the kernel: one value each, read afresh every time, None for whatever goes wrong.

A file may be missing, vanish while it is read, be renumbered at the next boot, refuse an I/O, or hold
garbage. None of it is an error here: a value that cannot be read is not known.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

MAX_BYTES = 4096
_BEYOND = 2**63


def read_text(path: Path) -> str | None:
    """Return the text of a small file without its trailing newline, or None."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        return os.read(fd, MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError):
        return None
    finally:
        os.close(fd)


def read_number(path: Path) -> int | None:
    """Return the integer of 64 bits a file holds, or None."""
    text = read_text(path)
    try:
        number = None if text is None else int(text)
    except ValueError:
        return None
    return number if number is not None and abs(number) < _BEYOND else None


def read_milli(path: Path) -> float | None:
    """Return a value that the kernel gives in thousandths, or None."""
    number = read_number(path)
    return None if number is None else number / 1000


def devices(root: Path, kind: str, name: str) -> Iterator[Path]:
    """Yield the folders of `/sys/class/KIND` whose driver bears a name, whatever their number is now.

    Args:
        root: where `/sys` is looked for.
        kind: `hwmon` or `thermal`.
        name: what the folder's file `name`, or `type`, holds.
    """
    try:
        folders = sorted((root / "sys/class" / kind).iterdir())
    except OSError:
        return
    for folder in folders:
        if name in (read_text(folder / "name"), read_text(folder / "type")):
            yield folder


def read_pressure(path: Path) -> float | None:
    """Return the share of the last 10 s in which some task had to wait, in percent, or None.

    Source: the kernel's Documentation/accounting/psi.rst: `some avg10=0.12 avg60=... total=...`.
    """
    line = (read_text(path) or "").partition("\n")[0]
    word = line.partition("avg10=")[2].partition(" ")[0]
    return _finite(word) if line.startswith("some ") else None


def read_table(path: Path) -> dict[str, int]:
    """Return the rows of a table such as `/proc/meminfo` in bytes; rows that are none are left out."""
    rows: dict[str, int] = {}
    for line in (read_text(path) or "").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isascii() and words[0].isdigit():
            rows[name] = min(int(words[0]) * (1024 if words[1:] == ["kB"] else 1), _BEYOND - 1)
    return rows


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
