"""What the journal holds is in the database, each event once."""

from __future__ import annotations

import asyncio
import random
import uuid
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.journal.archive import archive_journal
from daemon.journal.listing import list_journal
from daemon.journal.reader import Batch
from daemon.journal.repair import apply_repair
from daemon.journal.writer import JournalWriter
from daemon.sync import schema
from daemon.sync.errors import DatabaseAwayError, OvertakenError, SyncError
from daemon.sync.packets import PacketMaker
from daemon.sync.rows import RowMaker
from daemon.sync.run import Round, Target, ship_all
from daemon.sync.shipper import Shipper
from daemon.sync.tables import TABLES
from daemon.sync.verify import compare
from schemas.events import EVENT_TYPES, ClockTicked
from schemas.frame import PAGE
from tests.daemon.journal.conftest import begin_with
from tests.daemon.sync.conftest import T0, fetch, instrument, ship, trades, with_database, write
from tests.schemas.conftest import of_record
from tools.cli import main

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


async def test_rows_that_are_there_are_counted_and_the_rest_is_shipped_plainly_again(dsn, data_folder):
    await _apply(dsn)
    directory = write(data_folder, trades(1, 90))
    await ship_all(directory, Target(dsn, max_events=30))
    await _execute(dsn, "UPDATE taped.watermarks SET seq = 40, ts_ns = NULL")
    write(data_folder, trades(91, 60))
    shipping = await Round.begin(directory, Target(dsn, max_events=30))
    while await shipping.ship_next():
        pass
    assert shipping.shipper.duplicates == 50
    assert not shipping.shipper._meets_rows
    await shipping.close()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == 150
    await connection.close()


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


@pytest.mark.parametrize("seed", range(3))
async def test_a_journal_that_is_written_and_archived_meanwhile_is_shipped_whole(dsn, data_folder, seed):
    await _apply(dsn)
    chance, next_price, directory = random.Random(seed), 1, data_folder / "journal"
    with JournalWriter.open(directory, segment_bytes=1 << 20) as writer:
        writer.append([instrument()])
        shipping = await Round.begin(directory, Target(dsn, max_events=100))
        for _ in range(60):
            match chance.randrange(8):
                case 0:
                    writer._roll()
                case 1:
                    archive_journal(directory)
                case 2 | 3:
                    await shipping.ship_next()
                case _:
                    count = chance.randrange(1, 90)
                    writer.append(trades(next_price, count))
                    next_price += count
        writer.mark()
        while await shipping.ship_next():
            pass
        await shipping.close()
    found = await compare(dsn, directory)
    assert found.passed
    assert found.events == next_price


@pytest.mark.parametrize(
    ("recording", "events"),
    [
        ("lean/forex/fxcm/tick/eurusd/20140511_quote.zip", 11_776),
        ("crypto/binance_spot_nexousdt_20240723.dat.gz", 615),
        ("ws/KRAKEN-82ac16.0.gz", 1),
    ],
)
def test_recorded_markets_are_shipped_to_the_last_field(
    database, data_folder, market_data, recording, events
):
    assert main(["import", str(data_folder), str(market_data / recording), "--json"]) == 0
    assert ship(data_folder / "journal", database) >= events
    found = asyncio.run(compare(database, data_folder / "journal"))
    assert found.passed
    assert found.events >= events


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


@pytest.mark.parametrize("archived", [False, True])
def test_events_that_a_repair_gave_up_are_told_with_the_reason(database, data_folder, archived):
    directory = write(data_folder, trades(1, 40), trades(41, 40), trades(81, 40))
    with list_journal(directory)[0].path.open("r+b") as file:
        file.seek(2 * PAGE + 200)  # Within the second frame.
        file.write(b"\xff")
    apply_repair(directory)
    if archived:
        write(data_folder, trades(121, 5))
        archive_journal(directory)
    ship(directory, database)
    told = "SELECT first_seq, next_seq, reason FROM taped.gaps"
    assert fetch(database, told) == [(41, 81, fetch(database, told)[0][2])]
    assert "does not match its checksum" in fetch(database, told)[0][2]
    assert prices(database)[:80] == [*range(1, 41), *range(81, 121)]
    assert asyncio.run(compare(database, directory)).passed


def test_events_that_retention_took_before_they_were_shipped_are_told(database, data_folder):
    for first in (1, 101, 201):
        directory = write(data_folder, trades(first, 100))
    first, second, *_ = list_journal(directory)
    ship(directory, database)
    asyncio.run(_execute(database, "UPDATE taped.watermarks SET seq = 50, ts_ns = NULL"))
    begin_with(directory, second)
    assert ship(directory, database) == 200
    told = "SELECT first_seq, next_seq, reason FROM taped.gaps"
    assert fetch(database, told) == [(51, 101, "retention let go of them before they were shipped")]


def test_a_journal_that_begins_late_is_shipped_from_its_beginning(database, data_folder):
    for first in (1, 101, 201):
        directory = write(data_folder, trades(first, 100))
    begin_with(directory, list_journal(directory)[1])
    assert ship(directory, database) == 200
    assert fetch(database, "SELECT first_seq, seq FROM taped.watermarks") == [(101, 300)]
    assert fetch(database, "SELECT count(*) FROM taped.gaps") == [(0,)]


def test_a_limit_on_statements_that_the_database_has_for_people_does_not_stop_it(database, data_folder):
    directory = write(data_folder, [instrument()], trades(1, 500))
    name = urlsplit(database).path[1:]
    asyncio.run(_execute(database, f"ALTER DATABASE {name} SET statement_timeout = '1ms'"))
    assert ship(directory, database) == 501
