"""The server that the tests of the sync start for themselves."""

from __future__ import annotations

import asyncpg
import pytest

from tools.bench.postgres import PostgresServer


async def test_each_test_has_an_empty_database(dsn):
    connection = await asyncpg.connect(dsn)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    assert tables == []


async def test_a_killed_server_starts_again_with_what_was_committed(server_folder):
    server = PostgresServer(server_folder)
    server.start()
    connection = await asyncpg.connect(server.dsn())
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    server.kill()
    with pytest.raises((asyncpg.PostgresError, asyncpg.InternalClientError, OSError)):
        await connection.fetchval("SELECT number FROM kept")
    connection.terminate()
    server.start()
    connection = await asyncpg.connect(server.dsn())
    assert await connection.fetchval("SELECT number FROM kept") == 7
    await connection.close()
    server.stop()
