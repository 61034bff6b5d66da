"""Repair keeps every event whose bytes are whole, tells the others as lost, and halts trading."""

from __future__ import annotations

import os
import random
import shutil

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.archive_file import ArchiveReader
from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError, JournalError, JournalLockedError
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.repair import apply_repair, plan_repair
from daemon.journal.segment import SegmentReader, list_segments
from daemon.journal.verify import verify
from schemas.events import Trade, TradingState, TradingStateChanged
from schemas.frame import PAGE

from .conftest import begin_with, crash, open_small, trades

FRAMES, PER_FRAME = 520, 3
EVENTS = FRAMES * PER_FRAME


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Three segments, the last one neither sealed nor torn; an event's price is its number."""
    folder = tmp_path_factory.mktemp("original") / "journal"
    writer = open_small(folder)
    for n in range(FRAMES):
        writer.append(trades(1 + n * PER_FRAME, PER_FRAME))
    writer.mark()
    crash(writer)
    (folder / "spare.tmp").unlink()
    return folder


@pytest.fixture
def journal(original, tmp_path):
    return shutil.copytree(original, tmp_path / "journal")


@pytest.fixture(scope="module")
def archived_original(original, tmp_path_factory):
    """The same three segments, the first two archived."""
    folder = shutil.copytree(original, tmp_path_factory.mktemp("archived") / "journal")
    assert len(archive_journal(folder)) == 2
    return folder


@pytest.fixture
def archived(archived_original, tmp_path):
    return shutil.copytree(archived_original, tmp_path / "archived")


@pytest.fixture
def archived_blocks(journal, monkeypatch):
    """The same, in archives of many blocks."""
    monkeypatch.setattr("daemon.journal.archive.BLOCK_EVENTS", 100)
    archive_journal(journal)
    return journal


def segment(journal, number):
    return sorted(journal.glob("*.evl"))[number - 1]


def archive(journal, number):
    return sorted((journal / "archive").glob("*.zst"))[number - 1]


def names(journal):
    return [name.first_seq for name in list_journal(journal)]


def spoil(path, offset, data=b"\xff\x00\xff"):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read(journal):
    """Return trades by their number, checking that each has the one it was written with."""
    found = {}
    for batch in JournalReader(journal).batches():
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, Trade):
                assert event.price == seq
                found[seq] = event
    return found


def gaps(journal):
    told = []
    for name in list_segments(journal):
        with SegmentReader(name) as reader:
            for _ in reader.frames():
                pass
            told += reader.gaps
    return told


def check_repaired(journal, lost):
    """The journal passes, opens, goes on, is halted, and lacks exactly what was told."""
    assert verify(journal).problems == []
    assert set(range(1, EVENTS + 1)) - set(read(journal)) == set(lost)
    assert {seq for gap in gaps(journal) for seq in range(gap.lost_from, gap.next_seq)} == set(lost)
    last = [event for batch in JournalReader(journal).batches() for event in batch.events][-1]
    assert isinstance(last, TradingStateChanged)
    assert last.state is TradingState.HALTED
    assert not plan_repair(journal).needed
    with open_small(journal) as writer:
        assert writer.tail is None
        writer.append(trades(writer.next_seq, 1))
    assert verify(journal).problems == []


def refuse_to_start(journal):
    with pytest.raises(JournalCorruptError):
        open_small(journal).close()


def seqs(frames):
    return [seq for n in frames for seq in range(1 + n * PER_FRAME, 1 + (n + 1) * PER_FRAME)]


def test_a_whole_journal_needs_no_repair_and_is_not_touched(journal):
    before = {path: path.read_bytes() for path in journal.iterdir()}
    assert not plan_repair(journal).needed
    apply_repair(journal)
    assert {path: path.read_bytes() for path in journal.iterdir()} == {**before, journal / "LOCK": b""}


def test_a_torn_tail_is_left_to_the_next_start(journal):
    with segment(journal, 3).open("r+b") as file:
        with SegmentReader(list_segments(journal)[-1]) as reader:
            for _ in reader.frames():
                pass
            file.seek(reader.offset)
        file.write(b"TPFRtorn")
    assert not plan_repair(journal).needed


def test_a_damaged_frame_in_the_middle_of_the_last_segment(journal):
    first = list_segments(journal)[-1].first_seq
    spoil(segment(journal, 3), PAGE * 6 + 100)
    refuse_to_start(journal)
    lost = list(range(first + 5 * PER_FRAME, first + 6 * PER_FRAME))
    plan = plan_repair(journal)
    (loss,) = plan.losses
    assert (loss.lost_from, loss.next_seq, loss.from_byte, loss.to_byte) == (
        lost[0],
        lost[-1] + 1,
        PAGE * 6,
        PAGE * 7,
    )
    apply_repair(journal)
    check_repaired(journal, lost)


def test_a_damaged_frame_of_a_sealed_segment_and_all_that_follow_are_kept(journal):
    spoil(segment(journal, 1), PAGE * 3 + 5)
    spoil(segment(journal, 2), PAGE * 2 + 80, bytes(PAGE * 2))
    apply_repair(journal)
    second = list_segments(journal)[1].first_seq
    check_repaired(journal, [*seqs([2]), *range(second + PER_FRAME, second + 4 * PER_FRAME)])
    assert len(list((journal / "quarantine").iterdir())) == 2


def test_a_missing_segment_is_stood_in_for(journal):
    names = list_segments(journal)
    names[1].path.unlink()
    refuse_to_start(journal)
    plan = apply_repair(journal)
    assert [loss.reason for loss in plan.losses] == ["the file is missing"]
    check_repaired(journal, range(names[1].first_seq, names[2].first_seq))
    assert [name.number for name in list_segments(journal)][:3] == [1, 2, 3]


def test_a_missing_seal_costs_no_event(journal):
    path = segment(journal, 1)
    os.truncate(path, path.stat().st_size - PAGE)
    plan = apply_repair(journal)
    assert plan.lost_events == 0
    check_repaired(journal, [])


def test_a_cut_sealed_segment_loses_what_was_cut(journal):
    os.truncate(segment(journal, 1), PAGE * 101)
    apply_repair(journal)
    check_repaired(journal, range(1 + 100 * PER_FRAME, list_segments(journal)[1].first_seq))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_damaged_segment_header_costs_no_event(journal, number):
    spoil(segment(journal, number), 0, bytes(200))
    plan = apply_repair(journal)
    assert plan.lost_events == 0
    check_repaired(journal, [])


def test_a_journal_that_ends_below_its_read_model_gets_a_gap_up_to_it(journal):
    first = list_segments(journal)[-1].first_seq
    segment(journal, 3).unlink()
    assert not plan_repair(journal).needed
    with pytest.raises(JournalCorruptError, match="acknowledged events are missing"):
        open_small(journal, watermark=EVENTS).close()
    apply_repair(journal, watermark=EVENTS)
    check_repaired(journal, range(first, EVENTS + 1))
    open_small(journal, watermark=EVENTS).close()


def test_the_quarantine_holds_the_bytes_as_they_were(journal):
    path = segment(journal, 2)
    spoil(path, PAGE * 9)
    damaged = path.read_bytes()
    apply_repair(journal)
    (gap,) = gaps(journal)
    assert (journal / gap.quarantined).read_bytes() == damaged


def test_frames_keep_their_times(journal):
    spoil(segment(journal, 1), PAGE * 3 + 5)
    before = {
        b.first_seq: b.append_ns for b in JournalReader(journal).batches(list_segments(journal)[1].first_seq)
    }
    apply_repair(journal)
    after = {b.first_seq: b.append_ns for b in JournalReader(journal).batches()}
    assert before.items() <= after.items()


# --- archives, and what is missing at either end ------------------------------------------------


def test_whole_archives_need_no_repair_and_are_not_touched(archived):
    before = {path: path.read_bytes() for path in archived.rglob("*") if path.is_file()}
    apply_repair(archived)
    after = {path: path.read_bytes() for path in archived.rglob("*") if path.is_file()}
    assert after == {**before, archived / "LOCK": b""}


@pytest.mark.parametrize("number", [1, 2])
def test_a_damaged_block_of_an_archive_is_told_and_the_others_are_kept(archived_blocks, number):
    path = archive(archived_blocks, number)
    with ArchiveReader(list_journal(archived_blocks)[number - 1]) as reader:
        entry = reader.footer.blocks[1]
        assert len(reader.footer.blocks) > 2
    spoil(path, entry.offset + 50)
    damaged = path.read_bytes()
    assert verify(archived_blocks).problems
    (loss,) = plan_repair(archived_blocks).losses
    assert (loss.from_byte, loss.to_byte) == (entry.offset, entry.offset + entry.length)
    apply_repair(archived_blocks)
    check_repaired(archived_blocks, range(entry.first_seq, entry.next_seq))
    (gap,) = gaps(archived_blocks)
    assert (archived_blocks / gap.quarantined).read_bytes() == damaged
    assert len(list((archived_blocks / "archive").glob("*.zst"))) == number - 1, "what follows is plain now"


@pytest.mark.parametrize("at", [20, -5, -40])
def test_an_archive_without_its_header_or_index_is_lost_as_a_whole(archived, at):
    path = archive(archived, 1)
    first, second = names(archived)[:2]
    spoil(path, at if at > 0 else path.stat().st_size + at)
    apply_repair(archived)
    check_repaired(archived, range(first, second))


def test_a_missing_archive_is_stood_in_for(archived):
    _, second, third = names(archived)
    archive(archived, 2).unlink()
    refuse_to_start(archived)
    apply_repair(archived)
    check_repaired(archived, range(second, third))


def test_missing_oldest_segments_are_stood_in_for(archived):
    third = names(archived)[2]
    shutil.rmtree(archived / "archive")
    refuse_to_start(archived)
    plan = apply_repair(archived)
    assert plan.lost_events == third - 1
    check_repaired(archived, range(1, third))


def test_a_missing_newest_segment_behind_archives_is_stood_in_for(archived):
    third = names(archived)[2]
    segment(archived, 1).unlink()
    refuse_to_start(archived)
    apply_repair(archived, watermark=EVENTS)
    check_repaired(archived, range(third, EVENTS + 1))


@pytest.mark.parametrize("missing", [False, True])
def test_a_journal_that_retention_shortened_is_repaired_from_its_own_beginning(archived, missing):
    _, second, third = names(archived)
    begin_with(archived, list_journal(archived)[1])
    assert not plan_repair(archived).needed
    if missing:
        archive(archived, 1).unlink()
    else:
        spoil(archive(archived, 1), 400)
    apply_repair(archived)
    assert verify(archived).problems == []
    assert [(gap.lost_from, gap.next_seq) for gap in gaps(archived)] == [(second, third)]
    assert JournalReader(archived).first_seq == second


@pytest.mark.parametrize("at", [*range(1, 16), 100, *range(205, 220), 300])
def test_a_repair_of_archives_that_was_stopped_may_be_run_again(archived, at):
    first, second = names(archived)[:2]
    spoil(archive(archived, 1), 20)
    with pytest.raises(JournalError, match="run repair again"):
        apply_repair(archived, disk=Failing(at))
    apply_repair(archived)
    check_repaired(archived, range(first, second))


def test_what_was_planned_is_what_is_written(archived):
    spoil(archive(archived, 1), 400)
    plan = apply_repair(archived)
    written = sum(name.path.stat().st_size for name in list_segments(archived))
    written += sum(path.stat().st_size for path in (archived / "quarantine").iterdir())
    assert written <= plan.written_bytes <= 2 * written


def test_a_journal_that_is_written_is_not_repaired(journal):
    with open_small(journal), pytest.raises(JournalLockedError):
        apply_repair(journal)


def test_where_no_header_is_left_nothing_is_touched(journal):
    for path in sorted(journal.glob("*.evl")):
        spoil(path, 0, bytes(200))
    with pytest.raises(JournalError, match="whose journal it is"):
        apply_repair(journal)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_damaged_the_rest_is_kept_and_the_lost_is_told(journal, seed):
    chance = random.Random(seed)
    touched = set()
    for _ in range(chance.randint(1, 6)):
        path = chance.choice(sorted(journal.glob("*.evl")))
        at = chance.randrange(path.stat().st_size - 10_000)
        length = chance.choice([1, 8, 5000])
        old = path.read_bytes()[at : at + length]
        if any(old):
            spoil(path, at, bytes(byte ^ 0xFF for byte in old))
            touched.add(path.name)
    whole = not plan_repair(journal).needed
    plan = apply_repair(journal)
    if whole:
        return
    assert {path.name for path in plan.damaged} <= touched
    lost = [seq for loss in plan.losses for seq in range(loss.lost_from, loss.next_seq)]
    assert len(lost) <= 6 * 3 * PER_FRAME
    check_repaired(journal, lost)


class Failing(Disk):
    """A disk that fails at the n-th operation which changes something."""

    def __init__(self, at):
        self.left = at

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise OSError(5, "Input/output error")

    def write(self, fd, buffers, offset):
        self._count()
        super().write(fd, buffers, offset)

    def sync_file(self, fd):
        self._count()
        super().sync_file(fd)

    def rename(self, old, new):
        self._count()
        super().rename(old, new)

    def unlink(self, path):
        self._count()
        super().unlink(path)

    def sync_directory(self, directory):
        self._count()
        super().sync_directory(directory)


@pytest.mark.parametrize(
    "at", [1, 2, 3, 4, 50, 259, 260, 261, 262, 263, 264, 400, 519, 520, 521, 522, 523, 530]
)
def test_a_repair_that_was_stopped_may_be_run_again(journal, at):
    spoil(segment(journal, 1), PAGE * 3 + 5)
    with pytest.raises(JournalError, match="run repair again"):
        apply_repair(journal, disk=Failing(at))
    apply_repair(journal)
    check_repaired(journal, seqs([2]))
