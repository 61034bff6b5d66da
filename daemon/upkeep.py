"""Archiving and retention in the background: a process that comes when there is work, and goes again.

A process and not a thread, because making columns and base states holds the interpreter's lock for
most of its time, and the event loop and the commit thread would wait for it. It runs only when the
processor has nothing else to do (`daemon.upkeep_worker`), holds nothing that the journal's writer
waits for, and may be killed at any moment: what it was at is done anew next time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from daemon.journal.listing import list_leftovers
from daemon.journal.retention import Policy, plan_retention
from daemon.journal.segment import list_segments
from daemon.settings import ArchiveSettings, RetentionSettings
from daemon.shorten import limits_of
from schemas.errors import TapedError

log = logging.getLogger(__name__)

MODULE = "daemon.upkeep_worker"
_DAY_NS = 86_400 * 10**9


class ArchiveJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Archive what is sealed; one line of JSON on the process's standard input, as each job is."""

    data: str
    code_hash: str
    strategies_folder: str | None = None
    load_percent: int
    keep: int


class RetentionJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Let go of what the policy does not keep."""

    data: str
    code_hash: str
    strategies_folder: str | None = None
    load_percent: int
    max_age_ns: int | None
    max_bytes: int | None
    confirmed_seq: int | None


Job = ArchiveJob | RetentionJob


class ArchiveDone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A segment became an archive."""

    segment: int
    events: int
    segment_bytes: int
    archive_bytes: int


class RetentionDone(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Segments went; the journal begins later."""

    segments: int
    bytes: int
    first_seq: int


class JobFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The rest of the job was not done, and why."""

    reason: str


Report = ArchiveDone | RetentionDone | JobFailed
_reports = msgspec.json.Decoder(Report)


@dataclass(slots=True)
class TaskStatus:
    """How a task is: whether there is one, whether it works now, and why it last ended early, or None."""

    name: str
    enabled: bool = False
    busy: bool = False
    failed: str | None = None
    failures: int = 0

    @property
    def state(self) -> str:
        """One word for /health."""
        if not self.enabled:
            return "off"
        if self.failed is not None:
            return "failed"
        return "working" if self.busy else "idle"

    def fail(self, reason: str) -> None:
        """Take note, and log it when it is news."""
        self.failures += 1
        if reason != self.failed:
            log.error("%s ended early, nothing is lost: %s", self.name, reason)
        self.failed = reason


@dataclass(slots=True)
class UpkeepStatus:
    """What became of the journal's old segments since the start.

    `held` says why a segment that is too old or too much stays, or is None.
    """

    archive: TaskStatus = field(default_factory=lambda: TaskStatus("archiving"))
    retention: TaskStatus = field(default_factory=lambda: TaskStatus("retention"))
    archived_segments: int = 0
    segment_bytes: int = 0
    archive_bytes: int = 0
    removed_segments: int = 0
    removed_bytes: int = 0
    held: str | None = None

    @property
    def retention_state(self) -> str:
        """One word for /health."""
        return "held" if self.retention.state == "idle" and self.held is not None else self.retention.state


class Upkeep:
    """Starts the process when there is work, and reads what it reports.

    Args:
        data: the data folder.
        archive: what is archived, and how gently.
        retention: what is kept.
        code_hash: of the running code; a process of other code does nothing.
        strategies_folder: strategies of one's own, which are part of that code.
        pause_s: from the end of one look to the next, if it is not the settings' own.

    Attributes:
        status: for health and metrics.
        confirmed_seq: tells the last event that TimescaleDB has confirmed (0: none yet); None where
            sync is off.
    """

    def __init__(
        self,
        data: Path,
        archive: ArchiveSettings,
        retention: RetentionSettings,
        code_hash: str,
        *,
        strategies_folder: Path | None = None,
        pause_s: float | None = None,
    ) -> None:
        self._data = data
        self._archive = archive
        self._retention = retention
        self._policy = policy_of(retention)
        self._code_hash = code_hash
        self._strategies_folder = None if strategies_folder is None else str(strategies_folder.absolute())
        self._pause_s = archive.every_s if pause_s is None else pause_s
        self._next_retention = 0.0
        self.confirmed_seq: Callable[[], int] | None = None
        self.status = UpkeepStatus()
        self.status.archive.enabled = archive.enabled
        self.status.retention.enabled = self._policy != Policy()

    async def run(self) -> None:
        """Look for work until cancelled; a job under way is killed then."""
        status = self.status
        while status.archive.enabled or status.retention.enabled:
            await asyncio.sleep(self._pause_s)
            if status.archive.enabled:
                await self._look(status.archive, self._archive_job)
            if status.retention.enabled and time.monotonic() >= self._next_retention:
                await self._look(status.retention, self._retention_job)
                self._next_retention = time.monotonic() + self._retention.every_s

    async def _look(self, task: TaskStatus, find: Callable[[], Job | None]) -> None:
        failures = task.failures
        try:
            job = await asyncio.to_thread(find)
            if job is not None:
                task.busy = True
                code = await self._run(task, job)
                if code and task.failures == failures:
                    task.fail(f"the process ended with {code}")
        except TapedError as error:
            task.fail(error.message)
        except OSError as error:
            task.fail(error.strerror or str(error))
        finally:
            task.busy = False
        if task.failures == failures:
            task.failed = None

    def _archive_job(self) -> ArchiveJob | None:
        if len(list_segments(self._data / "journal")) <= self._archive.keep_segments:
            return None
        return ArchiveJob(
            data=str(self._data.absolute()),
            code_hash=self._code_hash,
            strategies_folder=self._strategies_folder,
            load_percent=self._archive.load_percent,
            keep=self._archive.keep_segments,
        )

    def _retention_job(self) -> RetentionJob | None:
        confirmed = None if self.confirmed_seq is None else self.confirmed_seq()
        directory = self._data / "journal"
        plan = plan_retention(
            directory, self._policy, limits_of(self._data, confirmed), now_ns=time.time_ns()
        )
        if plan.kept_because not in (None, self.status.held):
            log.info("retention: %s", plan.kept_because)
        self.status.held = plan.kept_because
        if not plan.going and not list_leftovers(directory):
            return None
        return RetentionJob(
            data=str(self._data.absolute()),
            code_hash=self._code_hash,
            strategies_folder=self._strategies_folder,
            load_percent=self._archive.load_percent,
            max_age_ns=self._policy.max_age_ns,
            max_bytes=self._policy.max_bytes,
            confirmed_seq=confirmed,
        )

    async def _run(self, task: TaskStatus, job: Job) -> int:
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
                self._take(task, line)
            return await process.wait()
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            process.stdin.close()

    def _take(self, task: TaskStatus, line: bytes) -> None:
        try:
            report: Report = _reports.decode(line)
        except msgspec.MsgspecError as error:
            task.fail(f"the process said {line[:200]!r}: {error}")
            return
        status = self.status
        match report:
            case ArchiveDone():
                status.archived_segments += 1
                status.segment_bytes += report.segment_bytes
                status.archive_bytes += report.archive_bytes
                log.info(
                    "segment %d archived: %d events, %d bytes from %d",
                    report.segment,
                    report.events,
                    report.archive_bytes,
                    report.segment_bytes,
                )
            case RetentionDone():
                status.removed_segments += report.segments
                status.removed_bytes += report.bytes
                log.info(
                    "retention: %d segments with %d bytes went, the journal begins at seq %d",
                    report.segments,
                    report.bytes,
                    report.first_seq,
                )
            case JobFailed():
                task.fail(report.reason)


def policy_of(settings: RetentionSettings) -> Policy:
    """Return what the settings keep; 0 is no limit."""
    return Policy(
        int(settings.max_age_days * _DAY_NS) or None,
        int(settings.max_gb * 10**9) or None,
    )
