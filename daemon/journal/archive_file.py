"""Archived segments: the layout of `archive/*.evl.zst`, and reading them; writes nothing.

    archive header, 112 bytes
      0    8   magic "TAPEDARC"
      8    4   format version
     12    4   CRC-32 of the other 108 bytes
     16   96   bytes 0..96 of the segment's header

    then the blocks, one behind the other, each readable without the others; then the footer, an array
    in msgpack, see `Footer`; then

    end, 16 bytes
      0    4   length of the footer
      4    4   CRC-32 of the footer
      8    8   magic "TAPEDEND"

A block holds whole frames: of each its type, count, append_ns and schema epoch, and the events of
all of them as columns. A body that the codec would not write the same way is kept as it was. All else
in a frame follows from these, so the segment can be made again to the byte, and with it every
checksum, the chain and the SHA-256 of the seal.
"""

from __future__ import annotations

import hashlib
import os
import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import TracebackType
from typing import Any, NamedTuple, Self
from zlib import crc32

import msgspec
import zstandard

from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.segment import SegmentName, SegmentReader
from schemas import frame
from schemas.codec import CODEC, AnyEvent, CodecError
from schemas.columns import (
    Column,
    ColumnError,
    count_types,
    decode_column,
    decode_events,
    decode_rows,
    encode_rows,
)
from schemas.frame import MAX_BODY_BYTES, PAGE, FrameError, FrameType, NewerFormatError, SegmentHeader
from schemas.trailer import Seal, TrailerError, decode_gap

MAGIC = b"TAPEDARC"
END_MAGIC = b"TAPEDEND"
VERSION = 1
HEADER_BYTES = 112
KEPT_HEADER_BYTES = 96
_HEADER = struct.Struct("<8sII")
_END = struct.Struct("<II8s")
_CRC = struct.Struct("<I")
_EPOCH = struct.Struct("<H")
_EPOCH_AT = 50
_MAX_FRAMES = 1 << 20


_LIES = (
    ColumnError,
    CodecError,
    TrailerError,
    msgspec.MsgspecError,
    zstandard.ZstdError,
    struct.error,
    LookupError,
    OverflowError,
    RuntimeError,  # RecursionError is one.
    TypeError,
    ValueError,
)
"""What reading a block may raise whose checksum holds and whose content lies: no other way to tell it."""


class BlockEntry(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Where a block stands and what it holds: events from `first_seq` up to (not with) `next_seq`."""

    offset: int
    length: int
    crc: int
    first_seq: int
    next_seq: int
    frames: int
    events: int


class Footer(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What the archive holds; `sha256` and `segment_bytes` are of the whole segment file, seal included."""

    blocks: list[BlockEntry]
    seal: Seal
    seal_crc: int
    sha256: bytes
    segment_bytes: int
    events: int


class Block(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Frames as columns; `columnar` is 1 where the events are in `events`, 0 where a body is in `raws`."""

    frames: int
    types: Column
    counts: Column
    append_ns: Column
    epochs: Column
    columnar: Column
    raw_count: int
    raws: Column
    events: bytes


class _Frame(NamedTuple):
    type: FrameType
    event_count: int
    append_ns: int
    epoch: int
    raw: bytes | None


class KeptFrame(NamedTuple):
    """A frame of the segment as it was, by what cannot be made again."""

    type: FrameType
    event_count: int
    append_ns: int
    epoch: int
    body: bytes


class Checked(NamedTuple):
    """What a whole check of an archive counted."""

    frames: int
    events: int
    type_ids: Counter[int]


_footer_decoder = msgspec.msgpack.Decoder(Footer)
_block_decoder = msgspec.msgpack.Decoder(Block)


def pack_header(segment_page: bytes) -> bytes:
    """Return the first 112 bytes of the archive of a segment with this header page."""
    kept = segment_page[:KEPT_HEADER_BYTES]
    version = struct.pack("<I", VERSION)
    return _HEADER.pack(MAGIC, VERSION, crc32(MAGIC + version + kept)) + kept


def pack_end(footer: bytes) -> bytes:
    """Return the last 16 bytes of an archive."""
    return _END.pack(len(footer), crc32(footer), END_MAGIC)


class ArchiveReader:
    """Reads one archived segment; every block is checked before it is decoded.

    Attributes:
        header: the segment's own header.
        footer: what the archive holds.
        file_bytes: length of the archive.

    Raises:
        JournalCorruptError: it is damaged.
        JournalError: it cannot be read, or a newer taped wrote it.
    """

    def __init__(self, name: SegmentName) -> None:
        self.name = name
        try:
            self._fd = os.open(name.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"{name.path}: {error.strerror}") from error
        try:
            self.file_bytes = os.fstat(self._fd).st_size
            self.page = self._read_page()
            self.header = self._check_header()
            self.footer = self._read_footer()
        except BaseException:
            os.close(self._fd)
            raise

    def _read_page(self) -> bytes:
        data = os.pread(self._fd, HEADER_BYTES, 0)
        if len(data) < HEADER_BYTES or data[:8] != MAGIC:
            raise self._damaged(0, "not an archived segment")
        _, version, crc = _HEADER.unpack_from(data)
        if crc32(data[:12] + data[16:]) != crc:
            raise self._damaged(0, "header crc differs")
        if version != VERSION:
            raise JournalError(
                f"{self.name.path}: archive format {version}, this taped reads up to {VERSION}: upgrade taped"
            )
        page = data[16:] + bytes(PAGE - 4 - KEPT_HEADER_BYTES)
        return page + _CRC.pack(crc32(page))

    def _check_header(self) -> SegmentHeader:
        header = frame.unpack_segment_header(self.page, segment=self.name.number)
        if (header.number, header.first_seq) != (self.name.number, self.name.first_seq):
            raise self._damaged(0, f"holds segment {header.number} from seq {header.first_seq}")
        return header

    def _read_footer(self) -> Footer:
        end = os.pread(self._fd, _END.size, max(0, self.file_bytes - _END.size))
        if len(end) < _END.size or end[-8:] != END_MAGIC:
            raise self._damaged(self.file_bytes, "the end is missing")
        length, crc, _ = _END.unpack(end)
        start = self.file_bytes - _END.size - length
        if start < HEADER_BYTES:
            raise self._damaged(start, "the footer is longer than the file")
        data = os.pread(self._fd, length, start)
        if crc32(data) != crc:
            raise self._damaged(start, "footer crc differs")
        try:
            footer = _footer_decoder.decode(data)
        except msgspec.MsgspecError as error:
            raise self._damaged(start, f"not a footer: {error}") from error
        self._check_blocks(footer, start)
        return footer

    def _check_blocks(self, footer: Footer, end: int) -> None:
        blocks = footer.blocks
        if not blocks or blocks[0].offset != HEADER_BYTES or blocks[0].first_seq != self.header.first_seq:
            raise self._damaged(end, "the first block is not where it must be")
        for before, after in pairwise(blocks):
            if (before.offset + before.length, before.next_seq) != (after.offset, after.first_seq):
                raise self._damaged(after.offset, "does not follow the block before")
        if (blocks[-1].offset + blocks[-1].length, blocks[-1].next_seq) != (end, footer.seal.next_seq):
            raise self._damaged(end, "the last block does not end where the footer begins")

    def _damaged(self, offset: int, reason: str) -> JournalCorruptError:
        return JournalCorruptError(f"{self.name.path}, byte {offset}: {reason}")

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, first_seq: int = 1) -> Iterator[tuple[int, list[AnyEvent], int]]:
        """Yield `(first seq, events, append_ns)` of each DATA frame from the block on that holds `first_seq`.

        Raises:
            JournalCorruptError: a block is damaged.
        """
        blocks = self.footer.blocks
        # Of blocks without events several begin at one number; the last of them holds that event.
        start = max(0, bisect_right([entry.first_seq for entry in blocks], first_seq) - 1)
        for entry in blocks[start:]:
            block, frames = self._read_block(entry)
            try:
                yield from _batches(entry, frames, decode_events(block.events))
            except _LIES as error:
                raise self._damaged(entry.offset, f"not what it says: {error}") from error

    def _read_block(self, entry: BlockEntry) -> tuple[Block, list[_Frame]]:
        data = os.pread(self._fd, entry.length, entry.offset)
        if len(data) != entry.length or crc32(data) != entry.crc:
            raise self._damaged(entry.offset, "block crc differs")
        try:
            block = _block_decoder.decode(data)
            return block, _frames(block)
        except _LIES as error:
            raise self._damaged(entry.offset, f"not a block: {error}") from error

    def frames_of(self, entry: BlockEntry) -> list[KeptFrame]:
        """Return the frames of one block.

        Raises:
            JournalCorruptError: it is damaged.
        """
        block, frames = self._read_block(entry)
        try:
            bodies = _bodies(frames, decode_rows(block.events))
            return [
                KeptFrame(item.type, item.event_count, item.append_ns, item.epoch, bytes(body))
                for item, body in zip(frames, bodies, strict=True)
            ]
        except _LIES as error:
            raise self._damaged(entry.offset, f"not what it says: {error}") from error

    def segment(self) -> Iterator[bytes]:
        """Yield the bytes of the segment file as it was, a frame at a time, header page first.

        Raises:
            JournalCorruptError: the archive is damaged.
        """
        yield self.page
        crc, seq, offset = self.header.previous_crc, self.header.first_seq, PAGE
        for entry in self.footer.blocks:
            block, frames = self._read_block(entry)
            try:
                for item, body in zip(frames, _bodies(frames, decode_rows(block.events)), strict=True):
                    data, crc = _pack_frame(item, body, self.header.nonce, (crc, seq, offset))
                    yield data
                    offset += len(data)
                    seq = decode_gap(body).next_seq if item.type is FrameType.GAP else seq + item.event_count
            except _LIES as error:
                raise self._damaged(entry.offset, f"not what it says: {error}") from error
        if (crc, seq) != (self.footer.seal_crc, self.footer.seal.next_seq):
            raise self._damaged(self.file_bytes, "the frames do not end as the seal says")

    def check(self, advance: Callable[[int], None] | None = None) -> Checked:
        """Make the whole segment again and compare its hashes: the seal's own, and that of the file.

        Args:
            advance: called with the bytes of the archive that were checked since the last call.

        Raises:
            JournalCorruptError: the archive is not what it was made from.
        """
        type_ids: Counter[int] = Counter()
        for entry in self.footer.blocks:
            block, frames = self._read_block(entry)
            type_ids += count_types(block.events)
            for item in frames:
                if item.type is FrameType.DATA and item.raw is not None:
                    type_ids += CODEC.count_types(item.raw)
        sha, before_seal, length, last = hashlib.sha256(), b"", 0, 0
        for data in self.segment():
            before_seal = sha.digest()
            sha.update(data)
            last = len(data)
            length += last
        if (sha.digest(), length) != (self.footer.sha256, self.footer.segment_bytes):
            raise self._damaged(HEADER_BYTES, "the segment made from it is not the one it was made of")
        if before_seal != self.footer.seal.sha256:
            raise self._damaged(HEADER_BYTES, "SHA-256 differs from the seal's")
        if advance is not None:
            advance(self.file_bytes)
        return Checked(sum(entry.frames for entry in self.footer.blocks), type_ids.total(), type_ids)


def _frames(block: Block) -> list[_Frame]:
    count = block.frames
    if not 0 <= count <= _MAX_FRAMES:
        raise ColumnError(f"{count} frames in a block")
    raws = iter(decode_column(block.raws, block.raw_count))
    fields = [block.types, block.counts, block.append_ns, block.epochs, block.columnar]
    rows: Iterator[tuple[Any, ...]] = zip(*(decode_column(column, count) for column in fields), strict=True)
    return [
        _Frame(FrameType(type_), events, append_ns, epoch, None if columnar else next(raws, b""))
        for type_, events, append_ns, epoch, columnar in rows
    ]


def _batches(
    entry: BlockEntry, frames: list[_Frame], events: list[AnyEvent]
) -> Iterator[tuple[int, list[AnyEvent], int]]:
    seq, at = entry.first_seq, 0
    for item in frames:
        if item.type is FrameType.DATA:
            if item.raw is None:
                found = events[at : at + item.event_count]
                at += item.event_count
            else:
                found = CODEC.decode(item.raw)
            if len(found) != item.event_count:
                raise ColumnError(f"frame of seq {seq} has {len(found)} events, expected {item.event_count}")
            yield seq, found, item.append_ns
        if item.type is FrameType.GAP:
            seq = decode_gap(item.raw or b"").next_seq
        else:
            seq += item.event_count


def _bodies(frames: list[_Frame], rows: list[Any]) -> Iterator[bytes]:
    at = 0
    for item in frames:
        if item.raw is None:
            yield encode_rows(rows[at : at + item.event_count])
            at += item.event_count
        else:
            yield item.raw


def _pack_frame(item: _Frame, body: bytes, nonce: bytes, place: tuple[int, int, int]) -> tuple[bytes, int]:
    """Return a frame's bytes and its header CRC; `place` is the chain, the first seq and the offset."""
    previous_crc, first_seq, offset = place
    if len(body) > MAX_BODY_BYTES:
        raise ColumnError(f"a frame of {len(body)} bytes, at most {MAX_BODY_BYTES} are written")
    buffers, crc, _ = frame.pack_frame(
        body,
        previous_crc=previous_crc,
        first_seq=first_seq,
        offset=offset,
        append_ns=item.append_ns,
        event_count=item.event_count,
        type_=item.type,
        nonce=nonce,
    )
    if item.epoch != frame.SCHEMA_EPOCH:
        head = bytearray(buffers[0])
        _EPOCH.pack_into(head, _EPOCH_AT, item.epoch)
        crc = crc32(head[8:])
        _CRC.pack_into(head, 4, crc)
        buffers[0] = bytes(head)
    return b"".join(buffers), crc


def read_ends(name: SegmentName) -> tuple[SegmentHeader, Seal, int]:
    """Return an archived segment's header, its seal and the header CRC of the seal's frame.

    Raises:
        JournalCorruptError: header or footer is damaged.
    """
    try:
        with ArchiveReader(name) as reader:
            return reader.header, reader.footer.seal, reader.footer.seal_crc
    except FrameError as error:
        raise JournalCorruptError(f"{name.path}: {error.reason}") from error


def header_of(name: SegmentName) -> SegmentHeader:
    """Return the header of a segment, archived or not.

    Raises:
        JournalCorruptError: it is damaged.
        NewerFormatError: a newer taped wrote it.
        JournalError: the file cannot be read.
    """
    try:
        with SegmentReader(name) if name.path.suffix != ".zst" else ArchiveReader(name) as reader:
            return reader.header
    except NewerFormatError:
        raise
    except FrameError as error:
        raise JournalCorruptError(f"{name.path}: {error.reason}") from error
