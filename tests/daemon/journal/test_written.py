"""What a journal says it has written is what went to the disk, and a quiet market writes little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.journal.archive import archive_journal
from daemon.journal.disk import Disk
from daemon.journal.writer import JournalWriter
from daemon.journal.written import DAY_NS, HOUR_NS, WriteMeter, Written, written
from schemas.frame import PAGE

from .conftest import SMALL, crash, open_small, trades


class Counting(Disk):
    """Counts what is written, zeros included; does not wait for the device."""

    def __init__(self):
        self.written = 0

    def write(self, fd, buffers, offset):
        super().write(fd, buffers, offset)
        self.written += sum(map(len, buffers))

    def sync(self, fd):
        pass


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ns=0):
        self.now_ns = now_ns

    def __call__(self):
        return self.now_ns


def test_the_writer_counts_every_byte_that_goes_to_the_disk(folder):
    disk = Counting()
    with open_small(folder, disk=disk) as writer:
        for n in range(500):
            writer.append(trades(n, 1 + n % 7))
        assert writer.next_seq > 1500
    assert len(list(folder.glob("*.evl"))) > 2
    assert writer.bytes_written + writer.bytes_filled == disk.written


def test_a_page_of_ticks_costs_hardly_more_than_two_pages_of_disk(folder):
    """One of zeros, one of events; the longer the segments, the less header, seal and room for it weigh."""
    segment_bytes = 8 << 20
    with JournalWriter.open(folder, segment_bytes=segment_bytes, disk=Counting()) as writer:
        frames, begun_at = 0, 0
        while not list(folder.glob("0000000003-*")):
            if list(folder.glob("0000000002-*")):
                frames += 1
                begun_at = begun_at or writer.bytes_written
            writer.append(trades(1, 6))
        spent = segment_bytes + writer.bytes_written - begun_at
    assert spent / frames <= 2.05 * PAGE


def test_each_day_has_the_bytes_of_its_frames_and_of_the_zeros_taken_on_it(folder):
    clock = Clock(5 * DAY_NS)
    disk = Counting()
    writer = open_small(folder, disk=disk, clock_ns=clock)
    writer.append(trades(1, 1))
    clock.now_ns += DAY_NS // 2
    writer.append(trades(2, 1))
    clock.now_ns += DAY_NS
    for n in range(150):
        writer.append(trades(n, 1))
    crash(writer)
    assert written(folder) == {
        5: Written(frame_bytes=3 * PAGE, zero_bytes=2 * SMALL),
        6: Written(frame_bytes=150 * PAGE, zero_bytes=0),
    }
    assert sum(found.bytes for found in written(folder).values()) == disk.written


def test_a_sealed_segment_tells_its_days_to_a_mebibyte(folder):
    clock = Clock(5 * DAY_NS)
    with JournalWriter.open(folder, segment_bytes=8 << 20, disk=Counting(), clock_ns=clock) as writer:
        for n in range(1000):
            if n == 400:
                clock.now_ns += DAY_NS
            writer.append(trades(n, 1))
    found = written(folder)
    assert sum(day.frame_bytes for day in found.values()) == 1002 * PAGE
    assert 0 <= found[5].frame_bytes - 401 * PAGE <= 1 << 20


def test_what_is_written_counts_restarts_rolls_and_the_open_segment(folder):
    disk = Counting()
    for _ in range(3):
        writer = open_small(folder, disk=disk, clock_ns=Clock(DAY_NS))
        for n in range(300):
            writer.append(trades(n, 1))
        crash(writer)
    (found,) = written(folder).values()
    assert found.bytes == disk.written


def test_an_archived_segment_counts_as_it_was_written(folder):
    with open_small(folder, disk=Counting()) as writer:
        for n in range(800):
            writer.append(trades(n, 1))
    before = written(folder)
    assert archive_journal(folder)
    assert written(folder) == before


def test_segments_that_ended_before_are_not_looked_at(folder):
    clock = Clock(DAY_NS)
    for day in range(1, 5):
        clock.now_ns = day * DAY_NS
        with open_small(folder, clock_ns=clock) as writer:
            writer.append(trades(day, 1))
    assert list(written(folder, since_ns=4 * DAY_NS)) == [3, 4]
    assert list(written(folder)) == [1, 2, 3, 4]


def test_the_meter_adds_what_was_written_before_and_forgets_it_after_a_day():
    meter = WriteMeter()
    meter.begin({100: Written(frame_bytes=1000, zero_bytes=500), 99: Written(frame_bytes=7)})
    meter.note(50, 100 * HOUR_NS)
    assert meter.last_day_bytes == 1557
    meter.note(80, 123 * HOUR_NS)
    assert meter.last_day_bytes == 1580
    meter.note(80, 124 * HOUR_NS)
    assert meter.last_day_bytes == 30


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**19)), max_size=60))
def test_the_meter_stays_small_and_never_negative_whatever_the_clock_does(steps):
    meter = WriteMeter()
    total = 0
    for count, now_ns in steps:
        total += count
        meter.note(total, now_ns)
        assert 0 <= meter.last_day_bytes <= total
        assert len(meter._hours) < 48
