"""Events as lines of text or JSON, as `taped journal dump` and `tail` print them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from daemon.journal.reader import Batch
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import EVENT_TYPES
from tools.output import UsageError


def wanted_types(names: Sequence[str] | None) -> frozenset[str]:
    """Return the event types that were asked for; none means all.

    Raises:
        UsageError: there is no such event.
    """
    known = {record.__name__ for record in EVENT_TYPES}
    wanted = frozenset(names or ())
    if wanted - known:
        raise UsageError(
            f"--type {', '.join(sorted(wanted - known))}: no such event",
            hint=f"one of {', '.join(sorted(known))}",
        )
    return wanted


def print_events(batch: Batch, wanted: frozenset[str], *, as_json: bool) -> None:
    """Print the events of a batch that are of a wanted type, a line each."""
    lines = [
        line_of(seq, event, as_json=as_json)
        for seq, event in enumerate(batch.events, batch.first_seq)
        if not wanted or type(event).__name__ in wanted
    ]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")


def line_of(seq: int, event: AnyEvent, *, as_json: bool) -> str:
    """Return an event as one line, for people or as JSON."""
    if isinstance(event, UnknownEvent):
        name, fields = "Unknown", {"fields": event.fields}
    else:
        name = type(event).__name__
        fields = {key: _plain(value) for key, value in msgspec.structs.asdict(event).items()}
    if as_json:
        return msgspec.json.encode({"seq": seq, "type": name, **fields}).decode()
    text = " ".join(f"{key}={value}" for key, value in fields.items() if key not in {"version", "ts_ns"})
    return f"{seq} {time_text(event.ts_ns)} {name} {text}"


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value


def time_text(ns: int | None) -> str | None:
    """Return nanoseconds as ISO 8601 UTC with all nine digits, or None."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
    except (OverflowError, ValueError, OSError):
        return f"{ns} ns"
