"""Plays recorded ticks: at recorded speed, faster, or as fast as they are taken.

Times stay as recorded unless `shift_to_now` moves them all by one and the same distance. Damaged
lines are counted and told at the end, like those of a live feed.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from daemon.venue.feeds.formats import ReadOptions, TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import Bar, Event, FeedGap, InstrumentDefined, Quote, Trade

log = logging.getLogger(__name__)

WINDOW_NS = 20_000_000
"""What lies within so much time, as played, is published together."""
MAX_BATCH = 2_048


class FileFeed:
    """Recordings, played together in order of receive time.

    Args:
        paths: recordings; several are merged by time.
        registry: where symbols get their ids.
        speed: 1 as recorded, N times faster, 0 flat out.
        shift_to_now: move all times so that the first tick happens now.
        symbols: take these only; all when empty.
        options: what is known of the files' format.
        clock_ns: wall clock, for pacing and shifting.

    Attributes:
        rejected_count: damaged lines so far.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        registry: InstrumentRegistry | None = None,
        speed: float = 1.0,
        shift_to_now: bool = False,
        symbols: frozenset[str] = frozenset(),
        options: ReadOptions | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = "file"
        self._paths = paths
        self._registry = InstrumentRegistry() if registry is None else registry
        self._speed = speed
        self._shift_to_now = shift_to_now
        self._symbols = symbols
        self._options = options
        self._clock_ns = clock_ns
        self._files: list[TickFile] = []

    @property
    def rejected_count(self) -> int:
        """Damaged lines met so far, of all files."""
        return sum(file.tally.rejected_count for file in self._files)

    async def run(self, publish: Callable[[list[Event]], Awaitable[None]]) -> None:
        """Play everything once.

        Raises:
            FormatError: a file's format cannot be told.
            SourceError: a file cannot be read.
        """
        try:
            self._files = []
            for path in self._paths:
                self._files.append(TickFile(path, self._registry, self._options))
            await self._play(publish)
        finally:
            for file in self._files:
                file.close()
        for file in self._files:
            if file.tally.rejected_count:
                first = file.tally.rejections[0]
                log.warning(
                    "%s: %d damaged lines, the first is %d: %s",
                    file.path,
                    file.tally.rejected_count,
                    first.line,
                    first.reason,
                )

    async def _play(self, publish: Callable[[list[Event]], Awaitable[None]]) -> None:
        batch: list[Event] = []
        begun_ns = first_ns = window_ns = shift_ns = 0
        window_length_ns = int(WINDOW_NS * self._speed)
        for event in self._events():
            at_ns = _arrival(event)
            if not begun_ns:
                begun_ns, first_ns, window_ns = self._clock_ns(), at_ns, at_ns
                shift_ns = begun_ns - first_ns if self._shift_to_now else 0
            if len(batch) >= MAX_BATCH or (self._speed and at_ns - window_ns > window_length_ns):
                await publish(batch)
                batch = []
                window_ns = at_ns
                await self._pace(begun_ns + int((at_ns - first_ns) / self._speed) if self._speed else 0)
            batch.append(_shifted(event, shift_ns) if shift_ns else event)
        if batch:
            await publish(batch)

    async def _pace(self, due_ns: int) -> None:
        # Also flat out the loop must get its turn: publishing alone need not wait for anything.
        await asyncio.sleep(0)
        if due_ns:
            await asyncio.sleep(max(0.0, (due_ns - self._clock_ns()) / 1e9))

    def _events(self) -> Iterator[Event]:
        streams = [self._wanted(file) for file in self._files]
        return streams[0] if len(streams) == 1 else heapq.merge(*streams, key=_arrival)

    def _wanted(self, file: TickFile) -> Iterator[Event]:
        symbol, wanted = self._registry.symbol, self._symbols
        for events in file.batches():
            for event in events:
                instrument_id = _instrument(event)
                # What is of no instrument, such as a gap of a whole connection, concerns all of them.
                if not wanted or instrument_id is None or symbol(instrument_id) in wanted:
                    yield event


def _arrival(event: Event) -> int:
    return event.received_ns if isinstance(event, Trade | Quote | Bar) else event.ts_ns


def _instrument(event: Event) -> int | None:
    assert isinstance(event, Trade | Quote | Bar | FeedGap | InstrumentDefined)
    return event.instrument_id


def _shifted(event: Event, shift_ns: int) -> Event:
    if isinstance(event, Trade | Quote | Bar):
        return msgspec.structs.replace(
            event, ts_ns=event.ts_ns + shift_ns, received_ns=event.received_ns + shift_ns
        )
    if isinstance(event, FeedGap):
        return msgspec.structs.replace(
            event,
            ts_ns=event.ts_ns + shift_ns,
            from_ns=event.from_ns + shift_ns,
            to_ns=event.to_ns + shift_ns,
        )
    return msgspec.structs.replace(event, ts_ns=event.ts_ns + shift_ns)
