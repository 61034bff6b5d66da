"""All rows of a read model as bytes and back, by the names of tables and columns; no files.

A part is an array in msgpack: table, columns, rows. Later code finds columns by their names: one that
was not there yet gets what the schema gives where nothing is said (its DEFAULT, or NULL), one that
the schema does not have is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import apsw
import msgspec

from daemon.readmodel.content import tables_of
from daemon.readmodel.database import ReadModelError

ROWS_PER_PART = 2_000
TICKS_FROM = "ticks_from"
"""Beside what `meta` holds: tick rows up to this number were left out, as they are beyond the limit."""

_OWN = frozenset({"schema_version", "keep_ticks", "journal_id"})
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, list[str], list[list[Any]]]).decode


def dump_tables(connection: apsw.Connection, *, ticks_from: int) -> Iterator[bytes]:
    """Yield the rows of all tables; the search index is made from them again.

    Args:
        connection: in a transaction, or with nobody writing.
        ticks_from: up to where tick rows were left out.
    """
    for table, key in tables_of(connection):
        rows = connection.execute(f'SELECT * FROM "{table}" ORDER BY {key}')  # noqa: S608
        columns = list(_columns(connection, table))
        while chunk := list(islice(rows, ROWS_PER_PART)):
            yield _encode((table, columns, chunk))
    yield _encode(("meta", ["name", "value"], [(TICKS_FROM, ticks_from)]))


def load_tables(connection: apsw.Connection, parts: Iterable[bytes]) -> int:
    """Fill the tables of a fresh read model, in the caller's transaction; return `ticks_from`.

    Raises:
        ReadModelError: the rows are of another journal, or not of tables and columns known here.
    """
    tables = {table: _columns(connection, table) for table, _ in tables_of(connection)}
    meta: dict[str, Any] = {}
    for part in parts:
        try:
            table, names, rows = _decode(part)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ReadModelError(f"not rows of a read model: {error}") from error
        if table == "meta":
            meta.update(dict(rows))
            continue
        _check(table, names, tables)
        columns, marks = ", ".join(f'"{name}"' for name in names), ", ".join("?" * len(names))
        connection.executemany(f'INSERT INTO "{table}" ({columns}) VALUES ({marks})', rows)  # noqa: S608
    connection.execute("INSERT INTO events_text (events_text) VALUES ('rebuild')")
    return _load_meta(connection, meta)


def _columns(connection: apsw.Connection, table: str) -> dict[str, bool]:
    """Return each column and whether it must be given."""
    rows = connection.execute('SELECT name, "notnull", dflt_value, pk FROM pragma_table_info(?)', (table,))
    return {name: bool(notnull or pk) and default is None for name, notnull, default, pk in rows}


def _check(table: str, names: Sequence[str], tables: Mapping[str, Mapping[str, bool]]) -> None:
    known = tables.get(table)
    if known is None:
        raise ReadModelError(
            f"table {table!r} is not known here", hint="a newer taped wrote it: upgrade taped"
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ReadModelError(
            f"table {table!r} has a column {unknown[0]!r} that is not known here",
            hint="a newer taped wrote it: upgrade taped",
        )
    missing = [name for name, needed in known.items() if needed and name not in names]
    if missing:
        raise ReadModelError(f"table {table!r} lacks column {missing[0]!r}, which has no default")


def _load_meta(connection: apsw.Connection, meta: dict[str, Any]) -> int:
    own = dict(connection.execute("SELECT name, value FROM meta"))
    if meta.get("journal_id") != own["journal_id"]:
        raise ReadModelError(f"rows of journal {meta.get('journal_id')}, this one is {own['journal_id']}")
    ticks_from = int(meta.pop(TICKS_FROM, 0))
    unknown = sorted(meta.keys() - own.keys())
    if unknown:
        raise ReadModelError(f"meta has {unknown[0]!r}, which is not known here", hint="upgrade taped")
    values = [(value, name) for name, value in meta.items() if name not in _OWN]
    connection.executemany("UPDATE meta SET value = ? WHERE name = ?", values)
    return ticks_from
