"""Layout of a base state, `{segment:010d}-{first_seq:020d}.base`: bytes in, bytes out, no files.

A journal whose oldest segments are gone begins with a base state: what their events came to. The
state itself is told by names (`schemas.layouts`, columns of tables), so that later code can read it.

    base state header, 192 bytes
      0    8   magic "TAPEDBAS"
      8    4   format version
     12    4   CRC-32 of the other 188 bytes
     16    8   segment number
     24    8   first sequence number
     32   16   journal uuid
     48   32   SHA-256 of the segment before
     80    4   header CRC of the frame before
     84    4   zeros
     88    8   made_ns
     96    8   length of the core's state
    104   32   SHA-256 of the core's state
    136    8   length of the tables
    144   32   SHA-256 of the tables
    176   16   zeros
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from schemas.errors import TapedError

MAGIC = b"TAPEDBAS"
VERSION = 1
HEADER_BYTES = 192
_HEADER = struct.Struct("<8sIIQQ16s32sI4xQQ32sQ32s16x")
_CRC = struct.Struct("<I")
_CRC_AT = 12


class BaseStateError(TapedError):
    """A base state is damaged, or not one that can be read here."""


class Section(NamedTuple):
    """Bytes of the file: how many, and their SHA-256."""

    length: int
    sha256: bytes


class BaseHeader(NamedTuple):
    """What a base state says of itself.

    The state is that after event `first_seq - 1`; `previous_sha256` and `previous_crc` are what the
    header of the segment `segment` says of the one before it.
    """

    segment: int
    first_seq: int
    journal: bytes
    previous_sha256: bytes
    previous_crc: int
    made_ns: int
    core: Section
    tables: Section


def pack_base_header(header: BaseHeader) -> bytes:
    """Return the first bytes of the file."""
    data = bytearray(
        _HEADER.pack(MAGIC, VERSION, 0, *header[:6], *header.core, *header.tables),
    )
    _CRC.pack_into(data, _CRC_AT, _crc(data))
    return bytes(data)


def unpack_base_header(data: bytes) -> BaseHeader:
    """Read the first bytes of the file.

    Raises:
        BaseStateError: they are damaged, or a newer taped wrote them.
    """
    if len(data) != HEADER_BYTES or data[:8] != MAGIC:
        raise BaseStateError(f"{data[:8]!r}, expected the {HEADER_BYTES} bytes behind {MAGIC!r}")
    _, version, crc, segment, first_seq, journal, sha256, previous_crc, made_ns, *rest = _HEADER.unpack(data)
    if crc != _crc(data):
        raise BaseStateError(f"header crc {_crc(data):08x}, expected {crc:08x}")
    if version > VERSION:
        raise BaseStateError(
            f"format {version}, this taped reads up to {VERSION}",
            hint="a newer taped wrote it: upgrade taped",
        )
    core, tables = Section(*rest[:2]), Section(*rest[2:])
    return BaseHeader(segment, first_seq, journal, sha256, previous_crc, made_ns, core, tables)


def _crc(data: bytes | bytearray) -> int:
    return crc32(data[_CRC_AT + _CRC.size :], crc32(data[:_CRC_AT]))
