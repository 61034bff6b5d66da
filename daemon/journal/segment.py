"""Segment files: their names, and reading their frames in order with every check."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from daemon.journal.errors import JournalCorruptError, JournalError
from schemas import frame
from schemas.frame import (
    FRAME_HEADER_BYTES,
    PAGE,
    FrameError,
    FrameHeader,
    FrameType,
    NewerFormatError,
    SegmentHeader,
)
from schemas.trailer import Gap, Seal, TrailerError, decode_gap, decode_seal

_NAME = re.compile(r"(\d{10})-(\d{20})\.evl")
_WINDOW = 4 << 20
_MAX_SEAL_BYTES = 64 * PAGE


class SegmentName(NamedTuple):
    """A segment file and what its name says."""

    number: int
    first_seq: int
    path: Path


def segment_path(directory: Path, number: int, first_seq: int) -> Path:
    """Return the file of a segment."""
    return directory / f"{number:010d}-{first_seq:020d}.evl"


def list_segments(directory: Path) -> list[SegmentName]:
    """Return the folder's segments in order of number.

    Raises:
        JournalError: the folder cannot be read.
        JournalCorruptError: a number is missing or there twice.
    """
    try:
        names = sorted(path.name for path in directory.iterdir())
    except OSError as error:
        raise JournalError(f"{directory}: {error.strerror}", hint="is this a taped data folder?") from error
    found = [
        SegmentName(int(match[1]), int(match[2]), directory / name)
        for name in names
        if (match := _NAME.fullmatch(name))
    ]
    for before, after in pairwise(found):
        if after.number != before.number + 1:
            raise JournalCorruptError(
                f"{directory}: segment {before.number + 1} is missing between "
                f"{before.path.name} and {after.path.name}"
            )
    return found


class Frame(NamedTuple):
    """One frame; the body is a view that is good until the next frame is read."""

    header: FrameHeader
    body: memoryview


class SealAt(NamedTuple):
    """A seal and where it stands."""

    seal: Seal
    offset: int
    crc: int


class SegmentReader:
    """Reads one segment file front to back in windows, checking each frame and the chain.

    Attributes:
        header: the segment's own header.
        offset: where the next frame stands.
        next_seq: the sequence number the next frame must begin with.
        previous_crc: header CRC of the last frame read.
        sealed: the seal, once it was read; `sealed_at` is where it stands.
        gaps: accepted losses that were read so far.

    Raises:
        FrameError: the segment header is not whole.
        JournalError: the file cannot be read.
    """

    def __init__(self, name: SegmentName) -> None:
        self.name = name
        try:
            self._fd = os.open(name.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise JournalError(f"{name.path}: {error.strerror}") from error
        try:
            self.header = self._check_header(os.pread(self._fd, PAGE, 0))
        except BaseException:
            os.close(self._fd)
            raise
        self.offset = PAGE
        self.next_seq = self.header.first_seq
        self.previous_crc = self.header.previous_crc
        self.sealed: Seal | None = None
        self.sealed_at = 0
        self.gaps: list[Gap] = []
        self._window = memoryview(b"")
        self._window_at = 0

    def _check_header(self, page: bytes) -> SegmentHeader:
        header = frame.unpack_segment_header(page, segment=self.name.number)
        if (header.number, header.first_seq) != (self.name.number, self.name.first_seq):
            raise FrameError(
                segment=self.name.number,
                offset=0,
                reason=f"{self.name.path.name} holds segment {header.number} from seq {header.first_seq}",
            )
        return header

    def fileno(self) -> int:
        """Return the descriptor; the file stays readable there when it is archived meanwhile."""
        return self._fd

    @property
    def file_bytes(self) -> int:
        """Length of the file now."""
        return os.fstat(self._fd).st_size

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

    def start_at(self, *, offset: int, seq: int) -> None:
        """Begin at a frame the seal's index names, instead of at the first one.

        The chain is taken up there: that frame's link to the one before is not checked.
        """
        self.offset = offset
        self.next_seq = seq
        self.previous_crc = -1

    def find_seal(self) -> SealAt | None:
        """Find the seal at the end of a finished segment without reading what lies before.

        Returns:
            None when the file does not end in a whole seal of this segment.

        Raises:
            TrailerError: the seal is whole and says what cannot be.
        """
        size = self.file_bytes
        start = max(PAGE, size - _MAX_SEAL_BYTES)
        tail = memoryview(os.pread(self._fd, _MAX_SEAL_BYTES, start))
        for at in range(len(tail) - PAGE, -1, -PAGE):
            try:
                header = frame.unpack_frame_header(tail[at:], segment=self.name.number, offset=start + at)
            except FrameError:
                continue
            if header is None:
                continue
            view = tail[at : at + header.total_bytes]
            whole = start + at + header.total_bytes == size
            if not (whole and header.type is FrameType.SEAL and header.nonce == self.header.nonce):
                return None
            if frame.body_crc(view[FRAME_HEADER_BYTES:]) != header.body_crc:
                return None
            body = view[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + header.body_bytes]
            return SealAt(_seal(header, body, segment=self.name.number), start + at, header.crc)
        return None

    def frames(self) -> Iterator[Frame]:
        """Yield the frames from `offset` on, until the seal, an unwritten place or the end of the file.

        Raises:
            FrameError: a frame is damaged or does not belong here; `offset` stands at it.
            TrailerError: a frame is whole and its seal or gap says what cannot be: no torn write.
        """
        while self.sealed is None:
            view = self._view(self.offset, FRAME_HEADER_BYTES)
            if not view:
                return
            header = frame.unpack_frame_header(view, segment=self.name.number, offset=self.offset)
            if header is None:
                return
            view = self._view(self.offset, header.total_bytes)
            self._check(header, view)
            body = view[FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + header.body_bytes]
            self._advance(header, body)
            yield Frame(header, body)

    def _advance(self, header: FrameHeader, body: memoryview) -> None:
        if header.type is not FrameType.DATA:
            _check_empty(header, segment=self.name.number)
        if header.type is FrameType.SEAL:
            self.sealed, self.sealed_at = _seal(header, body, segment=self.name.number), self.offset
        self.offset += header.total_bytes
        self.previous_crc = header.crc
        self.next_seq = header.first_seq + header.event_count
        if header.type is FrameType.GAP:
            gap = decode_gap(body)
            if gap.next_seq < header.first_seq:
                raise TrailerError(
                    f"{self.name.path.name}: a gap from seq {header.first_seq} to {gap.next_seq}"
                )
            self.gaps.append(gap)
            self.next_seq = gap.next_seq

    def _check(self, header: FrameHeader, view: memoryview) -> None:
        if header.nonce != self.header.nonce:
            raise self._error("frame of another segment")
        if self.previous_crc not in (header.previous_crc, -1):
            raise self._error(f"chain says {header.previous_crc:08x}, expected {self.previous_crc:08x}")
        if header.first_seq != self.next_seq:
            raise self._error(f"first seq {header.first_seq}, expected {self.next_seq}")
        if len(view) < header.total_bytes:
            raise self._error(f"{len(view)} bytes left, the frame has {header.total_bytes}")
        found = frame.body_crc(view[FRAME_HEADER_BYTES:])
        if found != header.body_crc:
            raise self._error(f"body crc {found:08x}, expected {header.body_crc:08x}")

    def _error(self, reason: str) -> FrameError:
        return FrameError(segment=self.name.number, offset=self.offset, reason=reason)

    def _view(self, offset: int, length: int) -> memoryview:
        """Return up to `length` bytes at `offset`; the window is read anew when it does not hold them."""
        start = offset - self._window_at
        if start < 0 or start + length > len(self._window):
            data = os.pread(self._fd, max(_WINDOW, length), offset)
            self._window, self._window_at, start = memoryview(data), offset, 0
        return self._window[start : start + length]

    def later_frame(self, *, alone: bool = False) -> int | None:
        """Return where a valid frame header of this segment stands after `offset`, or None.

        One means that every earlier frame had been acknowledged (one frame is in flight at a time).

        Args:
            alone: nobody is writing. Otherwise the frame at `offset` is read once more: one that is
                whole by now was being written when it was read, which is no damage.
        """
        offset = (self.offset // PAGE + 1) * PAGE
        while view := self._view(offset, FRAME_HEADER_BYTES):
            if self._is_own_frame(view, offset):
                return offset if alone or not self._is_whole_now() else None
            offset += PAGE
        return None

    def _is_whole_now(self) -> bool:
        self._window = memoryview(b"")
        try:
            view = self._view(self.offset, FRAME_HEADER_BYTES)
            header = frame.unpack_frame_header(view, segment=self.name.number, offset=self.offset)
            if header is not None:
                self._check(header, self._view(self.offset, header.total_bytes))
        except FrameError:
            return False
        return header is not None

    def _is_own_frame(self, view: memoryview, offset: int) -> bool:
        try:
            header = frame.unpack_frame_header(view, segment=self.name.number, offset=offset)
        except NewerFormatError:
            raise
        except FrameError:
            return False
        return header is not None and header.nonce == self.header.nonce


def _check_empty(header: FrameHeader, *, segment: int) -> None:
    """Refuse numbers that are taken up by no event: a gap that nobody told of."""
    if header.event_count:
        raise TrailerError(
            f"segment {segment}, byte {header.offset}: a frame of type {header.type.name} counts "
            f"{header.event_count} events, and holds none"
        )


def _seal(header: FrameHeader, body: memoryview, *, segment: int) -> Seal:
    """Read a seal that may be relied on: its end is its own place, its index stays in front of it."""
    _check_empty(header, segment=segment)
    seal = decode_seal(body)
    outside = [entry.offset for entry in seal.index if not PAGE <= entry.offset < header.offset]
    if seal.next_seq != header.first_seq or outside:
        raise TrailerError(
            f"segment {segment}, byte {header.offset}: a seal at {header.first_seq} says {seal.next_seq}, "
            f"its index stands at {outside or 'frames'}"
        )
    return seal
