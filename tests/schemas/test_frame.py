"""Frames and segment headers: what is packed is unpacked, and no flipped bit goes unseen."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import (
    FRAME_HEADER_BYTES,
    MAX_BODY_BYTES,
    MAX_EVENTS,
    PAGE,
    FrameError,
    FrameType,
    NewerFormatError,
    SegmentHeader,
    body_crc,
    frame_bytes,
    pack_frame,
    pack_segment_header,
    unpack_frame_header,
    unpack_segment_header,
)

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
HEADER = SegmentHeader(3, 1000, 1_700_000_000_000_000_000, bytes(range(16)), b"noncense", b"\xaa" * 32, 77)


def packed(body=b"body", **changes):
    fields = {
        "previous_crc": 1,
        "first_seq": 2,
        "offset": 4096,
        "append_ns": 3,
        "event_count": 1,
        "type_": FrameType.DATA,
        "nonce": b"noncense",
    }
    buffers, crc, total = pack_frame(body, **(fields | changes))
    return b"".join(buffers), crc, total


def resealed(page, offset, value):
    """Return a frame whose header was changed and whose own CRC was made to fit again."""
    head = bytearray(page)
    head[offset : offset + len(value)] = value
    head[4:8] = struct.pack("<I", crc32(bytes(head[8:FRAME_HEADER_BYTES])))
    return bytes(head)


@given(
    st.binary(max_size=10_000),
    U32,
    U64,
    U64,
    U64,
    st.integers(0, MAX_EVENTS),
    st.sampled_from(FrameType),
    st.binary(min_size=8, max_size=8),
)
def test_a_frame_comes_back_as_it_was_packed(body, previous, seq, offset, append_ns, count, kind, nonce):
    frame, crc, total = packed(
        body,
        previous_crc=previous,
        first_seq=seq,
        offset=offset,
        append_ns=append_ns,
        event_count=count,
        type_=kind,
        nonce=nonce,
    )
    header = unpack_frame_header(frame, segment=1, offset=offset)
    assert len(frame) == total == header.total_bytes
    assert total % PAGE == 0
    assert header.crc == crc
    assert header.body_crc == body_crc(frame[FRAME_HEADER_BYTES:])
    assert frame[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + header.body_bytes] == body
    found = (
        header.previous_crc,
        header.first_seq,
        header.append_ns,
        header.event_count,
        header.type,
        header.nonce,
    )
    assert found == (previous, seq, append_ns, count, kind, nonce)


def test_every_flipped_bit_of_a_frame_header_is_seen():
    frame, _, _ = packed()
    for bit in range(FRAME_HEADER_BYTES * 8):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            unpack_frame_header(bytes(damaged), segment=1, offset=4096)


def test_every_flipped_bit_of_body_and_padding_changes_the_body_crc():
    frame, _, _ = packed(b"some body")
    header = unpack_frame_header(frame, segment=1, offset=4096)
    for bit in range(0, (PAGE - FRAME_HEADER_BYTES) * 8, 7):
        damaged = bytearray(frame[FRAME_HEADER_BYTES:])
        damaged[bit // 8] ^= 1 << bit % 8
        assert body_crc(damaged) != header.body_crc


def test_zeros_are_a_place_never_written():
    assert unpack_frame_header(bytes(PAGE), segment=1, offset=4096) is None


def test_a_short_rest_is_no_header():
    with pytest.raises(FrameError, match="63 bytes left"):
        unpack_frame_header(bytes(63), segment=1, offset=4096)


def test_a_frame_at_another_place_than_its_own_is_refused():
    frame, _, _ = packed(offset=4096)
    with pytest.raises(FrameError, match="says it stands at 4096"):
        unpack_frame_header(frame, segment=1, offset=8192)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (40, struct.pack("<I", MAX_BODY_BYTES + 1)),
        (44, struct.pack("<I", MAX_EVENTS + 1)),
        (48, b"\x00"),
        (48, b"\x05"),
        (49, b"\x02"),
    ],
    ids=["body length", "count", "type 0", "type 5", "codec"],
)
def test_a_header_with_a_good_crc_is_still_held_to_its_limits(offset, value):
    frame, _, _ = packed()
    with pytest.raises(FrameError):
        unpack_frame_header(resealed(frame, offset, value), segment=1, offset=4096)


@pytest.mark.parametrize(
    ("body", "pages"), [(0, 1), (PAGE - 64, 1), (PAGE - 63, 2), (MAX_BODY_BYTES, MAX_BODY_BYTES // PAGE + 1)]
)
def test_a_frame_takes_whole_pages(body, pages):
    assert frame_bytes(body) == pages * PAGE


def test_the_drawn_layout_is_the_packed_one():
    frame, crc, _ = packed(b"xyz", append_ns=9, event_count=5, type_=FrameType.SEAL)
    assert frame[:4] == b"TPFR"
    assert struct.unpack_from("<IIIQQQII", frame, 4) == (
        crc,
        crc32(frame[FRAME_HEADER_BYTES:]),
        1,
        2,
        4096,
        9,
        3,
        5,
    )
    assert frame[48:52] == b"\x03\x01\x01\x00"
    assert frame[52:64] == b"noncense\0\0\0\0"


@given(U64, U64, U64, st.binary(min_size=16, max_size=16), st.binary(min_size=8, max_size=8), U32)
def test_a_segment_header_comes_back_as_it_was_packed(number, seq, created, journal, nonce, crc):
    header = SegmentHeader(number, seq, created, journal, nonce, b"\x11" * 32, crc)
    page = pack_segment_header(header)
    assert len(page) == PAGE
    assert unpack_segment_header(page, segment=number) == header


def test_every_flipped_bit_of_a_segment_header_is_seen():
    page = pack_segment_header(HEADER)
    for bit in range(PAGE * 8):
        damaged = bytearray(page)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError) as error:
            unpack_segment_header(bytes(damaged), segment=3)
        assert not isinstance(error.value, NewerFormatError)


def test_a_newer_format_is_called_newer_and_not_damaged():
    page = bytearray(pack_segment_header(HEADER))
    page[8:12] = struct.pack("<I", 2)
    page[-4:] = struct.pack("<I", crc32(bytes(page[:-4])))
    with pytest.raises(NewerFormatError, match=r"format version 2.*upgrade taped"):
        unpack_segment_header(bytes(page), segment=3)


@pytest.mark.parametrize("length", [0, 63, PAGE - 1, PAGE + 1])
def test_a_segment_header_of_another_length_is_refused(length):
    with pytest.raises(FrameError, match="expected 4096"):
        unpack_segment_header(bytes(length), segment=3)


def test_an_error_names_segment_place_and_what_to_do():
    with pytest.raises(FrameError) as error:
        unpack_frame_header(b"x" * 64, segment=7, offset=40960)
    assert str(error.value).startswith("segment 7, byte 40960: magic b'xxxx', expected b'TPFR'")
    assert "taped journal verify" in error.value.hint
