"""Tells which of the oldest archived segments go, by age and by size, and removes what counts no more.

Only archives go, oldest first and without a hole. One stays, with all after it, when it holds an
event that TimescaleDB has not confirmed (where sync is on), that the read model does not show yet, or
that a start from a snapshot would read.

What their events came to must outlive them: a base state is put in their place first, durably
(`daemon.shorten`). From then on they do not count (`daemon.journal.listing`), and are removed here;
whatever a crash leaves of them is removed next time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import read_ends
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalError
from daemon.journal.listing import is_archived, lengths, list_journal, list_leftovers
from daemon.journal.segment import SegmentName


class Policy(NamedTuple):
    """What to keep; None is no limit.

    `max_age_ns` counts from a segment's last append; `max_bytes` is of all segments, plain ones
    included.
    """

    max_age_ns: int | None = None
    max_bytes: int | None = None


class Limits(NamedTuple):
    """Up to which event segments may go; None is no limit.

    `confirmed_seq` is the last one TimescaleDB has confirmed, `projected_seq` the last one in the read
    model, `snapshot_seq` the last one in the oldest snapshot of the core.
    """

    confirmed_seq: int | None = None
    projected_seq: int | None = None
    snapshot_seq: int | None = None


class Going(NamedTuple):
    """A segment that retention lets go of; `why` is "age" or "size"."""

    name: SegmentName
    bytes: int
    first_seq: int
    last_seq: int
    last_append_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What would go.

    Attributes:
        directory: the folder with the segments.
        going: oldest first.
        first: the segment the journal begins with afterwards.
        total_bytes: of all segments before.
        kept_because: why a segment that is too old or too much stays, or None.
    """

    directory: Path
    first: SegmentName
    total_bytes: int
    going: list[Going] = field(default_factory=list)
    kept_because: str | None = None

    @property
    def freed_bytes(self) -> int:
        """How much disk that gives back."""
        return sum(item.bytes for item in self.going)


def plan_retention(
    directory: Path,
    policy: Policy,
    limits: Limits,
    *,
    now_ns: int,
    most: int | None = None,
) -> RetentionPlan:
    """Return what the policy lets go of; changes nothing.

    Args:
        directory: the folder with the segments; a daemon may be writing there.
        policy: what to keep.
        limits: what is kept in any case.
        now_ns: the time ages are counted to.
        most: how many segments may go at once.

    Raises:
        JournalError: the folder cannot be read or holds no journal.
        JournalCorruptError: a segment is missing or an archive is damaged.
    """
    segments = list_journal(directory)
    if not segments:
        raise JournalError(f"{directory}: no segment here", hint="is this a taped data folder?")
    sizes = lengths(segments)
    left = total = sum(sizes)
    going: list[Going] = []
    kept_because: str | None = None
    for name, length in zip(segments[:most], sizes, strict=False):
        last = _last(name)
        why = _too_much(last, left, policy, now_ns)
        if why is None:
            break
        kept_because = _needed(name, last, limits)
        if kept_because is not None or last is None:
            break
        going.append(Going(name, length, name.first_seq, last[0], last[1], why))
        left -= length
    return RetentionPlan(directory, segments[len(going)], total, going, kept_because)


def _last(name: SegmentName) -> tuple[int, int] | None:
    """Return an archive's last event and when it was appended; None for a plain segment."""
    if not is_archived(name):
        return None
    _, seal, _ = read_ends(name)
    return seal.next_seq - 1, seal.last_append_ns


def _too_much(last: tuple[int, int] | None, left: int, policy: Policy, now_ns: int) -> str | None:
    if policy.max_age_ns is not None and last is not None and last[1] < now_ns - policy.max_age_ns:
        return "age"
    if policy.max_bytes is not None and left > policy.max_bytes:
        return "size"
    return None


def _needed(name: SegmentName, last: tuple[int, int] | None, limits: Limits) -> str | None:
    where = f"segment {name.number} stays"
    if last is None:
        return f"{where}: it is not archived"
    for limit, why in (
        (limits.confirmed_seq, "TimescaleDB has confirmed up to"),
        (limits.projected_seq, "the read model has come to"),
        (limits.snapshot_seq, "a start reads it behind the snapshot at"),
    ):
        if limit is not None and last[0] > limit:
            return f"{where}: {why} seq {limit}"
    return None


def remove_leftovers(directory: Path, disk: Disk = DISK) -> int:
    """Remove the segments, then the base states, that lie before the journal's beginning; return how many.

    Raises:
        OSError: the disk refused; what is left is removed next time.
    """
    leftovers = list_leftovers(directory)
    for name in leftovers:
        disk.unlink(name.path)
    for folder in {name.path.parent for name in leftovers}:
        disk.sync_directory(folder)
    return len(leftovers)
