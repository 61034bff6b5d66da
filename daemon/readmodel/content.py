"""A fingerprint of all that the read model shows, to prove that a rebuild gives the same."""

from __future__ import annotations

from hashlib import sha256
from itertools import islice
from pathlib import Path

import apsw
import msgspec

from daemon.readmodel.database import named_errors, open_reader

_CHUNK = 2_000
"""Rows that are hashed at once; part of the definition, as each chunk carries its length."""


def content_hash(path: Path) -> str:
    """Return the SHA-256 of every table's rows in order of the primary key, value types included.

    Only the search index is left out: it holds nothing that `events` does not, and its layout
    depends on how it grew.

    Raises:
        ReadModelError: the file cannot be read.
    """
    connection = open_reader(path)
    with named_errors(path, "hash"):
        try:
            return connection_hash(connection)
        finally:
            connection.close()


def connection_hash(connection: apsw.Connection) -> str:
    """Return the fingerprint of an open database, as of one moment."""
    digest = sha256()
    encode = msgspec.msgpack.Encoder().encode
    with connection:
        for name, key in tables_of(connection):
            digest.update(encode(["table", name]))
            rows = connection.execute(f'SELECT * FROM "{name}" ORDER BY {key}')  # noqa: S608
            # 0.9 µs a tick row of ten columns: fetching it is most of that.
            while chunk := list(islice(rows, _CHUNK)):
                digest.update(encode(chunk))
    return digest.hexdigest()


def tables_of(connection: apsw.Connection) -> list[tuple[str, str]]:
    """Return each table but the search index, by name, and its primary key as SQL."""
    names = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    found = []
    for (name,) in names.fetchall():
        columns = connection.execute(
            "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (name,)
        )
        found.append((str(name), ", ".join(f'"{column}"' for (column,) in columns)))
    return found
