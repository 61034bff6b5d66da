"""Reads every byte of a journal and tells each thing that is not as it must be; changes nothing."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from pathlib import Path

from daemon.journal.archive_file import ArchiveReader, header_of
from daemon.journal.base_file import first_base
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import check_ends, list_journal
from daemon.journal.reader import SegmentGoneError, open_segment
from daemon.journal.segment import SegmentName, SegmentReader
from schemas.codec import CODEC, CodecError
from schemas.errors import TapedError
from schemas.events import EVENT_TYPES
from schemas.frame import FrameError, FrameType, SegmentHeader
from schemas.trailer import Gap, Seal, TrailerError

_HASH_BYTES = 4 << 20
_BYTES_EACH = 32 << 20
"""Less than this is not worth a process: it takes 0.1 s to start, in which so much is checked."""
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


@dataclass(slots=True)
class _Segment:
    """One segment by itself: what was found, how the one before must have ended, and how it ended."""

    found: Verification = field(default_factory=lambda: Verification(segments=1))
    follows: _End | None = None
    end: _End | None = None


def verify(
    directory: Path, advance: Callable[[int], None] | None = None, *, processes: int = 1
) -> Verification:
    """Check every header, frame, chain link, event, seal and hash of a journal folder.

    Args:
        directory: the folder with the segments.
        advance: called with the number of bytes that were checked since the last call.
        processes: how many segments are checked at a time, each in a process of its own above 1.

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
    _verify_base(directory, segments[0], found)
    before: _End | None = None
    for name, segment in zip(segments, _check_all(directory, segments, advance, processes), strict=True):
        if None not in (before, segment.follows) and segment.follows != before:
            found.problems.append(f"{name.path.name}: does not follow the segment before")
        _add(found, segment.found)
        before = segment.end
    return found


def _verify_base(directory: Path, first: SegmentName, found: Verification) -> None:
    """Check that the base state is whole, and that the first segment follows what it was made of."""
    try:
        base = first_base(directory)
        if base is None:
            return
        base.check()
        header, told = header_of(first), base.header
    except TapedError as error:
        found.problems.append(error.message)
        return
    if header.journal != told.journal:
        found.problems.append(f"{base.path.name}: is of another journal")
    elif (header.previous_sha256, header.previous_crc) != (told.previous_sha256, told.previous_crc):
        found.problems.append(f"{first.path.name}: does not follow what {base.path.name} was made of")


def _check_all(
    directory: Path, segments: Sequence[SegmentName], advance: Callable[[int], None] | None, processes: int
) -> Iterator[_Segment]:
    """Yield what was found of each segment, in their order."""
    folders = repeat(directory)
    lasts = [name is segments[-1] for name in segments]
    processes = min(processes, len(segments), _bytes_of(segments) // _BYTES_EACH)
    if processes <= 1:
        yield from map(_check, folders, segments, lasts, repeat(advance))
        return
    # New processes, not forks of this one: a progress bar has a thread.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context) as pool:
            for segment in pool.map(_check, folders, segments, lasts):
                if advance is not None:
                    advance(segment.found.bytes)
                yield segment
    except BrokenProcessPool as error:
        raise JournalError(
            f"{directory}: a process that checked a segment was ended from outside",
            hint="was memory short? one process at a time needs the least",
        ) from error


def _bytes_of(segments: Sequence[SegmentName]) -> int:
    total = 0
    for name in segments:
        with suppress(FileNotFoundError):  # Archived or let go of since it was listed.
            total += name.path.stat().st_size
    return total


def _add(found: Verification, segment: Verification) -> None:
    found.journal_id = found.journal_id or segment.journal_id
    found.segments += segment.segments
    found.sealed += segment.sealed
    found.frames += segment.frames
    found.events += segment.events
    found.bytes += segment.bytes
    found.last_seq = max(found.last_seq, segment.last_seq)
    found.torn_bytes_at = segment.torn_bytes_at
    found.gaps += segment.gaps
    found.type_ids.update(segment.type_ids)
    found.problems += segment.problems


def _check(
    directory: Path,
    name: SegmentName,
    last: bool,  # noqa: FBT001  # By place, as `map` calls it.
    advance: Callable[[int], None] | None = None,
) -> _Segment:
    segment = _Segment()
    try:
        with open_segment(directory, name) as reader:
            if isinstance(reader, ArchiveReader):
                _check_archive(reader, segment, advance)
            else:
                _check_plain(reader, segment, last=last, advance=advance)
    except SegmentGoneError:
        return _Segment(Verification())  # Retention let go of it meanwhile: that is no damage.
    except (TapedError, OSError) as error:
        reason = error.message if isinstance(error, TapedError) else error.strerror
        segment.found.problems.append(f"{name.path.name}: {reason}")
        segment.end = None
    return segment


def _check_plain(
    reader: SegmentReader, segment: _Segment, *, last: bool, advance: Callable[[int], None] | None
) -> None:
    found, name = segment.found, reader.name.path.name
    header = reader.header
    found.journal_id = header.journal.hex()
    segment.follows = _follows(header)
    with ThreadPoolExecutor(1) as thread:
        hashing = _start_hashing(thread, reader)
        try:
            _verify_frames(reader, found, advance)
        except FrameError as error:
            _torn_or_damaged(reader, error, found, last=last)
        found.gaps = reader.gaps
        found.last_seq = reader.next_seq - 1
        segment.end = _End(b"", reader.previous_crc, reader.next_seq, header.journal)
        if reader.sealed is None:
            if not last:
                found.problems.append(f"{name}: ends at byte {reader.offset} without a seal")
            elif found.torn_bytes_at is None and not found.problems:
                _unwritten_or_erased(reader, found)
            return
        found.sealed = 1
        segment.end.sha256 = reader.sealed.sha256
        sha256 = hashing.result() if hashing is not None else _sha256(reader, reader.sealed_at)
        _verify_seal(reader, reader.sealed, sha256, found, last=last)


def _follows(header: SegmentHeader) -> _End:
    return _End(header.previous_sha256, header.previous_crc, header.first_seq, header.journal)


def _check_archive(reader: ArchiveReader, segment: _Segment, advance: Callable[[int], None] | None) -> None:
    """Make the segment again from its archive, and compare every hash."""
    found = segment.found
    header, seal = reader.header, reader.footer.seal
    found.sealed = 1
    found.journal_id = header.journal.hex()
    found.last_seq = seal.next_seq - 1
    segment.follows = _follows(header)
    segment.end = _End(seal.sha256, reader.footer.seal_crc, seal.next_seq, header.journal)
    try:
        checked = reader.check(advance)
    except JournalCorruptError as error:
        # Header and footer are whole, so the next segment can still be held against them.
        found.problems.append(error.message)
        return
    found.frames = checked.frames
    found.events = checked.events
    found.type_ids = checked.type_ids
    found.bytes = reader.file_bytes


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
            for type_id, count in types.items():
                found.type_ids[type_id] += count
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


def _start_hashing(thread: Executor, reader: SegmentReader) -> Future[bytes] | None:
    """Hash what lies before the seal, beside the reading of frames, which holds the interpreter."""
    try:
        seal = reader.find_seal()
    except TrailerError:
        return None  # Reading the frames will come to it.
    return None if seal is None else thread.submit(_sha256, reader, seal.offset)


def _sha256(reader: SegmentReader, length: int) -> bytes:
    sha, buffer, at = hashlib.sha256(), bytearray(_HASH_BYTES), 0
    while count := os.preadv(reader.fileno(), [memoryview(buffer)[: min(length - at, _HASH_BYTES)]], at):
        sha.update(memoryview(buffer)[:count])
        at += count
    return sha.digest()


def _verify_seal(
    reader: SegmentReader, seal: Seal, sha256: bytes, found: Verification, *, last: bool
) -> None:
    name = reader.name.path.name
    # After a crash behind the seal the file keeps its full length; the next start cuts the zeros.
    behind = not last and reader.file_bytes > reader.offset
    for at in range(reader.offset, reader.file_bytes, _HASH_BYTES):
        behind = behind or bool(os.pread(reader.fileno(), _HASH_BYTES, at).strip(b"\0"))
    if behind:
        found.problems.append(f"{name}: bytes stand behind the seal")
    if sha256 != seal.sha256:
        found.problems.append(f"{name}: SHA-256 {sha256.hex()}, the seal says {seal.sha256.hex()}")
    if seal.next_seq != reader.next_seq:
        found.problems.append(f"{name}: ends at seq {reader.next_seq - 1}, the seal says {seal.next_seq - 1}")
    for entry, after in pairwise(seal.index):
        if not (entry.offset < after.offset and entry.first_seq <= after.first_seq):
            found.problems.append(f"{name}: the seal's index is not in order")
