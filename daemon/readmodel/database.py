"""Opens the read-model file: schema, identity, pragmas, and errors an operator can act on.

Everything that touches the file goes through apsw; two SQLite libraries on one file in one process
would drop each other's locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import apsw

from schemas.errors import TapedError

SCHEMA_VERSION = 4
KEEP_TICKS = 2_000_000
REBUILD_HINT = "stop taped, delete the file, run `taped replay rebuild`; the journal holds everything in it"
_SAME_FILES = ("", "-wal", "-shm")
INT64_MAX = 2**63 - 1


class ReadModelError(TapedError):
    """The read model cannot be used, or an event does not follow the last one in it."""


class ReadModelMismatchError(ReadModelError):
    """The file is sound but is not this journal's, or not of this version: retrying cannot help."""


@contextmanager
def named_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn SQLite's errors into one that names file, operation and cause."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise ReadModelError(f"{path}: {doing}: damaged ({error})", hint=REBUILD_HINT) from error
    except apsw.FullError as error:
        raise ReadModelError(
            f"{path}: {doing}: {error}", hint="free disk space; it goes on by itself"
        ) from error
    except apsw.CantOpenError as error:
        raise ReadModelError(
            f"{path}: {doing}: {error}", hint="is this a taped data folder that a daemon has written?"
        ) from error
    except apsw.IOError as error:
        raise ReadModelError(
            f"{path}: {doing}: {error}", hint="is the disk full, or failing? free space, or check the disk"
        ) from error
    except apsw.Error as error:
        raise ReadModelError(
            f"{path}: {doing}: {error}", hint="it can be rebuilt: `taped replay rebuild`"
        ) from error


def open_writer(path: Path, journal_id: str, keep_ticks: int | None = None) -> apsw.Connection:
    """Open the file for its one writer; make it where it is absent.

    Args:
        path: the file.
        journal_id: identity of the journal it must belong to.
        keep_ticks: limit of the tick tables, for a new file; an existing one keeps its own.

    Raises:
        ReadModelMismatchError: it belongs to another journal or a newer version of taped.
        ReadModelError: it is damaged or cannot be opened.
    """
    with named_errors(path, "open"):
        # SQLite gives its log and index the mode of the file: positions are not everybody's to read.
        path.touch(mode=0o640)
        connection = apsw.Connection(str(path), statementcachesize=200)
        try:
            connection.set_busy_timeout(1000)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA cache_size = -8000")
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            connection.create_scalar_function("taped_add", _exact_sum, 2, deterministic=True)
            if connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
                _create(connection, journal_id, KEEP_TICKS if keep_ticks is None else keep_ticks)
            _check(connection, path, journal_id)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open the file for reading only.

    Raises:
        ReadModelMismatchError: a newer version of taped wrote it.
        ReadModelError: there is no such file, or it is damaged.
    """
    with named_errors(path, "open"):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(1000)
            connection.execute("PRAGMA cache_size = -2000")
            _check(connection, path, None)
        except BaseException:
            connection.close()
            raise
    return connection


def merge_log(path: Path) -> None:
    """Bring what stands in the write-ahead log into the file itself; does nothing where there is none.

    Raises:
        ReadModelError: SQLite failed.
    """
    if path.exists():
        with named_errors(path, "merge log"):
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()


def remove(path: Path) -> None:
    """Delete a read model and what SQLite keeps beside it."""
    for suffix in _SAME_FILES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _exact_sum(*values: Any) -> int | str:
    """Add integers of any length, given as integers or text."""
    return storable(sum(map(int, values)))


def storable(value: int) -> int | str:
    """Return the value as SQLite can hold it: text beyond 64 bits."""
    return value if -INT64_MAX <= value <= INT64_MAX else str(value)


def _create(connection: apsw.Connection, journal_id: str, keep_ticks: int) -> None:
    with connection:
        connection.execute(resources.files("schemas").joinpath("read_model.sql").read_text(encoding="utf-8"))
        values = {
            "journal_id": journal_id,
            "schema_version": SCHEMA_VERSION,
            "keep_ticks": keep_ticks,
            "applied_seq": 0,
            "applied_ns": 0,
            "events_total": 0,
            "currency": "",
            "first_currency": "",
        }
        connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", values.items())


def _check(connection: apsw.Connection, path: Path, journal_id: str | None) -> None:
    try:
        meta = dict(connection.execute("SELECT name, value FROM meta"))
    except apsw.SQLError as error:
        raise ReadModelError(f"{path}: no read model ({error})", hint=REBUILD_HINT) from error
    version = meta.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ReadModelMismatchError(
            f"{path}: schema version {version}, this taped knows {SCHEMA_VERSION}", hint=REBUILD_HINT
        )
    if journal_id is not None and meta["journal_id"] != journal_id:
        raise ReadModelMismatchError(
            f"{path}: made from journal {meta['journal_id']}, this one is {journal_id}", hint=REBUILD_HINT
        )
