"""Makes a database ready: TimescaleDB where there is one, tables, and what the settings ask for.

Whatever is missing is added; nothing that holds rows is ever dropped.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from daemon.sync.errors import DatabaseAwayError
from daemon.sync.schema import Applied, Connection, SchemaError, apply, lock
from daemon.sync.schema_features import Change, Features, plan, state_of
from daemon.sync.schema_server import Edition, Server, probe


class Ready(msgspec.Struct, frozen=True):
    """What was found and done.

    Attributes:
        server: what the database is in.
        applied: versions of the schema before and after.
        changes: what was added beside the tables, in words.
        warnings: what is missing, what that means and what to do.
    """

    server: Server
    applied: Applied
    changes: Sequence[str]
    warnings: Sequence[str]


CONNECT_SECONDS = 10.0


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Hold a connection for an operator's command, whose statements may take as long as they need.

    Raises:
        DatabaseAwayError: the server does not answer, or not to us.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise DatabaseAwayError(f"no way to the database: {error or type(error).__name__}") from error
    try:
        yield connection
    finally:
        connection.terminate()


async def set_up(connection: Connection, features: Features) -> Ready:
    """Make the database ready for the sync; when it is already, change nothing.

    Raises:
        SchemaError: it cannot be made ready; the message says what stands in the way.
    """
    server = await probe(connection)
    if server.installed is None and server.available is not None:
        server = await _with_extension(connection, server)
    try:
        applied = await apply(connection)
    except asyncpg.PostgresError as error:
        raise SchemaError(
            f"the database's schema taped cannot be made: {error}",
            hint="the user of the sync must own the schema: see systemd/README.md",
        ) from error
    changes = await _add(connection, server.edition, features)
    return Ready(server, applied, changes, await warnings(connection, server, features))


async def warnings(connection: Connection, server: Server, features: Features) -> list[str]:
    """Return what an operator should know of this server, most important first."""
    found = [server.warning()]
    if features.keep_tick_days and server.edition is not Edition.COMMUNITY:
        found.append(
            f"sync.keep_tick_days is {features.keep_tick_days}, which takes TimescaleDB's Community edition:"
            " nothing is removed from the database"
        )
    if await connection.fetchval("SELECT current_setting('timescaledb.telemetry_level', true)") == "basic":
        found.append(
            "TimescaleDB tells its makers about this server once a day; to stop that, as a superuser:"
            " ALTER SYSTEM SET timescaledb.telemetry_level = 'off'; SELECT pg_reload_conf();"
        )
    return [text for text in found if text is not None]


async def _with_extension(connection: Connection, server: Server) -> Server:
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except asyncpg.PostgresError:
        # Not allowed, or the server does not load it: the warning about the server says what to do.
        return server
    return await probe(connection)


async def _add(connection: Connection, edition: Edition, features: Features) -> list[str]:
    async with connection.transaction():
        await lock(connection)
        changes = plan(edition, features, await state_of(connection, edition))
        for change in changes:
            await _apply(connection, change)
    return [change.what for change in changes]


async def _apply(connection: Connection, change: Change) -> None:
    try:
        await connection.execute(change.sql)
    except asyncpg.PostgresError as error:
        raise SchemaError(
            f"the database refused a change ({change.what}): {error}",
            hint="none of these changes was made; `taped sync init --print` shows them",
        ) from error
