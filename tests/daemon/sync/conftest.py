"""A PostgreSQL server for the tests of the sync, and a database for each of them.

`TAPED_TEST_DSN` names a server to use instead, as a role that may create databases; with it the same
tests run against TimescaleDB.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tools.bench.postgres import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_dsn(tmp_path_factory: pytest.TempPathFactory):
    """How to reach a server that is there for all tests."""
    given = os.environ.get("TAPED_TEST_DSN")
    if given:
        yield given
        return
    server = PostgresServer(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server.dsn()
    server.stop()


@pytest.fixture
def dsn(server_dsn: str):
    """How to reach an empty database that is this test's own."""
    name = f"taped_test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(server_dsn, f"CREATE DATABASE {name}"))
    yield with_database(server_dsn, name)
    asyncio.run(_execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


def with_database(dsn: str, name: str) -> str:
    """Return the same server's other database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
