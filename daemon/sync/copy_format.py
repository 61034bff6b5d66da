"""PostgreSQL's binary COPY format: rows of values to bytes; knows no tables of taped.

Layout: the PostgreSQL manual, COPY, "Binary Format". A row is the number of its fields, then for each
its length and its bytes; -1 for a length is NULL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"

EPOCH_US = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL's time begins."""

_SHORT = struct.Struct(">ih")
_INTEGER = struct.Struct(">ii")
_LONG = struct.Struct(">iq")
_BOOL = struct.Struct(">i?")
_LENGTH = struct.Struct(">i")
_COUNT = struct.Struct(">h")

MISFITS = (struct.error, OverflowError)
"""What is raised for a number that its column cannot hold."""


def text_field(text: str) -> bytes:
    """Return a text; in place of the character zero, which PostgreSQL cannot hold, stands its picture."""
    data = (text.replace("\0", "\u2400") if "\0" in text else text).encode()
    return _LENGTH.pack(len(data)) + data


def jsonb_field(text: str) -> bytes:
    """Return JSON without the escape of the character zero as `jsonb`, version 1 of its format."""
    data = text.encode()
    return _LENGTH.pack(len(data) + 1) + b"\x01" + data


def timestamp_field(ts_ns: int) -> bytes:
    """Return a time given in nanoseconds since 1970, rounded down to microseconds."""
    return _LONG.pack(8, ts_ns // 1000 - EPOCH_US)


_FIELDS: dict[str, Callable[[Any], bytes]] = {
    "smallint": lambda value: _SHORT.pack(2, value),
    "integer": lambda value: _INTEGER.pack(4, value),
    "bigint": lambda value: _LONG.pack(8, value),
    "boolean": lambda value: _BOOL.pack(1, value),
    "timestamptz": timestamp_field,
    "text": text_field,
    "jsonb": jsonb_field,
}

KINDS = frozenset(_FIELDS)
"""Types of columns that can be written."""


def encode_row(kinds: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return one row.

    Args:
        kinds: types of the columns.
        values: one for each; a timestamptz is given in nanoseconds since 1970.

    Raises:
        struct.error: a number does not fit its column; see `MISFITS`.
    """
    fields = [
        NULL if value is None else _FIELDS[kind](value) for kind, value in zip(kinds, values, strict=True)
    ]
    return _COUNT.pack(len(fields)) + b"".join(fields)
