"""A second reader of archived segments that shares no code with the first: msgpack and zstandard only.

It makes the segment again from its archive as `schemas/README.md` draws it, to the byte, and holds its
SHA-256 against the archive's; `tools.independent` then reads that as any other segment. Slow and
simple on purpose.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any
from zlib import crc32

import msgpack
import zstandard

_HEADER, _PAGE, _GAP = 112, 4096, 4
_MOST, _MOST_BYTES = 1 << 20, 256 << 20

_pack = msgpack.Packer(autoreset=True)


OTHER_FORM = (
    TypeError,
    ValueError,
    LookupError,
    OverflowError,
    RuntimeError,
    struct.error,
    msgpack.UnpackException,
    zstandard.ZstdError,
)
"""What comes of bytes whose checksum holds and that are not what the format demands."""


class ArchiveDamagedError(Exception):
    """A byte is not what the format demands; the text says where."""


def segment_of(data: bytes) -> bytes:
    """Return the bytes of the segment an archive was made of.

    Raises:
        ArchiveDamagedError: a checksum does not hold.
        OTHER_FORM: something has another form than it must have.
    """
    blocks, page, seal_crc, sha256, length = _ends(data)
    pieces, at = [page], _PAGE
    chain, seq, nonce = *struct.unpack_from("<I8xQ", page, 12), page[56:64]
    behind = _HEADER
    for offset, size, crc, first_seq, next_seq, frames, _ in blocks:
        block = data[offset : offset + size]
        _demand((offset, first_seq) == (behind, seq), offset, "a block that does not follow")
        _demand(crc32(block) == crc, offset, "block CRC")
        found = 0
        for kind, events, append_ns, epoch, body in _frames(block):
            place = (chain, seq, at, append_ns, len(body), events, kind, 1, epoch, nonce)
            frame, chain = _frame(body, place)
            pieces.append(frame)
            found, at = found + 1, at + len(frame)
            seq = _unpack(body)[1] if kind == _GAP else seq + events
        _demand((found, seq) == (frames, next_seq), offset, f"{found} frames up to seq {seq}")
        behind = offset + size
    whole = b"".join(pieces)
    _demand((chain, len(whole)) == (seal_crc, length), behind, "the frames do not end as the footer says")
    _demand(hashlib.sha256(whole).digest() == sha256, behind, "SHA-256 of the segment")
    return whole


def _ends(data: bytes) -> tuple[Any, bytes, int, bytes, int]:
    """Return the blocks, the segment's header page, and what the footer says of its end."""
    _demand(len(data) > _HEADER + 16 and data[:8] == b"TAPEDARC", 0, "not an archive")
    version, crc = struct.unpack_from("<II", data, 8)
    _demand(version == 1 and crc == crc32(data[:12] + data[16:_HEADER]), 8, "header CRC")
    size, crc, magic = struct.unpack("<II8s", data[-16:])
    footer = data[len(data) - 16 - size : -16]
    _demand(magic == b"TAPEDEND" and crc == crc32(footer), len(data) - 16, "footer CRC")
    blocks, _, seal_crc, sha256, length, _ = _unpack(footer)
    page = data[16:_HEADER] + bytes(_PAGE - 4 - 96)
    return blocks, page + struct.pack("<I", crc32(page)), seal_crc, sha256, length


def _frame(body: bytes, place: tuple[Any, ...]) -> tuple[bytes, int]:
    """Return a frame and the CRC of its header."""
    padding = bytes(-(64 + len(body)) % _PAGE)
    rest = struct.pack("<IIQQQIIBBH8s4x", crc32(body + padding), *place)
    crc = crc32(rest)
    return b"TPFR" + struct.pack("<I", crc) + rest + body + padding, crc


def _frames(block: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    count, *fields, raw_count, raws, events = _unpack(block)
    bodies, rows = iter(_column(raws, raw_count)), iter(rows_of(events))
    for kind, number, append_ns, epoch, columnar in zip(*(_column(c, count) for c in fields), strict=True):
        body = _pack.pack_array_header(number) + b"".join(islice(rows, number)) if columnar else next(bodies)
        yield kind, number, append_ns, epoch, body


def rows_of(batch: bytes) -> Sequence[bytes]:
    """Return the events of a block, each as its bytes in a frame."""
    _, groups, runs, places, lengths = _unpack(batch)
    made = [list(_group(*group)) for group in groups]
    if len(made) == 1:
        return made[0]
    sources = [iter(rows) for rows in made]
    turns = zip(_column(places, runs), _column(lengths, runs), strict=True)
    return [row for place, length in turns for row in islice(sources[place], length)]


def _group(type_id: int, count: int, columns: list[Any]) -> Iterator[bytes]:
    if type_id:
        fields: list[list[Any]] = []
        for column in columns:
            fields.append(_column(column, count, fields))
        yield from (_pack.pack([type_id, *row]) for row in zip(*fields, strict=True))
        return
    data = _inflated(columns[0][1], columns[0][2])
    unpacker = msgpack.Unpacker(max_buffer_size=_MOST_BYTES)
    unpacker.feed(data)
    for _ in range(unpacker.read_array_header()):
        start = unpacker.tell()
        unpacker.skip()
        yield data[start : unpacker.tell()]


def _column(column: list[Any], count: int, earlier: Sequence[list[Any]] = ()) -> list[Any]:
    form, data, size, width, planes, scale, summed, first, reference, keys, parts = column
    _demand(0 <= count <= _MOST, _HEADER, f"a column of {count}")
    if form == 0:
        return [_unpack(data)] * count
    if form == 3:  # noqa: PLR2004  # VALUES
        return list(_unpack(_inflated(data, size)))
    if form == 4:  # noqa: PLR2004  # MIXED
        kinds = _column(parts[0], count)
        sources = [iter(_column(part, kinds.count(n))) for n, part in enumerate(parts[1:], 1)]
        return [next(sources[kind - 1]) if kind else None for kind in kinds]
    stored = count - 1 if summed else count
    numbers = [scale] * stored
    if width:
        raw = _inflated(data, size)
        if planes:
            raw = bytes(raw[plane * stored + n] for n in range(stored) for plane in range(width))
        cells = (raw[at : at + width] for at in range(0, len(raw), width))
        numbers = [int.from_bytes(cell, "little", signed=form == 1) for cell in cells]
        found = _unpack(keys) if form == 2 else ()  # noqa: PLR2004  # CODED
        numbers = [found[number] for number in numbers] if found else [number * scale for number in numbers]
    if summed:
        numbers = list(accumulate(numbers, initial=first))
    return [a + b for a, b in zip(numbers, earlier[reference], strict=True)] if reference >= 0 else numbers


def _inflated(data: bytes, size: int) -> bytes:
    _demand(0 <= size <= _MOST_BYTES, _HEADER, f"a column of {size} bytes")
    if not size:
        return b""
    # Asked before: what a frame says of its own length is allocated, whatever limit is given.
    _demand(zstandard.frame_content_size(data) == size, _HEADER, f"compressed data of {size} bytes")
    return zstandard.ZstdDecompressor().decompress(data)


def _unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, strict_map_key=False)


def _demand(holds: bool, offset: int, reason: str) -> None:  # noqa: FBT001
    if not holds:
        raise ArchiveDamagedError(f"byte {offset}: {reason}")
