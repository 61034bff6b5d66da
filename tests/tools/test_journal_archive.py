"""`taped journal archive` and `taped journal retain` as an operator sees them."""

from __future__ import annotations

import argparse
import json

import pytest

from daemon.journal.listing import is_archived, list_journal
from daemon.journal.verify import verify
from tests.daemon.journal.conftest import open_small, trades
from tools import journal_archive
from tools.output import UsageError


@pytest.fixture
def data(tmp_path):
    with open_small(tmp_path / "journal") as writer:
        for n in range(4):
            if n:
                writer._roll()
            writer.append(trades(n * 100, 100))
    return tmp_path


def taped(*words):
    parser = argparse.ArgumentParser()
    journal_archive.add(parser.add_subparsers())
    arguments = parser.parse_args([str(word) for word in words])
    return arguments.run(arguments)


def numbers(data):
    return [(name.number, is_archived(name)) for name in list_journal(data / "journal")]


def snapshot(data, seq):
    (data / "snapshots").mkdir(exist_ok=True)
    (data / "snapshots" / f"{seq:020d}.snap").touch()


def test_archive_tells_what_became_of_each_segment(data, capsys):
    assert taped("archive", data, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["segment"], row["events"]) for row in told["archived"]] == [(1, 100), (2, 100), (3, 100)]
    assert all(row["archive_bytes"] < row["bytes"] for row in told["archived"])
    assert taped("archive", data) == 0
    assert "nothing to archive" in capsys.readouterr().out


def test_archive_keeps_as_many_as_told(data, capsys):
    assert taped("archive", data, "--keep", 3) == 0
    assert numbers(data) == [(1, True), (2, False), (3, False), (4, False)]
    assert "became" in capsys.readouterr().out
    with pytest.raises(UsageError):
        taped("archive", data, "--keep", 0)


def test_retain_shows_and_removes_only_when_told(data, capsys):
    taped("archive", data)
    snapshot(data, 250)
    snapshot(data, 390)
    capsys.readouterr()
    assert taped("retain", data, "--max-bytes", "0") == 0
    shown = capsys.readouterr().out
    assert "2 segments would go" in shown
    assert "behind the snapshot at seq 250" in shown
    assert "nothing was removed" in shown
    assert len(numbers(data)) == 4
    assert taped("retain", data, "--max-bytes", "0", "--apply", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["applied"], told["begins_at_seq"], len(told["going"])) == (True, 201, 2)
    assert numbers(data) == [(3, True), (4, False)]
    assert verify(data / "journal").passed


def test_retain_removes_nothing_that_timescaledb_has_not_confirmed(data, capsys):
    taped("archive", data)
    assert taped("retain", data, "--max-age", 0, "--confirmed", 100, "--apply") == 0
    assert "segment 2 stays: TimescaleDB has confirmed up to seq 100" in capsys.readouterr().out
    assert [number for number, _ in numbers(data)] == [2, 3, 4]


@pytest.mark.parametrize(
    "words", [[], ["--max-age", "-1"], ["--max-age", "nan"], ["--max-age", "1e300"]], ids=str
)
def test_limits_that_are_none_are_refused(data, words):
    with pytest.raises(UsageError):
        taped("retain", data, *words)


@pytest.mark.parametrize(("text", "count"), [("5", 5), ("3k", 3 << 10), ("20G", 20 << 30)])
def test_bytes_may_have_a_unit(text, count):
    assert journal_archive._bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "1.5G", "-1", "5X", "٣"])
def test_what_is_no_number_of_bytes_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        journal_archive._bytes(text)
