"""`taped sync init`, `stats` and `tune`, as an operator calls them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from daemon.sync.schema_features import Features
from daemon.sync.schema_server import Edition, probe
from daemon.sync.schema_setup import set_up
from tests.daemon.sync.conftest import dsn, fetch, server_dsn, trades, write
from tools.cli import main
from tools.sync_init import sql_of
from tools.sync_tune import Machine, settings_for

__all__ = ["dsn", "server_dsn"]


@pytest.fixture
def dsn_file(dsn, tmp_path) -> Path:
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text(dsn)
    return file


def _with_connection(dsn, act):
    async def run():
        connection = await asyncpg.connect(dsn)
        try:
            return await act(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


def test_init_makes_a_database_ready_and_says_what_it_did(dsn_file, capsys):
    assert main(["sync", "init", "--dsn-file", str(dsn_file)]) == 0
    told = capsys.readouterr().out
    assert "schema taped: made, version 1" in told
    assert "bars_1min: " in told


def test_init_a_second_time_has_nothing_to_do(dsn_file, capsys):
    main(["sync", "init", "--dsn-file", str(dsn_file)])
    capsys.readouterr()
    assert main(["sync", "init", "--dsn-file", str(dsn_file)]) == 0
    told = capsys.readouterr().out
    assert "schema taped: version 1\nnothing was to be done" in told


def test_init_tells_programs_the_same(dsn_file, capsys):
    assert main(["sync", "init", "--dsn-file", str(dsn_file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == {"before": 0, "after": 1}
    assert set(told) == {"database", "server", "edition", "schema", "changes", "warnings"}


def test_init_of_a_database_that_does_not_answer_ends_with_one_line(tmp_path, capsys):
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text("postgresql://me:secret@127.0.0.1:1/x")
    assert main(["sync", "init", "--dsn-file", str(file)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("taped: no way to the database: ")
    assert "secret" not in told


def test_the_printed_script_makes_what_init_makes(dsn):
    edition = _with_connection(dsn, _edition)
    _with_connection(dsn, lambda connection: _script(connection, sql_of(edition, Features())))
    ready = _with_connection(dsn, lambda connection: set_up(connection, Features()))
    assert (ready.applied.before, ready.changes) == (1, [])


async def _edition(connection):
    server = await probe(connection)
    if server.available is None:
        return Edition.PLAIN
    await connection.execute("CREATE EXTENSION timescaledb")
    return (await probe(connection)).edition


async def _script(connection, text):
    # As psql does: statement by statement where they stand outside a transaction.
    first, begin, rest = text.partition("BEGIN;")
    if first.strip():
        await connection.execute(first)
    await connection.execute(begin + rest)


def test_print_asks_no_database(capsys):
    assert main(["sync", "init", "--print"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("CREATE EXTENSION IF NOT EXISTS timescaledb;")
    assert main(["sync", "init", "--print", "--edition", "plain"]) == 0
    assert "timescaledb;" not in capsys.readouterr().out


def test_the_printed_script_follows_the_settings(capsys, monkeypatch):
    monkeypatch.setenv("TAPED_SYNC__KEEP_TICK_DAYS", "90")
    assert main(["sync", "init", "--print"]) == 0
    assert "drop_after => interval '90 days'" in capsys.readouterr().out


def test_an_edition_without_print_is_wrong_usage(capsys):
    assert main(["sync", "init", "--edition", "plain"]) == 2
    assert "--edition belongs to --print" in capsys.readouterr().err


def test_stats_shows_tables_by_rows_and_bytes(dsn_file, dsn, data_folder, capsys):
    main(["sync", "init", "--dsn-file", str(dsn_file)])
    write(data_folder, trades(1, 500))
    main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file)])
    _with_connection(dsn, lambda connection: connection.execute("ANALYZE"))
    capsys.readouterr()
    assert main(["sync", "stats", "--dsn-file", str(dsn_file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    tables = {table["table"]: table for table in told["tables"]}
    assert tables["trades"]["rows"] == fetch(dsn, "SELECT count(*) FROM taped.trades")[0][0]
    assert tables["trades"]["total_bytes"] > 50_000
    assert told["database_bytes"] > tables["trades"]["total_bytes"]


def test_stats_for_people_names_every_table(dsn_file, capsys):
    main(["sync", "init", "--dsn-file", str(dsn_file)])
    capsys.readouterr()
    assert main(["sync", "stats", "--dsn-file", str(dsn_file)]) == 0
    told = capsys.readouterr().out
    assert all(f"\n{name} " in told for name in ("trades", "quotes", "fills", "order_events", "equity"))


def test_stats_tells_what_columns_save(dsn_file, dsn, data_folder, capsys):
    main(["sync", "init", "--dsn-file", str(dsn_file)])
    if _with_connection(dsn, _edition_now) is not Edition.COMMUNITY:
        pytest.skip("TAPED_TEST_DSN names no server with TimescaleDB's Community edition")
    write(data_folder, trades(1, 5_000))
    main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file)])
    fetch(dsn, "SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('taped.trades') c")
    capsys.readouterr()
    main(["sync", "stats", "--dsn-file", str(dsn_file), "--json"])
    told = json.loads(capsys.readouterr().out)
    (table,) = [table for table in told["tables"] if table["table"] == "trades"]
    assert table["columnar"] == table["chunks"] >= 1
    assert table["ratio"] > 2
    assert {"columns", "refresh"} <= {job["job"] for job in told["jobs"]}


async def _edition_now(connection):
    return (await probe(connection)).edition


def test_stats_of_a_database_without_the_schema_says_how_to_make_it(dsn_file, capsys):
    assert main(["sync", "stats", "--dsn-file", str(dsn_file)]) == 1
    assert "run `taped sync init`" in capsys.readouterr().err


@pytest.mark.parametrize("memory_mib", [4096, 8192])
def test_every_printed_setting_is_one_the_server_takes(dsn, memory_mib):
    known = {name: rest for name, *rest in fetch(dsn, "SELECT name, vartype, enumvals FROM pg_settings")}
    for line in settings_for(Machine(memory_mib, 4, shared=True)):
        if line.name.startswith("timescaledb."):
            continue
        kind, choices = known[line.name]
        # Builds without LZ4 do not know it; those of Debian and Raspberry Pi OS do.
        if kind == "enum" and line.name != "wal_compression":
            assert line.value in choices


def test_a_machine_of_the_databases_own_gives_it_more():
    alone, shared = (
        {line.name: line.value for line in settings_for(Machine(8192, 4, shared=shared))}
        for shared in (False, True)
    )
    assert (alone["shared_buffers"], shared["shared_buffers"]) == ("2048MB", "1024MB")


def test_tune_prints_a_file_for_postgresql(capsys):
    assert main(["sync", "tune", "--print", "--memory-gb", "4", "--cores", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "shared_buffers = 512MB" in lines
    assert all(not line or line.startswith("#") or " = " in line for line in lines)


@pytest.mark.parametrize("flags", [["--memory-gb", "0.1"], ["--cores", "0"]])
def test_a_machine_that_cannot_be_is_wrong_usage(flags, capsys):
    assert main(["sync", "tune", "--print", *flags]) == 2


def test_stats_by_a_role_without_rights_is_told_in_one_line(dsn_file, dsn, capsys):
    main(["sync", "init", "--dsn-file", str(dsn_file)])
    role = f"taped_nobody_{uuid4().hex[:8]}"
    _with_connection(dsn, lambda c: c.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'"))
    parts = urlsplit(dsn)
    dsn_file.write_text(parts._replace(netloc=f"{role}:x@{parts.hostname}:{parts.port}").geturl())
    capsys.readouterr()
    assert main(["sync", "stats", "--dsn-file", str(dsn_file)]) == 1
    assert "the database refused: permission denied" in capsys.readouterr().err
    _with_connection(dsn, lambda c: c.execute(f"DROP ROLE {role}"))
