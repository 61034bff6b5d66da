"""Frame layout of a journal segment: bytes in, bytes out, no files.

    segment header, 4096 bytes                     frame header, 64 bytes
    0   8  magic "TAPEDEVL"                        0   4  magic "TPFR"
    8   4  format version                          4   4  CRC-32 of bytes 8..64
    12  4  header CRC of the previous frame        8   4  CRC-32 of body and padding
    16  8  segment number                          12  4  header CRC of the frame before
    24  8  first sequence number                   16  8  first sequence number
    32  8  created_ns                              24  8  own offset in the file
    40 16  journal uuid                            32  8  append_ns
    56  8  nonce                                   40  4  body length
    64 32  SHA-256 of the previous segment         44  4  count of events
    96     zeros                                   48  1  type
    4092 4 CRC-32 of bytes 0..4092                 49  1  codec
                                                   50  2  schema epoch
    All integers are little-endian.                52  8  nonce of the segment
                                                   60  4  zeros

A frame is header, body and zero padding to a multiple of 4096, so an append never touches a page
that was durable before. A zero where a frame's magic should be means "unwritten".
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

from schemas.errors import TapedError

PAGE = 4096
FORMAT_VERSION = 1
SCHEMA_EPOCH = 1
CODEC_MSGPACK = 1
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_EVENTS = 65_536
SEGMENT_MAGIC = b"TAPEDEVL"
FRAME_MAGIC = b"TPFR"
FRAME_HEADER_BYTES = 64

_SEGMENT = struct.Struct("<8sIIQQQ16s8s32s")
_FRAME = struct.Struct("<4sIIIQQQIIBBH8s4x")
_CHECKED = struct.Struct("<IIQQQIIBBH8s4x")  # The frame header from byte 8 on.
_PREFIX = struct.Struct("<4sI")
_CRC = struct.Struct("<I")
_ZEROS = bytes(PAGE)


class FrameError(TapedError):
    """Bytes are not the frame or segment header they should be.

    Attributes:
        offset: byte in the segment file.
        reason: what was found and what was expected.
    """

    def __init__(self, *, segment: int, offset: int, reason: str) -> None:
        super().__init__(f"segment {segment}, byte {offset}: {reason}", hint="see `taped journal verify`")
        self.segment = segment
        self.offset = offset
        self.reason = reason


class NewerFormatError(FrameError):
    """The segment was written by a newer taped; it may be perfectly whole."""


class FrameType(IntEnum):
    """What a frame's body holds."""

    DATA = 1
    MARK = 2
    SEAL = 3
    GAP = 4


class SegmentHeader(NamedTuple):
    """The first page of a segment file."""

    number: int
    first_seq: int
    created_ns: int
    journal: bytes
    nonce: bytes
    previous_sha256: bytes
    previous_crc: int


class FrameHeader(NamedTuple):
    """The first 64 bytes of a frame; `crc` is its own header CRC, the next frame's `previous_crc`."""

    crc: int
    body_crc: int
    previous_crc: int
    first_seq: int
    offset: int
    append_ns: int
    body_bytes: int
    event_count: int
    type: FrameType
    codec: int
    schema_epoch: int
    nonce: bytes

    @property
    def total_bytes(self) -> int:
        """Length of the whole frame on disk, padding included."""
        return frame_bytes(self.body_bytes)


def frame_bytes(body_bytes: int) -> int:
    """Return the length on disk of a frame with a body of that length."""
    return -(-(FRAME_HEADER_BYTES + body_bytes) // PAGE) * PAGE


def pack_segment_header(header: SegmentHeader) -> bytes:
    """Return the 4096 bytes that open a segment file."""
    head = _SEGMENT.pack(
        SEGMENT_MAGIC,
        FORMAT_VERSION,
        header.previous_crc,
        header.number,
        header.first_seq,
        header.created_ns,
        header.journal,
        header.nonce,
        header.previous_sha256,
    )
    page = head + bytes(PAGE - 4 - len(head))
    return page + _CRC.pack(crc32(page))


def unpack_segment_header(page: bytes, *, segment: int) -> SegmentHeader:
    """Read the first 4096 bytes of a segment file.

    Args:
        page: exactly those bytes.
        segment: the number in the file's name, for messages.

    Raises:
        NewerFormatError: the format version is above ours.
        FrameError: anything else is not as `pack_segment_header` writes it.
    """
    if len(page) != PAGE:
        raise FrameError(segment=segment, offset=0, reason=f"header has {len(page)} bytes, expected {PAGE}")
    magic, version, previous_crc, number, first_seq, created_ns, journal, nonce, sha = _SEGMENT.unpack_from(
        page
    )
    if magic != SEGMENT_MAGIC:
        raise FrameError(segment=segment, offset=0, reason=f"magic {magic!r}, expected {SEGMENT_MAGIC!r}")
    found = crc32(page[:-4])
    (expected,) = _CRC.unpack_from(page, PAGE - 4)
    if found != expected:
        raise FrameError(segment=segment, offset=0, reason=f"header crc {found:08x}, expected {expected:08x}")
    if version != FORMAT_VERSION:
        raise NewerFormatError(
            segment=segment,
            offset=8,
            reason=f"format version {version}, this taped reads up to {FORMAT_VERSION}: upgrade taped",
        )
    return SegmentHeader(number, first_seq, created_ns, journal, nonce, sha, previous_crc)


def pack_frame(
    body: bytes,
    *,
    previous_crc: int,
    first_seq: int,
    offset: int,
    append_ns: int,
    event_count: int,
    type_: FrameType,
    nonce: bytes,
) -> tuple[list[bytes], int, int]:
    """Return `(buffers to write, header CRC, total bytes)` of a frame.

    The body is not copied: the buffers go to `pwritev` as they are.
    """
    body_bytes = len(body)
    assert body_bytes <= MAX_BODY_BYTES, "a batch is split before it is framed"
    total = frame_bytes(body_bytes)
    padding = _ZEROS[: total - FRAME_HEADER_BYTES - body_bytes]
    checked = _CHECKED.pack(
        crc32(padding, crc32(body)),
        previous_crc,
        first_seq,
        offset,
        append_ns,
        body_bytes,
        event_count,
        type_,
        CODEC_MSGPACK,
        SCHEMA_EPOCH,
        nonce,
    )
    crc = crc32(checked)
    return [_PREFIX.pack(FRAME_MAGIC, crc) + checked, body, padding], crc, total


def unpack_frame_header(data: bytes | memoryview, *, segment: int, offset: int) -> FrameHeader | None:
    """Read the frame header at the start of `data`; None when the place was never written.

    Only the header's own CRC, place, type and limits are checked here, so a damaged length cannot
    misframe; the chain and the body are the caller's to check.

    Raises:
        FrameError: the bytes are neither a header nor unwritten.
    """
    if len(data) < FRAME_HEADER_BYTES:
        raise FrameError(segment=segment, offset=offset, reason=f"{len(data)} bytes left, a header has 64")
    magic, crc, *rest = _FRAME.unpack_from(data)
    if magic == b"\0\0\0\0":
        return None
    if magic != FRAME_MAGIC:
        raise FrameError(segment=segment, offset=offset, reason=f"magic {magic!r}, expected {FRAME_MAGIC!r}")
    found = crc32(bytes(data[8:FRAME_HEADER_BYTES]))
    if found != crc:
        raise FrameError(segment=segment, offset=offset, reason=f"header crc {found:08x}, expected {crc:08x}")
    body_crc, previous_crc, first_seq, own_offset, append_ns, body_bytes, count, kind, codec, epoch, nonce = (
        rest
    )
    if own_offset != offset:
        raise FrameError(segment=segment, offset=offset, reason=f"frame says it stands at {own_offset}")
    if body_bytes > MAX_BODY_BYTES or count > MAX_EVENTS:
        raise FrameError(
            segment=segment, offset=offset, reason=f"{body_bytes} bytes, {count} events: over the limit"
        )
    if kind not in FrameType._value2member_map_ or codec != CODEC_MSGPACK:
        # Its checksum holds, so somebody meant it: never a torn tail to be cut.
        raise NewerFormatError(
            segment=segment,
            offset=offset,
            reason=f"frame type {kind}, codec {codec} of a newer taped: upgrade taped",
        )
    return FrameHeader(
        crc,
        body_crc,
        previous_crc,
        first_seq,
        own_offset,
        append_ns,
        body_bytes,
        count,
        FrameType(kind),
        codec,
        epoch,
        nonce,
    )


def body_crc(body_and_padding: bytes | memoryview) -> int:
    """Return the CRC a frame header must hold for these bytes."""
    return crc32(body_and_padding)
