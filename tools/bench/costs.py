"""Where the time of a durable batch goes, step by step."""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from daemon.journal.disk import DISK
from schemas.codec import CODEC
from schemas.frame import PAGE, FrameType, pack_frame
from tools.bench.report import Result
from tools.bench.samples import trades

BATCH = 256


def measure(scratch: Path, *, quick: bool) -> Result:
    """Return `journal.costs`: medians in microseconds for one frame of 256 trades."""
    count = 200 if quick else 2000
    events = trades(BATCH)
    body = CODEC.encode(events)

    def pack() -> tuple[list[bytes], int, int]:
        return pack_frame(
            body,
            previous_crc=0,
            first_seq=1,
            offset=PAGE,
            append_ns=0,
            event_count=BATCH,
            type_=FrameType.DATA,
            nonce=bytes(8),
        )

    buffers, _, total = pack()
    sha = hashlib.sha256()
    costs = {
        "encode": _median(lambda: CODEC.encode(events), count),
        "frame_and_crc": _median(pack, count),
        "hash": _median(lambda: sha.update(body), count),
        **_write_and_sync(scratch, buffers, total, count),
        "wake_thread": _wake_thread(count),
        "wake_loop": asyncio.run(_wake_loop(count)),
    }
    return Result(name="journal.costs", unit="us", value=sum(costs.values()), detail=costs)


def _median(step: Callable[[], object], count: int) -> float:
    taken = []
    for _ in range(count):
        started = time.perf_counter_ns()
        step()
        taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1000


def _write_and_sync(folder: Path, buffers: list[bytes], total: int, count: int) -> dict[str, float]:
    fd = DISK.create(folder / "costs")
    DISK.fill(fd, count * total)
    steps: dict[str, Callable[[int], None]] = {
        "write": lambda at: DISK.write(fd, buffers, at),
        "start_writing": lambda at: DISK.start_writing(fd, at, total),
        "sync": lambda _: DISK.sync(fd),
    }
    taken: dict[str, list[int]] = {name: [] for name in steps}
    for n in range(count):
        for name, step in steps.items():
            started = time.perf_counter_ns()
            step(n * total)
            taken[name].append(time.perf_counter_ns() - started)
    DISK.close(fd)
    return {name: statistics.median(values) / 1000 for name, values in taken.items()}


def _wake_thread(count: int) -> float:
    """From a notify to the waiting thread's next step."""
    condition, taken = threading.Condition(), []
    sent: list[int] = []
    ready = threading.Event()

    def wait() -> None:
        for _ in range(count):
            with condition:
                ready.set()
                while not sent:
                    condition.wait()
                taken.append(time.perf_counter_ns() - sent.pop())

    thread = threading.Thread(target=wait)
    thread.start()
    while thread.is_alive():
        if not ready.wait(0.1):
            continue
        ready.clear()
        with condition:
            sent.append(time.perf_counter_ns())
            condition.notify()
    thread.join()
    return statistics.median(taken) / 1000


async def _wake_loop(count: int) -> float:
    """From `call_soon_threadsafe` in a thread to the callback on a loop that sleeps."""
    loop, taken = asyncio.get_running_loop(), []
    woken = asyncio.Event()

    def note(sent: int) -> None:
        taken.append(time.perf_counter_ns() - sent)
        woken.set()

    def call() -> None:
        time.sleep(0.0005)
        loop.call_soon_threadsafe(note, time.perf_counter_ns())

    for _ in range(min(count, 300)):
        woken.clear()
        await asyncio.gather(asyncio.to_thread(call), woken.wait())
    return statistics.median(taken) / 1000
