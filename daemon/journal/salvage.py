"""Finds what is whole in a damaged segment, plain or archived, and what is lost; changes nothing.

A frame counts when its header names its own place and the segment's nonce, and both checksums hold;
links between frames are not asked for.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import ArchiveReader, BlockEntry, KeptFrame, header_of
from daemon.journal.errors import JournalCorruptError
from daemon.journal.segment import SegmentName
from schemas.codec import CODEC, CodecError
from schemas.frame import (
    CODEC_MSGPACK,
    FRAME_HEADER_BYTES,
    PAGE,
    FrameError,
    FrameHeader,
    FrameType,
    NewerFormatError,
    SegmentHeader,
    body_crc,
    unpack_frame_header,
    unpack_segment_header,
)
from schemas.trailer import TrailerError, decode_gap, decode_seal

_ZEROS = bytes(PAGE)
ARCHIVE_SUFFIX = ".zst"


class Salvaged(NamedTuple):
    """A whole frame."""

    header: FrameHeader
    body: bytes


class Hole(NamedTuple):
    """Bytes that are no frame, and why."""

    offset: int
    end: int
    reason: str


class Loss(NamedTuple):
    """Damage at one place; events from `lost_from` up to (not with) `next_seq` are gone, perhaps none."""

    segment: str
    from_byte: int
    to_byte: int
    lost_from: int
    next_seq: int
    reason: str

    @property
    def events(self) -> int:
        """How many events are lost here."""
        return self.next_seq - self.lost_from


class Place(NamedTuple):
    """A segment as its neighbours say it should be; `path` is None where the file is missing."""

    number: int
    first_seq: int
    path: Path | None
    next_first_seq: int | None

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.path.name if self.path else f"segment {self.number} (missing)"

    @property
    def is_archived(self) -> bool:
        """Whether its file is an archive."""
        return self.path is not None and self.path.suffix == ARCHIVE_SUFFIX


def read_header(path: Path, number: int) -> SegmentHeader | None:
    """Return a segment's header, or None where it is damaged.

    Raises:
        NewerFormatError: a newer taped wrote it; nothing here may call that damage.
    """
    try:
        if path.suffix == ARCHIVE_SUFFIX:
            return _archive_header(path, number)
        with path.open("rb") as file:
            return unpack_segment_header(file.read(PAGE), segment=number)
    except NewerFormatError:
        raise
    except FrameError:
        return None


def _archive_header(path: Path, number: int) -> SegmentHeader | None:
    try:
        return header_of(SegmentName(number, int(path.name[11:31]), path))
    except JournalCorruptError:
        return None


def salvage_archive(path: Path, number: int, first_seq: int) -> Iterator[Salvaged | Hole]:
    """Yield the frames of an archive's whole blocks, and its holes.

    Without its header and footer an archive does not tell where its blocks are: then it is one hole.
    """
    try:
        reader = ArchiveReader(SegmentName(number, first_seq, path))
    except JournalCorruptError as error:
        yield Hole(0, path.stat().st_size, error.message)
        return
    with reader:
        for entry in reader.footer.blocks:
            end = entry.offset + entry.length
            try:
                frames = reader.frames_of(entry)
            except JournalCorruptError as error:
                yield Hole(entry.offset, end, error.message)
                continue
            seq = entry.first_seq
            for item in frames:
                found = Salvaged(_kept_header(item, seq, entry, reader.header.nonce), item.body)
                yield found
                seq = seq_after(found)


def _kept_header(item: KeptFrame, seq: int, entry: BlockEntry, nonce: bytes) -> FrameHeader:
    """Return a header for what is written anew: its links are made then, so they are left out."""
    return FrameHeader(
        0,
        0,
        0,
        seq,
        entry.offset,
        item.append_ns,
        len(item.body),
        item.event_count,
        item.type,
        CODEC_MSGPACK,
        item.epoch,
        nonce,
    )


def salvage(path: Path, number: int, nonce: bytes | None) -> Iterator[Salvaged | Hole]:
    """Yield a segment's whole frames and its holes in order of place, up to its seal or last frame.

    What stands behind the last frame is a hole unless it is all zeros.

    Args:
        path: the segment file.
        number: its number, for messages.
        nonce: that of the header; None where the header is damaged: then the first whole frame tells.
    """
    with path.open("rb") as file:
        if file.seek(0, 2) <= PAGE:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _salvage(data, number, nonce)


def _salvage(data: mmap.mmap, number: int, nonce: bytes | None) -> Iterator[Salvaged | Hole]:
    offset, hole_at, reason = PAGE, -1, ""
    end = len(data)
    while offset < end:
        found = _frame_at(data, offset, number, nonce)
        if isinstance(found, str):
            if hole_at < 0:
                hole_at, reason = offset, found
            offset += PAGE
            continue
        if hole_at >= 0:
            yield Hole(hole_at, offset, reason)
            hole_at = -1
        nonce = found.header.nonce
        yield found
        offset += found.header.total_bytes
        if found.header.type is FrameType.SEAL:
            break
    written = _end_of_bytes(data, offset if hole_at < 0 else hole_at)
    if written is not None:
        yield Hole(offset if hole_at < 0 else hole_at, written, reason or "bytes behind the seal")


def _frame_at(data: mmap.mmap, offset: int, number: int, nonce: bytes | None) -> Salvaged | str:
    """Return the frame at a place, or why there is none."""
    try:
        header = unpack_frame_header(
            data[offset : offset + FRAME_HEADER_BYTES], segment=number, offset=offset
        )
    except FrameError as error:
        return error.reason
    if header is None:
        return "unwritten"
    if nonce not in (None, header.nonce):
        return "frame of another segment"
    content = data[offset + FRAME_HEADER_BYTES : offset + header.total_bytes]
    if len(content) < header.total_bytes - FRAME_HEADER_BYTES or body_crc(content) != header.body_crc:
        return "the body does not match its checksum"
    body = content[: header.body_bytes]
    return _why_unreadable(header, body) or Salvaged(header, body)


def _why_unreadable(header: FrameHeader, body: bytes) -> str | None:
    try:
        match header.type:
            case FrameType.DATA:
                count = CODEC.count_types(body).total()
                if count != header.event_count:
                    return f"{count} events, the header says {header.event_count}"
            case FrameType.SEAL:
                decode_seal(body)
            case FrameType.GAP:
                decode_gap(body)
            case FrameType.MARK:
                pass
    except (CodecError, TrailerError) as error:
        return error.message
    return None


def _end_of_bytes(data: mmap.mmap, offset: int) -> int | None:
    """Return the page behind the last one that is not all zeros, or None where all are, from `offset` on."""
    last = None
    for at in range(offset, len(data), PAGE):
        page = data[at : at + PAGE]
        if page != _ZEROS[: len(page)]:
            last = at + len(page)
    return last


def content(place: Place, watermark: int) -> Iterator[Salvaged | Loss]:
    """Yield what a segment is to hold: its whole DATA and GAP frames, and a loss for each damage.

    Args:
        place: the segment.
        watermark: for the last one, the highest number that anybody was told of.
    """
    next_seq = place.first_seq
    hole: Hole | None = None
    sealed = False
    for item in _all_of(place):
        if isinstance(item, Hole):
            hole = _join(hole, item)
            continue
        first_seq, offset = item.header.first_seq, item.header.offset
        if first_seq < next_seq:
            again = f"first seq {first_seq}, expected {next_seq}"
            hole = _join(hole, Hole(offset, offset + item.header.total_bytes, again))
            continue
        if hole is not None or first_seq > next_seq:
            hole = hole or Hole(offset, offset, "frames are missing")
            yield Loss(place.label, hole.offset, hole.end, next_seq, first_seq, hole.reason)
            next_seq, hole = first_seq, None
        sealed = sealed or item.header.type is FrameType.SEAL
        if item.header.type in (FrameType.DATA, FrameType.GAP):
            yield item
            next_seq = seq_after(item)
    hole = hole or _missing_end(place, next_seq, watermark, sealed=sealed)
    if hole is not None:
        end = max(next_seq, place.next_first_seq or 0, watermark + 1)
        yield Loss(place.label, hole.offset, hole.end, next_seq, end, hole.reason)


def _all_of(place: Place) -> Iterator[Salvaged | Hole]:
    if place.path is None:
        yield Hole(0, 0, "the file is missing")
        return
    if place.path.suffix == ARCHIVE_SUFFIX:
        yield from salvage_archive(place.path, place.number, place.first_seq)
        return
    header = read_header(place.path, place.number)
    if header is None:
        yield Hole(0, PAGE, "the segment's header is damaged")
    yield from salvage(place.path, place.number, header.nonce if header else None)


def _missing_end(place: Place, next_seq: int, watermark: int, *, sealed: bool) -> Hole | None:
    size = place.path.stat().st_size if place.path else 0
    if not sealed and place.next_first_seq is not None:
        return Hole(size, size, "the seal is missing")
    known = max(place.next_first_seq or 0, watermark + 1)
    if next_seq < known:
        return Hole(size, size, f"ends here, but events up to seq {known - 1} were known")
    return None


def _join(before: Hole | None, after: Hole) -> Hole:
    return after if before is None else Hole(before.offset, after.end, before.reason)


def seq_after(item: Salvaged | Loss) -> int:
    """Return the number that follows a frame or a loss."""
    if isinstance(item, Loss):
        return item.next_seq
    if item.header.type is FrameType.GAP:
        return decode_gap(item.body).next_seq
    return item.header.first_seq + item.header.event_count
