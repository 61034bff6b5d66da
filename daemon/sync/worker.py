"""The process that ships: reads one job, then ships for a while each time it is told to, and reports.

A process of its own, because making rows holds the interpreter's lock for most of its time, and the
event loop and the commit thread of the daemon would wait for it. It ends at once when the daemon is
gone; what it was at is undone by the database, and begun anew at the watermark.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import msgspec

from daemon.sync.derived import MAX_ROWS
from daemon.sync.errors import DatabaseAwayError, OvertakenError
from daemon.sync.messages import Away, Refused, Report, Ship, Shipped, SyncJob
from daemon.sync.run import Round, Target
from daemon.sync.secret import is_open_to_listeners, place_of, read_dsn
from schemas.errors import TapedError

NICENESS = 10
"""The daemon comes first: it gets nine parts of a core that both want."""


class Worker:
    """Ships one journal; keeps connection and place between two orders."""

    def __init__(self, job: SyncJob) -> None:
        self._directory = Path(job.data) / "journal"
        self._job = job
        self._round: Round | None = None
        self._place = ""

    async def ship(self, seconds: float) -> Report:
        """Ship for a while; report instead of raising."""
        try:
            return await self._ship(time.monotonic() + seconds)
        except DatabaseAwayError as error:
            report: Report = Away(reason=error.message)
        except OvertakenError as error:
            # Nothing is wrong: the next round begins where the other one has come to.
            report = Away(reason=error.message)
        except TapedError as error:
            report = Refused(reason=error.message, hint=error.hint)
        except OSError as error:
            report = Refused(reason=str(error), hint="")
        await self._drop()
        return report

    async def _ship(self, until: float) -> Shipped:
        shipping = self._round
        if shipping is None:
            shipping = self._round = await self._begin()
        shipper = shipping.shipper
        events, duplicates, caught_up = 0, shipper.duplicates, False
        while not caught_up and (not events or time.monotonic() < until):
            packet = await shipping.ship_next()
            events += 0 if packet is None else packet.events
            # What came while the last packet was on its way can wait for company.
            caught_up = packet is None or packet.events < self._job.batch_events // 2
        if caught_up:
            # A few rows come with every round of a daemon that trades; only a backlog goes on at once.
            caught_up = await shipper.ship_derived(self._directory.parent) < MAX_ROWS
        return Shipped(
            place=self._place,
            seq=shipper.watermark.seq,
            append_ns=shipping.append_ns,
            events=events,
            duplicates=shipper.duplicates - duplicates,
            caught_up=caught_up,
        )

    async def _begin(self) -> Round:
        job = self._job
        dsn = read_dsn(None if job.dsn_file is None else Path(job.dsn_file))
        self._place = place_of(dsn) + (", NOT PROTECTED" if is_open_to_listeners(dsn) else "")
        return await Round.begin(self._directory, Target(dsn, job.name, job.batch_events))

    async def _drop(self) -> None:
        shipping, self._round = self._round, None
        if shipping is not None:
            shipping.shipper.terminate()
            await shipping.close()


async def main() -> None:
    """Serve the orders on standard input until it ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    worker = Worker(msgspec.json.decode(await orders.readline(), type=SyncJob))
    line = await orders.readline()
    while line:
        following = asyncio.create_task(orders.readline())
        shipping = asyncio.create_task(worker.ship(msgspec.json.decode(line, type=Ship).seconds))
        await asyncio.wait({following, shipping}, return_when=asyncio.FIRST_COMPLETED)
        if following.done() and not following.result():
            os._exit(0)  # The daemon is gone: nobody waits for what is under way.
        sys.stdout.buffer.write(msgspec.json.encode(await shipping) + b"\n")
        sys.stdout.buffer.flush()
        line = await following


if __name__ == "__main__":
    os.nice(NICENESS)
    # Ctrl-C in a terminal goes to both processes: the daemon ends this one when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main())
