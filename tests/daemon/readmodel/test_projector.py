"""The projector's thread: keeps up, catches up, survives SQLite, lets go."""

from __future__ import annotations

import threading
import time
from unittest.mock import patch

import apsw
import pytest

from daemon.journal.errors import JournalError
from daemon.journal.writer import JournalWriter
from daemon.readmodel import projector as projector_module
from daemon.readmodel.content import content_hash
from daemon.readmodel.database import ReadModelMismatchError
from daemon.readmodel.projector import Projector
from daemon.readmodel.writer import ReadModelWriter
from tests.daemon.readmodel.conftest import JOURNAL, apply_cut, busy_stream, trade

STREAM = busy_stream(11, 400).stream


@pytest.fixture
def journal(tmp_path):
    writer = JournalWriter.open(tmp_path / "journal", segment_bytes=1 << 20)
    yield writer
    writer.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "readmodel.db"


def _append(journal: JournalWriter, events, *, batch: int = 50):
    """Make events durable in batches; yield each as the engine tells it."""
    for start in range(0, len(events), batch):
        part = events[start : start + batch]
        yield journal.append(part), part


def _wait_for(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _expected(tmp_path, events) -> str:
    """Hash of the same events, applied at once, as if in the journal of the test."""
    return apply_cut(tmp_path / "expected.db", events, [])


def _content(path) -> str:
    """Hash of the rows as if the file were of the tests' usual journal."""
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'journal_id'", (JOURNAL,))
    connection.close()
    return content_hash(path)


def test_offered_batches_are_applied_and_stop_waits_for_them(tmp_path, journal, path):
    projector = Projector(path, tmp_path / "journal")
    projector.start()
    for first_seq, events in _append(journal, STREAM):
        projector.offer(first_seq, events)
    assert projector.stop(timeout_s=10)
    assert projector.applied_seq == len(STREAM)
    assert _content(path) == _expected(tmp_path, STREAM)


def test_it_catches_up_from_the_journal_at_the_start(tmp_path, journal, path):
    list(_append(journal, STREAM))
    projector = Projector(path, tmp_path / "journal")
    assert projector.applied_seq == 0
    projector.start()
    _wait_for(lambda: projector.applied_seq == len(STREAM))
    assert projector.stop()
    assert _content(path) == _expected(tmp_path, STREAM)


def test_batches_that_found_no_room_are_read_from_the_journal(tmp_path, journal, path):
    with patch.object(projector_module, "MAX_QUEUED_EVENTS", 120):
        projector = Projector(path, tmp_path / "journal")
        for first_seq, events in _append(journal, STREAM):
            projector.offer(first_seq, events)
        assert sum(len(events) for _, events in projector._queue) <= 120
        projector.start()
        _wait_for(lambda: projector.applied_seq == len(STREAM))
        assert projector.stop()
    assert _content(path) == _expected(tmp_path, STREAM)


def test_a_failing_sqlite_is_told_and_tried_again_and_nothing_is_lost(tmp_path, journal, path):
    projector = Projector(path, tmp_path / "journal")
    failing = patch.object(
        ReadModelWriter, "_project", side_effect=apsw.FullError("database or disk is full")
    )
    with patch.object(projector_module, "RETRY_SECONDS", 0.01):
        projector.start()
        with failing:
            for first_seq, events in _append(journal, STREAM):
                projector.offer(first_seq, events)
            _wait_for(lambda: projector.failed is not None)
            assert "disk is full" in projector.failed
            assert projector.applied_seq == 0
        _wait_for(lambda: projector.failed is None and projector.applied_seq == len(STREAM))
    assert projector.stop()
    assert _content(path) == _expected(tmp_path, STREAM)


def test_stop_does_not_wait_for_a_sqlite_that_fails(tmp_path, journal, path):
    projector = Projector(path, tmp_path / "journal")
    with patch.object(ReadModelWriter, "_project", side_effect=apsw.BusyError("locked")):
        projector.start()
        projector.offer(journal.append([trade()]), [trade()])
        _wait_for(lambda: projector.failed is not None)
        started = time.monotonic()
        assert not projector.stop(timeout_s=5)
    assert time.monotonic() - started < 3


def test_an_offer_never_waits_for_sqlite(tmp_path, journal, path):
    offered, applying = threading.Event(), threading.Event()

    def wait_until_offered(*_):
        applying.set()
        assert offered.wait(10)

    projector = Projector(path, tmp_path / "journal")
    with patch.object(ReadModelWriter, "apply", side_effect=wait_until_offered):
        projector.start()
        projector.offer(1, [trade()])
        assert applying.wait(10)
        for seq in range(2, 102):
            projector.offer(seq, [trade()])
        assert projector.applied_seq == 0
        offered.set()
        projector.stop(timeout_s=0.1)


def test_batches_offered_in_quick_succession_share_transactions(tmp_path, journal, path):
    projector = Projector(path, tmp_path / "journal")
    projector.start()
    with patch.object(ReadModelWriter, "apply", autospec=True, side_effect=ReadModelWriter.apply) as apply:
        for first_seq, events in _append(journal, STREAM, batch=5):
            projector.offer(first_seq, events)
        assert projector.stop(timeout_s=10)
    assert apply.call_count < len(STREAM) / 5
    assert _content(path) == _expected(tmp_path, STREAM)


def test_a_read_model_ahead_of_its_journal_is_refused(tmp_path, journal, path):
    model = ReadModelWriter(path, journal.journal_id)
    model.apply(1, [trade(), trade()])
    model.close()
    journal.append([trade()])
    with pytest.raises(ReadModelMismatchError, match="at seq 2, ahead of its journal, which ends at 1"):
        Projector(path, tmp_path / "journal")


def test_without_a_journal_there_is_no_projector(tmp_path, path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(JournalError):
        Projector(path, tmp_path / "journal")
