"""The next segment is filled beside the writing, and does not get in its way."""

from __future__ import annotations

import os
import time

from daemon.journal.disk import DISK, Disk
from daemon.journal.segment import list_segments
from tests.daemon.journal.conftest import open_small, read_prices, trades

PIECE = 1 << 19


def test_a_filled_file_is_zeros_of_that_length(tmp_path):
    fd = DISK.create(tmp_path / "a")
    DISK.fill(fd, 3 * PIECE + 100)
    os.close(fd)
    assert (tmp_path / "a").read_bytes() == bytes(3 * PIECE + 100)


def test_each_piece_of_zeros_is_durable_before_the_next_is_written(tmp_path, monkeypatch):
    """A sync of the journal waits for what was written before it: never for more than a piece."""
    happened = []
    write, sync = os.pwritev, os.fdatasync
    monkeypatch.setattr(os, "pwritev", lambda *given: happened.append("write") or write(*given))
    monkeypatch.setattr(os, "fdatasync", lambda fd: happened.append("sync") or sync(fd))
    fd = DISK.create(tmp_path / "a")
    DISK.fill(fd, 3 * PIECE, lambda _: False)
    os.close(fd)
    assert happened == ["write", "sync"] * 3


def test_filling_rests_after_each_piece_and_is_told_how_long_that_took(tmp_path):
    rests = []
    fd = DISK.create(tmp_path / "a")
    DISK.fill(fd, 2 * PIECE, lambda seconds: rests.append(seconds) or False)
    os.close(fd)
    assert len(rests) == 2
    assert all(0 < seconds < 10 for seconds in rests)


def test_filling_in_a_hurry_neither_rests_nor_syncs_again(tmp_path):
    rests = []
    fd = DISK.create(tmp_path / "a")
    DISK.fill(fd, 5 * PIECE, lambda seconds: rests.append(seconds) or True)
    os.close(fd)
    assert len(rests) == 1
    assert (tmp_path / "a").read_bytes() == bytes(5 * PIECE)


def test_a_segment_that_is_waited_for_is_filled_without_rest(folder):
    """Both the roll and the end of the journal wait for it."""

    class Tired(Disk):
        def fill(self, fd, length, rest=None):
            super().fill(fd, length, lambda _: rest(30.0))

    started = time.monotonic()
    with open_small(folder, disk=Tired()) as writer:
        for n in range(0, 60_000, 500):
            writer.append(trades(n, 500))
    assert len(list_segments(folder)) > 2
    assert time.monotonic() - started < 10
    assert read_prices(folder) == list(range(60_000))
