"""One sequence: inputs come in, decisions stand next to them, effects leave after the sync.

Everything here runs on the event loop's thread. An input is numbered and answered by the core at
once, goes to the journal together with the decisions it caused, and only when the journal says
"durable" do the effects go to the venue, the futures resolve and the subscribers hear of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from daemon.breaker import BreakerLimits, Breakers
from daemon.disk_space import Shedder
from daemon.journal.acks import Acknowledgements
from daemon.journal.commit import CommitThread
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import Batch
from daemon.journal.writer import JournalWriter
from daemon.journal.written import WriteMeter
from daemon.trading.core import Core
from daemon.venue.boundary import SendBoundary, SendError
from daemon.venue.protocol import Venue
from schemas.codec import CODEC
from schemas.errors import TapedError
from schemas.events import Bar, BreakerChanged, ClockTicked, Event, FanSet, Quote, SensorsRead, Trade

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_PENDING_EVENTS = 100_000
"""Events that may wait for the disk before whoever publishes has to wait too (some 20 MB)."""

_CAN_LINGER = (Trade, Quote, Bar, ClockTicked, SensorsRead, FanSet)


class EngineStoppedError(TapedError):
    """The daemon takes no more input."""


class Engine:
    """Joins core, journal and venue.

    Args:
        core: rebuilt to the journal's end.
        writer: the open journal; the engine owns it from here on.
        venue: where orders go.
        linger_s: how long ticks alone may wait for the disk.
        quiet_linger_s: how long while they do not fill a page.
        max_frame_events: events in a frame.
        breaker_limits: of the circuit breakers around calls that leave the process.

    Attributes:
        breakers: those of this process.
        core: the trading core.
        journal_id: the journal's uuid.
        stopping: no new commands are taken.
        failed: why nothing can be made durable any more, or None.
        failure: resolves to that reason.
        shedder: drops ticks while the disk is nearly full.
        meter: what the journal wrote in the last 24 hours.
    """

    def __init__(
        self,
        core: Core,
        writer: JournalWriter,
        venue: Venue,
        *,
        linger_s: float = 0.02,
        quiet_linger_s: float = 0.6,
        max_frame_events: int = 4096,
        breaker_limits: BreakerLimits = BreakerLimits(),  # noqa: B008  # a tuple, never changed
    ) -> None:
        self.core = core
        self.journal_id = writer.journal_id
        self.durable_seq = writer.next_seq - 1
        self.stopping = False
        self.failed: str | None = None
        self.shedder = Shedder()
        self.meter = WriteMeter()
        self.breakers = Breakers(self._note_breaker, limits=breaker_limits)
        self._venue = venue
        self._boundary = SendBoundary(venue, core)
        self._sealing = False
        self._loop = asyncio.get_running_loop()
        self.failure: asyncio.Future[str] = self._loop.create_future()
        self._commands = Acknowledgements(self._loop)
        self._publishers = Acknowledgements(self._loop)
        self._effects: deque[tuple[int, list[tuple[int, Event]]]] = deque()
        self._subscribers: list[Callable[[Batch], None]] = []
        self._commit = CommitThread(
            writer,
            on_durable=self._tell_loop,
            on_failure=lambda reason: self._call_loop(self._fail, reason),
            linger_s=linger_s,
            quiet_linger_s=quiet_linger_s,
            max_frame_events=max_frame_events,
        )

    @property
    def next_seq(self) -> int:
        """The number the next event gets."""
        return self._commit.next_seq

    @property
    def pending(self) -> int:
        """Events that wait for the disk."""
        return self._commit.pending

    @property
    def progress_ns(self) -> int:
        """When the journal's thread was last seen at work, by the monotonic clock; asked from any thread.

        One that waits for space on a full disk does what it should.
        """
        return time.monotonic_ns() if self.shedder.paused else self._commit.progress_ns

    @property
    def sync_ns(self) -> int:
        """How long the last frame's write and sync took."""
        return self._commit.sync_ns

    @property
    def bytes_written(self) -> int:
        """Bytes of frames the journal wrote since the start."""
        return self._commit.bytes_written

    @property
    def bytes_filled(self) -> int:
        """Zeros the journal filled segments with since the start."""
        return self._commit.bytes_filled

    def ingest(self, inputs: list[Event]) -> None:
        """Take inputs that nobody waits for: ticks, clock, venue reports.

        Raises:
            EngineStoppedError: the journal failed.
        """
        kept = self.shedder.filter(inputs)
        if self._venue.due_ns is not None:
            kept = self._let_arrive(kept)
        if kept:
            self._submit(kept, urgent=False)

    def resume(self, unsent: list[tuple[int, Event]]) -> None:
        """Send what was decided before a restart and surely never arrived; call before the first tick."""
        for seq, effect in unsent:
            self._send(seq, effect)

    async def publish(self, inputs: list[Event]) -> None:
        """Take a feed's events, and let the feed wait while too many wait for the disk."""
        self.ingest(inputs)
        if self._commit.pending > MAX_PENDING_EVENTS:
            await self._publishers.wait_for(self.next_seq - 1 - MAX_PENDING_EVENTS // 2)

    def begin(self, inputs: list[Event]) -> Batch:
        """Take the first events of a process, also on a full disk: there they wait for space.

        Raises:
            CodecError: they cannot be written.
        """
        CODEC.encode(inputs)
        return self._submit(inputs, urgent=True)

    async def execute(self, inputs: list[Event]) -> Batch:
        """Take a command; return it with the core's decisions once all of them are durable.

        Raises:
            CodecError: it cannot be written; nothing was changed.
            EngineStoppedError: the daemon is stopping, or the journal failed before.
            JournalPoisonedError: the journal failed now; whether it was written is unknown.
        """
        if self.stopping:
            raise EngineStoppedError("taped is stopping", hint="try again when it has started")
        if self.shedder.paused:
            raise EngineStoppedError("the disk is full", hint="free some space; taped goes on by itself")
        # Refused here it is one command; on the journal's thread it would be the end of the journal.
        CODEC.encode(inputs)
        batch = self._submit(inputs, urgent=True)
        await self.durable(batch.last_seq)
        return batch

    async def durable(self, seq: int) -> None:
        """Return once everything up to `seq` is durable.

        Raises:
            JournalPoisonedError: it will not be.
        """
        if seq <= self.durable_seq:
            return
        if self.failed is not None:
            raise JournalPoisonedError(self.failed)
        await self._commands.wait_for(seq)

    def subscribe(self, callback: Callable[[Batch], None]) -> Callable[[], None]:
        """Call `callback` on the loop with every durable batch; return the way to end that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    async def close(self, last: list[Event], *, timeout_s: float) -> None:
        """Let what was decided leave, take the last events, make everything durable and seal the journal."""
        self.stopping = True
        await self._drain(timeout_s / 4)
        self._sealing = True
        if self.failed is None and last:
            self._submit(last, urgent=True)
        await asyncio.to_thread(self._commit.close, timeout_s=timeout_s)

    async def _drain(self, timeout_s: float) -> None:
        """Wait until no effect waits for the disk; what waits longer is taken up at the next start."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._effects and self.failed is None:
                    await self.durable(self._effects[-1][0])
        except (TimeoutError, JournalPoisonedError):
            log.warning("%d effects were not sent before the end", len(self._effects))

    def _let_arrive(self, inputs: list[Event]) -> list[Event]:
        """Take the inputs up to where the last thing under way arrives; return the rest.

        An arrival has a place among the inputs: its report stands there in the journal, and a replay
        lets it arrive at the same place.
        """
        venue, start = self._venue, 0
        for at, event in enumerate(inputs):
            while (due_ns := venue.due_ns) is not None and due_ns <= event.ts_ns:
                if at > start:
                    self._submit(inputs[start:at], urgent=False)
                    start = at
                self._report(venue.arrive(self.core, time.time_ns()))
            if due_ns is None:
                break
        return inputs[start:]

    def _submit(self, inputs: list[Event], *, urgent: bool) -> Batch:
        if self.failed is not None:
            raise EngineStoppedError(f"the journal stopped: {self.failed}", hint="restart taped")
        events, effects = self.core.run(inputs)
        decided = len(events) > len(inputs)
        urgent = urgent or decided or not isinstance(inputs[0], _CAN_LINGER)
        first_seq = self._commit.submit(events, urgent=urgent)
        if effects:
            self._effects.append((first_seq + len(events) - 1, effects))
        batch = Batch(first_seq, list(events), 0)
        # The paper venue meets a tick at once, though it may linger: its orders came only when durable,
        # and its reports stand behind the tick in the journal.
        self._report(self._venue.on_market(events, first_seq))
        return batch

    def _report(self, reports: list[Event]) -> None:
        if reports:
            self._submit(reports, urgent=True)

    def _tell_loop(self, batch: Batch) -> None:
        self._call_loop(self._on_durable, batch)

    def _call_loop(self, function: Callable[[T], None], argument: T) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)
        except RuntimeError:
            # The loop has ended: the process is past its last command, and nobody waits.
            log.debug("journal reported after the loop ended")

    def _on_durable(self, batch: Batch) -> None:
        durable_seq = self.durable_seq = batch.last_seq
        self._commands.resolve(durable_seq)
        self._publishers.resolve(durable_seq)
        self._send_durable()
        for subscriber in self._subscribers:
            subscriber(batch)

    def _send_durable(self) -> None:
        """Send the effects that are durable by now, and take the venue's reports before the next one."""
        effects = self._effects
        while effects and effects[0][0] <= self.durable_seq and self.failed is None and not self._sealing:
            for seq, effect in effects.popleft()[1]:
                self._send(seq, effect)

    def _send(self, seq: int, effect: Event) -> None:
        try:
            reports = self._boundary.send(seq, effect, durable_seq=self.durable_seq, now_ns=time.time_ns())
        except SendError as error:
            log.exception("nothing is sent any more")
            self._fail(str(error))
            return
        self._report(reports)

    def _note_breaker(self, change: BreakerChanged) -> None:
        if self.failed is None and not self._sealing:
            self._submit([change], urgent=True)

    def _fail(self, reason: str) -> None:
        self.failed = reason
        self._commands.fail(JournalPoisonedError(reason))
        self._publishers.fail(JournalPoisonedError(reason))
        if not self.failure.done():
            self.failure.set_result(reason)
