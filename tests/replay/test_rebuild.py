"""A rebuild gives the same content, replaces in one step, and harms nothing when it cannot."""

from __future__ import annotations

import subprocess
import sys
from unittest.mock import patch

import apsw
import pytest

from daemon.journal.errors import JournalError, JournalLockedError
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.readmodel.content import content_hash
from daemon.readmodel.database import ReadModelError
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.writer import ReadModelWriter
from replay.rebuild import rebuild
from tests.daemon.readmodel.conftest import busy_stream, trade

STREAM = busy_stream(12, 500).stream


@pytest.fixture
def data(data_folder):
    """Data folder of a daemon that has ended: a sealed journal and the read model it kept."""
    journal = JournalWriter.open(data_folder / "journal", segment_bytes=1 << 20)
    model = ReadModelWriter(data_folder / "readmodel.db", journal.journal_id, keep_ticks=1000)
    for start in range(0, len(STREAM), 37):
        part = STREAM[start : start + 37]
        model.apply(journal.append(part), part)
    journal.close()
    model.close()
    return data_folder


def test_a_rebuild_equals_what_the_daemon_kept(data):
    before = content_hash(data / "readmodel.db")
    result = rebuild(data)
    assert result.equal is True
    assert result.hash == before == content_hash(data / "readmodel.db")
    assert result.applied_seq == len(STREAM)
    assert list(data.glob("*.rebuild*")) == []


def test_a_deleted_read_model_comes_back_with_the_same_content(data):
    before = content_hash(data / "readmodel.db")
    # The limit was not the usual one, and it went with the file.
    (data / "readmodel.db").unlink()
    result = rebuild(data, keep_ticks=1000)
    assert (result.former, result.equal) == (None, None)
    assert content_hash(data / "readmodel.db") == before


def test_a_long_journal_is_rebuilt_to_what_was_kept_within_the_limits(data_folder):
    ticks = [trade(10**18 + n * 10**8, n % 97, n % 13) for n in range(50_000)]
    journal = JournalWriter.open(data_folder / "journal", segment_bytes=4 << 20)
    model = ReadModelWriter(data_folder / "readmodel.db", journal.journal_id, keep_ticks=5000)
    for start in range(0, len(ticks), 1500):
        model.apply(journal.append(ticks[start : start + 1500]), ticks[start : start + 1500])
    journal.close()
    model.close()
    told = []
    assert rebuild(data_folder, lambda seq, last: told.append((seq, last))).equal is True
    assert told[-1] == (50_000, 50_000)


def test_changed_rows_are_noticed_and_put_right(data):
    connection = apsw.Connection(str(data / "readmodel.db"))
    connection.execute("UPDATE account SET cash = '1000000.000000000000000000'")
    connection.close()
    result = rebuild(data)
    assert result.equal is False
    assert result.former.hash != result.hash == content_hash(data / "readmodel.db")
    assert rebuild(data).equal is True


def test_a_damaged_read_model_is_named_and_replaced(data):
    (data / "readmodel.db").write_bytes(b"scribble" * 5000)
    result = rebuild(data)
    assert "damaged" in result.former.problem
    assert result.equal is None
    assert content_hash(data / "readmodel.db") == result.hash


def test_a_check_leaves_the_read_model_as_it_is(data):
    connection = apsw.Connection(str(data / "readmodel.db"))
    connection.execute("DELETE FROM trades")
    connection.close()
    before = content_hash(data / "readmodel.db")
    assert rebuild(data, replace=False).equal is False
    assert content_hash(data / "readmodel.db") == before


def test_while_a_daemon_holds_the_journal_it_is_refused(data):
    journal = JournalWriter.open(data / "journal", segment_bytes=1 << 20)
    with pytest.raises(JournalLockedError):
        rebuild(data)
    journal.close()


def test_without_a_journal_there_is_nothing_to_rebuild_from(data_folder):
    with pytest.raises(JournalError):
        rebuild(data_folder)
    assert list(data_folder.glob("readmodel*")) == []


def test_a_rebuild_that_fails_leaves_the_former_read_model_and_no_litter(data):
    before = content_hash(data / "readmodel.db")
    with (
        patch.object(ReadModelWriter, "_project", side_effect=apsw.FullError("disk full")),
        pytest.raises(ReadModelError, match="disk full"),
    ):
        rebuild(data)
    assert content_hash(data / "readmodel.db") == before
    assert list(data.glob("*.rebuild*")) == []


def _kill_in_the_middle(data, project_root):
    """Make a read model whose rows are all in its log still, as after a kill."""
    (data / "readmodel.db").unlink()
    code = (
        "import os, sys; from pathlib import Path; from daemon.readmodel.writer import ReadModelWriter as W;"
        "from daemon.journal.reader import JournalReader as R;"
        "data = Path(sys.argv[1]); j = R(data / 'journal');"
        "w = W(data / 'readmodel.db', j.journal_id, keep_ticks=1000);"
        "[w.apply(b.first_seq, b.events) for b in j.batches()]; os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, data], cwd=project_root, check=False).returncode == 9
    assert (data / "readmodel.db-wal").stat().st_size > 0


def test_what_a_killed_daemon_left_in_the_log_is_compared_and_does_not_reach_the_new_file(data, project_root):
    _kill_in_the_middle(data, project_root)
    result = rebuild(data)
    assert result.equal is True
    assert not (data / "readmodel.db-wal").exists()
    queries = ReadModelQueries(data / "readmodel.db")
    assert queries.status()["applied_seq"] == len(STREAM)
    queries.close()


def test_a_log_without_its_file_is_not_taken_for_that_of_a_new_file(data, project_root):
    _kill_in_the_middle(data, project_root)
    (data / "readmodel.db").unlink()
    model = ReadModelWriter(data / "readmodel.db", JournalReader(data / "journal").journal_id)
    assert model.applied_seq == 0
    model.close()
