"""The daemon's side of the sync: rounds, a breaker, and what is told of it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import asyncpg
import pytest

from daemon.app import Daemon
from daemon.breaker import BreakerLimits, Breakers, OutsideError
from daemon.config import load
from daemon.settings import SyncSettings
from daemon.sync import schema
from daemon.sync.keeper import BREAKER, Sync
from daemon.sync.messages import Away, Refused, Shipped
from daemon.sync.process import SyncProcess
from daemon.sync.status import PATIENCE_NS, SyncStatus
from daemon.sync.verify import compare
from schemas.events import BreakerState
from tests.daemon.sync.conftest import trades, write
from tools.bench.postgres import PostgresServer


class FakeWorker:
    """Answers as it was told to, the last answer for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.stopped = False

    async def ship(self, seconds):
        assert seconds > 0
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stop(self):
        self.stopped = True


def shipped(seq, *, caught_up=True, events=10):
    return Shipped(
        place="db:5432/tape", seq=seq, append_ns=10**18, events=events, duplicates=0, caught_up=caught_up
    )


def made(tmp_path, worker, **settings):
    return Sync(tmp_path, SyncSettings(**{"enabled": True, "every_s": 0.01, **settings}), worker)


@asynccontextmanager
async def running(sync, *, open_s=0.05, failures=2):
    changes = []
    breakers = Breakers(changes.append, limits=BreakerLimits(failures, open_s))
    task = asyncio.create_task(sync.run(breakers))
    try:
        yield changes
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(claim, seconds=20):
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_a_backlog_is_shipped_round_after_round_without_a_pause(tmp_path):
    worker = FakeWorker(shipped(10, caught_up=False), shipped(20, caught_up=False), shipped(30))
    sync = made(tmp_path, worker, every_s=1000.0)
    async with running(sync):
        await until(lambda: worker.asked == 3)
        assert sync.status.state == "idle"
        assert (sync.confirmed_seq(), sync.status.events) == (30, 30)
    assert worker.stopped


async def test_a_database_that_is_away_opens_the_breaker_and_is_probed(tmp_path):
    worker = FakeWorker(Away(reason="no way to the database"))
    sync = made(tmp_path, worker)
    async with running(sync) as changes:
        await until(lambda: [change.state for change in changes].count(BreakerState.HALF_OPEN) == 2)
        assert changes[1].breaker == BREAKER
        assert changes[1].state is BreakerState.OPEN
        assert sync.status.state == "away"
        assert sync.status.reason == "no way to the database"
        worker.answers = [shipped(5)]
        await until(lambda: sync.status.state == "idle")
        assert changes[-1].state is BreakerState.CLOSED
        assert sync.status.reason is None


async def test_a_refusal_is_an_answer_and_opens_no_breaker(tmp_path):
    sync = made(tmp_path, FakeWorker(Refused(reason="the schema is not there", hint="run it")))
    async with running(sync) as changes:
        await until(lambda: sync.status.state == "refused")
        assert sync.status.reason == "the schema is not there; run it"
    assert [change.state for change in changes] == [BreakerState.CLOSED]


async def test_a_process_that_ends_is_a_failure_like_any_other(tmp_path):
    worker = FakeWorker(OutsideError("the sync process ended with -9"), shipped(7))
    sync = made(tmp_path, worker)
    async with running(sync):
        await until(lambda: sync.status.state == "idle")
        assert sync.status.failures == 1


async def test_nothing_runs_where_it_is_off(tmp_path):
    worker = FakeWorker(shipped(1))
    sync = made(tmp_path, worker, enabled=False)
    await sync.run(Breakers(lambda _: None))
    assert (worker.asked, sync.status.state) == (0, "off")


def test_the_lag_is_told_in_events_and_seconds():
    status = SyncStatus(enabled=True, confirmed_seq=90, confirmed_ns=5 * 10**9)
    assert status.lag(100) == 10
    assert status.lag_s(100, 8 * 10**9) == 3.0
    assert status.lag_s(90, 8 * 10**9) == 0.0
    assert SyncStatus(enabled=True).lag(100) is None


def test_an_absence_is_told_when_it_lasts_and_a_refusal_at_once():
    status = SyncStatus(enabled=True, state="away", reason="gone", confirmed_seq=90, failing_since_ns=1)
    assert status.trouble(100, PATIENCE_NS) is None
    assert status.trouble(100, PATIENCE_NS + 1) == "the database is away: gone; 10 events wait in the journal"
    status.state = "refused"
    assert status.trouble(100, 2) == "the sync is refused: gone; 10 events wait in the journal"


@pytest.fixture
async def tables(dsn):
    connection = await asyncpg.connect(dsn)
    await schema.apply(connection)
    yield connection
    await connection.close()


@pytest.fixture
def dsn_file(dsn, tmp_path):
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text(dsn)
    return file


async def test_the_process_ships_what_is_there_and_what_comes(tables, dsn_file, data_folder):
    write(data_folder, trades(1, 300))
    process = SyncProcess(data_folder, SyncSettings(enabled=True, dsn_file=dsn_file, name="here"))
    report = await process.ship(5.0)
    assert (report.seq, report.events, report.caught_up) == (300, 300, True)
    assert report.append_ns > 0
    assert report.place.startswith("127.0.0.1:")
    pid = process.pid
    write(data_folder, trades(301, 50))
    assert (await process.ship(5.0)).seq == 350
    assert process.pid == pid
    await process.stop()
    assert await tables.fetchval("SELECT count(*) FROM taped.trades") == 350


async def test_a_process_that_was_killed_is_told_and_the_next_goes_on(tables, dsn_file, data_folder):
    write(data_folder, trades(1, 30))
    process = SyncProcess(data_folder, SyncSettings(enabled=True, dsn_file=dsn_file))
    await process.ship(5.0)
    process._process.kill()
    write(data_folder, trades(31, 30))
    with pytest.raises(OutsideError, match="the sync process"):
        await process.ship(5.0)
    assert (await process.ship(5.0)).seq == 60
    await process.stop()


async def test_the_process_ends_when_the_daemon_is_gone(tables, dsn_file, data_folder):
    write(data_folder, trades(1, 30))
    process = SyncProcess(data_folder, SyncSettings(enabled=True, dsn_file=dsn_file))
    await process.ship(5.0)
    process._process.stdin.close()
    assert await asyncio.wait_for(process._process.wait(), 10) == 0
    await process.stop()


async def test_a_secret_that_is_missing_is_a_refusal_that_says_so(data_folder, tmp_path):
    write(data_folder, trades(1, 3))
    process = SyncProcess(data_folder, SyncSettings(enabled=True, dsn_file=tmp_path / "missing"))
    report = await process.ship(5.0)
    assert isinstance(report, Refused)
    assert "No such file" in report.reason
    await process.stop()


@asynccontextmanager
async def daemon_with_a_database(data_folder, dsn_file):
    configuration = load(
        None,
        {
            "TAPED_DATA": str(data_folder),
            "TAPED_API__PORT": "0",
            "TAPED_FEED__RATE": "500",
            "TAPED_BREAKER__FAILURES": "2",
            "TAPED_BREAKER__OPEN_S": "0.5",
            "TAPED_SYNC__ENABLED": "true",
            "TAPED_SYNC__DSN_FILE": str(dsn_file),
            "TAPED_SYNC__EVERY_S": "0.2",
        },
    )
    daemon = Daemon(configuration)
    ready = asyncio.Event()
    task = asyncio.create_task(daemon.run(lambda _: ready.set()))
    await asyncio.wait_for(ready.wait(), 20)
    try:
        yield daemon
    finally:
        daemon.stop("the test is over")
        assert await asyncio.wait_for(task, 20) == 0


async def test_a_daemon_ships_what_it_journals_and_retention_hears_of_it(tables, dsn_file, data_folder):
    async with daemon_with_a_database(data_folder, dsn_file) as daemon:
        await until(lambda: daemon.sync.status.events > 300)
        assert daemon.upkeep.confirmed_seq is not None
        assert daemon.upkeep.confirmed_seq() == daemon.sync.status.confirmed_seq > 300
        assert daemon.engine.breakers.rows()[0].breaker == BREAKER
    shipped_seq = await tables.fetchval("SELECT seq FROM taped.watermarks")
    assert shipped_seq >= daemon.sync.status.confirmed_seq


async def test_a_server_that_is_killed_and_comes_back_is_no_loss_and_stops_nothing(
    server_folder, data_folder, tmp_path
):
    server = PostgresServer(server_folder)
    server.start()
    connection = await asyncpg.connect(server.dsn())
    await schema.apply(connection)
    await connection.close()
    file = tmp_path / "dsn"
    file.touch(0o600)
    file.write_text(server.dsn())
    async with daemon_with_a_database(data_folder, file) as daemon:
        await until(lambda: daemon.sync.status.events > 100)
        server.kill()
        await until(lambda: daemon.engine.breakers.rows()[0].state == "OPEN")
        assert daemon.sync.status.state == "away"
        before = daemon.engine.durable_seq
        await until(lambda: daemon.engine.durable_seq > before + 100)
        await asyncio.to_thread(server.start)
        await until(lambda: daemon.sync.status.confirmed_seq > before + 100)
        assert daemon.engine.breakers.rows()[0].state == "CLOSED"
    found = await compare(server.dsn(), data_folder / "journal")
    assert found.passed
    assert found.events > before
    server.stop()
