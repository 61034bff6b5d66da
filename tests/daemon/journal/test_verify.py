"""Every byte is checked, in whatever order and however many processes do it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.errors import JournalError
from daemon.journal.reader import SegmentGoneError, open_segment
from daemon.journal.segment import list_segments
from daemon.journal.verify import verify
from schemas.codec import UnknownEvent
from schemas.frame import PAGE
from tests.daemon.journal.conftest import open_small, trades


@pytest.fixture
def segments(folder):
    """Five sealed segments."""
    with open_small(folder) as writer:
        for n in range(0, 110_000, 500):
            writer.append(trades(n, 500))
    found = list_segments(folder)
    assert len(found) == 5
    return found


@pytest.fixture
def shared(monkeypatch):
    """Even these small segments are worth a process."""
    monkeypatch.setattr("daemon.journal.verify._BYTES_EACH", 1 << 20)


def flip(segment, offset):
    with segment.path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def test_a_whole_journal_passes_and_is_counted(folder, segments):
    found = verify(folder)
    assert found.problems == []
    assert (found.segments, found.sealed, found.events) == (5, 5, 110_000)
    assert (found.first_seq, found.last_seq) == (1, 110_000)
    assert found.types == {"Trade": 110_000}
    assert found.bytes == sum(name.path.stat().st_size for name in segments)


def test_several_processes_find_what_one_finds_in_the_same_order(folder, segments, shared):
    for number, offset in ((3, 5 * PAGE + 100), (1, 9 * PAGE + 100), (4, 100)):
        flip(segments[number], offset)
    alone = verify(folder)
    assert len(alone.problems) > 3
    assert verify(folder, processes=2) == alone


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_adds_up_to_the_bytes_that_were_checked(folder, segments, shared, processes):
    steps = []
    found = verify(folder, steps.append, processes=processes)
    assert sum(steps) == found.bytes


def test_a_process_that_is_killed_is_told(folder, segments, shared, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("daemon.journal.verify._check", _killed)
        with pytest.raises(JournalError, match="ended from outside"):
            verify(folder, processes=2)


def test_a_small_journal_is_not_worth_another_process(folder, segments, monkeypatch):
    monkeypatch.setattr("daemon.journal.verify.ProcessPoolExecutor", None)
    assert verify(folder, processes=8).passed


def _killed(directory, name, last):
    os._exit(1)


def test_a_segment_that_the_device_cannot_read_is_a_problem_and_the_others_are_checked(
    folder, segments, monkeypatch
):
    read = os.pread

    def failing(fd, length, offset):
        if Path(f"/proc/self/fd/{fd}").readlink() == segments[1].path and offset:
            raise OSError(5, "Input/output error")
        return read(fd, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    found = verify(folder)
    assert found.problems == [f"{segments[1].path.name}: Input/output error"]
    assert found.segments == 5


def test_a_seal_with_the_hash_of_other_bytes_is_a_problem(folder):
    """Every checksum holds; only the hash over the whole segment knows better."""
    with open_small(folder) as writer:
        writer.append(trades(1, 500))
        writer._sha.update(b"x")
    problems = verify(folder).problems
    assert len(problems) == 1
    assert "SHA-256" in problems[0]


def test_frames_of_many_types_are_counted_like_those_of_few(folder):
    with open_small(folder) as writer:
        writer.append([UnknownEvent([1000 + n % 30, 1, n]) for n in range(90)])
        writer.append([UnknownEvent([1000 + n % 2, 1, n]) for n in range(10)])
    found = verify(folder)
    assert found.type_ids == {1000: 8, 1001: 8, **{1000 + n: 3 for n in range(2, 30)}}


def test_a_segment_that_is_archived_while_it_is_waited_for_or_read_is_no_damage(folder, segments):
    steps = []

    def archive_at_the_first_step(count):
        steps.append(count)
        if len(steps) == 1:
            assert archive_journal(folder)

    assert len(list_segments(folder)) > 2
    found = verify(folder, archive_at_the_first_step)
    assert found.problems == []
    assert len(list_segments(folder)) == 1


def test_a_segment_that_retention_lets_go_meanwhile_is_no_damage(folder, segments, monkeypatch):
    def let_go(directory, name):
        if name.number == 1:
            raise SegmentGoneError("segment 1 is gone")
        return open_segment(directory, name)

    monkeypatch.setattr("daemon.journal.verify.open_segment", let_go)
    assert verify(folder).problems == []


def test_one_damage_is_told_once(folder, segments):
    last = list_segments(folder)[-1].path
    with last.open("r+b") as file:
        file.seek(2 * PAGE + 100)
        file.write(b"\xff\xff")
    assert len(verify(folder).problems) == 1
