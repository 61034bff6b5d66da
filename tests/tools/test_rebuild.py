"""`taped replay rebuild`: what it prints and its exit codes."""

from __future__ import annotations

import json

import apsw
import pytest

from daemon.journal.writer import JournalWriter
from daemon.readmodel.writer import ReadModelWriter
from tests.daemon.readmodel.conftest import busy_stream
from tools.cli import main

STREAM = busy_stream(13, 100).stream


@pytest.fixture
def data(data_folder):
    journal = JournalWriter.open(data_folder / "journal", segment_bytes=1 << 20)
    model = ReadModelWriter(data_folder / "readmodel.db", journal.journal_id)
    model.apply(journal.append(STREAM), STREAM)
    journal.close()
    model.close()
    return data_folder


def test_equal_content_is_said_and_exits_0(data, capsys):
    assert main(["replay", "rebuild", str(data)]) == 0
    new, former, verdict = capsys.readouterr().out.splitlines()
    assert new.split()[1] == former.split()[1]
    assert verdict == "equal content; rebuilt and put in place"


def test_json_tells_both_hashes(data, capsys):
    assert main(["replay", "rebuild", str(data), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["equal"] is True
    assert told["hash"] == told["former"]["hash"]
    assert (told["applied_seq"], told["replaced"]) == (len(STREAM), True)


@pytest.mark.parametrize("check", [False, True])
def test_different_content_exits_1(data, capsys, check):
    connection = apsw.Connection(str(data / "readmodel.db"))
    connection.execute("UPDATE orders SET quantity = quantity + 1")
    connection.close()
    words = ["replay", "rebuild", str(data), *(["--check"] if check else [])]
    assert main(words) == 1
    assert "DIFFERENT content" in capsys.readouterr().out
    assert main(words) == (1 if check else 0)


def test_a_damaged_read_model_is_replaced_and_exits_1(data, capsys):
    (data / "readmodel.db").write_bytes(b"scribble" * 5000)
    assert main(["replay", "rebuild", str(data)]) == 1
    assert "cannot be read" in capsys.readouterr().out
    assert main(["replay", "rebuild", str(data)]) == 0


def test_without_a_former_one_it_says_so_and_exits_0(data, capsys):
    (data / "readmodel.db").unlink()
    assert main(["replay", "rebuild", str(data)]) == 0
    assert "nothing to compare with; rebuilt" in capsys.readouterr().out


def test_a_folder_without_a_journal_exits_1_with_one_line(data_folder, capsys):
    assert main(["replay", "rebuild", str(data_folder)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_limit_too_small_is_wrong_usage(data):
    assert main(["replay", "rebuild", str(data), "--keep-ticks", "5"]) == 2
