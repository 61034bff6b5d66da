"""Keeps the database at the journal's end: rounds in good times, a breaker in bad ones.

Trading does not wait for it and does not notice it. While the database is away the journal keeps the
backlog, and one probe at a time asks whether it is back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from daemon.breaker import BreakerOpenError, Breakers, OutsideError
from daemon.settings import SyncSettings
from daemon.sync.messages import Away, Refused, Report, Shipped
from daemon.sync.process import SyncProcess
from daemon.sync.status import SyncStatus

log = logging.getLogger(__name__)

BREAKER = "timescale"
"""The operation that the circuit breaker stands before."""

ROUND_SECONDS = 5.0
"""A round with a backlog ends after so long, so that it is told how far it is."""

TIMEOUT_SECONDS = 150.0
"""No answer for so long is a failure: a connection and a transaction have 70 s together."""

REFUSED_SECONDS = 30.0
"""Pause after a refusal: somebody must do something first."""

FIRST_PAUSE_SECONDS = 1.0


class Worker(Protocol):
    """Whoever ships."""

    async def ship(self, seconds: float) -> Report:
        """Ship for a while; raises OutsideError when it cannot answer."""

    async def stop(self) -> None:
        """Let everything go."""


class Sync:
    """Lets a process ship, round after round.

    Args:
        data: the data folder.
        settings: whether, where to, how often.
        worker: who ships; a process when it is not given.

    Attributes:
        status: for health, metrics and retention.
    """

    def __init__(self, data: Path, settings: SyncSettings, worker: Worker | None = None) -> None:
        self._settings = settings
        self._worker: Worker = SyncProcess(data, settings) if worker is None else worker
        self._pause_s = min(FIRST_PAUSE_SECONDS, settings.every_s)
        self.status = SyncStatus(enabled=settings.enabled, state="starting" if settings.enabled else "off")

    def confirmed_seq(self) -> int:
        """Return the last event that the database has confirmed since the start; 0 before."""
        return self.status.confirmed_seq

    async def run(self, breakers: Breakers) -> None:
        """Ship until cancelled; a round under way is given up then, and begun anew at the next start."""
        if not self.status.enabled:
            return
        if isinstance(self._worker, SyncProcess) and find_spec("asyncpg") is None:
            self._fail(
                "refused",
                "the package asyncpg is not installed; pip install '.[timescale]' in a clone brings it",
            )
            return
        try:
            while True:
                pause_s = await self._round(breakers)
                await asyncio.sleep(pause_s)
        finally:
            await self._worker.stop()

    async def _round(self, breakers: Breakers) -> float:
        """Ship for a while; return how long to wait before the next round."""
        started = time.monotonic()
        try:
            report = await breakers.call(BREAKER, self._ship, timeout_s=TIMEOUT_SECONDS)
        except BreakerOpenError as error:
            return error.wait_s
        except (OutsideError, OSError) as error:
            reason = error.message if isinstance(error, OutsideError) else str(error) or "no answer"
            self._fail("away", reason)
            pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, self._settings.every_s)
            return pause_s
        self._pause_s = min(FIRST_PAUSE_SECONDS, self._settings.every_s)
        if isinstance(report, Refused):
            self._fail("refused", f"{report.reason}; {report.hint}" if report.hint else report.reason)
            return max(REFUSED_SECONDS, self._settings.every_s)
        assert isinstance(report, Shipped), "an Away was raised"
        self._note(report, time.monotonic() - started)
        return self._settings.every_s if report.caught_up else 0.0

    async def _ship(self) -> Report:
        """Ship for a while, as a call through a breaker does: what fails there is raised here."""
        report = await self._worker.ship(ROUND_SECONDS)
        if isinstance(report, Away):
            raise OutsideError(report.reason)
        return report

    def _note(self, report: Shipped, seconds: float) -> None:
        status = self.status
        if status.reason is not None:
            log.info("sync goes on at seq %d, to %s", report.seq, report.place)
        elif report.place != status.place:
            log.info("sync to %s, from seq %d on", report.place, report.seq + 1 - report.events)
        status.place, status.reason, status.failing_since_ns = report.place, None, 0
        status.state = "idle" if report.caught_up else "working"
        status.confirmed_seq = report.seq
        status.confirmed_ns = report.append_ns
        status.events += report.events
        status.duplicates += report.duplicates
        if report.events:
            status.events_per_s = report.events / max(seconds, 1e-9)
        status.round_ns = time.time_ns()

    def _fail(self, state: str, reason: str) -> None:
        status = self.status
        status.failures += 1
        status.failing_since_ns = status.failing_since_ns or time.time_ns()
        if reason != status.reason:
            log.warning("nothing is shipped, the journal keeps it: %s", reason)
        status.state, status.reason = state, reason
