"""Which segments a journal consists of: plain and archived ones together, and where it begins.

The directory is the truth. A segment that is there both plain and archived is plain: its archive was
not finished. A journal that begins later than with segment 1 must say so: retention leaves a base
state `{segment:010d}-{first_seq:020d}.base` before it removes what lies before that segment. With it
the journal begins there: older segments that a crash left do not count. Without it an oldest segment
that somebody removed by accident would go unnoticed, so it is refused.

What this does not protect against: a newest segment removed together with the read model that knew
how far it went. A newest segment that is archived proves that a later one is missing, for the newest
one is never archived.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.segment import SegmentName

ARCHIVE = "archive"
_PLAIN = re.compile(r"(\d{10})-(\d{20})\.evl")
_ARCHIVED = re.compile(r"(\d{10})-(\d{20})\.evl\.zst")
_BASE = re.compile(r"(\d{10})-(\d{20})\.base")


def archive_path(directory: Path, number: int, first_seq: int) -> Path:
    """Return the file of an archived segment."""
    return directory / ARCHIVE / f"{number:010d}-{first_seq:020d}.evl.zst"


def base_path(directory: Path, number: int, first_seq: int) -> Path:
    """Return the file of the base state that stands for all before this segment."""
    return directory / f"{number:010d}-{first_seq:020d}.base"


def is_archived(name: SegmentName) -> bool:
    """Whether the file is an archive."""
    return name.path.suffix == ".zst"


def list_journal(directory: Path) -> list[SegmentName]:
    """Return all segments that count, archived or plain, in order of number.

    Raises:
        JournalError: the folder cannot be read.
        JournalCorruptError: a number is missing in between, or there twice.
    """
    found = all_segments(directory)
    begins = beginning(directory)
    if begins is not None:
        found = [name for name in found if name.number >= begins.number]
    for before, after in pairwise(found):
        if after.number != before.number + 1:
            raise JournalCorruptError(
                f"{directory}: segment {before.number + 1} is missing between "
                f"{before.path.name} and {after.path.name}"
            )
    return found


def list_leftovers(directory: Path) -> list[SegmentName]:
    """Return what retention let go of and a crash kept it from removing: segments, then base states."""
    begins = beginning(directory)
    if begins is None:
        return []
    found = [*all_segments(directory), *_scan(directory, _BASE)]
    return [name for name in found if name.number < begins.number]


def lengths(segments: Sequence[SegmentName]) -> list[int]:
    """Return the length of each file; 0 for one that was archived or let go since it was listed."""
    found = []
    for name in segments:
        try:
            found.append(name.path.stat().st_size)
        except FileNotFoundError:
            found.append(0)
    return found


def all_segments(directory: Path) -> list[SegmentName]:
    """Return every segment there is, in order of number, also what a journal should not have.

    Raises:
        JournalError: the folder cannot be read.
    """
    # Plain ones first: one that is archived in between is then seen twice, never missed.
    plain = _scan(directory, _PLAIN)
    archived = _scan(directory / ARCHIVE, _ARCHIVED) if (directory / ARCHIVE).is_dir() else []
    numbers = {name.number for name in plain}
    return sorted([*plain, *(name for name in archived if name.number not in numbers)])


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
    if begins is not None and (first.number, first.first_seq) != begins[:2]:
        raise JournalCorruptError(
            f"{directory}: begins with segment {first.number} (seq {first.first_seq}), "
            f"but should begin where {begins.path.name} says"
        )
    if begins is None and first.number > 1:
        missing = f"segments 1 to {first.number - 1} are" if first.number > 2 else "segment 1 is"  # noqa: PLR2004
        raise JournalCorruptError(
            f"{directory}: begins with segment {first.number} (seq {first.first_seq}); {missing} missing, "
            "and retention did not let go of that much"
        )


def beginning(directory: Path) -> SegmentName | None:
    """Return the newest base state, named as the segment it comes before; None where there is none."""
    found = _scan(directory, _BASE)
    return found[-1] if found else None
