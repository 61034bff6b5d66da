"""The second reader sees what the first one may get wrong, and takes no growth for a difference."""

from __future__ import annotations

import pytest

from daemon.journal.reader import Batch, JournalReader
from daemon.journal.writer import JournalWriter
from schemas.events import Trade
from tools import independent


def trades(first, count, price=0):
    return [
        Trade(ts_ns=n, received_ns=n, instrument_id=1, price=price or n, quantity=1)
        for n in range(first, first + count)
    ]


@pytest.fixture
def journal(tmp_path):
    with JournalWriter.open(tmp_path, segment_bytes=1 << 20) as writer:
        for first in (1, 4, 7):
            writer.append(trades(first, 3))
    return tmp_path


def let_read(monkeypatch, change):
    """Let the daemon's reader give other batches than there are."""
    whole = JournalReader.batches
    monkeypatch.setattr(JournalReader, "batches", lambda self, *range_: change(list(whole(self, *range_))))


def test_both_readers_agree_on_a_whole_journal(journal):
    assert independent.compare(journal) == []


def test_an_event_that_the_other_reader_gets_wrong_is_told(journal, monkeypatch):
    let_read(monkeypatch, lambda batches: [Batch(1, trades(1, 3, price=99), 0), *batches[1:]])
    assert "seq 1: [2, 1, 1, 1, 1, 1, 1" in independent.compare(journal)[0]


@pytest.mark.parametrize(
    "change", [lambda batches: batches[:-1], lambda batches: [*batches, Batch(10, trades(10, 1), 0)]]
)
def test_an_event_that_only_one_reader_has_is_told(journal, monkeypatch, change):
    let_read(monkeypatch, change)
    assert "only one reader has an event" in independent.compare(journal)[0]


def test_a_wrong_number_is_told(journal, monkeypatch):
    let_read(monkeypatch, lambda batches: [b._replace(first_seq=b.first_seq + 1) for b in batches])
    assert "the other reader has seq 2" in independent.compare(journal)[0]


def test_nothing_read_is_no_agreement(journal, monkeypatch):
    monkeypatch.setattr(independent, "read", lambda directory: iter(()))
    assert "no event found" in independent.compare(journal)[0]


def test_what_a_live_journal_gets_meanwhile_is_left_for_the_next_time(journal, monkeypatch):
    read = independent.read
    with JournalWriter.open(journal, segment_bytes=1 << 20) as writer:

        def read_a_growing_journal(directory):
            writer.append(trades(10, 3))
            return read(directory)

        monkeypatch.setattr(independent, "read", read_a_growing_journal)
        assert independent.compare(journal) == []
