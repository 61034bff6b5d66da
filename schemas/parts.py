"""Many byte strings as one compressed stream, and back, one at a time; no files.

Each part is 4 bytes of length, little-endian, and the part; behind the last one stand four bytes ff. All
of it is one zstd frame.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import IO

import zstandard

from schemas.errors import TapedError

MAX_PART_BYTES = 256 << 20
LEVEL = 1
_LENGTH = struct.Struct("<I")
_END = b"\xff\xff\xff\xff"


class PartsError(TapedError):
    """The stream does not hold whole parts."""


def packed(parts: Iterable[bytes], level: int = LEVEL) -> Iterator[bytes]:
    """Yield the compressed stream piece by piece."""
    compressor = zstandard.ZstdCompressor(level=level).compressobj()
    for part in parts:
        piece = compressor.compress(_LENGTH.pack(len(part)) + part)
        if piece:
            yield piece
    yield compressor.compress(_END) + compressor.flush()


def unpacked(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the parts; what is allocated for one is what its length says, and bounded.

    Raises:
        PartsError: the stream is not what `packed` gave, or ends early.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(stream, closefd=False) as reader:
            while (head := _exactly(reader, _LENGTH.size)) != _END:
                (length,) = _LENGTH.unpack(head)
                if length > MAX_PART_BYTES:
                    raise PartsError(f"a part of {length} bytes, at most {MAX_PART_BYTES} are read")
                yield _exactly(reader, length)
    except zstandard.ZstdError as error:
        raise PartsError(f"not a stream of parts: {error}") from error


def _exactly(reader: IO[bytes], length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = reader.read(length - len(data))
        if not more:
            raise PartsError(f"the stream ends {length - len(data)} bytes early")
        data += more
    return data
