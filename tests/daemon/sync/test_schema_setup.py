"""Claims about a database made ready: on plain PostgreSQL, and on TimescaleDB where the server has it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from daemon.sync.schema import SchemaError, apply
from daemon.sync.schema_features import Features, State, plan
from daemon.sync.schema_server import Edition
from daemon.sync.schema_setup import set_up

SIZES = ("1min", "1h", "1day")
JOURNAL = UUID(int=1)
OTHER = UUID(int=2)
START = datetime(2024, 1, 8, 10, 0, tzinfo=UTC)
# seq, seconds after the start, price, quantity: seq 4 arrived late, with an earlier time than seq 3.
TICKS = [(1, 0, 100, 5), (2, 10, 130, 1), (3, 59, 90, 2), (4, 30, 95, 4), (5, 61, 200, 7), (6, 3_600, 50, 1)]


async def _add_trades(connection, journal=JOURNAL, ticks=TICKS, start=START):
    rows = [
        (journal, seq, start + timedelta(seconds=s), 0, 0, price, quantity, 0, 1, 0, 1, 0, None, "")
        for seq, s, price, quantity in ticks
    ]
    await connection.execute("CREATE TEMP TABLE IF NOT EXISTS staging (LIKE taped.trades)")
    await connection.copy_records_to_table("staging", records=rows)
    done = await connection.execute("INSERT INTO taped.trades SELECT * FROM staging ON CONFLICT DO NOTHING")
    await connection.execute("TRUNCATE staging")
    return int(done.split()[-1])


@pytest.fixture
async def ready(connection):
    return await set_up(connection, Features())


@pytest.fixture
async def community(ready):
    await _or_skip(ready)


@pytest.fixture
async def plain(connection):
    """A database as one without TimescaleDB is set up."""
    await apply(connection)
    for change in plan(Edition.PLAIN, Features(), State()):
        await connection.execute(change.sql)


async def _or_skip(ready):
    if ready.server.edition is not Edition.COMMUNITY:
        pytest.skip("TAPED_TEST_DSN names no server with TimescaleDB's Community edition")


async def _compress(connection):
    chunks = "show_chunks('taped.trades')"
    await _when_free(connection, f"SELECT compress_chunk(c, if_not_compressed => true) FROM {chunks} c")


async def _refresh(connection):
    for size in SIZES:
        await _when_free(connection, f"CALL refresh_continuous_aggregate('taped.bars_{size}', NULL, NULL)")


async def _when_free(connection, statement):
    """Execute it once the server's own jobs let it; they begin right after the set-up."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return await connection.execute(statement)
        except (
            asyncpg.LockNotAvailableError,
            asyncpg.DeadlockDetectedError,
            asyncpg.DuplicateObjectError,  # It has just compressed the chunk itself.
            asyncpg.DataError,  # It is at the same chunk.
        ):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


async def _bars(connection, size, journal=JOURNAL):
    columns = "open, high, low, close, volume, count"
    bars = f"SELECT {columns} FROM taped.bars_{size} WHERE journal = $1 ORDER BY start"
    rows = await connection.fetch(bars, journal)
    return [tuple(row) for row in rows]


async def test_a_database_that_is_ready_is_not_changed(ready, connection):
    again = await set_up(connection, Features())
    assert (again.applied.before, again.changes) == (again.applied.after, [])
    assert ready.applied.before == 0


async def test_whoever_lacks_timescaledb_is_warned_once(ready):
    without = [text for text in ready.warnings if "sync init" in text]
    assert len(without) == (0 if ready.server.edition is Edition.COMMUNITY else 1)


async def test_settings_that_need_the_community_edition_say_so_where_it_is_not(ready, connection):
    again = await set_up(connection, Features(keep_tick_days=30))
    told = any("nothing is removed from the database" in text for text in again.warnings)
    assert told == (ready.server.edition is not Edition.COMMUNITY)


async def test_another_setting_changes_policies_and_back(community, connection):
    assert (await set_up(connection, Features(columnstore_days=3, keep_tick_days=30))).changes
    assert (await set_up(connection, Features(columnstore_days=3, keep_tick_days=30))).changes == []
    assert (await set_up(connection, Features())).changes
    assert (await set_up(connection, Features())).changes == []


async def test_bars_open_with_the_first_to_arrive_and_close_with_the_last(ready, connection):
    await _add_trades(connection)
    minutes = [(100, 130, 90, 95, 12, 4), (200, 200, 200, 200, 7, 1), (50, 50, 50, 50, 1, 1)]
    assert await _bars(connection, "1min") == minutes
    assert await _bars(connection, "1h") == [(100, 200, 90, 200, 19, 5), (50, 50, 50, 50, 1, 1)]
    assert await _bars(connection, "1day") == [(100, 200, 50, 50, 20, 6)]


async def test_bars_of_two_journals_are_kept_apart(ready, connection):
    await _add_trades(connection)
    await _add_trades(connection, OTHER, [(1, 5, 7, 1)])
    assert await _bars(connection, "1day", OTHER) == [(7, 7, 7, 7, 1, 1)]


async def test_bars_are_shown_in_decimal_numbers(ready, connection):
    await _add_trades(connection)
    row = await connection.fetchrow("SELECT * FROM taped.bars_1day_decimal")
    assert (row["open"], row["close"], row["volume"]) == (Decimal(10), Decimal(5), 20)


async def test_bars_of_quotes_leave_sides_out_that_were_not_told(ready, connection):
    quote = "INSERT INTO taped.quotes VALUES ($1, $2, $3, 0, 0, $4, NULL, $5, NULL, 0, 1, 1, 0, '')"
    for seq, bid, ask in ((1, None, 20), (2, 10, None), (3, 12, 22)):
        await connection.execute(quote, JOURNAL, seq, START, bid, ask)
    for size in SIZES:
        row = await connection.fetchrow(f"SELECT * FROM taped.quote_bars_{size}")
        assert (row["bid_open"], row["bid_close"], row["ask_open"], row["ask_close"]) == (10, 12, 20, 22)
        assert row["count"] == 3


async def test_bars_are_the_same_once_they_are_kept(community, connection):
    await _add_trades(connection)
    before = [await _bars(connection, size) for size in SIZES]
    await _refresh(connection)
    await connection.execute(
        "ALTER MATERIALIZED VIEW taped.bars_1day SET (timescaledb.materialized_only = true)"
    )
    assert [await _bars(connection, size) for size in SIZES] == before


async def test_a_duplicate_of_a_compressed_row_is_one_row(community, connection):
    await _add_trades(connection)
    await _compress(connection)
    assert await _add_trades(connection) == 0
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == len(TICKS)


async def test_late_rows_beside_duplicates_of_compressed_ones_all_arrive(community, connection):
    many = [(seq, seq % 3_600, seq, 1) for seq in range(1, 5_001)]
    await _add_trades(connection, ticks=many)
    await _compress(connection)
    late = [(seq + 10_000, seconds, price, 1) for seq, seconds, price, _ in many]
    mixed = [tick for pair in zip(many, late, strict=True) for tick in pair]
    assert await _add_trades(connection, ticks=mixed) == len(late)
    assert await connection.fetchval("SELECT count(DISTINCT seq) FROM taped.trades") == 2 * len(many)


async def test_bars_take_in_what_arrives_late(community, connection):
    await _add_trades(connection)
    await _refresh(connection)
    await _compress(connection)
    await _add_trades(connection, ticks=[(7, 1, 999, 1)])
    await _refresh(connection)
    assert (await _bars(connection, "1day"))[0] == (100, 999, 50, 999, 21, 7)


async def test_ticks_that_are_removed_leave_their_bars(community, connection):
    await _add_trades(connection)
    await _refresh(connection)
    await set_up(connection, Features(keep_tick_days=2))
    await _run_jobs(connection, "policy_retention")
    await _run_jobs(connection, "policy_refresh_continuous_aggregate")
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == 0
    assert await _bars(connection, "1day") == [(100, 200, 50, 50, 20, 6)]


async def test_old_chunks_become_columns_by_their_policy(community, connection):
    await _add_trades(connection)
    await _run_jobs(connection, "policy_compression")
    compressed = "SELECT is_compressed FROM timescaledb_information.chunks WHERE hypertable_name = 'trades'"
    assert await connection.fetchval(compressed) is True


async def test_rows_of_plain_tables_stay_when_timescaledb_comes(plain, connection):
    await _add_trades(connection)
    before = [await _bars(connection, size) for size in SIZES]
    await _or_skip(await set_up(connection, Features()))
    assert [await _bars(connection, size) for size in SIZES] == before
    assert await _add_trades(connection) == 0


async def test_a_view_of_somebodys_own_on_plain_bars_stops_the_change_and_is_named(plain, connection):
    await connection.execute("CREATE VIEW taped_own AS SELECT * FROM taped.bars_1h")
    with pytest.raises(SchemaError, match="bars_1h: no longer computed on reading"):
        await _or_skip(await set_up(connection, Features()))
    assert await connection.fetchval("SELECT count(*) FROM timescaledb_information.hypertables") == 0


async def test_whoever_may_not_make_a_schema_is_told(connection):
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        pytest.skip("only a superuser becomes another role")
    await connection.execute("SET ROLE pg_read_all_data")
    with pytest.raises(SchemaError, match=r"permission denied.*must own the schema"):
        await set_up(connection, Features())


async def _run_jobs(connection, procedure):
    jobs = await connection.fetch(
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = $1 AND hypertable_schema = 'taped'"
        " ORDER BY job_id",
        procedure,
    )
    for job in jobs:
        await _when_free(connection, f"CALL run_job({job['job_id']})")
