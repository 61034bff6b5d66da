"""Which segments a journal consists of: plain and archived ones together, and where it begins.

The directory is the truth. A segment that is there both plain and archived is plain: its archive was
not finished. A journal that begins later than with segment 1 must say so: retention leaves an empty
file `{segment:010d}-{first_seq:020d}.begin` before it removes what lies before that segment. Without
it an oldest segment that somebody removed by accident would go unnoticed, so it is refused.

What this does not protect against: somebody who removes the oldest segments and also writes such a
file, and a newest segment removed together with the read model that knew how far it went. A newest
segment that is archived proves that a later one is missing, for the newest one is never archived.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.segment import SegmentName

ARCHIVE = "archive"
_PLAIN = re.compile(r"(\d{10})-(\d{20})\.evl")
_ARCHIVED = re.compile(r"(\d{10})-(\d{20})\.evl\.zst")
_BEGIN = re.compile(r"(\d{10})-(\d{20})\.begin")


def archive_path(directory: Path, number: int, first_seq: int) -> Path:
    """Return the file of an archived segment."""
    return directory / ARCHIVE / f"{number:010d}-{first_seq:020d}.evl.zst"


def is_archived(name: SegmentName) -> bool:
    """Whether the file is an archive."""
    return name.path.suffix == ".zst"


def list_journal(directory: Path) -> list[SegmentName]:
    """Return all segments of a journal, archived or plain, in order of number.

    Raises:
        JournalError: the folder cannot be read.
        JournalCorruptError: a number is missing in between, or there twice.
    """
    # Plain ones first: one that is archived in between is then seen twice, never missed.
    plain = _scan(directory, _PLAIN)
    archived = _scan(directory / ARCHIVE, _ARCHIVED) if (directory / ARCHIVE).is_dir() else []
    numbers = {name.number for name in plain}
    found = sorted([*plain, *(name for name in archived if name.number not in numbers)])
    for before, after in pairwise(found):
        if after.number != before.number + 1:
            raise JournalCorruptError(
                f"{directory}: segment {before.number + 1} is missing between "
                f"{before.path.name} and {after.path.name}"
            )
    return found


def _scan(directory: Path, pattern: re.Pattern[str]) -> list[SegmentName]:
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise JournalError(f"{directory}: {error.strerror}", hint="is this a taped data folder?") from error
    return [
        SegmentName(int(match[1]), int(match[2]), directory / name)
        for name in names
        if (match := pattern.fullmatch(name))
    ]


def check_ends(directory: Path, segments: list[SegmentName]) -> None:
    """Check that nothing is missing before the first segment or behind the last one.

    Raises:
        JournalCorruptError: the journal begins later than it says, or its newest segment is an archive.
    """
    first, last = segments[0], segments[-1]
    if is_archived(last):
        raise JournalCorruptError(
            f"{last.path}: is the newest segment, but only older ones are ever archived: "
            f"segment {last.number + 1} is missing"
        )
    begins = beginning(directory)
    if first.number > max(1, begins.number if begins is not None else 1):
        missing = f"segments 1 to {first.number - 1} are" if first.number > 2 else "segment 1 is"  # noqa: PLR2004
        raise JournalCorruptError(
            f"{directory}: begins with segment {first.number} (seq {first.first_seq}); {missing} missing, "
            "and retention did not let go of that much"
        )


def beginning(directory: Path) -> SegmentName | None:
    """Return the segment that retention made the first one, or None where it never removed any."""
    found = _scan(directory, _BEGIN)
    return found[-1] if found else None


def write_beginning(directory: Path, first: SegmentName, disk: Disk) -> None:
    """Say durably that the journal may begin with this segment.

    Raises:
        OSError: the disk refused.
    """
    before = _scan(directory, _BEGIN)
    path = directory / f"{first.number:010d}-{first.first_seq:020d}.begin"
    if not path.exists():
        disk.close(disk.create(path))
    disk.sync_directory(directory)
    for name in before:
        if name.number < first.number:
            disk.unlink(name.path)
