"""Rows as text that journal and database both can make, so that hashes of it can be compared.

A row is its fields with a bar between them: a number as its digits, a text with its length in front of
it, JSON as `jsonb` shows it, a time in microseconds since 1970, NULL as a tilde.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from daemon.sync.tables import Table

NULL = "~"


def row_text(kinds: Sequence[str], values: Sequence[Any]) -> str:
    """Return the text of a row that was made for the database; a timestamptz is given in nanoseconds."""
    return "|".join(
        [NULL if value is None else _TEXTS[kind](value) for kind, value in zip(kinds, values, strict=True)]
    )


def field_texts(kinds: Sequence[str], values: Sequence[Any]) -> list[str]:
    """Return the text of each field of such a row."""
    return [NULL if value is None else _TEXTS[kind](value) for kind, value in zip(kinds, values, strict=True)]


def row_sql(table: Table) -> str:
    """Return the expression that makes the same text of a row of the database."""
    return " || '|' || ".join(field_sql(table))


def field_sql(table: Table) -> list[str]:
    """Return an expression for each field of a row of the database."""
    return [
        f"coalesce({_SQL.get(kind, '{}::text').format(name)}, '{NULL}')"
        for name, kind in zip(table.columns, table.kinds, strict=True)
    ]


def jsonb_text(text: str) -> str:
    """Return JSON as PostgreSQL shows a `jsonb`: keys by length and bytes, numbers without exponent."""
    return _shown(json.loads(text, parse_float=Decimal))


def _shown(value: Any) -> str:
    match value:
        case dict():
            keys = sorted(value, key=_key_order)
            return "{" + ", ".join(f"{_string(key)}: {_shown(value[key])}" for key in keys) + "}"
        case list():
            return "[" + ", ".join(map(_shown, value)) + "]"
        case str():
            return _string(value)
        case Decimal():
            # A numeric knows no negative zero.
            return format(value or abs(value), "f")
        case _:
            return json.dumps(value)


def _key_order(key: str) -> tuple[int, bytes]:
    data = key.encode()
    return len(data), data


def _string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _sized(text: str) -> str:
    text = text.replace("\0", "\u2400")
    return f"{len(text)}:{text}"


_TEXTS: dict[str, Callable[[Any], str]] = {
    # By way of int, as the numbers of an enumeration are told.
    "smallint": lambda value: str(int(value)),
    "integer": lambda value: str(int(value)),
    "bigint": lambda value: str(int(value)),
    "boolean": lambda value: "true" if value else "false",
    "timestamptz": lambda value: str(value // 1000),
    "text": _sized,
    "jsonb": jsonb_text,
}
_SQL = {
    "text": "length({0}) || ':' || {0}",
    "timestamptz": "(extract(epoch FROM {0}) * 1000000)::bigint::text",
}
