"""Reads every byte of a journal and tells each thing that is not as it must be; changes nothing."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.errors import JournalCorruptError
from daemon.journal.listing import check_ends, is_archived, list_journal
from daemon.journal.segment import SegmentName, SegmentReader
from schemas.codec import CODEC, CodecError
from schemas.errors import TapedError
from schemas.events import EVENT_TYPES
from schemas.frame import FrameError, FrameType, SegmentHeader
from schemas.trailer import Gap, Seal

_HASH_BYTES = 4 << 20
_NAMES = {record.__struct_config__.tag: record.__name__ for record in EVENT_TYPES}


@dataclass(slots=True)
class Verification:
    """What was found.

    `problems` are damages, each with its place; `torn_bytes_at` is where an unsealed last segment
    ends in bytes that were never acknowledged, which is no damage.
    """

    journal_id: str = ""
    segments: int = 0
    sealed: int = 0
    frames: int = 0
    events: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    torn_bytes_at: str | None = None
    gaps: list[Gap] = field(default_factory=list)
    type_ids: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def types(self) -> dict[str, int]:
        """Events by the name of their record, in order of name; an unknown type by its id."""
        return dict(sorted((_NAMES.get(type_id, str(type_id)), n) for type_id, n in self.type_ids.items()))

    @property
    def passed(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems


@dataclass(slots=True)
class _End:
    """How a segment ended, for the next one to follow."""

    sha256: bytes
    crc: int
    next_seq: int
    journal: bytes


def verify(directory: Path, advance: Callable[[int], None] | None = None) -> Verification:
    """Check every header, frame, chain link, event, seal and hash of a journal folder.

    Args:
        directory: the folder with the segments.
        advance: called with the number of bytes that were checked since the last call.

    Raises:
        JournalError: the folder cannot be read.
    """
    found = Verification()
    try:
        segments = list_journal(directory)
    except JournalCorruptError as error:
        found.problems.append(error.message)
        return found
    if not segments:
        found.problems.append(f"{directory}: no segment here")
        return found
    try:
        check_ends(directory, segments)
    except JournalCorruptError as error:
        found.problems.append(error.message)
    found.first_seq = segments[0].first_seq
    end: _End | None = None
    for name in segments:
        try:
            if is_archived(name):
                end = _verify_archive(name, end, found, advance)
            else:
                end = _verify_segment(name, end, found, last=name is segments[-1], advance=advance)
        except TapedError as error:
            found.problems.append(f"{name.path.name}: {error.message}")
            end = None
    return found


def _verify_segment(
    name: SegmentName,
    before: _End | None,
    found: Verification,
    *,
    last: bool,
    advance: Callable[[int], None] | None,
) -> _End:
    with SegmentReader(name) as reader:
        header = reader.header
        found.segments += 1
        found.journal_id = found.journal_id or header.journal.hex()
        _follow(name, header, before, found)
        try:
            _verify_frames(reader, found, advance)
        except FrameError as error:
            _torn_or_damaged(reader, error, found, last=last)
        found.gaps += reader.gaps
        found.last_seq = reader.next_seq - 1
        if reader.sealed is None:
            if not last:
                found.problems.append(f"{name.path.name}: ends at byte {reader.offset} without a seal")
            elif found.torn_bytes_at is None:
                _unwritten_or_erased(reader, found)
            return _End(b"", reader.previous_crc, reader.next_seq, header.journal)
        found.sealed += 1
        _verify_seal(reader, reader.sealed, found, last=last)
        return _End(reader.sealed.sha256, reader.previous_crc, reader.next_seq, header.journal)


def _verify_archive(
    name: SegmentName,
    before: _End | None,
    found: Verification,
    advance: Callable[[int], None] | None,
) -> _End:
    """Make the segment again from its archive, and compare every hash."""
    with ArchiveReader(name) as reader:
        header, seal = reader.header, reader.footer.seal
        found.segments += 1
        found.sealed += 1
        found.journal_id = found.journal_id or header.journal.hex()
        _follow(name, header, before, found)
        found.last_seq = seal.next_seq - 1
        end = _End(seal.sha256, reader.footer.seal_crc, seal.next_seq, header.journal)
        try:
            checked = reader.check(advance)
        except JournalCorruptError as error:
            # Header and footer are whole, so the next segment can still be held against them.
            found.problems.append(error.message)
            return end
        found.frames += checked.frames
        found.events += checked.events
        found.type_ids.update(checked.type_ids)
        found.bytes += reader.file_bytes
        return end


def _follow(name: SegmentName, header: SegmentHeader, before: _End | None, found: Verification) -> None:
    follows = _End(header.previous_sha256, header.previous_crc, header.first_seq, header.journal)
    if before is not None and follows != before:
        found.problems.append(f"{name.path.name}: does not follow the segment before")


def _verify_frames(reader: SegmentReader, found: Verification, advance: Callable[[int], None] | None) -> None:
    start = 0
    for header, body in reader.frames():
        found.frames += 1
        if header.type is FrameType.DATA:
            types = CODEC.count_types(body)
            if types.total() != header.event_count:
                raise CodecError(
                    f"byte {header.offset}: {types.total()} events, the header says {header.event_count}"
                )
            found.events += header.event_count
            found.type_ids.update(types)
        found.bytes += reader.offset - start
        if advance is not None:
            advance(reader.offset - start)
        start = reader.offset


def _torn_or_damaged(reader: SegmentReader, error: FrameError, found: Verification, *, last: bool) -> None:
    later = reader.later_frame() if last else None
    if last and later is None:
        found.torn_bytes_at = f"{reader.name.path.name}, byte {error.offset}"
        return
    after = f", yet a whole frame follows at byte {later}" if later else ""
    found.problems.append(f"{reader.name.path.name}, byte {error.offset}: {error.reason}{after}")


def _unwritten_or_erased(reader: SegmentReader, found: Verification) -> None:
    later = reader.later_frame()
    if later is not None:
        found.problems.append(
            f"{reader.name.path.name}, byte {reader.offset}: unwritten, "
            f"yet a whole frame follows at byte {later}"
        )


def _verify_seal(reader: SegmentReader, seal: Seal, found: Verification, *, last: bool) -> None:
    name = reader.name.path.name
    sha = hashlib.sha256()
    left = reader.sealed_at
    with reader.name.path.open("rb") as file:
        while left and (data := file.read(min(left, _HASH_BYTES))):
            sha.update(data)
            left -= len(data)
        file.seek(reader.offset)
        # After a crash behind the seal the file keeps its full length; the next start cuts the zeros.
        behind = any(data.strip(b"\0") or not last for data in iter(lambda: file.read(_HASH_BYTES), b""))
    if behind:
        found.problems.append(f"{name}: bytes stand behind the seal")
    if sha.digest() != seal.sha256:
        found.problems.append(f"{name}: SHA-256 {sha.hexdigest()}, the seal says {seal.sha256.hex()}")
    if seal.next_seq != reader.next_seq:
        found.problems.append(f"{name}: ends at seq {reader.next_seq - 1}, the seal says {seal.next_seq - 1}")
    for entry, after in pairwise(seal.index):
        if not (entry.offset < after.offset and entry.first_seq <= after.first_seq):
            found.problems.append(f"{name}: the seal's index is not in order")
