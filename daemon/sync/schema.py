"""Brings schema `taped` of a database to this taped's version; ships nothing, drops nothing.

Steps go forward only. All that are missing are applied in one transaction, under a lock that daemons
which start at the same time wait for; a database that a newer taped has changed is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from importlib import resources
from typing import Any, Protocol

import msgspec

from schemas.errors import TapedError

LOCK = 0x7461706564
"""Advisory lock of whoever changes the schema: `taped` in ASCII."""

LOCK_TIMEOUT_S = 30


class SchemaError(TapedError):
    """The database's schema is not one this taped can use."""


class Connection(Protocol):
    """What is used of an asyncpg connection."""

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """Begin a transaction that ends with the block."""

    async def execute(self, query: str, /, *args: Any) -> str:
        """Execute a statement; a script of several, where there are no arguments."""

    async def fetch(self, query: str, /, *args: Any) -> list[Any]:
        """Return all rows."""

    async def fetchval(self, query: str, /, *args: Any) -> Any:
        """Return the first column of the first row, or None."""


class Step(msgspec.Struct, frozen=True):
    """What makes one version of the version before: a script in `schemas/`."""

    version: int
    script: str

    def sql(self) -> str:
        """Return the script's text."""
        return resources.files("schemas").joinpath(self.script).read_text(encoding="utf-8")

    def record(self) -> str:
        """Return the statement that says the step was applied."""
        return f"INSERT INTO taped.schema_versions (version) VALUES ({self.version:d})"  # noqa: S608  # a number


STEPS = (Step(1, "timescale.sql"),)


class Applied(msgspec.Struct, frozen=True):
    """The schema's version before and after."""

    before: int
    after: int


async def apply(connection: Connection, *, steps: Sequence[Step] = STEPS) -> Applied:
    """Apply the steps that the database lacks; all of them or none.

    Raises:
        SchemaError: a newer taped has changed the database, or something else stands in the way.
    """
    async with connection.transaction():
        await lock(connection)
        before = await version(connection)
        newest = steps[-1].version
        if before > newest:
            raise _newer(before, newest)
        if before == 0:
            await _refuse_strangers(connection)
        for step in steps:
            if step.version > before:
                await connection.execute(step.sql())
                await connection.execute(step.record())
    return Applied(before, newest)


async def lock(connection: Connection) -> None:
    """Hold off others who change the schema until the transaction ends."""
    await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
    await connection.fetchval("SELECT pg_advisory_xact_lock($1)", LOCK)


async def check(connection: Connection, *, steps: Sequence[Step] = STEPS) -> None:
    """Return when the schema is of this version.

    Raises:
        SchemaError: it is missing, older or newer; the message says what to do.
    """
    found, newest = await version(connection), steps[-1].version
    if found > newest:
        raise _newer(found, newest)
    if found < newest:
        state = f"version {found}" if found else "not there"
        raise SchemaError(
            f"the database's schema taped is {state}, expected version {newest}", hint="run `taped sync init`"
        )


async def version(connection: Connection) -> int:
    """Return the version of the database's schema; 0 where there is none."""
    if await connection.fetchval("SELECT to_regclass('taped.schema_versions')") is None:
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM taped.schema_versions"))


def _newer(found: int, known: int) -> SchemaError:
    return SchemaError(
        f"the database's schema taped is of version {found}, this taped knows versions up to {known}",
        hint="upgrade taped; nothing was changed",
    )


async def _refuse_strangers(connection: Connection) -> None:
    name = await connection.fetchval(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('taped') ORDER BY 1 LIMIT 1"
    )
    if name is not None:
        raise SchemaError(
            f"the database has a schema taped that is somebody else's: it holds {name} and no version",
            hint="use another database",
        )
