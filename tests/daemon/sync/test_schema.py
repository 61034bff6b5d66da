"""Claims about the schema's versions: forward only, all or nothing, never under a newer one."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from daemon.sync.schema import STEPS, Applied, SchemaError, Step, apply, check, version


class Written(Step, frozen=True):
    """A step that says its SQL itself."""

    def sql(self) -> str:
        return self.script


async def test_an_empty_database_gets_all_tables(connection):
    assert await apply(connection) == Applied(0, STEPS[-1].version)
    tables = {row["tablename"] for row in await connection.fetch("SELECT * FROM pg_tables")}
    assert {"trades", "quotes", "order_events", "fills", "events", "watermarks"} <= tables


async def test_what_is_up_to_date_is_left_alone(connection):
    await apply(connection)
    await connection.execute("INSERT INTO taped.watermarks (journal) VALUES (gen_random_uuid())")
    assert await apply(connection) == Applied(STEPS[-1].version, STEPS[-1].version)
    assert await connection.fetchval("SELECT count(*) FROM taped.watermarks") == 1


async def test_an_older_schema_gets_only_the_steps_it_lacks(connection):
    await apply(connection)
    later = (*STEPS, Written(2, "ALTER TABLE taped.trades ADD COLUMN more text"))
    assert await apply(connection, steps=later) == Applied(1, 2)
    assert await connection.fetchval("SELECT count(more) FROM taped.trades") == 0


async def test_a_step_that_fails_leaves_no_trace_of_the_steps_before_it(connection):
    with pytest.raises(asyncpg.UndefinedTableError):
        await apply(connection, steps=(*STEPS, Written(2, "DROP TABLE taped.nothing")))
    assert await version(connection) == 0
    assert await connection.fetchval("SELECT to_regnamespace('taped')") is None


async def test_a_newer_schema_is_refused_and_not_changed(connection):
    await apply(connection)
    await connection.execute("INSERT INTO taped.schema_versions VALUES (99)")
    with pytest.raises(SchemaError, match="version 99, this taped knows versions up to 1; upgrade taped"):
        await apply(connection)
    with pytest.raises(SchemaError, match="upgrade taped"):
        await check(connection)


async def test_a_schema_of_somebody_else_is_refused(connection):
    await connection.execute("CREATE SCHEMA taped; CREATE TABLE taped.tapes (width integer)")
    with pytest.raises(SchemaError, match="it holds tapes and no version"):
        await apply(connection)


async def test_a_missing_schema_says_how_to_make_it(connection):
    with pytest.raises(SchemaError, match="not there, expected version 1; run `taped sync init`"):
        await check(connection)


async def test_daemons_that_start_together_apply_each_step_once(dsn: str):
    connections = [await asyncpg.connect(dsn) for _ in range(4)]
    applied = await asyncio.gather(*(apply(connection) for connection in connections))
    for connection in connections:
        await connection.close()
    assert sorted(applied, key=lambda done: done.before) == [Applied(0, 1), *[Applied(1, 1)] * 3]
