"""`taped journal` and what protects the traces of lost events."""

from __future__ import annotations

import json
import os
import time

import pytest

from daemon.journal.lock import JournalLock
from daemon.journal.verify import verify
from daemon.journal.writer import SEGMENT_BYTES, JournalWriter
from daemon.readmodel.writer import ReadModelWriter
from schemas.events import Trade
from tools.cli import main


@pytest.fixture
def data(tmp_path):
    """A journal of nine trades in three frames, and a read model that holds them."""
    trades = [
        Trade(ts_ns=10**18 + n, received_ns=10**18, instrument_id=1, price=n, quantity=1)
        for n in range(1, 10)
    ]
    with JournalWriter.open(tmp_path / "journal", segment_bytes=1 << 20) as writer:
        for at in range(0, 9, 3):
            writer.append(trades[at : at + 3])
        journal_id = writer.journal_id
    model = ReadModelWriter(tmp_path / "readmodel.db", journal_id)
    model.apply(1, trades)
    model.close()
    return tmp_path


def cut(data, pages):
    (segment,) = (data / "journal").glob("*.evl")
    with segment.open("r+b") as file:
        file.truncate(file.seek(0, 2) - pages * 4096)


def test_a_whole_journal_passes(data, capsys):
    assert main(["journal", "verify", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"]
    assert found["events"] == {"Trade": 9}
    assert (found["first_seq"], found["last_seq"]) == (1, 9)


def test_a_journal_that_ends_below_its_read_model_does_not_pass(data, capsys):
    cut(data, 2)
    assert main(["journal", "verify", str(data)]) == 1
    assert "acknowledged events are missing" in capsys.readouterr().out


def test_a_read_model_that_goes_on_while_a_live_journal_is_verified_is_no_loss(data, capsys, monkeypatch):
    def verify_while_a_daemon_writes(directory, advance, **options):
        found = verify(directory, advance, **options)
        later = [Trade(ts_ns=10**18, received_ns=10**18, instrument_id=1, price=10, quantity=1)]
        with JournalWriter.open(directory, segment_bytes=1 << 20) as writer:
            writer.append(later)
            model = ReadModelWriter(data / "readmodel.db", writer.journal_id)
        model.apply(10, later)
        model.close()
        return found

    monkeypatch.setattr("tools.journal.verify", verify_while_a_daemon_writes)
    assert main(["journal", "verify", str(data), "--independent"]) == 0


def test_a_read_model_of_another_journal_says_nothing_about_this_one(data, tmp_path, capsys):
    cut(data, 2)
    (data / "readmodel.db").unlink()
    model = ReadModelWriter(data / "readmodel.db", "f" * 32)
    model.apply(1, [Trade(ts_ns=1, received_ns=1, instrument_id=1, price=1, quantity=1)] * 9)
    model.close()
    assert main(["journal", "verify", str(data)]) == 0


def test_rebuild_keeps_the_only_trace_of_lost_events_unless_told_otherwise(data, capsys):
    cut(data, 2)
    before = (data / "readmodel.db").read_bytes()
    assert main(["replay", "rebuild", str(data)]) == 1
    assert "acknowledged events are missing" in capsys.readouterr().err
    assert (data / "readmodel.db").read_bytes() == before
    assert main(["replay", "rebuild", str(data), "--accept-loss"]) == 0
    assert ReadModelWriter.applied_seq_of(data / "readmodel.db") == 6


def test_a_torn_tail_is_told_unless_it_may_be_a_frame_on_its_way(data, capsys):
    (segment,) = (data / "journal").glob("*.evl")
    os.truncate(segment, segment.stat().st_size - 4096)
    with segment.open("ab") as file:
        file.write(b"TPFR" + b"x" * 4092)
    assert main(["journal", "verify", str(data)]) == 0
    assert "torn tail at" in capsys.readouterr().out
    with JournalLock(data / "journal"):
        assert main(["journal", "verify", str(data)]) == 0
    assert "torn tail" not in capsys.readouterr().out


def test_a_flipped_bit_is_told_with_its_place(data, capsys):
    (segment,) = (data / "journal").glob("*.evl")
    content = bytearray(segment.read_bytes())
    content[2 * 4096 + 90] ^= 1
    segment.write_bytes(content)
    assert main(["journal", "verify", str(data)]) == 1
    assert "byte 8192: body crc" in capsys.readouterr().out


def test_stat_tells_segments_and_who_holds_them(data, capsys):
    assert main(["journal", "stat", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["first_seq"], found["last_seq"], found["held_by_pid"]) == (1, 9, None)
    (day,) = found["days"]
    assert day["day"] == time.strftime("%Y-%m-%d", time.gmtime())
    assert day["frame_bytes"] == 5 * 4096, "header, three frames, seal"
    assert day["bytes"] == day["frame_bytes"] + day["zero_bytes"]
    assert day["zero_bytes"] == 2 * SEGMENT_BYTES, "the segment and the spare, of the usual length"
    assert [segment["sealed"] for segment in found["segments"]] == [True]


def test_stat_shows_people_what_was_written_by_day(data, capsys):
    assert main(["journal", "stat", str(data)]) == 0
    head, row = capsys.readouterr().out.splitlines()[-2:]
    assert head.split() == ["day", "frame_bytes", "zero_bytes", "bytes"]
    assert row.split()[1:] == ["20,480", "134,217,728", "134,238,208"]


def test_dump_prints_the_asked_events_in_order(data, capsys):
    assert main(["journal", "dump", str(data), "--from", "4", "--to", "6", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["seq"], row["type"], row["price"]) for row in rows] == [(n, "Trade", n) for n in (4, 5, 6)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--type", "Nothing"], "no such event"), (["--from", "5", "--to", "2"], "ends before it begins")],
)
def test_dump_refuses_what_cannot_be_meant(data, capsys, arguments, says):
    assert main(["journal", "dump", str(data), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_without_a_journal_is_named(tmp_path, capsys):
    for action in ("stat", "verify", "dump"):
        assert main(["journal", action, str(tmp_path)]) == 1
        assert "is this a taped data folder?" in capsys.readouterr().err


def test_the_independent_reader_agrees_on_a_whole_journal(data, capsys):
    assert main(["journal", "verify", str(data), "--independent"]) == 0


def test_the_independent_reader_tells_damage_in_its_own_words(data, capsys):
    (segment,) = (data / "journal").glob("*.evl")
    content = bytearray(segment.read_bytes())
    content[2 * 4096 + 90] ^= 1
    segment.write_bytes(content)
    assert main(["journal", "verify", str(data), "--independent"]) == 1
    assert "independent reader: " in capsys.readouterr().out


def test_an_archived_journal_is_told_checked_and_dumped_like_any_other(data, capsys):
    with JournalWriter.open(data / "journal", segment_bytes=1 << 20) as writer:
        writer.append([Trade(ts_ns=1, received_ns=1, instrument_id=1, price=10, quantity=1)])
    assert main(["journal", "archive", str(data)]) == 0
    capsys.readouterr()
    assert main(["journal", "stat", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["archived"], row["last_seq"]) for row in found["segments"]] == [(True, 9), (False, 10)]
    assert main(["journal", "verify", str(data)]) == 0
    capsys.readouterr()
    assert main(["journal", "dump", str(data), "--json"]) == 0
    assert [json.loads(line)["price"] for line in capsys.readouterr().out.splitlines()] == list(range(1, 11))
