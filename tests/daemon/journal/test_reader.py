"""What a reader finds while segments change their form under it."""

from __future__ import annotations

import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader
from tests.daemon.journal.conftest import begin_with, open_small, read_prices, trades


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Five segments of ten frames of 40 events."""
    directory = tmp_path_factory.mktemp("template") / "journal"
    with open_small(directory) as writer:
        for n in range(50):
            if n and n % 10 == 0:
                writer._roll()
            writer.append(trades(1 + n * 40, 40))
    return directory


@pytest.fixture
def journal(template, folder):
    shutil.copytree(template, folder)
    return folder


@pytest.mark.parametrize("archived_when_read", [False, True])
def test_any_range_is_the_same_whatever_is_archived(journal, archived_when_read):
    if archived_when_read:
        archive_journal(journal, keep=2)
    for first, last in ((1, 1), (1, 2000), (39, 42), (400, 401), (777, 1650), (1201, 1200), (2000, 2000)):
        assert read_prices(journal, first, last) == list(range(first, last + 1))
    assert read_prices(journal, 2001) == []


def test_a_reader_from_before_sees_what_was_archived_since(journal):
    reader = JournalReader(journal)
    archive_journal(journal)
    assert [e.price for b in reader.batches(1001, 1300) for e in b.events] == list(range(1001, 1301))


@pytest.mark.parametrize("taken", range(1, 50, 7))
def test_archiving_in_the_midst_of_reading_changes_nothing(journal, taken):
    reading = JournalReader(journal).batches()
    prices = [e.price for _ in range(taken) for e in next(reading).events]
    archive_journal(journal)
    prices += [e.price for b in reading for e in b.events]
    assert prices == list(range(1, 2001))


def test_a_segment_that_went_in_the_midst_of_reading_is_told(journal):
    archive_journal(journal)
    reading = JournalReader(journal).batches()
    next(reading)
    begin_with(journal, list_journal(journal)[3])
    with pytest.raises(JournalError, match="is gone"):
        list(reading)


def test_a_missing_archive_is_told(journal):
    archive_journal(journal)
    list_journal(journal)[1].path.unlink()
    with pytest.raises(JournalCorruptError, match="segment 2 is missing"):
        JournalReader(journal)


def test_a_file_that_is_no_archive_is_told(journal):
    archive_journal(journal)
    list_journal(journal)[1].path.write_bytes(b"something else")
    with pytest.raises(JournalCorruptError, match="not an archived segment"):
        read_prices(journal)
