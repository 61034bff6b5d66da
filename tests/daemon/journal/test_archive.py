"""What an archive holds, and what a crash or a fault while archiving may leave."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.archive_file import HEADER_BYTES, ArchiveReader
from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError, JournalError, JournalLockedError
from daemon.journal.listing import archive_path, is_archived, lengths, list_journal
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.journal.segment import list_segments
from daemon.journal.verify import verify
from daemon.venue.feeds.formats import ReadOptions, TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas import frame
from schemas.codec import UnknownEvent
from schemas.events import ClockTicked, OperatorCommand
from tests.daemon.journal.conftest import open_small, read_prices, trades
from tools.independent import DamagedError, compare, read
from tools.independent_archive import segment_of


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A journal of four segments with frames of all kinds of sizes, and events nobody knows."""
    directory = tmp_path_factory.mktemp("template") / "journal"
    with open_small(directory) as writer:
        n = 0
        while len(list_segments(directory)) < 4:
            count = n % 701 + 1
            writer.append(trades(n, count))
            n += count
            if n % 5 == 0:
                writer.mark()
            if n % 3 == 0:
                writer.append(
                    [ClockTicked(ts_ns=n, synchronized=True), UnknownEvent([99, 1, n, {"a": None}])]
                )
                writer.append(
                    [OperatorCommand(ts_ns=n, who="a", role="b", command="c", arguments={"x": [1.5]})]
                )
    return directory


@pytest.fixture
def journal(template, folder):
    shutil.copytree(template, folder)
    return folder


def content(directory, first_seq=1, last_seq=None):
    return list(JournalReader(directory).batches(first_seq, last_seq))


def numbers(directory):
    return [(name.number, is_archived(name)) for name in list_journal(directory)]


def test_every_reader_finds_the_same_batches_in_archives(journal, template):
    made = archive_journal(journal)
    assert [archived.name.number for archived in made] == [1, 2, 3]
    assert numbers(journal) == [(1, True), (2, True), (3, True), (4, False)]
    assert content(journal) == content(template)
    reader, plain = JournalReader(journal), JournalReader(template)
    assert (reader.journal_id, reader.created_ns, reader.last_seq, reader.first_seq) == (
        plain.journal_id,
        plain.created_ns,
        plain.last_seq,
        1,
    )


def test_the_segment_can_be_made_again_to_the_byte(journal, template):
    archive_journal(journal)
    for archived, plain in zip(list_journal(journal)[:-1], list_segments(template), strict=False):
        with ArchiveReader(archived) as reader:
            assert b"".join(reader.segment()) == plain.path.read_bytes()


def test_the_independent_reader_makes_the_same_segments_and_finds_the_same_events(journal, template):
    archive_journal(journal)
    for archived, plain in zip(list_journal(journal)[:-1], list_segments(template), strict=False):
        assert segment_of(archived.path.read_bytes()) == plain.path.read_bytes()
    assert compare(journal) == []
    assert sum(1 for _ in read(journal)) == JournalReader(template).last_seq


def test_reading_starts_at_any_event_and_reads_no_block_before_it(journal, template, monkeypatch):
    monkeypatch.setattr("daemon.journal.archive.BLOCK_EVENTS", 2000)
    archive_journal(journal)
    last = JournalReader(template).last_seq
    for first in (1, 2, last // 3, last // 2, last - 1, last):
        assert content(journal, first, first + 50) == content(template, first, first + 50)
    name = list_journal(journal)[0]
    with ArchiveReader(name) as reader:
        entry = reader.footer.blocks[2]
        assert entry.offset > reader.footer.blocks[0].offset
    data = bytearray(name.path.read_bytes())
    data[200] ^= 1
    name.path.write_bytes(data)
    assert content(journal, entry.first_seq, entry.first_seq + 5)
    with pytest.raises(JournalCorruptError, match="crc"):
        content(journal, 1, 2)


def test_an_archive_is_much_smaller(journal):
    made = archive_journal(journal)
    assert sum(a.archive_bytes for a in made) < 0.1 * sum(a.segment_bytes for a in made)


def test_recorded_trades_take_fewer_bytes_than_in_parquet(market_data, folder):
    path = market_data / "lean/equity/usa/tick/spy/20131008_trade.zip"
    with TickFile(path, InstrumentRegistry(), ReadOptions()) as file:
        events = [event for batch in file.batches() for event in batch]
    with open_small(folder) as writer:
        for at in range(0, 100_000, 4000):
            writer.append(events[at : at + 4000])
    made = archive_journal(folder)
    # All of that day's trades: 8.37 bytes each by pyarrow's defaults with zstd, 3.41 tuned (`taped bench`).
    assert len(made) > 2
    assert sum(a.archive_bytes for a in made) < 3.4 * sum(a.events for a in made)
    assert verify(folder).passed


def test_a_journal_with_archives_is_verified_to_the_last_hash(journal, template):
    archive_journal(journal)
    found, plain = verify(journal), verify(template)
    assert found.problems == []
    for what in ("segments", "sealed", "frames", "events", "first_seq", "last_seq", "types", "journal_id"):
        assert getattr(found, what) == getattr(plain, what)


def test_a_journal_with_archives_is_gone_on_with(journal, template):
    archive_journal(journal)
    last = JournalReader(template).last_seq
    with open_small(journal) as writer:
        assert writer.append(trades(0, 3)) == last + 1
    assert archive_journal(journal)[0].name.number == 4
    assert verify(journal).passed
    assert JournalReader(journal).last_seq == last + 3


def test_the_newest_segment_is_never_archived(journal):
    assert archive_journal(journal, keep=0)
    assert archive_journal(journal, keep=0) == []
    assert numbers(journal)[-1] == (4, False)


def test_a_journal_whose_newest_segment_is_gone_is_refused(journal):
    archive_journal(journal)
    list_segments(journal)[-1].path.unlink()
    assert not verify(journal).passed
    with pytest.raises(JournalCorruptError, match="segment 4 is missing"):
        open_small(journal)


def test_an_archive_of_another_journal_is_refused(journal, tmp_path):
    archive_journal(journal)
    other = tmp_path / "other"
    with open_small(other) as writer:
        for _ in range(60):
            writer.append(trades(0, 2000))
    archive_journal(other)
    theirs = list_journal(other)[0]
    shutil.copy(theirs.path, list_journal(journal)[0].path)
    assert not verify(journal).passed
    with pytest.raises(JournalCorruptError):
        open_small(journal)


def test_where_both_are_there_the_segment_counts_and_is_archived_again(journal, template):
    archive_journal(journal)
    shutil.copy(list_segments(template)[2].path, journal)
    archive_path(journal, 3, list_segments(template)[2].first_seq).write_bytes(b"half an archive")
    assert numbers(journal)[2] == (3, False)
    assert content(journal) == content(template)
    assert [archived.name.number for archived in archive_journal(journal)] == [3]
    assert content(journal) == content(template)


def test_every_flipped_byte_of_an_archive_is_found(folder):
    with open_small(folder) as writer:
        writer.append([*trades(1, 60), ClockTicked(ts_ns=1, synchronized=False)])
        writer._roll()
        writer.append(trades(61, 1))
    archive_journal(folder)
    path = list_journal(folder)[0].path
    whole = path.read_bytes()
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        path.write_bytes(data)
        assert not verify(folder).passed, at
        with pytest.raises(DamagedError):
            list(read(folder))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not verify(folder).passed, length
        with pytest.raises(DamagedError):
            list(read(folder))


def test_frames_of_another_schema_epoch_keep_their_checksums(journal, template, tmp_path, monkeypatch):
    older = tmp_path / "older"
    monkeypatch.setattr(frame, "SCHEMA_EPOCH", 7)
    with open_small(older) as writer:
        writer.append(trades(0, 500))
        writer._roll()
        writer.append(trades(500, 1))
    monkeypatch.undo()
    whole = list_segments(older)[0].path.read_bytes()
    archive_journal(older)
    with ArchiveReader(list_journal(older)[0]) as reader:
        assert b"".join(reader.segment()) == whole


def test_bodies_the_codec_would_write_otherwise_are_kept_as_they_are(folder, monkeypatch):
    encode = type("Loose", (), {"encode": lambda _, events: b"\xdc\x00\x01" + real(events)[1:]})()
    real = __import__("schemas.codec").codec.CODEC.encode
    with open_small(folder) as writer:
        monkeypatch.setattr("daemon.journal.writer.CODEC", encode)
        writer.append(trades(1, 1))
        monkeypatch.undo()
        writer._roll()
        writer.append(trades(2, 1))
    whole = list_segments(folder)[0].path.read_bytes()
    archive_journal(folder)
    with ArchiveReader(list_journal(folder)[0]) as reader:
        assert b"".join(reader.segment()) == whole
    assert read_prices(folder) == [1, 2]


class KilledError(BaseException):
    """The process ends here."""


class StepDisk(Disk):
    """A disk whose n-th change fails, before or after it happened."""

    def __init__(self, at: int, error: BaseException, *, after: bool = False) -> None:
        self.steps = 0
        self.at, self.error, self.after = at, error, after

    def _step(self, change, *arguments):
        self.steps += 1
        if self.steps == self.at and not self.after:
            raise self.error
        done = change(*arguments)
        if self.steps == self.at:
            raise self.error
        return done

    def create(self, path):
        return self._step(super().create, path)

    def write(self, fd, buffers, offset):
        return self._step(super().write, fd, buffers, offset)

    def sync_file(self, fd):
        return self._step(super().sync_file, fd)

    def rename(self, old, new):
        return self._step(super().rename, old, new)

    def unlink(self, path):
        return self._step(super().unlink, path)

    def sync_directory(self, directory):
        return self._step(super().sync_directory, directory)


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A journal of three small segments, so that each of many rounds is quick."""
    directory = tmp_path_factory.mktemp("little") / "journal"
    with open_small(directory) as writer:
        for n in range(3):
            if n:
                writer._roll()
            writer.append(trades(n * 100, 100))
    return directory


def rounds(little, folder, error, *, after):
    expected = content(little)
    for at in range(1, 100):
        shutil.copytree(little, folder)
        disk = StepDisk(at, error, after=after)
        try:
            archive_journal(folder, disk=disk)
        except (KilledError, JournalError):
            yield at, expected
        else:
            assert at > 15
            return
        shutil.rmtree(folder)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_step_nothing_is_lost_and_the_next_run_finishes(little, folder, after):
    for at, expected in rounds(little, folder, KilledError(), after=after):
        assert content(folder) == expected, at
        assert verify(folder).problems == [], at
        archive_journal(folder)
        assert numbers(folder) == [(1, True), (2, True), (3, False)]
        assert content(folder) == expected, at
        assert not list((folder / "archive").glob("*.tmp"))
        with open_small(folder) as writer:
            assert writer.next_seq == 301


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failing_disk_ends_archiving_with_an_error_and_loses_nothing(little, folder, code):
    for at, expected in rounds(little, folder, OSError(code, os.strerror(code)), after=False):
        assert content(folder) == expected, at
        archive_journal(folder)
        assert content(folder) == expected, at


def test_an_original_goes_only_after_its_archive_and_both_folders_are_durable(little, folder):
    shutil.copytree(little, folder)
    log: list[str] = []

    class Logged(Disk):
        def sync_file(self, fd):
            log.append("sync file")
            super().sync_file(fd)

        def rename(self, old, new):
            log.append("rename")
            super().rename(old, new)

        def sync_directory(self, directory):
            log.append(f"sync {directory.name}")
            super().sync_directory(directory)

        def unlink(self, path):
            log.append("unlink")
            super().unlink(path)

    archive_journal(folder, disk=Logged(), keep=2)
    assert log == ["sync journal", "sync file", "rename", "sync archive", "unlink", "sync journal"]


@pytest.mark.parametrize("what", ["header", "block", "footer"])
def test_what_does_not_read_back_as_it_was_written_is_no_archive(little, folder, what):
    shutil.copytree(little, folder)

    class Lying(Disk):
        def write(self, fd, buffers, offset):
            data = bytearray(b"".join(buffers))
            if what == {0: "header", HEADER_BYTES: "block"}.get(offset, "footer"):
                data[len(data) // 2] ^= 4
            super().write(fd, [bytes(data)], offset)

    with pytest.raises(JournalCorruptError):
        archive_journal(folder, disk=Lying())
    assert numbers(folder) == [(1, False), (2, False), (3, False)]
    assert content(folder) == content(little)


def test_a_damaged_segment_is_not_archived(journal):
    path = list_segments(journal)[1].path
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError, match="0000000002"):
        archive_journal(journal)
    assert numbers(journal) == [(1, True), (2, False), (3, False), (4, False)]
    assert path.read_bytes() == bytes(data)


def test_lengths_of_segments_that_are_archived_meanwhile_are_no_error(journal):
    listed = list_journal(journal)
    before = lengths(listed)
    archive_journal(journal)
    assert lengths(listed) == [0, 0, 0, before[-1]]


def test_one_at_a_time_archives(journal):
    (journal / "archive").mkdir()
    with JournalLock(journal / "archive"), pytest.raises(JournalLockedError):
        archive_journal(journal)


def test_a_reader_goes_on_while_its_segments_are_archived(journal, template):
    reading = JournalReader(journal).batches()
    batches = [next(reading)]
    archive_journal(journal)
    batches += reading
    assert batches == content(template)
