"""The header of a base state: the same bytes for ever, and every damage told."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest

from schemas.base_state import (
    HEADER_BYTES,
    BaseHeader,
    BaseStateError,
    Section,
    pack_base_header,
    unpack_base_header,
)

HEADER = BaseHeader(
    segment=3,
    first_seq=201,
    journal=bytes(range(16)),
    previous_sha256=bytes(range(100, 132)),
    previous_crc=0xDEADBEEF,
    made_ns=1_700_000_000 * 10**9,
    core=Section(1000, b"c" * 32),
    tables=Section(2000, b"t" * 32),
)
GOLDEN = (
    "54415045444241530100000058719b1c0300000000000000c900000000000000000102030405060708090a0b0c0d0e0f"
    "6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80818283efbeadde0000000000002a36fe9c9717"
    "e8030000000000006363636363636363636363636363636363636363636363636363636363636363d007000000000000"
    "747474747474747474747474747474747474747474747474747474747474747400000000000000000000000000000000"
)


def test_the_bytes_are_these():
    assert pack_base_header(HEADER).hex() == GOLDEN
    assert unpack_base_header(bytes.fromhex(GOLDEN)) == HEADER


def test_every_flipped_bit_and_every_other_length_is_refused():
    whole = pack_base_header(HEADER)
    for place in range(HEADER_BYTES):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(BaseStateError):
                unpack_base_header(bytes(damaged))
    for length in range(HEADER_BYTES):
        with pytest.raises(BaseStateError):
            unpack_base_header(whole[:length])


def test_a_newer_format_is_refused_by_name():
    newer = bytearray(pack_base_header(HEADER))
    struct.pack_into("<I", newer, 8, 2)
    struct.pack_into("<I", newer, 12, crc32(newer[16:], crc32(newer[:12])))
    with pytest.raises(BaseStateError, match=r"format 2, this taped reads up to 1.*upgrade taped"):
        unpack_base_header(bytes(newer))
