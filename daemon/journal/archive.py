"""Makes archives of sealed segments, oldest first, and removes a segment only when its archive is proven.

The order on disk: the archive is written under a `.tmp` name and synced; it is read back from the
device, the segment is made again from it and compared by SHA-256 with the original; only then it gets
its name, its directory is synced, and the original is unlinked. Whatever moment a crash picks, the
original is there or a proven archive is; where both are, the original counts and is archived again.
The newest segment is never archived.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from daemon.journal.archive_file import (
    HEADER_BYTES,
    ArchiveReader,
    Block,
    BlockEntry,
    Footer,
    pack_end,
    pack_header,
)
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import ARCHIVE, archive_path
from daemon.journal.lock import JournalLock
from daemon.journal.segment import SegmentName, SegmentReader, list_segments
from schemas.codec import CODEC, AnyEvent, CodecError
from schemas.column_encoder import ColumnEncoder
from schemas.columns import ColumnError, decode_events
from schemas.frame import PAGE, FrameError, FrameHeader, FrameType

log = logging.getLogger(__name__)

BLOCK_EVENTS = 16_384
_BLOCK_BYTES = 4 << 20
_HASH_BYTES = 4 << 20
_pack = msgspec.msgpack.Encoder().encode


class Archived(NamedTuple):
    """A segment that became an archive."""

    name: SegmentName
    events: int
    segment_bytes: int
    archive_bytes: int


class _Taken(NamedTuple):
    """A frame on its way into a block; `events` is None where its body is kept as it is."""

    header: FrameHeader
    body: bytes
    events: list[AnyEvent] | None


def archive_journal(
    directory: Path,
    *,
    keep: int = 1,
    disk: Disk = DISK,
    rest: Callable[[float], object] | None = None,
    done: Callable[[Archived], object] | None = None,
) -> list[Archived]:
    """Archive every sealed segment but the newest ones, oldest first; stops at the first that fails.

    Args:
        directory: the folder with the segments; a daemon may be writing there.
        keep: how many of the newest segments stay plain, at least 1.
        disk: where everything is written.
        rest: called after each block with the seconds it took; may sleep, and may raise to give up.
        done: called with each archived segment.

    Raises:
        JournalCorruptError: a segment is damaged; it stays as it is.
        JournalLockedError: somebody else is archiving.
        JournalError: the disk refused.
    """
    waiting = list_segments(directory)[: -max(1, keep)]
    if not waiting:
        return []
    folder = directory / ARCHIVE
    made: list[Archived] = []
    try:
        if not folder.is_dir():
            folder.mkdir()
            # The folder must be durable before the first original goes.
        disk.sync_directory(directory)
        with JournalLock(folder):
            for path in sorted(folder.glob("*.tmp")):
                disk.unlink(path)
            encoder = ColumnEncoder()
            for name in waiting:
                made.append(_archive(directory, name, disk, encoder, rest))
                if done is not None:
                    done(made[-1])
    except OSError as error:
        raise JournalError(
            f"{folder}: {error.strerror or error}", hint="the segments are untouched; check space and disk"
        ) from error
    return made


def _archive(
    directory: Path,
    name: SegmentName,
    disk: Disk,
    encoder: ColumnEncoder,
    rest: Callable[[float], object] | None,
) -> Archived:
    final = archive_path(directory, name.number, name.first_seq)
    unfinished = SegmentName(name.number, name.first_seq, final.with_suffix(".tmp"))
    fd = disk.create(unfinished.path)
    try:
        footer = _write(fd, name, disk, encoder, rest)
        disk.sync_file(fd)
        disk.forget(fd)
    except BaseException:
        disk.close(fd)
        unfinished.path.unlink(missing_ok=True)
        raise
    disk.close(fd)
    with ArchiveReader(unfinished) as reader:
        reader.check()
        archive_bytes = reader.file_bytes
    sha256, length = _hash(name.path)
    if (sha256, length) != (footer.sha256, footer.segment_bytes):
        raise JournalCorruptError(f"{name.path}: reads differently the second time")
    disk.rename(unfinished.path, final)
    disk.sync_directory(final.parent)
    disk.unlink(name.path)
    disk.sync_directory(directory)
    return Archived(name, footer.events, length, archive_bytes)


def _hash(path: Path) -> tuple[bytes, int]:
    sha, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(_HASH_BYTES):
            sha.update(data)
            length += len(data)
    return sha.digest(), length


def _write(
    fd: int,
    name: SegmentName,
    disk: Disk,
    encoder: ColumnEncoder,
    rest: Callable[[float], object] | None,
) -> Footer:
    """Write a segment's archive; return its footer."""
    sha256, length = _hash(name.path)
    try:
        with SegmentReader(name) as reader:
            blocks = _write_blocks(fd, reader, disk, encoder, rest)
            if reader.sealed is None or reader.offset != length:
                raise JournalCorruptError(f"{name.path}: does not end with its seal")
            footer = Footer(
                blocks=blocks,
                seal=reader.sealed,
                seal_crc=reader.previous_crc,
                sha256=sha256,
                segment_bytes=length,
                events=sum(entry.events for entry in blocks),
            )
    except FrameError as error:
        raise JournalCorruptError(f"{name.path}, byte {error.offset}: {error.reason}") from error
    packed = _pack(footer)
    disk.write(fd, [packed, pack_end(packed)], blocks[-1].offset + blocks[-1].length)
    return footer


def _write_blocks(
    fd: int,
    reader: SegmentReader,
    disk: Disk,
    encoder: ColumnEncoder,
    rest: Callable[[float], object] | None,
) -> list[BlockEntry]:
    with reader.name.path.open("rb") as file:
        disk.write(fd, [pack_header(file.read(PAGE))], 0)
    blocks: list[BlockEntry] = []
    offset, seq = HEADER_BYTES, reader.header.first_seq
    for taken in _blocks(reader):
        started = time.perf_counter()
        data = _pack_block(taken, encoder)
        disk.write(fd, [data], offset)
        blocks.append(
            BlockEntry(
                offset=offset,
                length=len(data),
                crc=crc32(data),
                first_seq=seq,
                next_seq=reader.next_seq,
                frames=len(taken),
                events=sum(item.header.event_count for item in taken),
            )
        )
        offset, seq = offset + len(data), reader.next_seq
        if rest is not None:
            rest(time.perf_counter() - started)
    return blocks


def _blocks(reader: SegmentReader) -> Iterator[list[_Taken]]:
    """Yield a segment's frames in runs of about `BLOCK_EVENTS` events; the reader stands behind each run."""
    taken: list[_Taken] = []
    events, length = 0, 0
    for header, view in reader.frames():
        body = bytes(view)
        taken.append(_Taken(header, body, _events(header, body)))
        events += header.event_count
        length += len(body)
        if events >= BLOCK_EVENTS or length >= _BLOCK_BYTES or len(taken) >= BLOCK_EVENTS:
            yield taken
            taken, events, length = [], 0, 0
    if taken:
        yield taken


def _events(header: FrameHeader, body: bytes) -> list[AnyEvent] | None:
    """Return a frame's events if the codec writes the very same bytes for them."""
    if header.type is not FrameType.DATA:
        return None
    try:
        events = CODEC.decode(body)
        return events if CODEC.encode(events) == body and len(events) == header.event_count else None
    except CodecError:
        return None


def _pack_block(taken: list[_Taken], encoder: ColumnEncoder) -> bytes:
    """Return a block; events that do not come out of their columns as they went in are kept as bodies."""
    events = [event for item in taken for event in item.events or ()]
    columns = encoder.encode(events)
    if not _comes_back(columns, events):
        log.error("events of a block do not come back from their columns; kept as they were")
        taken = [item._replace(events=None) for item in taken]
        columns = encoder.encode([])
    raws = [item.body for item in taken if item.events is None]
    headers = [item.header for item in taken]
    return _pack(
        Block(
            frames=len(taken),
            types=encoder.numbers("types", [int(header.type) for header in headers]),
            counts=encoder.numbers("counts", [header.event_count for header in headers]),
            append_ns=encoder.numbers("append_ns", [header.append_ns for header in headers]),
            epochs=encoder.numbers("epochs", [header.schema_epoch for header in headers]),
            columnar=encoder.numbers("columnar", [int(item.events is not None) for item in taken]),
            raw_count=len(raws),
            raws=encoder.values(raws),
            events=columns,
        )
    )


def _comes_back(columns: bytes, events: list[AnyEvent]) -> bool:
    try:
        return CODEC.encode(decode_events(columns)) == CODEC.encode(events)
    except (ColumnError, CodecError):
        return False
