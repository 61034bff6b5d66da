"""Archiving beside a daemon: what is done, what is told of failures, and that nothing waits for it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest

from daemon import upkeep
from daemon.app import Daemon
from daemon.config import code_hash, load
from daemon.journal.listing import is_archived, list_journal
from daemon.journal.reader import JournalReader
from daemon.journal.segment import list_segments
from daemon.journal.tail import JournalTail
from daemon.journal.verify import verify
from daemon.settings import ArchiveSettings
from daemon.upkeep import Upkeep
from schemas.events import Trade
from tests.daemon.journal.conftest import open_small, trades

CODE = code_hash()


@pytest.fixture
def journal(tmp_path):
    """Four segments of 100 events, all but the last sealed."""
    with open_small(tmp_path / "journal") as writer:
        for n in range(4):
            if n:
                writer._roll()
            writer.append(trades(n * 100, 100))
    return tmp_path / "journal"


def made_for(journal, *, code=CODE, **settings):
    wanted = {"keep_segments": 1, "load_percent": 100, **settings}
    return Upkeep(journal.parent, ArchiveSettings(**wanted), code, pause_s=0.01)


async def until(claim, seconds=30):
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(archiver):
    task = asyncio.create_task(archiver.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def archived(journal):
    return [name.number for name in list_journal(journal) if is_archived(name)]


async def test_what_is_sealed_becomes_an_archive_and_is_counted(journal):
    archiver = made_for(journal)
    sizes = sum(name.path.stat().st_size for name in list_segments(journal)[:3])
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments == 3 and not archiver.status.busy)
    status = archiver.status
    assert archived(journal) == [1, 2, 3]
    assert (status.failed, status.failures, status.state) == (None, 0, "idle")
    assert status.segment_bytes == sizes
    assert status.archive_bytes == sum(path.stat().st_size for path in journal.glob("archive/*.zst"))
    assert verify(journal).passed


async def test_the_newest_segments_stay_as_they_are(journal):
    archiver = made_for(journal, keep_segments=3)
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments and not archiver.status.busy)
    assert archived(journal) == [1]


async def test_switched_off_nothing_happens(journal):
    archiver = made_for(journal, enabled=False)
    await archiver.run()
    assert archived(journal) == []
    assert archiver.status.state == "off"


async def test_a_damaged_segment_is_told_and_kept_and_archived_once_it_is_whole(journal, caplog):
    path = list_segments(journal)[1].path
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + b"!" + whole[5001:])
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.failures > 1)
        assert archiver.status.state == "failed"
        assert "0000000002" in archiver.status.failed
        assert archived(journal) == [1]
        told = [record for record in caplog.records if "archiving stopped" in record.getMessage()]
        assert len(told) == 1, "the same failure is told once"
        path.write_bytes(whole)
        await until(lambda: archiver.status.archived_segments == 3 and not archiver.status.busy)
    assert archiver.status.failed is None


async def test_a_stop_ends_a_job_at_once_and_loses_nothing(journal):
    archiver = made_for(journal, load_percent=1)
    async with running(archiver):
        await until(lambda: list(journal.glob("archive/*.tmp")))
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert len(list(JournalReader(journal).batches())) == 4
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments and not archiver.status.busy)
    assert list(journal.glob("archive/*.tmp")) == []
    assert verify(journal).passed


async def test_a_process_of_other_code_does_nothing(journal):
    archiver = made_for(journal, code="0" * 64)
    async with running(archiver):
        await until(lambda: archiver.status.failed)
    assert "not that of the running daemon" in archiver.status.failed
    assert archived(journal) == []


async def test_a_process_that_dies_is_told(journal, monkeypatch):
    monkeypatch.setattr(upkeep, "MODULE", "daemon.there_is_none")
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.failed)
    assert archiver.status.failed == "the process ended with 1"


async def test_a_process_that_cannot_be_started_is_told(journal, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(journal / "no-python"))
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.failed)
    assert "No such file" in archiver.status.failed


def test_the_process_ends_with_whoever_started_it(journal):
    job = {"data": str(journal.parent), "code_hash": CODE, "keep": 1, "load_percent": 1}
    with subprocess.Popen(
        [sys.executable, "-m", upkeep.MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        end = time.monotonic() + 30
        while not list(journal.glob("archive/*.tmp")):
            assert time.monotonic() < end
            time.sleep(0.01)
        process.stdin.close()
        assert process.wait(10) == 1


@asynccontextmanager
async def daemon(data):
    flags = {
        "data": data,
        "feed.kind": "none",
        "api.port": 0,
        "journal.segment_mib": 1,
        "archive.keep_segments": 1,
        "archive.every_s": 0.1,
        "archive.load_percent": 100,
    }
    made = Daemon(load(None, {}, flags))
    ready = asyncio.Event()
    task = asyncio.create_task(made.run(lambda _: ready.set()))
    await ready.wait()
    yield made
    made.stop("the test ends")
    assert await task == 0


def read_all(directory):
    """Read every event once more from the beginning; return how many trades there are."""
    expected, count = 1, 0
    for batch in JournalReader(directory).batches():
        assert batch.first_seq == expected
        expected += len(batch.events)
        count += sum(type(event) is Trade for event in batch.events)
    return count


async def test_readers_and_a_restart_find_every_event_while_segments_become_archives(tmp_path):
    directory = tmp_path / "journal"
    sent = 0
    async with daemon(tmp_path) as made:
        tail, told = JournalTail(directory), []
        while made.upkeep.status.archived_segments < 3:
            await made.engine.publish(trades(sent, 2000))
            sent += 2000
            await made.engine.durable(made.engine.next_seq - 1)
            assert await asyncio.to_thread(read_all, directory) == sent
            told += await asyncio.to_thread(lambda: list(tail.poll()))
        assert made.upkeep.status.failed is None
        assert archived(directory)[:3] == [1, 2, 3]
    told += list(tail.poll())
    tail.close()
    assert [batch.first_seq for batch in told] == [
        batch.first_seq for batch in JournalReader(directory).batches()
    ]
    found = verify(directory)
    assert found.problems == []
    async with daemon(tmp_path) as made:
        assert made.engine.next_seq > found.last_seq
