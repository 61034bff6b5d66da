"""What is found after a crash, and what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
from zlib import crc32

import pytest

from daemon.journal.errors import JournalCorruptError
from daemon.journal.segment import list_segments
from schemas.frame import PAGE, NewerFormatError
from tests.daemon.journal.conftest import crash, open_small, read_prices, trades


def crashed(folder, frames=4, per_frame=3):
    writer = open_small(folder)
    for n in range(frames):
        writer.append(trades(1 + n * per_frame, per_frame))
    end = writer._offset
    crash(writer)
    (name,) = list_segments(folder)
    return name.path, end


def test_a_killed_writer_loses_nothing_it_acknowledged(folder):
    crashed(folder)
    with open_small(folder) as writer:
        assert writer.next_seq == 13
        assert writer.tail is None
        writer.append(trades(13, 1))
    assert read_prices(folder) == list(range(1, 14))
    assert not list(folder.glob("*.tmp"))


def test_a_torn_last_frame_is_cut_and_reported_and_kept(folder):
    path, end = crashed(folder)
    data = bytearray(path.read_bytes())
    data[end - PAGE + 100] ^= 0xFF
    path.write_bytes(data)
    with open_small(folder) as writer:
        assert writer.next_seq == 10
        assert writer.tail is not None
        assert writer.tail.offset == end - PAGE
        assert writer.tail.kept.read_bytes() == bytes(data[end - PAGE : end]).rstrip(b"\0")
    assert read_prices(folder) == list(range(1, 10))


def test_the_body_of_a_frame_whose_header_never_came_is_kept_too(folder):
    path, end = crashed(folder)
    with path.open("r+b") as file:
        file.seek(end + 200)
        file.write(b"half a body")
    with open_small(folder) as writer:
        assert writer.next_seq == 13
        assert writer.tail.kept.read_bytes() == bytes(200) + b"half a body"


def test_truncation_at_every_page_leaves_a_prefix(folder, tmp_path):
    path, end = crashed(folder)
    whole = path.read_bytes()
    for cut in range(PAGE, end + PAGE, 512):
        copy = tmp_path / f"cut{cut}"
        shutil.copytree(folder, copy)
        (copy / path.name).write_bytes(whole[:cut])
        with open_small(copy) as writer:
            kept = min((cut - PAGE) // PAGE, 4) * 3
            assert writer.next_seq == kept + 1
        assert read_prices(copy) == list(range(1, kept + 1))


def test_damage_before_a_later_whole_frame_is_refused_and_nothing_is_changed(folder):
    path, _ = crashed(folder)
    data = bytearray(path.read_bytes())
    data[2 * PAGE + 80] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError, match="damaged after it was durable"):
        open_small(folder)
    assert path.read_bytes() == bytes(data)


def test_an_erased_frame_before_a_later_one_is_refused(folder):
    path, _ = crashed(folder)
    data = bytearray(path.read_bytes())
    data[2 * PAGE : 3 * PAGE] = bytes(PAGE)
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError):
        open_small(folder)


@pytest.mark.parametrize("byte", [0, 9, 20, 41, 57, 70, 2000, 4095])
def test_a_damaged_segment_header_is_refused(folder, byte):
    path, _ = crashed(folder)
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalCorruptError):
        open_small(folder)


def test_a_newer_format_is_refused_by_name(folder):
    path, _ = crashed(folder)
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack("<I", 2)
    data[PAGE - 4 : PAGE] = struct.pack("<I", crc32(bytes(data[: PAGE - 4])))
    path.write_bytes(data)
    with pytest.raises(NewerFormatError, match="upgrade taped"):
        open_small(folder)


def rolled(folder):
    with open_small(folder) as writer:
        for n in range(0, 90_000, 500):
            writer.append(trades(n, 500))
    return list_segments(folder)


def test_a_missing_segment_is_refused(folder):
    segments = rolled(folder)
    segments[1].path.unlink()
    with pytest.raises(JournalCorruptError, match="missing"):
        open_small(folder)


def test_a_missing_seal_before_a_later_segment_is_refused(folder):
    segments = rolled(folder)
    with segments[0].path.open("r+b") as file:
        file.truncate(file.seek(0, 2) - PAGE)
    with pytest.raises(JournalCorruptError, match="no seal"):
        open_small(folder)


def test_a_segment_of_another_journal_is_refused(folder, tmp_path):
    segments = rolled(folder)
    others = rolled(tmp_path / "other")
    shutil.copy(others[1].path, segments[1].path)
    with pytest.raises(JournalCorruptError):
        open_small(folder)


def test_a_journal_that_ends_below_what_was_projected_is_refused(folder):
    crashed(folder)
    with pytest.raises(JournalCorruptError, match="acknowledged events are missing"):
        open_small(folder, watermark=13)
    with open_small(folder, watermark=12) as writer:
        assert writer.next_seq == 13


def test_an_empty_folder_with_projected_events_is_refused(folder):
    with pytest.raises(JournalCorruptError, match="empty"):
        open_small(folder, watermark=1)


def test_a_crash_between_seal_and_truncation_is_finished(folder):
    writer = open_small(folder)
    writer.append(trades(1, 5))
    writer._disk = type("NoTruncate", (type(writer._disk),), {"truncate": lambda *_: None})()
    writer._spare.discard()
    writer._seal()
    writer._lock.release()
    (name,) = list_segments(folder)
    assert name.path.stat().st_size == 1 << 20
    with open_small(folder) as again:
        assert again.next_seq == 6
    assert read_prices(folder) == [1, 2, 3, 4, 5]
    assert name.path.stat().st_size < 1 << 20


WRITER = """
import sys
from pathlib import Path
from daemon.journal.writer import JournalWriter
from tests.daemon.journal.conftest import trades
writer = JournalWriter.open(Path(sys.argv[1]), segment_bytes=1 << 20)
n = writer.next_seq
while True:
    count = n % 97 + 1
    writer.append(trades(n, count))
    n += count
    print(n - 1, flush=True)
"""


def test_kill_9_keeps_every_acknowledged_event_round_after_round(folder):
    acknowledged = 0
    for round_ in range(8):
        process = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True)
        for _ in range(40 + 30 * round_):
            acknowledged = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest and rest[-1].isdigit() else acknowledged
        found = read_prices(folder)
        assert found == list(range(1, len(found) + 1))
        assert len(found) >= acknowledged
    assert acknowledged > 5000


def test_a_frame_of_a_newer_taped_is_refused_by_name_and_not_cut(folder):
    path, end = crashed(folder)
    data = bytearray(path.read_bytes())
    start = end - PAGE
    data[start + 48] = 9
    data[start + 4 : start + 8] = struct.pack("<I", crc32(bytes(data[start + 8 : start + 64])))
    path.write_bytes(data)
    with pytest.raises(NewerFormatError, match="upgrade taped"):
        open_small(folder)
    assert path.read_bytes() == bytes(data)
