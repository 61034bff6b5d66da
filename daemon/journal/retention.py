"""Lets go of the oldest archived segments, by age and by size, and of nothing that is still needed.

Only archives go, oldest first and without a hole. One stays, with all after it, when it holds an
event that TimescaleDB has not confirmed (where sync is on), or that comes after the newest snapshot
of the core: a start reads the journal from there on. Without a snapshot nothing goes, because the
core's state would be lost with the history it is made of.

The new beginning is written durably before the first file goes (see `daemon.journal.listing`), so a
crash in between leaves a journal that is whole from an earlier segment on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import read_ends
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalError
from daemon.journal.listing import ARCHIVE, is_archived, list_journal, write_beginning
from daemon.journal.lock import JournalLock
from daemon.journal.segment import SegmentName


class Policy(NamedTuple):
    """What to keep; None is no limit.

    `max_age_ns` counts from a segment's last append; `max_bytes` is of all segments, plain ones
    included.
    """

    max_age_ns: int | None = None
    max_bytes: int | None = None


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
    *,
    now_ns: int,
    confirmed_seq: int | None,
    snapshot_seq: int | None,
) -> RetentionPlan:
    """Return what the policy lets go of; changes nothing.

    Args:
        directory: the folder with the segments; a daemon may be writing there.
        policy: what to keep.
        now_ns: the time ages are counted to.
        confirmed_seq: the last event TimescaleDB has confirmed; None where sync is off.
        snapshot_seq: the last event in the newest snapshot that can be used; None where there is none.

    Raises:
        JournalError: the folder cannot be read or holds no journal.
        JournalCorruptError: a segment is missing or an archive is damaged.
    """
    segments = list_journal(directory)
    if not segments:
        raise JournalError(f"{directory}: no segment here", hint="is this a taped data folder?")
    sizes = [name.path.stat().st_size for name in segments]
    left = total = sum(sizes)
    going: list[Going] = []
    kept_because: str | None = None
    for name, length in zip(segments, sizes, strict=True):
        last = _last(name)
        why = _too_much(last, left, policy, now_ns)
        if why is None:
            break
        kept_because = _needed(name, last, confirmed_seq, snapshot_seq)
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


def _needed(
    name: SegmentName, last: tuple[int, int] | None, confirmed_seq: int | None, snapshot_seq: int | None
) -> str | None:
    where = f"segment {name.number} stays"
    if last is None:
        return f"{where}: it is not archived"
    if snapshot_seq is None:
        return f"{where}: there is no snapshot, and a start needs the whole journal"
    if last[0] > snapshot_seq:
        return f"{where}: a start needs it, the snapshot to start from ends at seq {snapshot_seq}"
    if confirmed_seq is not None and last[0] > confirmed_seq:
        return f"{where}: TimescaleDB has confirmed up to seq {confirmed_seq}"
    return None


def apply_retention(plan: RetentionPlan, disk: Disk = DISK) -> None:
    """Remove what a plan lets go of, oldest first.

    Raises:
        JournalLockedError: somebody is archiving, or applies a plan too.
        JournalError: the disk refused; what is left is whole, and the plan may be made anew.
    """
    if not plan.going:
        return
    folder = plan.directory / ARCHIVE
    try:
        with JournalLock(folder):
            write_beginning(plan.directory, plan.first, disk)
            for item in plan.going:
                disk.unlink(item.name.path)
                # One at a time: a later one gone before an earlier one would leave a hole.
                disk.sync_directory(folder)
    except OSError as error:
        raise JournalError(f"{folder}: {error.strerror or error}", hint="make a new plan") from error
