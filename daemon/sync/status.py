"""How the sync is, for health, metrics, retention and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PATIENCE_NS = 60 * 10**9
"""An absence that is shorter is not worth a word: servers are restarted."""


@dataclass(slots=True)
class SyncStatus:
    """How far the journal is shipped, and what stands in the way.

    Attributes:
        enabled: whether anything is shipped.
        state: off, starting, idle, working, away (the database does not answer) or refused.
        place: host, port and database.
        reason: what stands in the way, or None.
        confirmed_seq: the last event that the database has confirmed since the start; 0 before.
        confirmed_ns: when that event was written to the journal; 0 where it is not known.
        events: shipped since the start.
        duplicates: events that were there already.
        failures: rounds that failed since the start.
        failing_since_ns: when the failures began that still go on, or 0.
        events_per_s: of the last round that shipped something.
        round_ns: when the last good round ended, or 0.
    """

    enabled: bool = False
    state: str = "off"
    place: str = ""
    reason: str | None = None
    confirmed_seq: int = 0
    confirmed_ns: int = 0
    events: int = 0
    duplicates: int = 0
    failures: int = 0
    failing_since_ns: int = 0
    events_per_s: float = 0.0
    round_ns: int = 0

    def lag(self, durable_seq: int) -> int | None:
        """Return how many durable events the database has not confirmed; None before it told anything."""
        return max(0, durable_seq - self.confirmed_seq) if self.confirmed_seq else None

    def lag_s(self, durable_seq: int, now_ns: int) -> float | None:
        """Return how old the oldest of those is, at most; None where that is not known."""
        lag = self.lag(durable_seq)
        if not lag:
            return None if lag is None else 0.0
        return max(0.0, (now_ns - self.confirmed_ns) / 1e9) if self.confirmed_ns else None

    def trouble(self, durable_seq: int, now_ns: int) -> str | None:
        """Return what is to be told of it: a refusal at once, an absence only when it lasts."""
        waiting = self.lag(durable_seq)
        backlog = "" if waiting is None else f"; {waiting:,} events wait in the journal"
        if self.state == "refused":
            return f"the sync is refused: {self.reason}{backlog}"
        if self.state == "away" and now_ns - self.failing_since_ns >= PATIENCE_NS:
            return f"the database is away: {self.reason}{backlog}"
        return None

    def document(self, durable_seq: int, now_ns: int) -> dict[str, Any]:
        """Return it as /health answers; it names no secret."""
        age = self.lag_s(durable_seq, now_ns)
        return {
            "state": self.state,
            "reason": self.reason,
            "confirmed_seq": self.confirmed_seq or None,
            "lag_events": self.lag(durable_seq),
            "lag_seconds": None if age is None else round(age, 1),
            "events": self.events,
            "events_per_second": round(self.events_per_s),
        }
