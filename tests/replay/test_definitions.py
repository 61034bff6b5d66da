from __future__ import annotations

import shutil

import msgspec
import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.reader import JournalReader
from replay import definitions
from replay.definitions import in_force
from schemas.events import InstrumentDefined, SessionCalendarDefined
from tests.replay.recordings import instrument, trade, write_journal

INDEX = "definitions.idx"


def calendar(closes: int) -> SessionCalendarDefined:
    return SessionCalendarDefined(
        ts_ns=0,
        venue="V",
        instrument_id=None,
        zone="UTC",
        opens=[0],
        closes=[closes],
        holidays=[],
        early_days=[],
        early_closes=[],
    )


def later(instrument_id: int, number: int) -> InstrumentDefined:
    return msgspec.structs.replace(instrument(instrument_id), tick_size=number + 1)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Several segments, in which instruments and a calendar are defined here and there and again."""
    frames: list[list] = []
    for n in range(900):
        frame: list = [trade(n) for _ in range(3)]
        if n % 100 == 7:
            frame.insert(1, later(n % 3 + 1, n))
        if n % 250 == 60:
            frame.append(calendar(n + 1))
        frames.append(frame)
    return write_journal(tmp_path_factory.mktemp("template"), *frames, small=True)


@pytest.fixture
def data(template, tmp_path):
    return shutil.copytree(template, tmp_path / "data")


def slowly(journal: JournalReader, seq: int) -> dict:
    """Return what every event before a number defines, by decoding all of them."""
    found = {}
    for batch in journal.batches(1, seq - 1) if seq > 1 else ():
        for event in batch.events:
            if isinstance(event, InstrumentDefined):
                found[event.symbol] = event
            elif isinstance(event, SessionCalendarDefined):
                found[event.venue] = event
    return found


def quickly(journal: JournalReader, seq: int) -> dict:
    return {
        event.symbol if isinstance(event, InstrumentDefined) else event.venue: event
        for event in in_force(journal, seq)
    }


@pytest.mark.parametrize("archived", [False, True])
def test_what_is_found_by_search_is_what_decoding_all_would_find(data, archived):
    if archived:
        archive_journal(data / "journal")
    journal = JournalReader(data / "journal")
    for seq in (1, 2, 23, 24, 25, 500, 1_500, 2_700, journal.last_seq + 1):
        assert quickly(journal, seq) == slowly(journal, seq)


def test_sealed_segments_are_searched_once(data, monkeypatch):
    journal = JournalReader(data / "journal")
    last = journal.last_seq
    first = in_force(journal, last)
    searched = []
    search = definitions._search
    monkeypatch.setattr(definitions, "_search", lambda reader: searched.append(reader) or search(reader))
    assert in_force(journal, last) == first
    assert len(searched) <= 1


def test_an_index_is_right_for_a_segment_that_was_archived_meanwhile(data, monkeypatch):
    journal = JournalReader(data / "journal")
    before = in_force(journal, 1_000)
    archive_journal(data / "journal")
    monkeypatch.setattr(definitions, "_search", None)
    assert in_force(JournalReader(data / "journal"), 1_000) == before


@pytest.mark.parametrize("content", [b"", b"nonsense", msgspec.msgpack.encode({"journal_id": "other"})])
def test_an_index_that_is_none_is_made_anew(data, content):
    journal = JournalReader(data / "journal")
    (data / INDEX).write_bytes(content)
    assert quickly(journal, 2_000) == slowly(journal, 2_000)
    assert (data / INDEX).read_bytes() != content


def test_a_folder_that_cannot_be_written_does_without(data, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "no")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    journal = JournalReader(data / "journal")
    assert quickly(journal, 2_000) == slowly(journal, 2_000)
    assert not (data / INDEX).exists()


def test_a_journal_that_stands_by_itself_gets_no_file(template, tmp_path):
    alone = shutil.copytree(template / "journal", tmp_path / "alone")
    in_force(JournalReader(alone), 2_000)
    assert sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file()) == [
        path.suffix for path in sorted(alone.iterdir(), key=lambda path: path.suffix)
    ]
