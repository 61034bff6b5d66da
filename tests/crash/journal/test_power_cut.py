"""The power goes at any call: what was acknowledged is there, and what is there has no gap.

Short histories are tried exhaustively: every call to stop at, and at each every choice of which
unsynced pieces, names and truncations reached the device. Long ones are drawn by hypothesis in
`test_model.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.segment import list_segments
from daemon.journal.spare import Spare
from daemon.journal.writer import JournalWriter
from tests.crash.journal.fault_disk import FaultDisk, PowerCut, lay_out
from tests.crash.journal.journals import TINY, assert_recovers, assert_whole, let_go, trades


@pytest.fixture(autouse=True)
def _spare_in_line(monkeypatch):
    """Fill the spare when it is taken: a second thread would make the order of calls a matter of luck."""
    monkeypatch.setattr(Spare, "prepare", lambda self: None)


class Life:
    """One history on a fault disk: what was submitted, and what was acknowledged before the cut."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = FaultDisk(folder)
        self.writer: JournalWriter | None = None
        self.submitted: list[tuple[int, int]] = []
        self.acknowledged = 0
        self.life = 0

    def open(self) -> None:
        self.life += 1
        self.writer = JournalWriter.open(self.folder, segment_bytes=TINY, disk=self.disk)
        # Who opened may tell of everything that is there: from here on it must never go again.
        assert self.writer.next_seq - 1 >= self.acknowledged
        self.acknowledged = self.writer.next_seq - 1
        del self.submitted[self.acknowledged :]

    def append(self, count: int) -> None:
        events = trades(self.writer.next_seq, count, self.life)
        self.submitted += [(event.price, event.quantity) for event in events]
        self.writer.append(events)
        self.acknowledged = self.writer.next_seq - 1

    def mark(self) -> None:
        self.writer.mark()

    def close(self) -> None:
        self.writer.close()
        self.writer = None

    def kill(self) -> None:
        """As kill -9: memory of the kernel stays, so that nothing is lost, nor synced."""
        if self.writer is not None:
            let_go(self.writer)
        self.writer = None


def first_start(life: Life) -> None:
    life.open()
    life.append(1)
    life.append(170)


def rolling(life: Life) -> None:
    life.open()
    for _ in range(4):
        life.append(70)
    life.mark()
    life.close()


def restarts(life: Life) -> None:
    life.open()
    life.append(20)
    life.close()
    life.open()
    life.append(30)
    life.kill()
    life.open()
    life.append(1)


def killed_at(call: int) -> Callable[[Life], None]:
    """kill -9 at a call, then a start, then the power may go at any later one."""

    def run(life: Life) -> None:
        life.disk.cut_at = call
        cut = life.disk.cut_again
        try:
            rolling(life)
        except PowerCut:
            life.kill()
        life.disk.cut_at = None if cut is None else call + cut
        life.open()
        life.append(1)
        life.append(1)
        life.append(1)

    return run


def run_until(folder: Path, script: Callable[[Life], None], cut_at: int | None) -> Life:
    lay_out(folder, {})
    life = Life(folder)
    life.disk.cut_at = cut_at
    life.disk.cut_again = cut_at
    try:
        script(life)
    except PowerCut:
        pass
    finally:
        life.kill()
    return life


def attack(folder: Path, script: Callable[[Life], None], *, again: bool = False) -> Counter[str]:
    """Cut the power at every call of a script, in every way; return what was tried."""
    tried: Counter[str] = Counter()
    calls = len(run_until(folder, script, None).disk.calls)
    for cut_at in range(calls + 1):
        life = run_until(folder, script, cut_at)
        tried["cuts"] += 1
        for image in life.disk.images(limit=14):
            lay_out(folder, image)
            if again:
                recover_with_a_second_cut(folder, image, life, tried)
                lay_out(folder, image)
            assert_recovers(folder, life.submitted, life.acknowledged)
            tried["images"] += 1
    return tried


def recover_with_a_second_cut(
    folder: Path, image: dict[Path, bytes], life: Life, tried: Counter[str]
) -> None:
    """The power goes once more while the journal is being mended."""
    for cut_at in range(100):
        lay_out(folder, image)
        disk = FaultDisk(folder)
        disk.adopt(image)
        disk.cut_at = cut_at
        exposed = life.acknowledged
        writer = None
        try:
            writer = JournalWriter.open(folder, segment_bytes=TINY, disk=disk)
            exposed = writer.next_seq - 1
        except PowerCut:
            pass
        finally:
            if writer is not None:
                let_go(writer)
        for second in disk.images(limit=14):
            lay_out(folder, second)
            assert_recovers(folder, life.submitted, exposed, thorough=False)
            tried["second images"] += 1
        if writer is not None:
            return
    raise AssertionError("opening never ended")


def test_the_first_start_survives_a_power_cut_at_any_call(journal):
    tried = attack(journal, first_start)
    assert tried["images"] > 200


def test_rolling_segments_survive_a_power_cut_at_any_call(journal):
    tried = attack(journal, rolling)
    assert tried["images"] > 100


def test_restarts_survive_a_power_cut_at_any_call(journal):
    tried = attack(journal, restarts)
    assert tried["images"] > 100


def test_a_power_cut_while_recovering_from_a_power_cut_loses_nothing(journal):
    def short(life: Life) -> None:
        life.open()
        life.append(2)
        life.append(60)

    tried = attack(journal, short, again=True)
    assert tried["second images"] > 200


def test_kill_9_at_any_call_and_later_a_power_cut_at_any_call(journal):
    """What a killed writer left in memory only must be durable before anybody is told of it."""
    calls = len(run_until(journal, rolling, None).disk.calls)
    images = 0
    for call in range(calls):
        script = killed_at(call)
        count = len(run_until(journal, script, None).disk.calls) - call
        for cut in range(count + 1):
            life = run_until(journal, script, cut)
            for image in life.disk.images(limit=14):
                lay_out(journal, image)
                assert_recovers(journal, life.submitted, life.acknowledged, thorough=False)
                images += 1
    assert images > 500


def test_what_a_failed_sync_left_in_memory_is_not_taken_for_durable(journal):
    """Linux marks pages clean whose write failed: they can be read until the power goes, and never after."""
    for call in range(100):
        lay_out(journal, {})
        life = Life(journal)
        life.open()
        life.append(2)
        life.disk.reset()
        life.disk.fail_on, life.disk.fail_at = "sync", call
        failed = False
        try:
            for _ in range(5):
                life.append(2)
        except JournalPoisonedError:
            failed = True
        life.kill()
        life.disk.reset()
        life.open()
        life.append(1)
        life.kill()
        life.disk.cut_power(lambda: False)
        assert_recovers(journal, life.submitted, life.acknowledged)
        if not failed:
            assert call >= 5
            return


def test_garbage_in_an_unsynced_page_is_never_read_as_an_event(journal):
    """A device may leave neither the old nor the new content of a page it was writing."""
    for seed in range(60):
        lay_out(journal, {})
        life = Life(journal)
        life.open()
        life.append(2)
        life.disk.cut_at = len(life.disk.calls) + 1
        with pytest.raises(PowerCut):
            life.append(60)
        life.kill()
        life.disk.cut_power(lambda: True)
        path = list_segments(journal)[0].path
        content = bytearray(path.read_bytes())
        start = 2 * 4096 + seed * 64
        content[start : start + 700] = bytes((7 * seed + n * n) % 256 for n in range(700))
        path.write_bytes(content)
        assert assert_recovers(journal, life.submitted, life.acknowledged) == 2


def test_the_disk_asks_the_kernel_for_durability(journal, monkeypatch):
    asked: list[tuple[str, str]] = []

    def watch(name):
        original = getattr(os, name)

        def call(fd):
            asked.append((name, Path(f"/proc/self/fd/{fd}").readlink().name))
            return original(fd)

        monkeypatch.setattr(os, name, call)

    watch("fsync")
    watch("fdatasync")
    with JournalWriter.open(journal, segment_bytes=TINY, disk=Disk()) as writer:
        segment = list_segments(journal)[0].path.name
        assert ("fsync", journal.parent.name) in asked, "the journal folder's own name"
        assert ("fsync", "spare.tmp") in asked, "the header, before it gets its name"
        assert asked[-1] == ("fsync", journal.name), "the segment's name, before anything is appended"
        asked.clear()
        writer.append(trades(1, 2))
        assert asked == [("fdatasync", segment)]
    assert asked[-2:] == [("fdatasync", segment), ("fsync", segment)], "the seal, then the cut behind it"
    assert_whole(journal)
