"""What the journal holds is in the database, each event once."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.journal.archive import archive_journal
from daemon.journal.reader import Batch
from daemon.sync import schema
from daemon.sync.errors import DatabaseAwayError, OvertakenError, SyncError
from daemon.sync.packets import PacketMaker
from daemon.sync.rows import RowMaker
from daemon.sync.run import Round, Target
from daemon.sync.shipper import Shipper
from daemon.sync.tables import TABLES
from schemas.events import EVENT_TYPES, ClockTicked
from tests.daemon.sync.conftest import T0, fetch, instrument, ship, trades, with_database, write
from tests.schemas.conftest import of_record

PRICES = "SELECT price FROM taped.trades ORDER BY seq"
_numbers = "SELECT seq FROM taped.{}"
NUMBERS = " UNION ALL ".join(_numbers.format(table.name) for table in TABLES) + " ORDER BY seq"


def prices(dsn):
    return [price for (price,) in fetch(dsn, PRICES)]


def test_a_journal_is_shipped_whole(database, data_folder):
    directory = write(data_folder, [instrument()], trades(1, 500), trades(501, 300))
    assert ship(directory, database) == 801
    assert prices(database) == list(range(1, 801))
    assert fetch(database, "SELECT seq, ts_ns FROM taped.watermarks") == [(801, T0 + 800 * 1001)]


def test_a_second_round_ships_only_what_came_since(database, data_folder):
    directory = write(data_folder, trades(1, 100))
    assert ship(directory, database) == 100
    assert ship(directory, database) == 0
    write(data_folder, trades(101, 50))
    assert ship(directory, database) == 50
    assert prices(database) == list(range(1, 151))


def test_archived_segments_are_shipped_like_plain_ones(database, data_folder):
    for first in (1, 1001, 2001):
        directory = write(data_folder, trades(first, 1000))
    archive_journal(directory)
    assert ship(directory, database, max_events=300) == 3000
    assert prices(database) == list(range(1, 3001))


def test_two_journals_share_a_database(database, tmp_path):
    for name in ("one", "two"):
        ship(write(tmp_path / name, [instrument()], trades(1, 10)), database, name=name)
    assert fetch(database, "SELECT name, seq FROM taped.watermarks ORDER BY name") == [
        ("one", 11),
        ("two", 11),
    ]
    assert prices(database) == [price for n in range(1, 11) for price in (n, n)]


def test_rows_that_are_there_already_stay_as_they_are(database, data_folder):
    directory = write(data_folder, trades(1, 100))
    ship(directory, database)
    asyncio.run(_execute(database, "UPDATE taped.watermarks SET seq = 40, ts_ns = NULL"))
    assert ship(directory, database) == 60
    assert prices(database) == list(range(1, 101))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of([of_record(record) for record in EVENT_TYPES]), min_size=1, max_size=60))
def test_the_database_takes_whatever_an_event_holds(database, events):
    async def run():
        shipper = await Shipper.connect(database, uuid.uuid4().hex)
        packets = PacketMaker(RowMaker(), 0)
        packets.take(Batch(1, events, 0))
        await shipper.ship(packets.finish())
        await shipper.close()
        return shipper._journal

    journal = asyncio.run(run())
    found = fetch(database, f"SELECT count(*) FROM ({NUMBERS}) n")[0][0]
    of_this = NUMBERS.replace(" UNION", " WHERE journal = $1 UNION").replace(
        " ORDER", " WHERE journal = $1 ORDER"
    )
    assert found >= len(events)
    assert [seq for (seq,) in fetch(database, of_this, journal)] == list(range(1, len(events) + 1))


def test_an_instrument_stands_as_it_was_defined_last(database, data_folder):
    directory = write(data_folder, [instrument(1), instrument(2), instrument(1, symbol="NEW", price_scale=5)])
    ship(directory, database)
    write(data_folder, trades(1, 1), [instrument(2, symbol="NEWER")])
    ship(directory, database)
    found = "SELECT instrument_id, symbol, price_scale, defined_seq FROM taped.instruments ORDER BY 1"
    assert fetch(database, found) == [(1, "NEW", 5, 3), (2, "NEWER", 2, 5)]
    assert fetch(database, "SELECT price_scale FROM taped.trades") == [(5,)]


async def test_of_two_that_ship_the_same_one_is_told_and_nothing_is_there_twice(dsn, data_folder):
    await _apply(dsn)
    directory = write(data_folder, trades(1, 50))
    one = await Round.begin(directory, Target(dsn))
    two = await Round.begin(directory, Target(dsn))
    await one.ship_next()
    with pytest.raises(OvertakenError, match="somebody else ships this journal too"):
        await two.ship_next()
    await one.close()
    await two.close()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == 50
    await connection.close()


def test_a_journal_that_ends_before_the_watermark_is_refused(database, tmp_path):
    directory = write(tmp_path / "data", trades(1, 50))
    ship(directory, database)
    asyncio.run(_execute(database, "UPDATE taped.watermarks SET seq = 51"))
    with pytest.raises(SyncError, match="the journal ends at seq 50, the database has it up to seq 51"):
        ship(directory, database)


def test_a_journal_that_went_on_from_an_older_copy_is_refused(database, data_folder):
    directory = write(data_folder, trades(1, 50))
    ship(directory, database)
    asyncio.run(_execute(database, "UPDATE taped.watermarks SET ts_ns = ts_ns + 1"))
    with pytest.raises(SyncError, match="its events are not those that were shipped"):
        ship(directory, database)


def test_a_database_without_tables_is_refused(dsn, data_folder):
    with pytest.raises(schema.SchemaError, match="taped sync init"):
        ship(write(data_folder, [ClockTicked(ts_ns=1, synchronized=True)]), dsn)


def test_a_database_that_is_not_there_is_told(server_dsn, data_folder):
    directory = write(data_folder, trades(1, 1))
    with pytest.raises(SyncError, match='database "nowhere" does not exist'):
        ship(directory, with_database(server_dsn, "nowhere"))


def test_a_server_that_does_not_answer_is_away(data_folder):
    with pytest.raises(DatabaseAwayError, match="no way to the database"):
        ship(write(data_folder, trades(1, 1)), "postgresql://me@127.0.0.1:1/x")


async def _apply(dsn):
    connection = await asyncpg.connect(dsn)
    await schema.apply(connection)
    await connection.close()


async def _execute(dsn, statement):
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()
