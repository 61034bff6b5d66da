"""The database's dump in a backup: by the real pg_dump, from a real server."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.daemon.sync.conftest import ship
from tools.bench.postgres import PostgresServer, programs
from tools.cli import main


@pytest.fixture
def server(monkeypatch):
    """A server, and its own pg_dump before the system's, which may be older."""
    monkeypatch.setenv("PATH", f"{programs()}:/usr/bin:/bin")
    with tempfile.TemporaryDirectory(prefix="taped-postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def config(tmp_path, data):
    """Settings that want a dump."""
    file = tmp_path / "taped.toml"
    file.write_text(f"data = '{data}'\n[sync]\ndsn_file = '{tmp_path}/dsn'\n[backup]\ndatabase = true\n")
    (tmp_path / "dsn").touch(mode=0o600)
    return file


def test_a_dump_goes_along_and_comes_back_for_pg_restore(
    server, config, data, taped, tmp_path, monkeypatch
) -> None:
    (tmp_path / "dsn").write_text(server.dsn())
    monkeypatch.setenv("TAPED_SYNC_DSN", server.dsn())
    assert main(["sync", "init"]) == 0
    ship(data / "journal", server.dsn())
    taped.json("create", "--config", config)
    back = tmp_path / "back"
    assert "database-of-backup" in taped.told("restore", "--yes", data=back)
    dump = back / "database-of-backup/taped.dump"
    listed = subprocess.run(
        [programs() / "pg_restore", "--list", dump], capture_output=True, text=True, check=True
    ).stdout
    assert "TABLE DATA taped trades" in listed


def test_a_database_that_does_not_answer_is_told_and_the_backup_goes_without(
    config, data, taped, tmp_path, capsys
) -> None:
    (tmp_path / "dsn").write_text("postgresql://me:marker-of-a-secret@127.0.0.1:1/taped")
    assert taped("create", "--config", config) == 0
    said = capsys.readouterr()
    assert "the backup goes without the database: 127.0.0.1:1/taped" in said.err
    assert "marker-of-a-secret" not in said.err + said.out
    assert taped("list", data=data) == 0


def test_without_the_setting_no_database_is_asked(data, taped, capsys) -> None:
    assert taped("create", data=data) == 0
    assert "database" not in capsys.readouterr().err
