"""Runs are kept as they were, by several processes at once; a catalogue that is broken harms nobody."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from unittest.mock import patch

import msgspec
import pytest

from replay.runs import catalogue as catalogue_module
from replay.runs.catalogue import Catalogue, CatalogueError, catalogue_of, users_catalogue
from replay.runs.record import Run
from replay.runs.recording import record
from tests.replay.runs.conftest import ran, tape


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path / "runs.db")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ran(tape(tmp_path_factory.mktemp("tape")), note="the first")


def add(catalogue, *runs):
    return [asyncio.run(catalogue.add(run)) for run in runs]


def test_a_run_comes_back_as_it_was(catalogue, run):
    (kept,) = add(catalogue, run)
    assert kept.number == 1
    assert asyncio.run(catalogue.get([1])) == [kept]
    assert msgspec.structs.replace(kept, number=0) == run
    assert run.fills > 10
    assert run.metrics["trips"] > 5


def test_runs_are_listed_newest_first_and_by_strategy(catalogue, run):
    other = msgspec.structs.replace(run, spec=msgspec.structs.replace(run.spec, strategy="other"))
    add(catalogue, run, other, run)
    listed = asyncio.run(catalogue.runs()).runs
    assert [item.number for item in listed] == [3, 2, 1]
    assert [item.number for item in asyncio.run(catalogue.runs(strategy="other")).runs] == [2]
    assert [item.number for item in asyncio.run(catalogue.runs(limit=1)).runs] == [3]


def test_a_number_is_never_given_twice(catalogue, run):
    add(catalogue, run, run)
    asyncio.run(catalogue.remove([2]))
    assert add(catalogue, run)[0].number == 3


def test_runs_are_removed_all_or_none(catalogue, run):
    add(catalogue, run, run)
    with pytest.raises(CatalogueError, match="no run 9; none was removed"):
        asyncio.run(catalogue.remove([1, 9]))
    assert len(asyncio.run(catalogue.runs()).runs) == 2
    asyncio.run(catalogue.remove([1, 2]))
    assert asyncio.run(catalogue.runs()).runs == []


def test_the_oldest_runs_go_beyond_the_limit(catalogue, run):
    with patch.object(catalogue_module, "MAX_RUNS", 3):
        add(catalogue, *[run] * 5)
        assert [item.number for item in asyncio.run(catalogue.runs()).runs] == [5, 4, 3]


def test_the_file_has_a_rollback_journal_and_is_not_everybodys(catalogue, run):
    add(catalogue, run)
    connection = sqlite3.connect(catalogue.path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    assert catalogue.path.stat().st_mode & 0o007 == 0
    assert [path.name for path in catalogue.path.parent.iterdir()] == ["runs.db"]


def test_a_run_that_cannot_be_read_does_not_hide_the_others(catalogue, run):
    add(catalogue, run, run)
    connection = sqlite3.connect(catalogue.path)
    connection.execute("UPDATE runs SET record = '{}' WHERE run = 1")
    connection.commit()
    connection.close()
    found = asyncio.run(catalogue.runs())
    assert ([item.number for item in found.runs], found.unreadable) == ([2], [1])
    with pytest.raises(CatalogueError, match="run 1 cannot be read"):
        asyncio.run(catalogue.get([1]))


def damaged(path, run):
    add(Catalogue(path), run)
    return path.read_bytes()[:9_000]


@pytest.mark.parametrize("content", [lambda _path, _run: b"no database, but long enough" * 40, damaged])
def test_a_damaged_catalogue_does_not_harm_a_run(catalogue, run, content):
    broken = content(catalogue.path, run)
    catalogue.path.write_bytes(broken)
    told = []
    assert record(run, told.append, catalogue=catalogue) is None
    assert "the run was not recorded" in told[0]
    assert catalogue.path.read_bytes() == broken


def test_a_newer_catalogue_is_left_alone(catalogue, run):
    connection = sqlite3.connect(catalogue.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    told = []
    assert record(run, told.append, catalogue=catalogue) is None
    assert "version 99, this taped knows 1" in told[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_does_not_harm_a_run(tmp_path, run):
    tmp_path.chmod(0o500)
    told = []
    assert record(run, told.append, catalogue=Catalogue(tmp_path / "runs.db")) is None
    assert "not recorded" in told[0]
    tmp_path.chmod(0o700)


def test_a_place_that_is_no_folder_does_not_harm_a_run(tmp_path, run):
    (tmp_path / "file").write_text("")
    told = []
    assert record(run, told.append, catalogue=Catalogue(tmp_path / "file" / "runs.db")) is None
    assert "not recorded" in told[0]


def test_a_catalogue_that_stays_locked_is_given_up(catalogue, run):
    add(catalogue, run)
    holder = sqlite3.connect(catalogue.path)
    holder.execute("BEGIN EXCLUSIVE")
    told = []
    with patch.object(catalogue_module, "WAIT_S", 0.1):
        assert record(run, told.append, catalogue=catalogue) is None
    holder.close()
    assert "locked" in told[0]


_ADD_MANY = """
import asyncio, sys, pathlib, msgspec
from replay.runs.catalogue import Catalogue
from replay.runs.record import Run
run = msgspec.json.decode(sys.stdin.buffer.read(), type=Run)
async def main():
    for number in range(20):
        await Catalogue(pathlib.Path(sys.argv[1])).add(run)
asyncio.run(main())
"""


def test_two_processes_add_to_one_catalogue_that_is_not_there_yet(catalogue, run, project_root):
    command = [sys.executable, "-c", _ADD_MANY, str(catalogue.path)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, cwd=project_root) for _ in range(2)]
    body = msgspec.json.encode(run)
    for process in processes:
        process.stdin.write(body)
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert sorted(item.number for item in asyncio.run(catalogue.runs()).runs) == list(range(1, 41))


def test_a_data_folder_has_its_own_catalogue_and_files_the_users(data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert catalogue_of([str(data)]).path == data / "runs.db"
    assert catalogue_of([str(tmp_path / "x.csv")]).path == tmp_path / "state" / "taped" / "runs.db"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert users_catalogue().path.is_absolute()


def test_a_record_is_json_that_reads_back(run):
    assert msgspec.json.decode(msgspec.json.encode(run), type=Run) == run


def test_a_catalogue_that_cannot_be_opened_is_told_and_leaves_no_thread_behind(tmp_path, run):
    # A thread that outlives its loop would complain, and the tests turn that into an error.
    (tmp_path / "runs.db").mkdir()
    told = []
    assert record(run, told.append, catalogue=Catalogue(tmp_path / "runs.db")) is None
    assert "not recorded" in told[0]
    assert "Is a directory" in told[0]
