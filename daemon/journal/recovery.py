"""Brings a journal folder to a state that may be appended to, or refuses and says why.

Recovery decides between a torn tail and corruption by the rule of one: one frame is in flight at a
time, so a whole frame after a bad one proves that the bad one had been acknowledged. It never
removes a byte that was acknowledged, and keeps a copy of whatever it cuts.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError
from daemon.journal.listing import beginning, check_ends, list_journal
from daemon.journal.reader import open_segment
from daemon.journal.segment import SegmentName, SegmentReader
from schemas.frame import FrameError, NewerFormatError, SegmentHeader
from schemas.trailer import IndexEntry

_COPY_BYTES = 1 << 20


class Tail(NamedTuple):
    """Bytes after the last whole frame that were cut: never acknowledged, kept in quarantine."""

    segment: Path
    offset: int
    end: int
    kept: Path
    reason: str


class OpenSegment(NamedTuple):
    """The last segment, whole but without its seal."""

    name: SegmentName
    header: SegmentHeader
    end: int
    frames: int
    first_append_ns: int
    last_append_ns: int
    entries: list[IndexEntry]
    sealed: bool


class Recovered(NamedTuple):
    """Where a journal goes on."""

    journal: bytes
    next_seq: int
    next_segment: int
    previous_sha256: bytes
    previous_crc: int
    open_segment: OpenSegment | None
    tail: Tail | None


def recover(directory: Path, disk: Disk, *, watermark: int = 0) -> Recovered | None:
    """Check the folder and cut a torn tail. The caller holds the lock.

    Args:
        directory: the folder with the segments.
        disk: where changes are made.
        watermark: the highest sequence number anybody was told of; ending below it is refused.

    Returns:
        None when there is no segment yet.

    Raises:
        JournalCorruptError: something durable is damaged or missing; nothing was changed.
        NewerFormatError: a newer taped wrote it.
    """
    segments = list_journal(directory)
    if not segments:
        if watermark:
            raise JournalCorruptError(f"{directory}: empty, but events up to seq {watermark} were projected")
        base = beginning(directory)
        if base is not None:
            raise JournalCorruptError(f"{directory}: no segment is left behind {base.path.name}")
        _remove_unfinished(directory, disk)
        return None
    check_ends(directory, segments)
    _settle(segments[-1], disk)
    try:
        state = _check_chain(directory, segments)
    except NewerFormatError:
        raise
    except FrameError as error:
        raise JournalCorruptError(f"{directory}: {error.message}") from error
    if state.next_seq <= watermark:
        raise JournalCorruptError(
            f"{directory}: ends at seq {state.next_seq - 1}, but seq {watermark} was projected: "
            "acknowledged events are missing"
        )
    _remove_unfinished(directory, disk)
    return state


def _settle(last: SegmentName, disk: Disk) -> None:
    """Make durable what a killed writer left in memory, then read the last segment from the device.

    Every earlier segment was whole and synced before its successor got its name; the last one's name,
    its last frame or the cut behind its seal may not be.
    """
    disk.sync_directory(last.path.parent)
    fd = disk.open(last.path)
    try:
        disk.sync_file(fd)
        disk.forget(fd)
    finally:
        disk.close(fd)


def _remove_unfinished(directory: Path, disk: Disk) -> None:
    """Remove segments that never got their name: nothing was ever appended to one."""
    for path in sorted(directory.glob("*.tmp")):
        disk.unlink(path)


def _check_chain(directory: Path, segments: list[SegmentName]) -> Recovered:
    """Check that every segment but the last is sealed and follows the one before, then read the last."""
    journal = b""
    sha256, crc, next_seq = bytes(32), 0, 1
    for name in segments:
        with open_segment(directory, name) as reader:
            header = reader.header
            journal = journal or header.journal
            if name is not segments[0] or header.number == 1:
                _check_follows(name, header, journal, (sha256, crc, next_seq))
            if isinstance(reader, ArchiveReader):
                end = reader.footer.seal, reader.footer.seal_crc
            else:
                found = reader.find_seal()
                if found is None and name is segments[-1]:
                    return _read_open(reader, header)
                if found is None:
                    raise JournalCorruptError(f"{name.path}: has no seal, yet a later segment exists")
                end = found.seal, found.crc
        sha256, crc, next_seq = end[0].sha256, end[1], end[0].next_seq
    return Recovered(journal, next_seq, segments[-1].number + 1, sha256, crc, None, None)


def _check_follows(
    name: SegmentName, header: SegmentHeader, journal: bytes, before: tuple[bytes, int, int]
) -> None:
    found = (header.previous_sha256, header.previous_crc, header.first_seq)
    for what, value, expected in zip(("hash", "chain", "first seq"), found, before, strict=True):
        if value != expected:
            raise JournalCorruptError(f"{name.path}: {what} does not follow the segment before")
    if header.journal != journal:
        raise JournalCorruptError(f"{name.path}: belongs to journal {header.journal.hex()}")


def _read_open(reader: SegmentReader, header: SegmentHeader) -> Recovered:
    """Read the unsealed last segment to its end."""
    frames, first_ns, last_ns = 0, 0, 0
    index: list[IndexEntry] = []
    reason = ""
    try:
        for item in reader.frames():
            frames += 1
            first_ns, last_ns = first_ns or item.header.append_ns, item.header.append_ns
            add_to_index(index, IndexEntry(item.header.first_seq, item.header.offset, item.header.append_ns))
    except NewerFormatError:
        raise
    except FrameError as error:
        reason = error.reason
    later = reader.later_frame(alone=True) if reader.sealed is None else None
    if later is not None:
        raise JournalCorruptError(
            f"{reader.name.path}: byte {reader.offset}: {reason or 'unwritten'}, yet a whole frame follows "
            f"at byte {later}: damaged after it was durable"
        )
    segment = OpenSegment(
        reader.name, header, reader.offset, frames, first_ns, last_ns, index, reader.sealed is not None
    )
    tail = None
    end = _end_of_bytes(reader.name.path, reader.offset)
    if end > reader.offset:
        kept = quarantine_path(reader.name.path)
        tail = Tail(reader.name.path, reader.offset, end, kept, reason or "bytes without a frame header")
    sha256 = reader.sealed.sha256 if reader.sealed is not None else bytes(32)
    return Recovered(
        header.journal, reader.next_seq, header.number + 1, sha256, reader.previous_crc, segment, tail
    )


def add_to_index(index: list[IndexEntry], entry: IndexEntry) -> None:
    """Keep one entry about every mebibyte."""
    if not index or entry.offset - index[-1].offset >= 1 << 20:
        index.append(entry)


def _end_of_bytes(path: Path, offset: int) -> int:
    """Return where nothing but zeros follows, from `offset` on."""
    end = offset
    with path.open("rb") as file:
        file.seek(offset)
        while data := file.read(_COPY_BYTES):
            content = data.rstrip(b"\0")
            if content:
                end = offset + len(content)
            offset += len(data)
    return end


def quarantine_path(segment: Path) -> Path:
    """Return a free name for what is cut from a segment."""
    return segment.parent / "quarantine" / f"{segment.stem}-{time.time_ns()}.tail"


def keep_tail(tail: Tail, disk: Disk) -> None:
    """Copy a torn tail, without the zeros behind it, to quarantine and make the copy durable."""
    folder = tail.kept.parent
    folder.mkdir(exist_ok=True)
    disk.sync_directory(folder.parent)
    fd = disk.create(tail.kept)
    try:
        with tail.segment.open("rb") as file:
            file.seek(tail.offset)
            at, length = 0, tail.end - tail.offset
            while at < length:
                data = file.read(min(_COPY_BYTES, length - at))
                disk.write(fd, [data], at)
                at += len(data)
        disk.sync_file(fd)
    finally:
        os.close(fd)
    disk.sync_directory(folder)
