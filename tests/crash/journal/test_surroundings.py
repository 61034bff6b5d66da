"""What happens around a journal: clocks that step, second writers, copies, newer versions."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time
from itertools import cycle
from zlib import crc32

import pytest

from daemon.journal.errors import JournalCorruptError, JournalLockedError
from daemon.journal.reader import JournalReader
from daemon.journal.segment import list_segments
from daemon.journal.verify import verify
from daemon.journal.writer import JournalWriter
from schemas.frame import PAGE, NewerFormatError
from tests.crash.journal.journals import (
    NO_SYNC,
    TINY,
    assert_recovers,
    assert_whole,
    history,
    let_go,
    make_journal,
    open_tiny,
    read_facts,
    trades,
)
from tools.independent import DamagedError, read


@pytest.mark.parametrize("steps", [(-(10**9),), (10**18, -(10**18)), (0,), (3600 * 10**9, 1, -7200 * 10**9)])
def test_clock_steps_change_neither_order_nor_numbers(journal, steps):
    now, step = 2 * 10**18, cycle(steps)

    def clock_ns():
        nonlocal now
        now = max(0, now + next(step))
        return now

    for life in (1, 2):
        writer = open_tiny(journal, clock_ns=clock_ns)
        for _ in range(5):
            writer.append(trades(writer.next_seq, 2, life))
        let_go(writer)
    assert_recovers(journal, history(10, 10), 20)


def test_a_clock_at_1970_is_as_good_as_any(journal):
    with open_tiny(journal, clock_ns=lambda: 0) as writer:
        writer.append(trades(1, 2))
    assert_recovers(journal, history(2), 2)


def test_a_second_writer_is_refused_with_the_pid_of_the_first_and_disturbs_nothing(journal, project_root):
    with open_tiny(journal) as writer:
        writer.append(trades(1, 2))
        # The spare, which is filled meanwhile, is nobody's content yet.
        before = {path.name: path.read_bytes() for path in journal.iterdir() if path.suffix != ".tmp"}
        with pytest.raises(JournalLockedError, match=str(os.getpid())):
            open_tiny(journal)
        script = (
            "import sys; from pathlib import Path; from daemon.journal.writer import JournalWriter\n"
            "JournalWriter.open(Path(sys.argv[1]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, journal],
            cwd=project_root,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "JournalLockedError" in done.stderr
        assert str(os.getpid()) in done.stderr
        after = {path.name: path.read_bytes() for path in journal.iterdir() if path.suffix != ".tmp"}
        assert after == before
        writer.append(trades(3, 2))
    assert read_facts(journal) == history(4)


class Appending(threading.Thread):
    """Appends 600 frames to a new journal, each some tenths of a millisecond after the other."""

    def __init__(self, journal):
        super().__init__()
        self.writer = JournalWriter.open(journal, segment_bytes=TINY * 20, disk=NO_SYNC)
        self.durable = 0

    def run(self):
        counts = random.Random(5)
        for _ in range(600):
            self.writer.append(trades(self.writer.next_seq, counts.choice((1, 3, 100))))
            self.durable = self.writer.next_seq - 1
            time.sleep(0.0005)
        self.writer.close()


def test_a_copy_of_a_live_journal_opens_elsewhere_with_everything_durable_before_it(journal, arena):
    appending = Appending(journal)
    appending.start()
    copies = 0
    while appending.is_alive():
        copies += 1
        before = appending.durable
        copy = arena / "copy"
        copy.mkdir()
        for name in list_segments(journal):
            shutil.copy(name.path, copy / name.path.name)
        assert_recovers(copy, history(before + 20_000), before)
        with open_tiny(copy) as other:
            other.append(trades(other.next_seq, 1, life=2))
        assert_whole(copy)
        shutil.rmtree(copy)
    appending.join()
    assert copies > 2


def test_a_live_reader_sees_a_growing_prefix_and_no_damage(journal):
    appending = Appending(journal)
    appending.start()
    seen = reads = 0
    while appending.is_alive():
        before = appending.durable
        found = [event.price for b in JournalReader(journal).batches(seen + 1) for event in b.events]
        assert found == list(range(seen + 1, seen + 1 + len(found)))
        seen, reads = seen + len(found), reads + 1
        assert seen >= before
        assert verify(journal).passed
    appending.join()
    assert reads > 5


def make_newer(journal):
    make_journal(journal, [2])
    (name,) = list_segments(journal)
    content = bytearray(name.path.read_bytes())
    content[8:12] = struct.pack("<I", 2)
    content[PAGE - 4 : PAGE] = struct.pack("<I", crc32(bytes(content[: PAGE - 4])))
    name.path.write_bytes(content)
    return name.path, bytes(content)


def test_a_newer_format_is_refused_by_name_and_left_alone(journal):
    path, content = make_newer(journal)
    with pytest.raises(NewerFormatError, match=r"format version 2.*upgrade taped"):
        open_tiny(journal)
    with pytest.raises(NewerFormatError, match="upgrade taped"):
        JournalReader(journal)
    assert any("upgrade taped" in problem for problem in verify(journal).problems)
    with pytest.raises(DamagedError):
        list(read(journal))
    assert path.read_bytes() == content


def test_a_journal_that_ends_below_what_was_told_is_refused(journal):
    """A damaged frame that no later one certifies looks torn: the watermark tells the difference."""
    total = make_journal(journal, [2, 2])
    (name,) = list_segments(journal)
    content = bytearray(name.path.read_bytes())
    content[2 * PAGE + 80] ^= 1
    name.path.write_bytes(content)
    with pytest.raises(JournalCorruptError, match="acknowledged events are missing"):
        open_tiny(journal, watermark=total)
    assert_recovers(journal, history(total), total - 2)
