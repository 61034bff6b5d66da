"""A PostgreSQL server for the tests of the sync, and a database for each of them.

`TAPED_TEST_DSN` names a server to use instead, as a role that may create databases; with it the same
tests run against TimescaleDB.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from daemon.journal.writer import JournalWriter
from daemon.sync.run import Target, ship_all
from daemon.sync.schema_features import Features
from daemon.sync.schema_setup import set_up
from schemas.codec import AnyEvent
from schemas.events import AssetClass, InstrumentDefined, Side, Trade
from tools.bench.postgres import PostgresServer

GIVEN_DSN = os.environ.get("TAPED_TEST_DSN")
"""Read before a test begins: it is kept out of the tests' environment."""

_numbers = itertools.count(1)


@pytest.fixture
def server_folder():
    """Folder for a server, which does not run as root: pytest closes its own to all others."""
    with tempfile.TemporaryDirectory(prefix="taped-postgres-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server_dsn():
    """How to reach a server that is there for all tests."""
    if GIVEN_DSN is not None:
        yield GIVEN_DSN
        return
    with tempfile.TemporaryDirectory(prefix="taped-postgres-") as folder:
        server = PostgresServer(Path(folder))
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


@pytest.fixture(scope="session")
def template(server_dsn: str):
    """Name of a database that has the tables, to be copied: half the time of making them."""
    name = f"taped_test_{os.getpid()}_template_{next(_numbers)}"
    asyncio.run(_execute(server_dsn, f"CREATE DATABASE {name}"))
    if GIVEN_DSN is None:
        asyncio.run(_apply(with_database(server_dsn, name)))
    yield name
    asyncio.run(_execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(server_dsn: str, template: str):
    """How to reach a database that has the tables and is this test's own."""
    name = f"taped_test_{os.getpid()}_{next(_numbers)}"
    if GIVEN_DSN is not None:
        # TimescaleDB's workers stay connected to a database, so that it cannot be copied.
        asyncio.run(_execute(server_dsn, f"CREATE DATABASE {name}"))
        asyncio.run(_apply(with_database(server_dsn, name)))
    else:
        asyncio.run(_execute(server_dsn, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield with_database(server_dsn, name)
    asyncio.run(_execute(server_dsn, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def connection(dsn: str):
    """A connection to a database that is this test's own."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


def with_database(dsn: str, name: str) -> str:
    """Return the same server's other database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _apply(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await set_up(connection, Features())
    finally:
        await connection.close()


def fetch(dsn: str, query: str, *arguments: object) -> list[tuple[object, ...]]:
    """Return the rows of a query."""

    async def ask() -> list[tuple[object, ...]]:
        connection = await asyncpg.connect(dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    return asyncio.run(ask())


T0 = 1_700_000_000 * 10**9


def instrument(instrument_id: int = 1, **fields: object) -> InstrumentDefined:
    """An instrument with two decimals in its prices and eight in its quantities."""
    told = {
        "ts_ns": T0,
        "instrument_id": instrument_id,
        "symbol": f"COIN{instrument_id}-USDT",
        "venue": "demo",
        "asset_class": AssetClass.CRYPTO,
        "base_currency": f"COIN{instrument_id}",
        "quote_currency": "USDT",
        "price_scale": 2,
        "quantity_scale": 8,
    }
    return InstrumentDefined(**{**told, **fields})


def trades(first: int, count: int) -> list[Trade]:
    """Trades whose price says which they are."""
    return [
        Trade(
            ts_ns=T0 + n * 1001,
            received_ns=T0 + n * 1001 + 7,
            instrument_id=1,
            price=n,
            quantity=1,
            aggressor=Side.BUY,
            trade_id=n,
        )
        for n in range(first, first + count)
    ]


def write(data: Path, *frames: Sequence[AnyEvent]) -> Path:
    """Append frames to the journal of a data folder, seal it, and return the journal's folder."""
    directory = data / "journal"
    with JournalWriter.open(directory, segment_bytes=1 << 20) as writer:
        for events in frames:
            writer.append(events)
    return directory


def ship(directory: Path, dsn: str, **target: object) -> int:
    """Ship a journal; return how many events that were."""
    return asyncio.run(ship_all(directory, Target(dsn, **target)))
