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
from daemon.readmodel.content import content_hash
from daemon.settings import ArchiveSettings, RetentionSettings
from daemon.start import core_at_end
from daemon.upkeep import Upkeep
from replay.rebuild import rebuild
from schemas.events import OrderRequested, OrderType, Side, Trade
from tests.daemon.api.conftest import BTC, DEPOSIT
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


def made_for(journal, *, code=CODE, retention=None, **settings):
    archive = ArchiveSettings(**{"keep_segments": 1, "load_percent": 100, **settings})
    retention = RetentionSettings(**{"every_s": 0.01, **(retention or {})})
    return Upkeep(journal.parent, archive, retention, code, pause_s=0.01)


def is_idle(archiver):
    return not (archiver.status.archive.busy or archiver.status.retention.busy)


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
        await until(lambda: archiver.status.archived_segments == 3 and is_idle(archiver))
    status = archiver.status
    assert archived(journal) == [1, 2, 3]
    assert (status.archive.failed, status.archive.failures, status.archive.state) == (None, 0, "idle")
    assert status.segment_bytes == sizes
    assert status.archive_bytes == sum(path.stat().st_size for path in journal.glob("archive/*.zst"))
    assert verify(journal).passed


async def test_the_newest_segments_stay_as_they_are(journal):
    archiver = made_for(journal, keep_segments=3)
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments and is_idle(archiver))
    assert archived(journal) == [1]


async def test_switched_off_nothing_happens(journal):
    archiver = made_for(journal, enabled=False)
    await archiver.run()
    assert archived(journal) == []
    assert archiver.status.archive.state == "off"


async def test_a_damaged_segment_is_told_and_kept_and_archived_once_it_is_whole(journal, caplog):
    path = list_segments(journal)[1].path
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + b"!" + whole[5001:])
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.archive.failures > 1)
        assert archiver.status.archive.state == "failed"
        assert "0000000002" in archiver.status.archive.failed
        assert archived(journal) == [1]
        told = [record for record in caplog.records if "archiving ended early" in record.getMessage()]
        assert len(told) == 1, "the same failure is told once"
        path.write_bytes(whole)
        await until(lambda: archiver.status.archived_segments == 3 and is_idle(archiver))
    assert archiver.status.archive.failed is None


async def test_retention_is_off_unless_a_limit_is_set(journal):
    archiver = made_for(journal, enabled=False)
    assert archiver.status.retention_state == "off"


async def test_what_is_too_much_goes_once_it_is_archived(journal):
    archiver = made_for(journal, retention={"max_gb": 0.00001})
    assert archiver.status.retention_state == "idle"
    async with running(archiver):
        await until(lambda: archiver.status.removed_segments == 3 and is_idle(archiver))
    assert [name.number for name in list_journal(journal)] == [4]
    assert archiver.status.retention.failed is None
    assert "segment 4 stays: it is not archived" in archiver.status.held
    assert archiver.status.retention_state == "held"
    assert verify(journal).passed


async def test_with_sync_on_nothing_goes_that_is_not_confirmed(journal):
    confirmed = [0]
    archiver = made_for(journal, retention={"max_age_days": 0.000001})
    archiver.confirmed_seq = lambda: confirmed[0]
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments == 3 and archiver.status.held)
        assert "TimescaleDB has confirmed up to seq 0" in archiver.status.held
        assert archiver.status.removed_segments == 0
        confirmed[0] = 250
        await until(lambda: archiver.status.removed_segments == 2 and is_idle(archiver))
    assert [name.number for name in list_journal(journal)] == [3, 4]


async def test_retention_that_fails_is_told_and_loses_nothing(journal):
    archiver = made_for(journal, retention={"max_gb": 0.00001})
    async with running(archiver):
        await until(lambda: archiver.status.removed_segments == 3 and is_idle(archiver))
    (base,) = journal.glob("*.base")
    base.write_bytes(base.read_bytes()[:-1])
    archiver = made_for(journal, retention={"max_gb": 0.00001})
    async with running(archiver):
        await until(lambda: archiver.status.retention.failed)
    assert base.name in archiver.status.retention.failed
    assert archiver.status.retention_state == "failed"


async def test_a_stop_ends_a_job_at_once_and_loses_nothing(journal):
    archiver = made_for(journal, load_percent=1)
    async with running(archiver):
        await until(lambda: list(journal.glob("archive/*.tmp")))
        started = time.monotonic()
    assert time.monotonic() - started < 1
    assert len(list(JournalReader(journal).batches())) == 4
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.archived_segments and is_idle(archiver))
    assert list(journal.glob("archive/*.tmp")) == []
    assert verify(journal).passed


async def test_a_process_of_other_code_does_nothing(journal):
    archiver = made_for(journal, code="0" * 64)
    async with running(archiver):
        await until(lambda: archiver.status.archive.failed)
    assert "not that of the running daemon" in archiver.status.archive.failed
    assert archived(journal) == []


async def test_a_process_that_dies_is_told(journal, monkeypatch):
    monkeypatch.setattr(upkeep, "MODULE", "daemon.there_is_none")
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.archive.failed)
    assert archiver.status.archive.failed == "the process ended with 1"


async def test_a_process_that_cannot_be_started_is_told(journal, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(journal / "no-python"))
    archiver = made_for(journal)
    async with running(archiver):
        await until(lambda: archiver.status.archive.failed)
    assert "No such file" in archiver.status.archive.failed


def test_the_process_ends_with_whoever_started_it(journal):
    job = {"type": "ArchiveJob", "data": str(journal.parent), "code_hash": CODE, "keep": 1, "load_percent": 1}
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
async def daemon(data, **more):
    flags = {
        "data": data,
        "feed.kind": "none",
        "api.port": 0,
        "journal.segment_mib": 1,
        "archive.keep_segments": 1,
        "archive.every_s": 0.1,
        "archive.load_percent": 100,
        **more,
    }
    made = Daemon(load(None, {}, flags))
    ready = asyncio.Event()
    task = asyncio.create_task(made.run(lambda _: ready.set()))
    await ready.wait()
    yield made
    made.stop("the test ends")
    assert await task == 0


def buy(number):
    return OrderRequested(
        ts_ns=10**18,
        instrument_id=1,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=10,
        source="operator:test",
        client_id=str(number),
    )


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
        assert made.upkeep.status.archive.failed is None
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


async def test_a_daemon_that_lets_its_past_go_is_the_same_after_an_upgrade(tmp_path, monkeypatch):
    limits = {"retention.max_gb": 0.001, "retention.every_s": 0.1}
    async with daemon(tmp_path, **limits) as made:
        await made.engine.execute([BTC, DEPOSIT])
        for sent in range(0, 70_000, 2000):
            await made.engine.publish(trades(6_000_000 + sent % 1000, 2000))
            await made.engine.execute([buy(sent)])
        await until(lambda: made.upkeep.status.removed_segments >= 2)
        core = made.engine.core
    before, content = core.state(), content_hash(tmp_path / "readmodel.db")
    assert before["orders"]
    assert JournalReader(tmp_path / "journal").first_seq > 1
    assert verify(tmp_path / "journal").problems == []
    assert rebuild(tmp_path, replace=False).hash == content
    monkeypatch.setattr("daemon.app.code_hash", lambda *_: "f" * 64)
    reader = JournalReader(tmp_path / "journal")
    assert core_at_end(tmp_path, reader.journal_id, "f" * 64, reader.last_seq).state() == before
    async with daemon(tmp_path, **limits) as made:
        assert made.engine.core.account.cash == core.account.cash
        assert made.engine.core.orders.keys() == core.orders.keys()
