"""Bodies of the frames that are not events: what a SEAL and a GAP say."""

from __future__ import annotations

import msgspec

from schemas.errors import TapedError


class IndexEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A frame that reading may start at."""

    first_seq: int
    offset: int
    append_ns: int


class Seal(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The last frame of a finished segment.

    `next_seq` is one above the segment's last event; `sha256` is over every byte of the file before
    the SEAL frame; `index` holds a frame about every mebibyte, in order, the first one included.
    """

    next_seq: int
    frames: int
    first_append_ns: int
    last_append_ns: int
    sha256: bytes
    index: list[IndexEntry]


class Gap(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A loss that an operator accepted: events from `lost_from` up to (not with) `next_seq` are gone."""

    lost_from: int
    next_seq: int
    reason: str
    quarantined: str


class TrailerError(TapedError):
    """The body of a SEAL or GAP frame is not one."""


_seal = msgspec.msgpack.Decoder(Seal)
_gap = msgspec.msgpack.Decoder(Gap)


def decode_seal(body: bytes | memoryview) -> Seal:
    """Read a SEAL frame's body.

    Raises:
        TrailerError: it is not one.
    """
    try:
        return _seal.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrailerError(f"not a seal: {error}") from error


def decode_gap(body: bytes | memoryview) -> Gap:
    """Read a GAP frame's body.

    Raises:
        TrailerError: it is not one.
    """
    try:
        return _gap.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TrailerError(f"not a gap: {error}") from error
