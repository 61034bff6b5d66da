"""Wiring: the only file that knows every part, and in which order they start and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from daemon import calendars, clock, strategies
from daemon.api.access import Access
from daemon.api.app import create_app
from daemon.api.health import look as look_at_health
from daemon.api.serving import serve
from daemon.backup_state import BackupWatch
from daemon.breaker import BreakerLimits
from daemon.config import Configuration, code_hash, config_hash, risk_limits
from daemon.disk_reserve import ReserveDisk, StartReserve
from daemon.disk_space import DiskWatch, look, watch_disk
from daemon.engine import Engine
from daemon.hardware.attendant import Hardware
from daemon.journal.disk import make_folder
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.writer import JournalWriter
from daemon.journal.written import DAY_NS, HOUR_NS, written
from daemon.notices import log_notifications
from daemon.notify import ServiceManager
from daemon.progress import Progress
from daemon.readmodel.projector import Projector
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.watermark import projected_seq
from daemon.restart import rebuild
from daemon.restored import refuse_behind
from daemon.settings import Settings
from daemon.snapshots import Snapshots
from daemon.sync.keeper import Sync
from daemon.trading.core import CURRENCY_SETTING, Core
from daemon.trading.history import BARS_SETTING, KEEP_SETTING, TICKS_SETTING
from daemon.upkeep import Upkeep
from daemon.user_strategies import load_kinds
from daemon.venue.feeds.feed import Feed, make_feed
from daemon.venue.paper.books import PaperBooks
from daemon.venue.paper.dump import dump as dump_venue
from daemon.venue.paper.options import recorded, venue_options
from daemon.venue.reconcile import Reconciler
from schemas.errors import TapedError
from schemas.events import (
    ClockTicked,
    DaemonStarted,
    DaemonStopped,
    Event,
    FeedState,
    FeedStatus,
    Scalar,
)

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How long a thread waits for the interpreter while another has it; an order waits up to four times.

Measured at 20,000 events/s, orders' p95: 5.1 ms with 1 ms, 3.6 ms with 0.5 ms, 4.0 ms with 0.2 ms, which
costs the pipeline a tenth.
"""

MAX_DESCRIPTORS = 65_536

DISK_LOOK_SECONDS = 0.05

STOP_SECONDS = 5.0
"""A stop that takes longer is given up: systemd's own limit must never be what ends the process."""


class Daemon:
    """The running parts.

    Attributes:
        url: where the API listens.
        disk: how nearly full the disk is.
        engine: the one sequence.
        upkeep: what becomes of old segments.
        sync: how far the journal is in the database.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.settings: Settings = configuration.settings
        self.url = ""
        self.disk = DiskWatch(self.settings.journal.segment_mib << 20)
        self._kinds = load_kinds(self.settings.strategies_folder)
        self._code_hash = code_hash(self._kinds.sources)
        self.upkeep = Upkeep(
            self.settings.data,
            self.settings.archive,
            self.settings.retention,
            self._code_hash,
            strategies_folder=self.settings.strategies_folder,
        )
        self.sync = Sync(self.settings.data, self.settings.sync)
        if self.settings.sync.enabled:
            self.upkeep.confirmed_seq = self.sync.confirmed_seq
        self.progress = Progress()
        self.manager = ServiceManager(os.environ)
        self.backups = BackupWatch(self.settings.data, self.settings.backup)
        self.hardware = Hardware(
            self.settings.hardware,
            self.settings.data,
            self.progress,
            backup_old=lambda: self.backups.old,
        )
        self._stop = asyncio.Event()
        self._stop_reason = "stopped"
        self._gave_up_waiting = False

    def stop(self, reason: str) -> None:
        """Ask the daemon to end in good order."""
        self._stop_reason = reason
        self._stop.set()

    async def run(self, ready: Callable[[Daemon], None]) -> int:
        """Start everything, wait for a signal or a failure, stop everything; return the exit code."""
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        async with AsyncExitStack() as stack:
            await self._start(stack)
            await stack.enter_async_context(self._background(self.manager.keep_alive(self.progress)))
            self.manager.ready(f"at {self.url}")
            ready(self)
            # A failed journal is as good a reason to end the wait as a signal.
            self.engine.failure.add_done_callback(lambda _: self._stop.set())
            await self._stop.wait()
            failed = self.engine.failed
            if failed is not None:
                log.error("the journal failed, stopping: %s", failed)
            else:
                log.info("stopping: %s", self._stop_reason)
            self.manager.stopping()
        if failed is None and self.engine.failed is None:
            return 0
        if failed is None and self._gave_up_waiting:
            log.warning("stopped while the disk was full: nothing acknowledged is lost")
            return 0
        return 1

    async def _start(self, stack: AsyncExitStack) -> None:
        strategies.check(self.settings.strategies, self._kinds.classes)
        raise_descriptor_limit()
        self.hardware.prepare()
        data = self.settings.data
        # Before the journal: what it promises is only as durable as the names of the folders above it.
        make_folder(data, mode=0o750)
        started = time.perf_counter()
        self.engine, projector = await stack.enter_async_context(self._sequence(data))
        queries = ReadModelQueries(data / "readmodel.db")
        stack.callback(queries.close)
        access = await Access.open(data)
        stack.push_async_callback(access.close)
        calendar = calendars.CalendarWatch(self.engine, self.settings.calendars, time.time_ns)
        calendar.look()
        self.engine.subscribe(lambda _: calendar.look())
        self.engine.subscribe(log_notifications)
        await self._until_journaled(self._begun)
        await stack.enter_async_context(self._hardware())
        await stack.enter_async_context(self._api(queries, access, projector))
        await stack.enter_async_context(self._background(self._tick_clock()))
        await stack.enter_async_context(self._background(self.upkeep.run()))
        await stack.enter_async_context(self._background(self.sync.run(self.engine.breakers)))
        await stack.enter_async_context(
            self._background(strategies.start_when_known(self.engine, self._plan.starts))
        )
        reconciling = self._reconciler.run(self.settings.venue.reconcile_s)
        await stack.enter_async_context(self._background(reconciling))
        feed = make_feed(self.settings.feed, self.engine.core.instruments.values())
        if feed is not None:
            self.engine.shedder.feed = feed.name
            await stack.enter_async_context(self._background(self._run_feed(feed)))
        log.info("ready after %.2f s at %s", time.perf_counter() - started, self.url)

    @asynccontextmanager
    async def _sequence(self, data: Path) -> AsyncIterator[tuple[Engine, Projector]]:
        """Open the journal and rebuild core and read model from it; close in reverse."""
        readmodel, journal = data / "readmodel.db", data / "journal"
        segment_bytes = self.settings.journal.segment_mib << 20
        # The journal may be a link to another disk than the rest.
        disk = self._journal_disk = ReserveDisk(journal if journal.is_dir() else data, segment_bytes)
        reserve = StartReserve(data)
        reserve.release()
        code = self._code_hash
        refuse_behind(data)
        writer = JournalWriter.open(
            journal, segment_bytes=segment_bytes, watermark=projected_seq(data), disk=disk
        )
        disk.be_patient()
        try:
            since_ns = time.time_ns() - DAY_NS
            # A new journal's first segment is counted by its writer.
            before = written(journal, per_ns=HOUR_NS, since_ns=since_ns) if writer.next_seq > 1 else {}
            kinds = self._kinds.classes
            core, venue, missing = rebuild(data, writer.journal_id, code, writer.next_seq - 1, kinds)
            snapshots = Snapshots(
                data, code, last_seq=core.next_seq - 1, venue_state=lambda: dump_venue(venue)
            )
            projector = Projector(readmodel, journal, keep_ticks=self.settings.readmodel.keep_ticks)
            projector.start()
        except BaseException:
            writer.close()
            raise
        engine = Engine(
            core,
            writer,
            venue,
            linger_s=self.settings.journal.linger_ms / 1000,
            quiet_linger_s=self.settings.journal.quiet_linger_ms / 1000,
            max_frame_events=self.settings.journal.max_batch,
            breaker_limits=BreakerLimits(self.settings.breaker.failures, self.settings.breaker.open_s),
        )
        engine.subscribe(lambda batch: projector.offer(batch.first_seq, batch.events))
        engine.subscribe(lambda batch: snapshots.on_durable(batch.last_seq, core))
        self._reconciler = Reconciler(PaperBooks(venue, core), core, engine.ingest)
        unsent = venue.unsent(core)
        if missing:
            engine.ingest(missing)
        self._plan = strategies.plan(core.strategies, self.settings.strategies, kinds)
        # The venue changes its rules where the DaemonStarted stands that tells of them.
        venue.configure(venue_options(self.settings.venue))
        self._begun = engine.begin([*self._first_events(core), *self._plan.stops]).last_seq
        engine.resume(unsent)
        engine.meter.begin(before)
        watch = watch_disk(engine, disk, self.disk, reserve=reserve, clock_ns=time.time_ns)
        try:
            async with self._background(watch):
                yield engine, projector
        finally:
            self._gave_up_waiting = disk.space().waiting
            disk.stop()
            await self._close_sequence(engine, projector)
            await asyncio.to_thread(snapshots.close, core, engine.durable_seq, timeout_s=1.0)

    async def _until_journaled(self, seq: int) -> None:
        """Return when the events up to `seq` are durable, or the disk has no space for them yet.

        Without space reads start all the same, orders are refused, and all goes on when there is some.
        """
        durable = asyncio.ensure_future(self.engine.durable(seq))
        while not durable.done() and not self._journal_disk.space().exhausted:
            await asyncio.wait({durable}, timeout=DISK_LOOK_SECONDS)
        if durable.done():
            await durable
            return
        durable.cancel()
        look(self.engine, self._journal_disk, self.disk, time.time_ns())
        log.error("the disk is full: only reads are served until there is space")

    async def _close_sequence(self, engine: Engine, projector: Projector) -> None:
        now = time.time_ns()
        last = [*engine.shedder.take_gaps(now), DaemonStopped(ts_ns=now, reason=self._stop_reason)]
        try:
            await engine.close(last, timeout_s=STOP_SECONDS - 1)
        except JournalPoisonedError as error:
            log.error("the journal could not be sealed: %s", error)  # noqa: TRY400  # no bug of ours to trace
        # The last batches were told to the loop just now; they reach the projector before it is stopped.
        await asyncio.sleep(0)
        await asyncio.to_thread(projector.stop, timeout_s=1.0)

    def _first_events(self, core: Core) -> list[Event]:
        now = time.time_ns()
        venue = self.settings.venue
        settings: dict[str, Scalar] = {
            "venue.kind": venue.kind,
            **recorded(venue_options(venue)),
            CURRENCY_SETTING: self.settings.account.currency,
            **risk_limits(self.settings.risk),
            BARS_SETTING: ",".join(self.settings.history.bars),
            KEEP_SETTING: self.settings.history.keep_bars,
            TICKS_SETTING: self.settings.history.keep_ticks,
            **strategies.allocation(self.settings.allocation),
            **strategies.settings(self.settings.strategies, self._kinds.classes),
        }
        events: list[Event] = [
            DaemonStarted(
                ts_ns=now,
                daemon_version=version("taped"),
                config_hash=config_hash(self.settings),
                code_hash=self._code_hash,
                settings=settings,
            )
        ]
        if not core.account.cash:
            events += [
                strategies.command("account.deposit", {"currency": currency, "amount": amount})
                for currency, amount in self.settings.account.cash.items()
            ]
        return events

    @asynccontextmanager
    async def _api(
        self, queries: ReadModelQueries, access: Access, projector: Projector
    ) -> AsyncIterator[None]:
        settings = self.settings.api
        sync = self.sync.status
        parts = (
            self.engine,
            projector,
            self.upkeep.status,
            self.hardware,
            self.progress,
            sync,
            self.backups,
        )
        app = create_app(
            self.engine,
            queries,
            access,
            projection=projector,
            settings=settings,
            upkeep=self.upkeep.status,
            machine=self.hardware,
            progress=self.progress,
            sync=sync,
            backups=self.backups,
        )
        runner, self.url = await serve(app, settings)
        try:
            async with self._background(self.hardware.run(lambda: look_at_health(*parts).reasons)):
                yield
        finally:
            self.engine.stopping = True
            await runner.cleanup()

    @asynccontextmanager
    async def _hardware(self) -> AsyncIterator[None]:
        engine, hardware = self.engine, self.hardware
        self.progress.watch("journal", lambda: engine.progress_ns)
        hardware.start(engine)
        engine.subscribe(lambda batch: hardware.on_durable(batch.events))
        try:
            async with self._background(self.progress.follow_loop()):
                yield
        finally:
            self.progress.forget("journal")
            await hardware.stop()

    @asynccontextmanager
    async def _background(self, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
        task = asyncio.create_task(_reported(work))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            # A task that is cancelled before its first step has not begun its work.
            work.close()

    async def _tick_clock(self) -> None:
        while True:
            await asyncio.sleep(1 - time.time() % 1)
            if self.engine.shedder.paused:
                continue
            self.engine.ingest([ClockTicked(ts_ns=time.time_ns(), synchronized=clock.synchronized())])

    async def _run_feed(self, feed: Feed) -> None:
        await self._feed_status(feed, FeedState.CONNECTED, "")
        try:
            await feed.run(self.engine.publish)
        except TapedError as error:
            log.error("feed %s stopped: %s", feed.name, error)  # noqa: TRY400  # told by the error itself
            await self._feed_status(feed, FeedState.DISCONNECTED, str(error))
        else:
            await self._feed_status(feed, FeedState.FINISHED, "")

    async def _feed_status(self, feed: Feed, state: FeedState, detail: str) -> None:
        await self.engine.publish(
            [FeedStatus(ts_ns=time.time_ns(), feed=feed.name, state=state, detail=detail)]
        )


def raise_descriptor_limit() -> None:
    """Take as many file descriptors as the system allows without asking: a segment needs one at each roll."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _reported(work: Coroutine[None, None, None]) -> None:
    """Run a background task; what it could not answer is logged, and ends only this task."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("a background task stopped")


def run_daemon(
    configuration: Configuration, *, ready: Callable[[Daemon], None], for_seconds: float | None = None
) -> int:
    """Run a daemon until SIGTERM, SIGINT, the time is over or the journal fails.

    Args:
        configuration: checked settings.
        ready: called on the loop when everything runs.
        for_seconds: stop by itself after this time.

    Returns:
        The exit code: 0 after a stop that was asked for, 1 after a failure.
    """

    async def main() -> int:
        daemon = Daemon(configuration)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, daemon.stop, signal.Signals(number).name)
        if for_seconds is not None:
            loop.call_later(for_seconds, daemon.stop, f"after {for_seconds:g} s")
        return await daemon.run(ready)

    return asyncio.run(main())
