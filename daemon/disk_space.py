"""What the daemon does as disk space shrinks, rung by rung, and how it climbs back by itself.

    OK           another spare segment could be taken
    SPARE_USED   the spare that is held back is the last one
    SHED_TICKS   ticks are dropped, told by FeedGap; orders and what follows from them are journaled
    REFUSE_RISK  trading is reduced: orders that open risk are refused; reads go on

The journal's next segment is filled ahead of need by `ReserveDisk`, which waits for space where the
plain disk fails. So a full disk never breaks a write: what is journaled goes into space that was
taken before, and when that is used up too, the journal stands still until there is more. Nothing
is deleted here to make room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from daemon.disk_reserve import SPARE_EIGHTHS, ReserveDisk, Space, StartReserve
from daemon.journal.written import WriteMeter
from daemon.restraint import restrain, source_of
from schemas.events import (
    Bar,
    ClockTicked,
    DiskLevel,
    DiskPressure,
    Event,
    FeedGap,
    Quote,
    Trade,
    TradingState,
)

WHO = "taped/disk"
"""Who reduces and resumes trading here."""
SOURCE = source_of(WHO)

_EIGHTHS = {DiskLevel.SPARE_USED: SPARE_EIGHTHS, DiskLevel.SHED_TICKS: 4, DiskLevel.REFUSE_RISK: 2}
"""A rung begins below so many eighths of a segment of free space, and ends one eighth higher."""
_REST_EIGHTHS = 2
_TICKS = (Trade, Quote, Bar)


def level_of(space: Space, segment_bytes: int, previous: DiskLevel) -> DiskLevel:
    """Return the rung for this space; one that was reached is left an eighth of a segment later."""
    level = DiskLevel.OK
    for rung, eighths in _EIGHTHS.items():
        slack = 1 if previous >= rung else 0
        if space.free_bytes * 8 < segment_bytes * (eighths + slack):
            level = rung
    if not space.waiting:
        return level
    if space.rest_bytes * 8 < segment_bytes * _REST_EIGHTHS:
        return DiskLevel.REFUSE_RISK
    return max(level, DiskLevel.SHED_TICKS)


class DiskWatch:
    """Decides what follows from the free space; it looks at nothing itself.

    Attributes:
        level: the rung now.
        free_bytes: as it was last told.
    """

    def __init__(self, segment_bytes: int) -> None:
        self.level = DiskLevel.OK
        self.free_bytes = 0
        self._segment_bytes = segment_bytes

    def step(self, space: Space, state: TradingState, source: str, now_ns: int) -> list[Event]:
        """Return what must be journaled for this space: a new rung, and a command for the core.

        Args:
            space: the disk now.
            state: the trading state in force.
            source: who set it; only what was reduced here is resumed here.
            now_ns: time of the events.
        """
        before, self.free_bytes = self.level, space.free_bytes
        self.level = level_of(space, self._segment_bytes, before)
        events: list[Event] = []
        reason = f"{space.free_bytes >> 20} MiB free, a segment takes {self._segment_bytes >> 20}"
        if space.waiting:
            reason += f"; {space.rest_bytes >> 10} KiB of the last one left"
        if self.level is not before:
            events.append(
                DiskPressure(ts_ns=now_ns, level=self.level, free_bytes=space.free_bytes, reason=reason)
            )
        refuse = self.level is DiskLevel.REFUSE_RISK
        wanted, told = ("trading.reduce", "nearly full") if refuse else (None, "space is back")
        return [
            *events,
            *restrain(WHO, wanted, state, source, reason=f"disk {told}: {reason}", now_ns=now_ns),
        ]


class _Run:
    """Ticks of one instrument that were dropped since the last FeedGap."""

    __slots__ = ("from_ns", "lost", "to_ns")

    def __init__(self, ts_ns: int) -> None:
        self.lost = 0
        self.from_ns = self.to_ns = ts_ns


class Shedder:
    """Drops ticks while the disk is nearly full, and tells how many.

    Attributes:
        feed: name for the gaps.
        level: the rung now, and `free_bytes` the space it was judged by, for whoever asks.
        shedding: ticks are dropped.
        paused: nothing at all can be journaled: clock ticks are dropped as well.
        shed: ticks dropped since the start.
    """

    def __init__(self, feed: str = "feed") -> None:
        self.feed = feed
        self.level = DiskLevel.OK
        self.free_bytes = 0
        self.shedding = False
        self.paused = False
        self.shed = 0
        self._runs: dict[int, _Run] = {}

    def filter(self, events: list[Event]) -> list[Event]:
        """Return the events that are to be journaled."""
        if not self.shedding:
            return events
        kept: list[Event] = []
        for event in events:
            if isinstance(event, _TICKS):
                self._drop(event.instrument_id, event.ts_ns)
            elif not (self.paused and isinstance(event, ClockTicked)):
                kept.append(event)
        return kept

    def _drop(self, instrument_id: int, ts_ns: int) -> None:
        run = self._runs.get(instrument_id)
        if run is None:
            run = self._runs[instrument_id] = _Run(ts_ns)
        run.lost += 1
        run.from_ns = min(run.from_ns, ts_ns)
        run.to_ns = max(run.to_ns, ts_ns)
        self.shed += 1

    def take_gaps(self, now_ns: int) -> list[Event]:
        """Return one FeedGap for each instrument whose ticks were dropped since the last call."""
        gaps: list[Event] = [
            FeedGap(
                ts_ns=now_ns,
                feed=self.feed,
                instrument_id=instrument_id,
                reason="shed: disk nearly full",
                lost=run.lost,
                from_ns=run.from_ns,
                to_ns=run.to_ns,
            )
            for instrument_id, run in self._runs.items()
        ]
        self._runs.clear()
        return gaps


class Core(Protocol):
    """What is asked of the trading core."""

    trading_state: TradingState
    trading_source: str


class Engine(Protocol):
    """What the watch needs of the engine."""

    shedder: Shedder
    meter: WriteMeter
    stopping: bool
    failed: str | None

    @property
    def core(self) -> Core: ...  # noqa: D102
    @property
    def bytes_written(self) -> int: ...  # noqa: D102
    @property
    def bytes_filled(self) -> int: ...  # noqa: D102
    def ingest(self, inputs: list[Event]) -> None: ...  # noqa: D102


def look(engine: Engine, disk: ReserveDisk, watch: DiskWatch, now_ns: int) -> None:
    """Look at the disk once, and let the engine know."""
    shedder = engine.shedder
    engine.meter.note(engine.bytes_written + engine.bytes_filled, now_ns)
    space = disk.space()
    shedder.paused = space.exhausted
    events = watch.step(space, engine.core.trading_state, engine.core.trading_source, now_ns)
    if not shedder.paused:
        # Ticks that were dropped stand before the rung that ends it. A pause is told when it is over.
        events = [*shedder.take_gaps(now_ns), *events]
    shedder.level, shedder.free_bytes = watch.level, watch.free_bytes
    shedder.shedding = watch.level >= DiskLevel.SHED_TICKS
    if events:
        engine.ingest(events)


async def watch_disk(
    engine: Engine,
    disk: ReserveDisk,
    watch: DiskWatch,
    *,
    reserve: StartReserve,
    clock_ns: Callable[[], int],
    interval_s: float = 1.0,
) -> None:
    """Look at the disk each second until cancelled or the engine ends."""
    while not engine.stopping and engine.failed is None:
        look(engine, disk, watch, clock_ns())
        if watch.level is DiskLevel.OK and not reserve.held:
            await asyncio.to_thread(reserve.take)
        await asyncio.sleep(interval_s)
