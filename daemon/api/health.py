"""Whether the daemon is well, and if not, why; asked by /health, /metrics and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from daemon.api.ports import Engine, Projection
from daemon.upkeep import UpkeepStatus

MAX_LAG = 50_000
"""How many events the read model may trail before that is called degraded."""


class HealthStatus(StrEnum):
    """How well the daemon is; a failed one takes no orders."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Health:
    """One look at the daemon.

    `lag` is how many durable events the read model does not show yet; `archive` what archiving does: off,
    idle, working or failed.
    """

    status: HealthStatus
    reasons: list[str]
    durable_seq: int
    applied_seq: int
    lag: int
    archive: str

    def document(self) -> dict[str, Any]:
        """Return it as /health answers."""
        return {
            "status": self.status.value,
            "reasons": self.reasons,
            "durable_seq": self.durable_seq,
            "applied_seq": self.applied_seq,
            "lag": self.lag,
            "archive": self.archive,
        }


Checkup = Callable[[], Health]
"""Judges the daemon now."""


def look(engine: Engine, projection: Projection, upkeep: UpkeepStatus) -> Health:
    """Judge the daemon now; touches memory only."""
    durable, applied = engine.durable_seq, projection.applied_seq
    lag = max(0, durable - applied)
    reasons = []
    status = HealthStatus.OK
    if lag > MAX_LAG:
        reasons.append(f"the read model is {lag} events behind, more than {MAX_LAG}")
    if projection.failed is not None:
        reasons.append(f"the read model stands still: {projection.failed}")
    if engine.shedder.paused:
        reasons.append("the disk is full: nothing is journaled until there is space")
    elif engine.shedder.shedding:
        reasons.append("the disk is nearly full: ticks are dropped")
    if upkeep.failed is not None:
        reasons.append(f"old segments are not archived: {upkeep.failed}")
    if reasons:
        status = HealthStatus.DEGRADED
    if engine.stopping:
        reasons.append("taped is stopping")
        status = HealthStatus.DEGRADED
    if engine.failed is not None:
        reasons.insert(0, f"the journal stopped: {engine.failed}")
        status = HealthStatus.FAILED
    return Health(status, reasons, durable, applied, lag, upkeep.state)
