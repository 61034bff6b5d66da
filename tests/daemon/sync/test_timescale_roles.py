"""Claims about `schemas/timescale_roles.sql`: a daemon adds and takes nothing away, a reader reads."""

from __future__ import annotations

import asyncio
import os
from importlib import resources
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from daemon.sync.run import Target, ship_all
from daemon.sync.schema_features import Features
from daemon.sync.schema_setup import set_up
from tests.daemon.sync.conftest import fetch, trades, write

ROLES = resources.files("schemas").joinpath("timescale_roles.sql").read_text(encoding="utf-8")


@pytest.fixture
async def user(connection, dsn):
    """Return how a user of a role reaches the database."""
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        pytest.skip("only a superuser makes roles in these tests")
    await set_up(connection, Features())
    await connection.execute(ROLES)
    names = []

    async def make(role):
        name = f"{role}_{os.getpid()}"
        await connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'pass' IN ROLE {role}")
        names.append(name)
        parts = urlsplit(dsn)
        return urlunsplit(parts._replace(netloc=f"{name}:pass@{parts.hostname}:{parts.port}"))

    yield make
    for name in names:
        await connection.execute(f"DROP ROLE {name}")


async def test_a_shipping_user_ships(user, dsn, data_folder):
    write(data_folder, trades(1, 50))
    shipped = await ship_all(data_folder / "journal", Target(await user("taped_ship")))
    assert shipped == 50
    assert await asyncio.to_thread(fetch, dsn, "SELECT count(*) FROM taped.trades") == [(50,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM taped.trades",
        "UPDATE taped.fills SET price = 0",
        "TRUNCATE taped.events",
        "DROP TABLE taped.trades",
        "DELETE FROM taped.watermarks",
        "INSERT INTO taped.schema_versions VALUES (99)",
        "CREATE TABLE taped.more (n integer)",
    ],
)
async def test_a_shipping_user_takes_nothing_away(user, statement):
    connection = await asyncpg.connect(await user("taped_ship"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


async def test_a_reading_user_reads_views_and_bars_and_writes_nothing(user):
    connection = await asyncpg.connect(await user("taped_read"))
    for view in ("trades_decimal", "orders_decimal", "bars_1day_decimal", "quote_bars_1h", "sensor_readings"):
        assert await connection.fetch(f"SELECT * FROM taped.{view}") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("INSERT INTO taped.watermarks (journal) VALUES (gen_random_uuid())")
    await connection.close()


async def test_the_script_may_run_again(user, connection):
    await connection.execute(ROLES)
