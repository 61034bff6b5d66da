"""The tail tells each durable event once, in order, and none before it is durable."""

from __future__ import annotations

import threading
from itertools import islice

import pytest

from daemon.journal.archive import archive_journal
from daemon.journal.errors import JournalCorruptError
from daemon.journal.repair import apply_repair
from daemon.journal.tail import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, JournalTail, follow
from schemas.events import Trade

from .conftest import crash, open_small, trades


def prices(batches):
    return [event.price for batch in batches for event in batch.events]


def test_another_process_is_told_a_frame_when_a_later_one_was_begun(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 3))
        tail = JournalTail(folder)
        assert prices(tail.poll()) == []
        writer.append(trades(4, 2))
        assert prices(tail.poll()) == [1, 2, 3]
        assert prices(tail.poll()) == []
        writer.mark()
        assert prices(tail.poll()) == [4, 5]
        assert tail.next_seq == 6


def test_a_seal_certifies_the_last_frame(folder):
    with open_small(folder) as writer:
        tail = JournalTail(folder)
        writer.append(trades(1, 3))
        assert prices(tail.poll()) == []
    assert prices(tail.poll()) == [1, 2, 3]
    assert prices(tail.poll()) == []


def test_inside_the_process_the_durable_number_decides(folder):
    durable = 0
    with open_small(folder) as writer:
        tail = JournalTail(folder, durable_seq=lambda: durable)
        writer.append(trades(1, 3))
        writer.append(trades(4, 3))
        assert prices(tail.poll()) == []
        durable = 3
        assert prices(tail.poll()) == [1, 2, 3]
        durable = 6
        assert prices(tail.poll()) == [4, 5, 6]


def test_rolls_and_restarts_are_crossed_without_a_gap(folder):
    told = []
    with open_small(folder) as writer:
        tail = JournalTail(folder)
        for n in range(1, 901):
            writer.append(trades(n, 1))
            if n % 50 == 0:
                told += prices(tail.poll())
    told += prices(tail.poll())
    with open_small(folder) as writer:
        writer.append(trades(901, 1))
        writer.mark()
        told += prices(tail.poll())
    assert told == list(range(1, 902))
    assert len(list(folder.glob("*.evl"))) > 3


@pytest.mark.parametrize("first", [1, 2, 77, 600, 899])
def test_it_begins_where_it_is_asked_to(folder, first):
    with open_small(folder) as writer:
        for n in range(1, 901, 3):
            writer.append(trades(n, 3))
        writer.mark()
        assert prices(JournalTail(folder, first).poll()) == list(range(first, 901))


def test_it_waits_for_a_number_that_lies_ahead(folder):
    with open_small(folder) as writer:
        writer.append(trades(1, 3))
        tail = JournalTail(folder, 5)
        assert prices(tail.poll()) == []
        writer.append(trades(4, 3))
        writer.mark()
        assert prices(tail.poll()) == [5, 6]


def test_a_frame_that_is_half_written_is_told_when_it_is_whole(folder):
    with open_small(folder) as writer:
        tail = JournalTail(folder)
        writer.append(trades(1, 3))
        writer.mark()
        assert prices(tail.poll()) == [1, 2, 3]
        end = writer._offset
        writer.append(trades(4, 100))
        writer.mark()
        (path,) = folder.glob("*.evl")
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.seek(end + 100)
            file.write(bytes(len(whole) - end - 100))
            file.flush()
            assert prices(tail.poll()) == []
            file.seek(end + 100)
            file.write(whole[end + 100 :])
        assert prices(tail.poll()) == list(range(4, 104))


def test_damage_is_refused_and_not_waited_for(folder):
    writer = open_small(folder)
    for n in range(3):
        writer.append(trades(n, 1))
    crash(writer)
    (path,) = folder.glob("*.evl")
    with path.open("r+b") as file:
        file.seek(4096 * 2 + 70)
        file.write(b"\xff\xff")
    with pytest.raises(JournalCorruptError, match="yet a whole frame follows"):
        prices(JournalTail(folder).poll())


def test_a_segment_that_a_repair_wrote_anew_is_followed_without_a_break(folder):
    writer = open_small(folder)
    for n in range(1, 6):
        writer.append(trades(n, 1))
    crash(writer)
    tail = JournalTail(folder)
    assert prices(tail.poll()) == [1, 2, 3, 4]
    (path,) = folder.glob("*.evl")
    with path.open("r+b") as file:
        file.seek(4096 * 2 + 70)
        file.write(b"\xff\xff")
    apply_repair(folder)
    with open_small(folder) as again:
        again.append(trades(8, 1))
        again.mark()
        told = [event for batch in tail.poll() for event in batch.events]
    assert [event.price for event in told if isinstance(event, Trade)] == [5, 8]
    assert tail.next_seq == 9


def test_a_journal_without_its_newest_segment_is_refused(folder):
    with open_small(folder) as writer:
        for n in range(300):
            writer.append(trades(n, 1))
    archive_journal(folder)
    (path,) = folder.glob("*.evl")
    path.unlink()
    with pytest.raises(JournalCorruptError, match="newest segment is missing"):
        prices(JournalTail(folder).poll())


def test_pauses_grow_in_silence_and_are_short_again_after_an_event(folder):
    pauses = []
    with open_small(folder) as writer:

        def wait(seconds):
            pauses.append(seconds)
            if len(pauses) in (7, 8):
                writer.append(trades(len(pauses), 1))
                writer.mark()

        assert prices(islice(follow(JournalTail(folder), wait), 2)) == [7, 8]
    assert pauses[:2] == [SHORTEST_PAUSE_S, 2 * SHORTEST_PAUSE_S]
    assert pauses[5:8] == [LONGEST_PAUSE_S, LONGEST_PAUSE_S, SHORTEST_PAUSE_S]


def test_following_a_busy_writer_gives_every_event_once(folder):
    with open_small(folder) as writer:
        tail = JournalTail(folder)

        def write():
            for n in range(0, 6000, 4):
                writer.append(trades(n, 4))
            writer.mark()

        thread = threading.Thread(target=write)
        thread.start()
        told = []
        for batch in follow(tail, lambda _: None):
            told += [event.price for event in batch.events]
            if told[-1] == 5999:
                break
        thread.join()
    assert told == list(range(6000))
