"""`taped sync`, as an operator calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.daemon.sync.conftest import database, fetch, server_dsn, template, trades, write
from tools.cli import main

__all__ = ["database", "server_dsn", "template"]


@pytest.fixture
def dsn_file(database, tmp_path) -> Path:
    """A file as `sync.dsn_file` names it."""
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text(database + "\n")
    return file


def test_once_ships_and_says_how_much(dsn_file, database, data_folder, capsys):
    write(data_folder, trades(1, 120))
    assert main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == 120
    assert fetch(database, "SELECT count(*) FROM taped.trades") == [(120,)]


def test_the_folder_and_the_file_may_come_from_the_settings(dsn_file, data_folder, tmp_path, capsys):
    write(data_folder, trades(1, 5))
    config = tmp_path / "taped.toml"
    config.write_text(f'data = "{data_folder}"\n[sync]\ndsn_file = "{dsn_file}"\n')
    assert main(["sync", "once", "--config", str(config)]) == 0
    assert "5 events shipped to 127.0.0.1" in capsys.readouterr().out


def test_no_password_is_ever_printed(data_folder, tmp_path, capsys):
    write(data_folder, trades(1, 5))
    file = tmp_path / "dsn"
    file.touch(0o600)
    for text in ("postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:secret@[::1/x", "me:secret@host"):
        file.write_text(text)
        assert main(["sync", "once", str(data_folder), "--dsn-file", str(file)]) == 1
        told = capsys.readouterr()
        assert "secret" not in told.out + told.err


def test_a_file_that_others_may_read_is_refused(data_folder, dsn_file, capsys):
    dsn_file.chmod(0o640)
    assert main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file)]) == 1
    assert "chmod 600" in capsys.readouterr().err


def test_without_a_database_it_says_how_to_name_one(data_folder, capsys):
    assert main(["sync", "once", str(data_folder)]) == 1
    assert "TAPED_SYNC_DSN" in capsys.readouterr().err


def test_verify_tells_what_is_equal_and_what_is_not(dsn_file, database, data_folder, capsys):
    write(data_folder, trades(1, 120))
    main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file)])
    assert main(["sync", "verify", str(data_folder), "--dsn-file", str(dsn_file)]) == 0
    told = capsys.readouterr().out
    assert "120 equal" in told
    assert told.endswith("passed\n")
    fetch(database, "UPDATE taped.trades SET quantity = 2 WHERE seq = 7")
    assert main(["sync", "verify", str(data_folder), "--dsn-file", str(dsn_file)]) == 1
    assert "trades.quantity is 1 in the journal, 2 in the database" in capsys.readouterr().out


def test_status_tells_journal_and_database_and_that_no_daemon_runs(dsn_file, data_folder, capsys):
    write(data_folder, trades(1, 120))
    main(["sync", "once", str(data_folder), "--dsn-file", str(dsn_file)])
    write(data_folder, trades(121, 5))
    capsys.readouterr()
    words = ["sync", "status", str(data_folder), "--dsn-file", str(dsn_file), "--url", "http://127.0.0.1:1"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "up to seq 125" in told
    assert "behind    5 events" in told
    assert "none that can be asked" in told


def test_status_of_a_database_that_is_away_says_so(data_folder, tmp_path, capsys):
    write(data_folder, trades(1, 5))
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text("postgresql://me:secret@127.0.0.1:1/x")
    words = ["sync", "status", str(data_folder), "--dsn-file", str(file), "--json"]
    assert main([*words, "--url", "http://127.0.0.1:1"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "no way to the database" in told["problem"]
    assert "secret" not in json.dumps(told)
