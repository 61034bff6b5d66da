"""Archiving in the background: a process of its own that comes when there is work, and goes again.

A process and not a thread, because making columns holds the interpreter's lock for most of its time,
and the event loop and the commit thread would wait for it. The process runs only when the processor
has nothing else to do (`daemon.upkeep_worker`), holds nothing that the journal's writer waits for,
and may be killed at any moment: what it was at is done anew next time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from daemon.journal.segment import list_segments
from daemon.settings import ArchiveSettings
from schemas.errors import TapedError

log = logging.getLogger(__name__)

MODULE = "daemon.upkeep_worker"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do; one line of JSON on its standard input."""

    data: str
    code_hash: str
    keep: int
    load_percent: int


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A segment became an archive."""

    segment: int
    events: int
    segment_bytes: int
    archive_bytes: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The rest of the job was not done, and why."""

    reason: str


_reports = msgspec.json.Decoder(Done | Failed)


@dataclass(slots=True)
class UpkeepStatus:
    """What became of the journal's old segments since the start.

    `failed` says why the last job ended early, or is None; `enabled` whether there is any job at all.
    """

    enabled: bool = False
    busy: bool = False
    failed: str | None = None
    failures: int = 0
    archived_segments: int = 0
    segment_bytes: int = 0
    archive_bytes: int = 0

    @property
    def state(self) -> str:
        """One word for /health."""
        if not self.enabled:
            return "off"
        if self.failed is not None:
            return "failed"
        return "working" if self.busy else "idle"


class Upkeep:
    """Starts the process when there is work, and reads what it reports.

    Args:
        data: the data folder.
        settings: what is archived, and how gently.
        code_hash: of the running code; a process of other code does nothing.
        pause_s: from the end of one job to the next look, if it is not the settings' own.

    Attributes:
        status: for health and metrics.
    """

    def __init__(
        self,
        data: Path,
        settings: ArchiveSettings,
        code_hash: str,
        *,
        pause_s: float | None = None,
    ) -> None:
        self._data = data
        self._settings = settings
        self._code_hash = code_hash
        self._pause_s = settings.every_s if pause_s is None else pause_s
        self.status = UpkeepStatus(enabled=settings.enabled)

    async def run(self) -> None:
        """Look for work until cancelled; a job under way is killed then."""
        while self._settings.enabled:
            await asyncio.sleep(self._pause_s)
            if await asyncio.to_thread(self._is_due):
                await self._work()

    def _is_due(self) -> bool:
        try:
            return len(list_segments(self._data / "journal")) > self._settings.keep_segments
        except TapedError as error:
            self._fail(error.message)
            return False

    async def _work(self) -> None:
        job = Job(
            data=str(self._data.absolute()),
            code_hash=self._code_hash,
            keep=self._settings.keep_segments,
            load_percent=self._settings.load_percent,
        )
        failures = self.status.failures
        self.status.busy = True
        try:
            code = await self._run(job)
        except OSError as error:
            self._fail(f"no process could be started: {error.strerror}")
        else:
            if self.status.failures == failures:
                if code:
                    self._fail(f"the process ended with {code}")
                else:
                    self.status.failed = None
        finally:
            self.status.busy = False

    async def _run(self, job: Job) -> int:
        """Run a process to its end and take its reports; return its exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            MODULE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # The pipe stays open: when this process ends, however it ends, the other one notices.
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            async for line in process.stdout:
                self._take(line)
            return await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            process.stdin.close()

    def _take(self, line: bytes) -> None:
        try:
            report: Done | Failed = _reports.decode(line)
        except msgspec.MsgspecError as error:
            self._fail(f"the process said {line[:200]!r}: {error}")
            return
        match report:
            case Done():
                self.status.archived_segments += 1
                self.status.segment_bytes += report.segment_bytes
                self.status.archive_bytes += report.archive_bytes
                log.info(
                    "segment %d archived: %d events, %d bytes from %d",
                    report.segment,
                    report.events,
                    report.archive_bytes,
                    report.segment_bytes,
                )
            case Failed():
                self._fail(report.reason)

    def _fail(self, reason: str) -> None:
        self.status.failures += 1
        if reason != self.status.failed:
            log.error("archiving stopped, the segments stay as they are: %s", reason)
        self.status.failed = reason
