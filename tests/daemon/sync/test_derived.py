"""Positions and equity in the database are those of the read model."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import apsw
import asyncpg
import pytest

from daemon.sync import schema
from daemon.sync.run import Target, ship_all
from daemon.sync.verify import compare
from schemas.events import ClockTicked
from tests.daemon.api.conftest import BTC, DEPOSIT, quote, running
from tests.daemon.sync.conftest import fetch

MINUTE = 60 * 10**9


async def trade(rig, side: str, quantity: str) -> None:
    order = {"instrument": "BTC-USDT", "side": side, "type": "market", "quantity": quantity}
    status, answer = await rig.post(order)
    assert status == 201, answer
    await rig.settle()


@pytest.fixture
def traded(tmp_path):
    """A data folder with some round trips, some of them in part, and minutes between them."""

    async def do() -> None:
        async with running(tmp_path / "data") as rig:
            await rig.engine.execute([BTC, DEPOSIT])
            for n, (side, quantity) in enumerate(
                [("buy", "0.5"), ("buy", "0.25"), ("sell", "0.6"), ("sell", "0.15"), ("buy", "0.1")]
            ):
                await rig.engine.publish([quote(6_000_000 + n * 700, 6_000_010 + n * 900)])
                await trade(rig, side, quantity)
            # A fill's minute is that of this machine's clock, and those of the ticks come behind it.
            for n in range(1, 4):
                await rig.engine.publish([quote(6_100_000 + n * 700, 6_100_010 + n * 900)])
                await rig.engine.publish([ClockTicked(ts_ns=time.time_ns() + n * MINUTE, synchronized=True)])
            await rig.settle()

    asyncio.run(do())
    return tmp_path / "data"


def shipped(data, dsn):
    return asyncio.run(ship_all(data / "journal", Target(dsn)))


def compared(data, dsn):
    return asyncio.run(compare(dsn, data / "journal"))


def test_a_position_stands_as_each_fill_left_it(database, traded):
    shipped(traded, database)
    fills = fetch(database, "SELECT count(*) FROM taped.fills")[0][0]
    found = fetch(
        database,
        "SELECT quantity, cost_basis, realised, cost_basis_fifo, realised_fifo FROM taped.positions"
        " ORDER BY seq",
    )
    assert len(found) == fills == 5
    assert [row[0] for row in found] == [Decimal(text) for text in ("0.5", "0.75", "0.15", "0", "0.1")]
    connection = apsw.Connection(str(traded / "readmodel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    last = connection.execute(
        "SELECT cost_basis, realised, cost_basis_fifo, realised_fifo FROM positions"
    ).fetchall()
    assert [tuple(map(Decimal, row)) for row in last] == [found[-1][1:]]


def test_a_position_goes_on_from_the_row_that_is_there(database, traded):
    shipped(traded, database)
    whole = fetch(database, "SELECT * FROM taped.positions ORDER BY seq")
    middle = whole[2][1]
    fetch(database, "DELETE FROM taped.positions WHERE seq > $1", middle)
    assert shipped(traded, database) == 0
    assert fetch(database, "SELECT * FROM taped.positions ORDER BY seq") == whole


def test_minutes_that_are_over_are_told_once_with_their_last_worth(database, traded):
    shipped(traded, database)
    shipped(traded, database)
    theirs = fetch(database, "SELECT ts_ns, currency, equity, cash FROM taped.equity ORDER BY ts_ns")
    connection = apsw.Connection(str(traded / "readmodel.db"), flags=apsw.SQLITE_OPEN_READONLY)
    ours = [
        (minute_ns, currency, Decimal(equity), Decimal(cash))
        for minute_ns, currency, equity, cash in connection.execute(
            "SELECT minute_ns, currency, equity, cash FROM equity"
            " WHERE minute_ns < (SELECT max(minute_ns) FROM equity) ORDER BY minute_ns"
        )
    ]
    assert theirs == ours != []


def test_they_are_compared_and_a_difference_is_named(database, traded):
    shipped(traded, database)
    assert compared(traded, database).passed
    assert compared(traded, database).rows["positions"] == 5
    fetch(
        database, "UPDATE taped.positions SET realised = realised + 0.000000000000000001 WHERE quantity = 0"
    )
    found = compared(traded, database).difference
    assert (found.table, found.field) == ("positions", "realised")
    fetch(database, "DELETE FROM taped.positions")
    shipped(traded, database)
    fetch(database, "DELETE FROM taped.equity WHERE ts_ns = (SELECT min(ts_ns) FROM taped.equity)")
    assert compared(traded, database).difference.table == "equity"


async def test_without_a_read_model_the_events_are_shipped_all_the_same(dsn, traded):
    (traded / "readmodel.db").unlink()
    connection = await asyncpg.connect(dsn)
    await schema.apply(connection)
    assert await ship_all(traded / "journal", Target(dsn)) > 10
    assert await connection.fetchval("SELECT count(*) FROM taped.positions") == 0
    await connection.close()
