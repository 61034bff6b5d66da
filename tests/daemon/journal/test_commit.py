"""Group commit: what waits together becomes durable together."""

from __future__ import annotations

import threading
import time

import pytest

from daemon.journal.commit import PAGE_EVENTS, CommitThread
from daemon.journal.disk import Disk
from daemon.journal.reader import JournalReader
from schemas.frame import PAGE
from tests.daemon.journal.conftest import open_small, read_prices, trades


class Heard:
    """Collects what the commit thread tells."""

    def __init__(self):
        self.batches, self.failures = [], []
        self.event = threading.Event()

    def durable(self, batch):
        self.batches.append(batch)
        self.event.set()

    def failed(self, reason):
        self.failures.append(reason)
        self.event.set()


def start(folder, heard, *, linger_s=0.02, disk=None, **options):
    writer = open_small(folder, **({"disk": disk} if disk else {}))
    return CommitThread(
        writer, on_durable=heard.durable, on_failure=heard.failed, linger_s=linger_s, **options
    )


def test_what_is_told_durable_is_on_disk_and_in_order(folder):
    heard = Heard()
    commit = start(folder, heard)
    for n in range(1, 1001):
        assert commit.submit(trades(n, 1), urgent=n % 50 == 0) == n
    commit.close()
    assert [e.price for b in heard.batches for e in b.events] == list(range(1, 1001))
    assert commit.durable_seq == 1000
    assert commit.pending == 0
    assert read_prices(folder) == list(range(1, 1001))


def test_an_urgent_event_does_not_linger_and_takes_the_ticks_along(folder):
    heard = Heard()
    commit = start(folder, heard, linger_s=30.0)
    commit.submit(trades(1, 3), urgent=False)
    assert not heard.event.wait(0.2)
    commit.submit(trades(4, 1), urgent=True)
    assert heard.event.wait(5)
    assert [b.first_seq for b in heard.batches] == [1]
    assert len(heard.batches[0].events) == 4
    commit.close()


def test_ticks_alone_share_a_frame_within_the_linger(folder):
    heard = Heard()
    commit = start(folder, heard, linger_s=0.3, quiet_linger_s=0.3)
    for n in range(1, 6):
        commit.submit(trades(n, 1), urgent=False)
        time.sleep(0.01)
    assert heard.event.wait(5)
    commit.close()
    assert len(heard.batches) == 1


def test_ticks_of_a_quiet_market_wait_longer_than_those_that_fill_a_page(folder):
    heard = Heard()
    commit = start(folder, heard, linger_s=0.01, quiet_linger_s=30.0)
    commit.submit(trades(1, 5), urgent=False)
    assert not heard.event.wait(0.3)
    commit.submit(trades(6, PAGE_EVENTS), urgent=False)
    assert heard.event.wait(5)
    assert [len(batch.events) for batch in heard.batches] == [PAGE_EVENTS + 5]
    commit.close()


def test_a_quiet_market_writes_at_most_a_gigabyte_and_a_half_a_day(folder):
    """Ten ticks a second; a page of them costs 2.05 pages of the disk, zeros included (`test_written.py`)."""
    heard = Heard()
    commit = start(folder, heard)
    started = time.monotonic()
    for n in range(1, 31):
        commit.submit(trades(n, 1), urgent=False)
        time.sleep(max(0, started + n / 10 - time.monotonic()))
    seconds = time.monotonic() - started
    commit.close()
    assert all(len(batch.events) <= 10 for batch in heard.batches), "a page holds them"
    assert 2.05 * PAGE * len(heard.batches) / seconds * 86_400 <= 1.5e9


def test_a_full_frame_does_not_wait_for_the_linger(folder):
    heard = Heard()
    commit = start(folder, heard, linger_s=30.0, max_frame_events=10)
    commit.submit(trades(1, 10), urgent=False)
    assert heard.event.wait(5)
    commit.close()


def test_an_input_and_its_decisions_share_a_frame(folder):
    class Slow(Disk):
        def sync(self, fd):
            time.sleep(0.02)
            super().sync(fd)

    heard = Heard()
    commit = start(folder, heard, disk=Slow(), max_frame_events=8)
    first_seqs = [commit.submit(trades(1 + n * 5, 5), urgent=True) for n in range(20)]
    commit.close()
    frames = list(JournalReader(folder).batches())
    for first_seq in first_seqs:
        holders = [f for f in frames if f.first_seq <= first_seq and first_seq + 4 <= f.last_seq]
        assert len(holders) == 1


def test_frames_hold_no_more_events_than_their_limit_unless_they_came_together(folder):
    released = threading.Event()

    class Held(Disk):
        hold = False

        def sync(self, fd):
            if self.hold:
                released.wait(20)
            super().sync(fd)

    disk, heard = Held(), Heard()
    commit = start(folder, heard, disk=disk, max_frame_events=10)
    disk.hold = True
    commit.submit(trades(1, 1), urgent=True)
    while commit._taken_seq != 2:
        time.sleep(0.001)
    for first, count in ((2, 4), (6, 4), (10, 2), (12, 3), (15, 25), (40, 10), (50, 1)):
        commit.submit(trades(first, count), urgent=False)
    released.set()
    commit.close()
    assert [len(batch.events) for batch in heard.batches] == [1, 10, 3, 25, 10, 1]
    assert read_prices(folder) == list(range(1, 51))


def test_a_list_may_be_used_again_once_it_was_submitted(folder):
    heard = Heard()
    commit = start(folder, heard, linger_s=30.0, quiet_linger_s=30.0)
    events = []
    for n in range(1, 11):
        events[:] = trades(n, 1)
        commit.submit(events, urgent=False)
    commit.close()
    assert read_prices(folder) == list(range(1, 11))


def test_a_failed_sync_is_told_once_and_nothing_after_it_is_durable(folder):
    class Failing(Disk):
        armed = False

        def sync(self, fd):
            if self.armed:
                raise OSError(5, "Input/output error")
            super().sync(fd)

    disk, heard = Failing(), Heard()
    commit = start(folder, heard, disk=disk)
    commit.submit(trades(1, 1), urgent=True)
    assert heard.event.wait(5)
    heard.event.clear()
    disk.armed = True
    commit.submit(trades(2, 1), urgent=True)
    assert heard.event.wait(5)
    assert commit.durable_seq == 1
    assert len(heard.failures) == 1
    assert "Input/output error" in commit.failed
    commit.submit(trades(3, 1), urgent=True)
    commit.close()
    assert commit.durable_seq == 1


def test_an_idle_journal_certifies_its_last_frame_once(folder, monkeypatch):
    monkeypatch.setattr("daemon.journal.commit.MARK_AFTER_S", 0.05)
    heard = Heard()
    commit = start(folder, heard)
    commit.submit(trades(1, 1), urgent=True)
    assert heard.event.wait(5)
    frames = commit._writer._frames
    time.sleep(0.4)
    assert commit._writer._frames == frames + 1
    commit.close()


def test_closing_reports_a_disk_that_hangs(folder):
    released = threading.Event()

    class Hanging(Disk):
        hang = False

        def sync(self, fd):
            if self.hang:
                released.wait(20)
            super().sync(fd)

    disk, heard = Hanging(), Heard()
    commit = start(folder, heard, disk=disk)
    disk.hang = True
    commit.submit(trades(1, 1), urgent=True)
    with pytest.raises(Exception, match="hanging"):
        commit.close(timeout_s=0.2)
    released.set()
    commit.close()
