"""Whether the daemon is well, and if not, why; asked by /health, /metrics and the dashboard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daemon.api.ports import Engine, Machine, Progress, Projection
from daemon.backup_state import BackupWatch
from daemon.disk_space import Shedder
from daemon.sync.status import SyncStatus
from daemon.upkeep import UpkeepStatus
from schemas.events import DiskLevel, ParityChecked

NO_BACKUPS = {"state": "off", "age_s": None, "last_seq": None}

MAX_LAG = 50_000
"""How many events the read model may trail before that is called degraded."""


PARITY_FAILED = "today's code decides other than what was recorded"


class HealthStatus(StrEnum):
    """How well the daemon is; a failed one takes no orders."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """One look at the daemon.

    `lag` is how many durable events the read model does not show yet; `archive` what archiving does: off,
    idle, working or failed; `retention` the same, or held: something is too old or too much, and needed;
    `disk` the rung of `daemon.disk_space` the daemon stands on; `progress` how many seconds ago loop,
    journal and thermal control did their last rounds; `sync` how far the journal is in the database;
    `backup` how old the last good backup is and what it ends with.
    """

    status: HealthStatus
    reasons: list[str]
    durable_seq: int
    applied_seq: int
    lag: int
    archive: str
    retention: str
    disk: DiskLevel
    disk_free_bytes: int
    progress: dict[str, float] = field(default_factory=dict)
    sync: dict[str, Any] = field(default_factory=dict)
    backup: dict[str, Any] = field(default_factory=lambda: dict(NO_BACKUPS))

    def document(self) -> dict[str, Any]:
        """Return it as /health answers."""
        return {
            "status": self.status.value,
            "reasons": self.reasons,
            "durable_seq": self.durable_seq,
            "applied_seq": self.applied_seq,
            "lag": self.lag,
            "archive": self.archive,
            "retention": self.retention,
            "disk": self.disk.name.lower(),
            "disk_free_bytes": self.disk_free_bytes,
            "backup": self.backup,
            "progress": {part: round(age_s, 2) for part, age_s in self.progress.items()},
            "sync": self.sync,
        }


Checkup = Callable[[], Health]
"""Judges the daemon now."""


def look(
    engine: Engine,
    projection: Projection,
    upkeep: UpkeepStatus,
    machine: Machine | None = None,
    progress: Progress | None = None,
    sync: SyncStatus | None = None,
    backups: BackupWatch | None = None,
) -> Health:
    """Judge the daemon now; touches memory, and every few seconds one small file."""
    durable, applied = engine.durable_seq, projection.applied_seq
    lag = max(0, durable - applied)
    reasons = []
    status = HealthStatus.OK
    if lag > MAX_LAG:
        reasons.append(f"the read model is {lag} events behind, more than {MAX_LAG}")
    if projection.failed is not None:
        reasons.append(f"the read model stands still: {projection.failed}")
    reasons += _of_disk(engine.shedder)
    reasons += _of_upkeep(upkeep)
    sync, now_ns = sync or SyncStatus(), time.time_ns()
    trouble = sync.trouble(durable, now_ns)
    if trouble is not None:
        reasons.append(trouble)
    if progress is not None:
        reasons += [f"{part} stands still" for part in progress.stalled()]
    for part in (machine, backups):
        reasons += [] if part is None else part.reasons()
    reasons += _of_parity(engine.core.parity)
    if reasons:
        status = HealthStatus.DEGRADED
    if engine.stopping:
        reasons.append("taped is stopping")
        status = HealthStatus.DEGRADED
    if engine.failed is not None:
        reasons.insert(0, f"the journal stopped: {engine.failed}")
        status = HealthStatus.FAILED
    shedder = engine.shedder
    return Health(
        status,
        reasons,
        durable,
        applied,
        lag,
        upkeep.archive.state,
        upkeep.retention_state,
        shedder.level,
        shedder.free_bytes,
        {} if progress is None else progress.ages_s(),
        sync.document(durable, now_ns),
        dict(NO_BACKUPS) if backups is None else backups.document(),
    )


_DISK_REASONS = {
    DiskLevel.SPARE_USED: "the disk is nearly full: the journal's spare segment is the last one",
    DiskLevel.SHED_TICKS: "the disk is nearly full: ticks are dropped",
    DiskLevel.REFUSE_RISK: "the disk is nearly full: ticks are dropped and trading is reduced",
}


def _of_upkeep(upkeep: UpkeepStatus) -> Iterator[str]:
    if upkeep.archive.failed is not None:
        yield f"old segments are not archived: {upkeep.archive.failed}"
    if upkeep.retention.failed is not None:
        yield f"old segments do not go: {upkeep.retention.failed}"


def _of_parity(checked: ParityChecked | None) -> list[str]:
    if checked is None or checked.passed:
        return []
    return [f"{PARITY_FAILED}: {checked.reason}"]


def _of_disk(shedder: Shedder) -> list[str]:
    if shedder.paused:
        return ["the disk is full: nothing is journaled until there is space"]
    reason = _DISK_REASONS.get(shedder.level)
    return [] if reason is None else [f"{reason}; {shedder.free_bytes >> 20} MiB are free"]
