"""runs.db: the runs of one data folder, or those of a user over files. aiosqlite opens it, never apsw.

Several processes may use one catalogue: each call opens it, and waits up to `WAIT_S` for the lock of its one
transaction. SQLite keeps a rollback journal. The oldest runs go when there are over `MAX_RUNS`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import aiosqlite
import msgspec

from replay.runs.record import Run, identity_sha256
from schemas.errors import TapedError

DATABASE = "runs.db"
SCHEMA_VERSION = 1
MAX_RUNS = 10_000
WAIT_S = 10.0
_SCHEMA = """
CREATE TABLE runs (
    run           INTEGER PRIMARY KEY AUTOINCREMENT, -- a number is never given twice
    recorded_ns   INTEGER NOT NULL,
    origin        TEXT NOT NULL,
    strategy      TEXT NOT NULL,
    spec_sha256   TEXT NOT NULL,
    result_sha256 TEXT NOT NULL,
    record        TEXT NOT NULL                      -- JSON of replay.runs.record.Run
) STRICT;
CREATE INDEX runs_of_strategy ON runs (strategy);
CREATE TABLE hashes (                                -- of data that earlier runs took
    identity_sha256 TEXT PRIMARY KEY,
    data_sha256     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
_Answer = TypeVar("_Answer")


class CatalogueError(TapedError):
    """A catalogue cannot be used: damaged, of a newer version, in use for too long, or not there."""


class Listing(NamedTuple):
    """Runs, and the numbers of those whose record cannot be read."""

    runs: list[Run]
    unreadable: list[int]


class Catalogue:
    """One catalogue, by its file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def add(self, run: Run) -> Run:
        """Keep a run; return it with its number.

        Raises:
            CatalogueError: the catalogue cannot be used.
        """
        async with self._open(create=True) as database:
            await database.execute("BEGIN IMMEDIATE")
            cursor = await database.execute(
                "INSERT INTO runs (recorded_ns, origin, strategy, spec_sha256, result_sha256, record)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    run.recorded_ns,
                    run.origin,
                    run.spec.strategy,
                    run.spec.sha256,
                    run.result_sha256,
                    msgspec.json.encode(run, order="deterministic").decode(),
                ),
            )
            number = cursor.lastrowid
            assert number is not None
            await database.execute("DELETE FROM runs WHERE run <= ?", (number - MAX_RUNS,))
            if run.data_sha256:
                await database.execute(
                    "INSERT OR REPLACE INTO hashes VALUES (?, ?)",
                    (identity_sha256(run.identity), run.data_sha256),
                )
            await database.execute(
                "DELETE FROM hashes WHERE (SELECT count(*) FROM hashes) > ? AND identity_sha256 <> ?",
                (MAX_RUNS, identity_sha256(run.identity)),
            )
            await database.commit()
        return msgspec.structs.replace(run, number=number)

    async def runs(self, *, strategy: str | None = None, limit: int = MAX_RUNS) -> Listing:
        """Return runs, newest first.

        Raises:
            CatalogueError: the catalogue cannot be used.
        """
        where, values = ("WHERE strategy = ?", [strategy]) if strategy is not None else ("", [])
        query = f"SELECT run, record FROM runs {where} ORDER BY run DESC LIMIT ?"  # noqa: S608 - ours
        async with self._open() as database:
            rows = await database.execute_fetchall(query, [*values, limit])
        found: list[Run] = []
        unreadable: list[int] = []
        for number, text in rows:
            try:
                found.append(_read(self.path, number, text))
            except CatalogueError:
                unreadable.append(number)
        return Listing(found, unreadable)

    async def get(self, numbers: Sequence[int]) -> list[Run]:
        """Return the runs of these numbers, in this order.

        Raises:
            CatalogueError: the catalogue cannot be used, or has no such run.
        """
        found: list[Run] = []
        async with self._open() as database:
            for number in numbers:
                rows = list(
                    await database.execute_fetchall("SELECT run, record FROM runs WHERE run = ?", [number])
                )
                if not rows:
                    raise CatalogueError(
                        f"{self.path}: there is no run {number}", hint="`taped replay runs list` shows them"
                    )
                found.append(_read(self.path, *rows[0]))
        return found

    async def remove(self, numbers: Sequence[int]) -> None:
        """Forget runs, all of them or none.

        Raises:
            CatalogueError: the catalogue cannot be used, or has no such run.
        """
        async with self._open() as database:
            await database.execute("BEGIN IMMEDIATE")
            for number in numbers:
                cursor = await database.execute("DELETE FROM runs WHERE run = ?", [number])
                if cursor.rowcount != 1:
                    raise CatalogueError(f"{self.path}: there is no run {number}; none was removed")
            await database.commit()

    async def known_hash(self, identity_hash: str) -> str | None:
        """Return the hash of data that an earlier run took.

        Raises:
            CatalogueError: the catalogue cannot be used.
        """
        if not self.path.exists():
            return None
        async with self._open() as database:
            rows = list(
                await database.execute_fetchall(
                    "SELECT data_sha256 FROM hashes WHERE identity_sha256 = ?", [identity_hash]
                )
            )
        return str(rows[0][0]) if rows else None

    @asynccontextmanager
    async def _open(self, *, create: bool = False) -> AsyncIterator[aiosqlite.Connection]:
        """Open the file, check what it is, and name what SQLite complains of."""
        if not create and not self.path.exists():
            raise CatalogueError(
                f"{self.path}: no run was recorded here", hint="`taped replay backtest` records each run"
            )
        try:
            if create:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # What strategies earn is not everybody's to read.
                self.path.touch(mode=0o640)
            # What cannot be opened is told here: the thread of a connection that failed outlives the loop,
            # and complains of that.
            self.path.open("rb").close()
            async with aiosqlite.connect(self.path, timeout=WAIT_S, isolation_level=None) as database:
                await self._check(database)
                yield database
        except (aiosqlite.Error, OSError) as error:
            raise CatalogueError(
                f"{self.path}: {error}", hint="move it away to begin a new catalogue, if it is damaged"
            ) from error

    async def _check(self, database: aiosqlite.Connection) -> None:
        version = await _version(database)
        if version == 0:
            # Whoever has the lock makes the tables; the others find them when they get it.
            await database.execute("BEGIN IMMEDIATE")
            if await _version(database) == 0:
                for statement in _SCHEMA.split(";\n"):
                    await database.execute(statement)
                await database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            await database.commit()
            version = await _version(database)
        if version > SCHEMA_VERSION:
            raise CatalogueError(
                f"{self.path}: of version {version}, this taped knows {SCHEMA_VERSION}",
                hint="a newer taped made it",
            )


def wait_for(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Return what a call of a catalogue gives, for callers without a loop."""
    return asyncio.run(work)


def catalogue_of(data: Sequence[str]) -> Catalogue:
    """Return the catalogue of what a spec names: that of its data folder, for files the user's."""
    first = Path(data[0])
    if first.is_dir():
        return Catalogue(first / DATABASE)
    return users_catalogue()


def users_catalogue() -> Catalogue:
    """Return the catalogue of runs over files, in the user's folder of state."""
    state = os.environ.get("XDG_STATE_HOME") or ""
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return Catalogue(folder / "taped" / DATABASE)


async def _version(database: aiosqlite.Connection) -> int:
    rows = list(await database.execute_fetchall("PRAGMA user_version"))
    return int(rows[0][0])


def _read(path: Path, number: int, text: str) -> Run:
    try:
        run = msgspec.json.decode(text, type=Run)
    except (msgspec.DecodeError, TapedError) as error:
        raise CatalogueError(f"{path}: run {number} cannot be read: {error}") from error
    return msgspec.structs.replace(run, number=number)
