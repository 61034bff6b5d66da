"""`taped journal tail`, `slice` and `repair` as an operator meets them."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.errors import JournalError
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.events import FeedState, FeedStatus, Trade
from tools import journal_repair, journal_slice, journal_tail
from tools.output import UsageError

STATUS = FeedStatus(ts_ns=1, feed="sim", state=FeedState.CONNECTED)


def trades(first, count):
    return [
        Trade(ts_ns=10**18 + n, received_ns=10**18, instrument_id=1, price=n, quantity=1)
        for n in range(first, first + count)
    ]


@pytest.fixture
def data(tmp_path):
    """Nine trades in three frames, sealed."""
    folder = tmp_path / "data"
    with JournalWriter.open(folder / "journal", segment_bytes=1 << 20) as writer:
        for at in (1, 4, 7):
            writer.append(trades(at, 3))
    return folder


def call(module, *words):
    parser = argparse.ArgumentParser()
    module.add(parser.add_subparsers(required=True))
    arguments = parser.parse_args([module.__name__.rpartition("_")[2], *map(str, words)])
    return arguments.run(arguments)


def damage(data):
    (path,) = (data / "journal").glob("*.evl")
    with path.open("r+b") as file:
        file.seek(2 * 4096 + 70)
        file.write(b"\xff\xff")
    return path.read_bytes()


def test_tail_prints_what_comes_until_it_is_interrupted(data):
    program = (
        "import sys, argparse; from tools import journal_tail; p = argparse.ArgumentParser();"
        "journal_tail.add(p.add_subparsers()); a = p.parse_args(sys.argv[1:]); sys.exit(a.run(a))"
    )
    words = [sys.executable, "-c", program, "tail", str(data), "--from", "8", "--json"]
    with subprocess.Popen([*words, "--type", "Trade"], stdout=subprocess.PIPE, text=True) as process:
        try:
            rows = [json.loads(process.stdout.readline()) for _ in range(2)]
            with JournalWriter.open(data / "journal", segment_bytes=1 << 20) as writer:
                writer.append([STATUS, *trades(11, 1)])
                writer.mark()
                rows.append(json.loads(process.stdout.readline()))
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        finally:
            process.kill()
    assert [(row["seq"], row["type"], row["price"]) for row in rows] == [(n, "Trade", n) for n in (8, 9, 11)]


def test_tail_refuses_a_type_that_does_not_exist(data):
    with pytest.raises(UsageError, match="no such event"):
        call(journal_tail, data, "--type", "Nothing")


def test_slice_makes_a_data_folder_that_verifies(data, tmp_path, capsys):
    assert call(journal_slice, data, tmp_path / "out", "--from", 4, "--to", 6, "--json") == 0
    assert json.loads(capsys.readouterr().out)["events"] == 3
    assert verify(tmp_path / "out" / "journal").problems == []


def test_slice_refuses_a_range_that_ends_before_it_begins(data, tmp_path):
    with pytest.raises(UsageError):
        call(journal_slice, data, tmp_path / "out", "--from", 6, "--to", 4)


def test_repair_without_consent_only_explains(data, capsys):
    before = damage(data)
    assert call(journal_repair, data) == 1
    told = capsys.readouterr().out
    assert "bytes 8,192 to 12,288" in told
    assert "events 4 to 6 are lost" in told
    assert "nothing was changed" in told
    (path,) = (data / "journal").glob("*.evl")
    assert path.read_bytes() == before


def test_repair_asks_before_it_changes_anything(data, monkeypatch, capsys):
    before = damage(data)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: "yes")
    assert call(journal_repair, data, "--accept-loss") == 1
    (path,) = (data / "journal").glob("*.evl")
    assert path.read_bytes() == before
    monkeypatch.setattr("builtins.input", lambda _: "lost")
    assert call(journal_repair, data, "--accept-loss") == 0
    assert verify(data / "journal").problems == []


def test_no_answer_is_no_consent(data, monkeypatch, capsys):
    before = damage(data)

    def end_of_input(_):
        raise EOFError

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", end_of_input)
    assert call(journal_repair, data, "--accept-loss") == 1
    assert "nothing was changed" in capsys.readouterr().out
    (path,) = (data / "journal").glob("*.evl")
    assert path.read_bytes() == before


def test_repair_tells_what_it_will_write_and_keep_before_it_asks(data, capsys):
    damage(data)
    call(journal_repair, data)
    told = capsys.readouterr().out
    assert "lost for ever without a backup: 3 events\n" in told
    assert "to be written anew: 1 segment, about" in told
    assert "to be copied to quarantine before: 1 damaged file, 20,480 bytes" in told


def test_a_damaged_archive_is_not_nothing_to_repair(data, capsys):
    with JournalWriter.open(data / "journal", segment_bytes=1 << 20) as writer:
        writer.append(trades(10, 1))
    archive_journal(data / "journal")
    (path,) = (data / "journal" / "archive").glob("*.zst")
    content = bytearray(path.read_bytes())
    content[150] ^= 1
    path.write_bytes(content)
    assert call(journal_repair, data) == 1
    assert "events 1 to 9 are lost" in capsys.readouterr().out
    assert call(journal_repair, data, "--accept-loss", "--yes") == 0
    assert verify(data / "journal").problems == []


def test_repair_of_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(JournalError, match="No such file or directory"):
        call(journal_repair, tmp_path / "elsewhere")


def test_repair_asks_nobody_where_nobody_can_answer(data, monkeypatch):
    damage(data)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(UsageError, match="asks before"):
        call(journal_repair, data, "--accept-loss")
    assert call(journal_repair, data, "--accept-loss", "--yes") == 0
    assert call(journal_repair, data) == 0
