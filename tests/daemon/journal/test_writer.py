"""What the writer promises while it runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading

import pytest

from daemon.journal.disk import Disk, make_folder
from daemon.journal.errors import JournalError, JournalLockedError, JournalPoisonedError
from daemon.journal.lock import JournalLock, holder
from daemon.journal.reader import JournalReader
from daemon.journal.segment import SegmentReader, list_segments
from schemas import frame
from schemas.codec import CodecError, UnknownEvent
from schemas.frame import PAGE, FrameType
from tests.daemon.journal.conftest import crash, open_small, read_prices, trades


def test_events_are_numbered_from_one_without_gaps(folder):
    with open_small(folder) as writer:
        assert writer.append(trades(1, 3)) == 1
        assert writer.append(trades(4, 2)) == 4
        assert writer.next_seq == 6
    assert read_prices(folder) == [1, 2, 3, 4, 5]


def test_what_was_appended_can_be_read_while_the_writer_holds_the_journal(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 10))
        assert read_prices(folder) == list(range(1, 11))
        assert JournalReader(folder).last_seq == 10


def test_the_names_of_new_folders_above_a_journal_are_durable(tmp_path):
    synced = []

    class Logged(Disk):
        def sync_directory(self, directory):
            super().sync_directory(directory)
            synced.append(directory)

    make_folder(tmp_path / "a" / "b" / "c", disk=Logged())
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert synced == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]
    make_folder(tmp_path / "a" / "b" / "c", disk=Logged())
    assert len(synced) == 3


def test_every_frame_is_synced_before_append_returns(folder):
    synced: list[int] = []

    class Watched(Disk):
        def write(self, fd, buffers, offset):
            super().write(fd, buffers, offset)
            synced.append(0)

        def sync(self, fd):
            super().sync(fd)
            synced[-1] = 1

    with open_small(folder, disk=Watched()) as writer:
        writer._spare._thread.join()
        synced.clear()
        for n in range(5):
            writer.append(trades(n, 1))
            assert synced == [1] * (n + 1)


def test_the_device_writes_while_the_frame_is_hashed_and_the_sync_comes_last(folder):
    calls: list[tuple[str, int]] = []

    class Watched(Disk):
        def write(self, fd, buffers, offset):
            calls.append(("write", offset))
            super().write(fd, buffers, offset)

        def start_writing(self, fd, offset, length):
            assert length % PAGE == 0
            calls.append(("start", offset))
            super().start_writing(fd, offset, length)

        def sync(self, fd):
            calls.append(("sync", calls[-1][1]))
            super().sync(fd)

    with open_small(folder, disk=Watched()) as writer:
        writer._spare._thread.join()
        calls.clear()
        for n in range(3):
            at = writer._offset
            writer.append(trades(n, 200))
            assert calls == [("write", at), ("start", at), ("sync", at)]
            calls.clear()


def test_no_frame_touches_a_page_of_an_earlier_one(folder):
    writes: list[tuple[int, int]] = []

    class Watched(Disk):
        def write(self, fd, buffers, offset):
            writes.append((offset, sum(map(len, buffers))))
            super().write(fd, buffers, offset)

    with open_small(folder, disk=Watched()) as writer:
        writer._spare._thread.join()
        writes.clear()
        for n in range(20):
            writer.append(trades(n, n * 7 + 1))
    assert all(offset % PAGE == 0 and length % PAGE == 0 for offset, length in writes)
    ends = [offset + length for offset, length in writes]
    assert all(end <= offset for end, (offset, _) in zip(ends, writes[1:], strict=False))


def test_short_writes_are_continued(folder, monkeypatch):
    real_pwritev = os.pwritev
    monkeypatch.setattr(
        os, "pwritev", lambda fd, buffers, offset: real_pwritev(fd, [buffers[0][:10]], offset)
    )
    with open_small(folder) as writer:
        writer.append(trades(1, 100))
    monkeypatch.undo()
    assert read_prices(folder) == list(range(1, 101))


def test_a_full_segment_is_sealed_and_the_next_one_follows_it(folder):
    with open_small(folder) as writer:
        for n in range(0, 60_000, 500):
            writer.append(trades(n, 500))
    segments = list_segments(folder)
    assert len(segments) > 1
    assert read_prices(folder) == list(range(60_000))
    before = None
    for name in segments:
        with SegmentReader(name) as reader:
            if before is not None:
                assert reader.header.previous_sha256 == before.seal.sha256
                assert reader.header.previous_crc == before.crc
                assert reader.header.first_seq == before.seal.next_seq
            before = reader.find_seal()
            assert before is not None


def test_the_seal_holds_the_hash_of_every_byte_before_it(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 1000))
    (name,) = list_segments(folder)
    with SegmentReader(name) as reader:
        seal = reader.find_seal()
    data = name.path.read_bytes()
    assert hashlib.sha256(data[: seal.offset]).digest() == seal.seal.sha256
    assert (
        frame.unpack_frame_header(data[seal.offset :], segment=1, offset=seal.offset).type is FrameType.SEAL
    )


def test_a_second_writer_is_refused_with_the_pid_of_the_first(folder):
    with open_small(folder):
        with pytest.raises(JournalLockedError) as caught:
            open_small(folder)
        assert caught.value.pid == os.getpid()
        assert str(os.getpid()) in str(caught.value)
        assert holder(folder) == os.getpid()
    assert holder(folder) is None


def test_removing_the_file_lock_lets_no_second_writer_in(folder):
    with open_small(folder) as writer:
        (folder / "LOCK").unlink()
        with pytest.raises(JournalLockedError, match="held by another process"):
            open_small(folder)
        writer.append(trades(1, 1))
    assert read_prices(folder) == [1]


def test_a_pid_that_a_killed_process_left_holds_nothing(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 1))
    (folder / "LOCK").write_text("1\n")
    assert holder(folder) is None
    with open_small(folder):
        assert holder(folder) == os.getpid()


def test_whoever_asks_for_the_holder_does_not_keep_a_writer_from_starting(folder):
    folder.mkdir()
    asking = threading.Event()

    def ask():
        while not asking.is_set():
            holder(folder)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(50):
            with JournalLock(folder):
                pass
    finally:
        asking.set()
        thread.join()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="Not a directory"):
        open_small(tmp_path / "file" / "journal")


def test_a_writer_in_another_process_is_refused(folder):
    code = "import sys, pathlib, daemon.journal.writer as w; w.JournalWriter.open(pathlib.Path(sys.argv[1]))"
    with open_small(folder):
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "JournalLockedError" in done.stderr


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_write_or_sync_poisons_the_journal_and_is_never_tried_again(folder, operation):
    calls = []

    class Failing(Disk):
        armed = False

        def fail(self, name):
            if self.armed and name == operation:
                calls.append(name)
                raise OSError(5, "Input/output error")

        def write(self, fd, buffers, offset):
            self.fail("write")
            super().write(fd, buffers, offset)

        def sync(self, fd):
            self.fail("sync")
            super().sync(fd)

    disk = Failing()
    writer = open_small(folder, disk=disk)
    writer.append(trades(1, 1))
    writer._spare._thread.join()
    disk.armed = True
    with pytest.raises(JournalPoisonedError, match="Input/output error"):
        writer.append(trades(2, 1))
    disk.armed = False
    with pytest.raises(JournalPoisonedError):
        writer.append(trades(2, 1))
    assert len(calls) == 1
    writer.close()
    with open_small(folder) as again:
        assert again.next_seq in (2, 3)
    assert read_prices(folder)[0] == 1


def test_no_space_for_a_segment_poisons_instead_of_losing(folder):
    class Full(Disk):
        full = False

        def fill(self, fd, length, rest=None):
            if self.full:
                raise OSError(28, "No space left on device")
            super().fill(fd, length, rest)

    disk = Full()
    writer = open_small(folder, disk=disk)
    disk.full = True
    acknowledged = 0
    for n in range(0, 10**6, 500):
        try:
            writer.append(trades(n, 500))
        except JournalPoisonedError as error:
            assert "No space" in str(error)  # noqa: PT017
            break
        acknowledged = n + 500
    assert 500 < acknowledged < 10**6
    writer.close()
    assert read_prices(folder) == list(range(acknowledged))


def test_an_event_that_cannot_be_encoded_is_refused_and_nothing_is_written(folder):
    with open_small(folder) as writer:
        with pytest.raises(CodecError):
            writer.append([*trades(1, 1), trades(2**70, 1)[0]])
        assert writer.append(trades(1, 1)) == 1


def test_a_batch_over_the_frame_limit_becomes_several_frames(folder):
    with open_small(folder) as writer:
        assert writer.append(trades(0, 150_000)) == 1
        assert writer.next_seq == 150_001
    assert read_prices(folder) == list(range(150_000))


def test_reading_starts_anywhere_and_stops_anywhere(folder):
    with open_small(folder) as writer:
        for n in range(1, 60_001, 500):
            writer.append(trades(n, 500))
    for first, last in ((1, 1), (499, 502), (31_007, 31_007), (44_444, 59_999), (60_000, None)):
        assert read_prices(folder, first, last) == list(range(first, (last or 60_000) + 1))
    assert read_prices(folder, 60_001) == []


def test_events_of_unknown_types_are_kept_as_they_came(folder):
    unknown = UnknownEvent([119, 3, 12, "text", {"a": [1]}])
    with open_small(folder) as writer:
        writer.append([*trades(1, 1), unknown])
    (batch,) = JournalReader(folder).batches()
    assert batch.events[1] == unknown


def test_a_mark_certifies_the_last_frame(folder):
    writer = open_small(folder)
    writer.append(trades(1, 5))
    writer.mark()
    crash(writer)
    (name,) = list_segments(folder)
    data = bytearray(name.path.read_bytes())
    data[PAGE + 70] ^= 1
    name.path.write_bytes(data)
    with pytest.raises(Exception, match="damaged after it was durable"):
        open_small(folder)


def test_opening_an_existing_journal_leaves_no_trace_until_something_is_appended(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 3))
    before = {path.name: path.read_bytes() for path in folder.glob("*.evl")}
    with open_small(folder) as writer:
        writer.mark()
    assert {path.name: path.read_bytes() for path in folder.glob("*.evl")} == before
    with open_small(folder) as writer:
        assert writer.append(trades(4, 1)) == 4
    assert len(list_segments(folder)) == 2
    assert read_prices(folder) == [1, 2, 3, 4]
