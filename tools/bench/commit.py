"""Group commit: acknowledgements a second, one event alone, and a paced stream."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from daemon.journal.acks import Acknowledgements
from daemon.journal.commit import CommitThread
from daemon.journal.disk import DISK
from daemon.journal.reader import Batch
from daemon.journal.writer import JournalWriter
from schemas.events import Trade
from schemas.frame import PAGE
from tools.bench.interpreter import switching_like_the_daemon
from tools.bench.report import Result, percentile
from tools.bench.samples import trades

IN_FLIGHT = 256
PACED_RATE = 20_000
PACED_LINGER_S = 0.005
_STEP_S = 0.001


def measure(scratch: Path, *, quick: bool) -> list[Result]:
    """Return `journal.acked_256`, `journal.single_p99` and `journal.paced_20k`."""
    share = 10 if quick else 1
    with switching_like_the_daemon():
        return [
            asyncio.run(_acked(scratch / "acked", rounds=1000 // share)),
            asyncio.run(_single(scratch / "single", count=2000 // share)),
            asyncio.run(_paced(scratch / "paced", seconds=5 / share)),
        ]


class _Journal:
    """A commit thread and the futures that wait for it.

    Attributes:
        syncs_ns: how long each frame's write and sync took.
    """

    def __init__(self, directory: Path, linger_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.syncs_ns: list[int] = []
        self.acks = Acknowledgements(self._loop)
        self.thread = CommitThread(
            JournalWriter.open(directory),
            on_durable=self._durable,
            on_failure=self._failed,
            linger_s=linger_s,
        )

    def _durable(self, batch: Batch) -> None:
        self.syncs_ns.append(self.thread.sync_ns)
        self._loop.call_soon_threadsafe(self.acks.resolve, batch.last_seq)

    def _failed(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(self.acks.fail, RuntimeError(reason))

    def append(self, events: list[Trade], *, urgent: bool) -> asyncio.Future[None]:
        seq = self.thread.submit(events, urgent=urgent)
        return self.acks.wait_for(seq + len(events) - 1)


@asynccontextmanager
async def _opened(directory: Path, linger_s: float = 0.02) -> AsyncIterator[_Journal]:
    journal = _Journal(directory, linger_s)
    try:
        yield journal
    finally:
        await asyncio.to_thread(journal.thread.close)


def _note(taken: list[float], submitted: float, _acknowledged: object) -> None:
    taken.append(time.perf_counter() - submitted)


async def _acked(directory: Path, rounds: int) -> Result:
    """One future awaited for each event, always so many in flight."""
    events = [[trade] for trade in trades(IN_FLIGHT)]
    waiting: deque[asyncio.Future[None]] = deque()
    async with _opened(directory) as journal:
        append = journal.append
        started = time.perf_counter()
        for _ in range(rounds):
            for event in events:
                if len(waiting) == IN_FLIGHT:
                    await waiting.popleft()
                waiting.append(append(event, urgent=True))
        while waiting:
            await waiting.popleft()
        seconds = time.perf_counter() - started
    return Result(name="journal.acked_256", unit="events/s", value=rounds * IN_FLIGHT / seconds)


async def _single(directory: Path, count: int) -> Result:
    """One event, nothing else waiting, beside a bare write and sync of one page; in turn."""
    (trade,) = trades(1)
    fd = DISK.create(directory.with_suffix(".bare"))
    DISK.fill(fd, count * PAGE)
    page = bytes(range(256)) * (PAGE // 256)
    ours, bare = [], []
    async with _opened(directory) as journal:
        for n in range(count):
            started = time.perf_counter()
            os.pwrite(fd, page, n * PAGE)
            os.fdatasync(fd)
            bare.append(time.perf_counter() - started)
            started = time.perf_counter()
            await journal.append([trade], urgent=True)
            ours.append(time.perf_counter() - started)
    os.close(fd)
    own, other = (percentile(taken, 99) * 1e6 for taken in (ours, bare))
    return Result(
        name="journal.single_p99",
        unit="us",
        value=own,
        ratios={"bare_page": own / other},
        detail={"p50_us": percentile(ours, 50) * 1e6, "bare_p50_us": percentile(bare, 50) * 1e6},
    )


async def _paced(directory: Path, seconds: float) -> Result:
    """Ticks at a steady rate: how long until durable, and how much of a core it takes.

    `late_p99_ms` is how late the machine woke the source of the ticks: on a busy one, all of this is.
    """
    per_step = int(PACED_RATE * _STEP_S)
    events = trades(per_step)
    taken: list[float] = []
    late: list[float] = []
    async with _opened(directory, PACED_LINGER_S) as journal:
        cpu, started = time.process_time(), time.perf_counter()
        sent = 0
        while (now := time.perf_counter() - started) < seconds:
            while sent < now * PACED_RATE:
                journal.append(events, urgent=False).add_done_callback(
                    partial(_note, taken, time.perf_counter())
                )
                sent += per_step
            asleep = time.perf_counter()
            await asyncio.sleep(_STEP_S)
            late.append(time.perf_counter() - asleep - _STEP_S)
        share = (time.process_time() - cpu) / (time.perf_counter() - started)
    return Result(
        name="journal.paced_20k",
        unit="ms",
        value=percentile(taken, 99) * 1e3,
        detail={
            "p50_ms": percentile(taken, 50) * 1e3,
            "linger_ms": PACED_LINGER_S * 1e3,
            "core_share": share,
            "sync_p99_ms": percentile(journal.syncs_ns, 99) / 1e6,
            "late_p99_ms": percentile(late, 99) * 1e3,
            "events_per_s": sent / seconds,
        },
    )
