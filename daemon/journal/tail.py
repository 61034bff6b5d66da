"""Follows a journal that is being written, and never tells an event that may yet be lost.

Inside the writer's process the caller says what is durable. Any other process goes by the rule of
one: a frame had been acknowledged when a later frame was begun behind it. The writer marks its last
frame after a second of silence, so nothing is held back for longer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.journal.errors import JournalCorruptError
from daemon.journal.reader import Batch, JournalReader
from daemon.journal.segment import Frame, SegmentName, SegmentReader, list_segments
from schemas.codec import CODEC
from schemas.frame import FRAME_HEADER_BYTES, FrameError, FrameType, unpack_frame_header

SHORTEST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
_WINDOW = 256 << 10


class JournalTail:
    """Gives the durable events of a journal once each, in order. One thread at a time may use it.

    Memory holds one frame and one window of the segment that is being written.

    Args:
        directory: the folder with the segments.
        first_seq: where to begin; it may lie ahead of the end.
        durable_seq: tells the last durable event, for callers in the writer's own process.

    Attributes:
        next_seq: the event that is told next.

    Raises:
        JournalError: there is no journal.
    """

    def __init__(
        self, directory: Path, first_seq: int = 1, *, durable_seq: Callable[[], int] | None = None
    ) -> None:
        self.next_seq = max(1, first_seq)
        self._directory = directory
        self._durable_seq = durable_seq
        self._journal = JournalReader(directory)
        self._segment: _LiveSegment | None = None
        self._followed = 0
        self._held: Batch | None = None

    def poll(self) -> Iterator[Batch]:
        """Yield what became durable since the last call; costs one small read where nothing did.

        Raises:
            JournalCorruptError: a frame is damaged, or a segment is missing.
        """
        while True:
            if self._segment is None:
                last = self._newest()
                if last.number <= self._followed:
                    return
                yield from self._finished_before(last)
                self._segment = _LiveSegment(last)
            yield from self._live(self._segment)
            if self._held is None and self._segment.sealed is not None:
                self._followed = self._segment.name.number
            elif not self._segment.is_replaced():
                return
            self.close()

    def _newest(self) -> SegmentName:
        segments = list_segments(self._directory)
        if not segments:
            raise JournalCorruptError(f"{self._directory}: the newest segment is missing")
        return segments[-1]

    def _finished_before(self, last: SegmentName) -> Iterator[Batch]:
        """Yield what is left of earlier segments: each was durable before the last one got its name."""
        if self.next_seq < last.first_seq:
            for batch in self._journal.batches(self.next_seq, last.first_seq - 1):
                yield from self._tell(batch)

    def _live(self, segment: _LiveSegment) -> Iterator[Batch]:
        while True:
            if self._held is None:
                self._held = segment.next_batch()
            if self._held is None or not self._is_durable(self._held, segment):
                return
            held, self._held = self._held, None
            yield from self._tell(held)

    def _is_durable(self, batch: Batch, segment: _LiveSegment) -> bool:
        if self._durable_seq is not None:
            return batch.last_seq <= self._durable_seq()
        return segment.is_followed()

    def _tell(self, batch: Batch) -> Iterator[Batch]:
        """Yield what of a batch is asked for."""
        if batch.last_seq < self.next_seq:
            return
        start = max(0, self.next_seq - batch.first_seq)
        self.next_seq = batch.last_seq + 1
        yield Batch(batch.first_seq + start, batch.events[start:], batch.append_ns) if start else batch

    def close(self) -> None:
        """Let the file go."""
        self._held = None
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class _LiveSegment(SegmentReader):
    """A segment that grows while it is read."""

    def next_batch(self) -> Batch | None:
        """Return the next whole DATA frame, or None where none is written yet.

        Raises:
            JournalCorruptError: the next frame is damaged.
        """
        while self.sealed is None:
            item = self._next_frame()
            if item is None:
                return None
            if item.header.type is FrameType.DATA:
                return Batch(item.header.first_seq, CODEC.decode(item.body), item.header.append_ns)
        return None

    def is_replaced(self) -> bool:
        """Whether the file has lost its name: a repair wrote the segment anew."""
        return os.fstat(self._fd).st_nlink == 0

    def is_followed(self) -> bool:
        """Whether a frame was begun behind the last one that was read."""
        return self.sealed is not None or self._begun()

    def _next_frame(self) -> Frame | None:
        try:
            item = next(self.frames(), None)
        except FrameError:
            item = None  # The window may be older than the frame.
        if item is not None or not os.pread(self._fd, FRAME_HEADER_BYTES, self.offset).strip(b"\0"):
            return item
        self._forget_window()
        try:
            return next(self.frames(), None)
        except FrameError as error:
            later = self.later_frame()
            if later is None:
                return None
            raise JournalCorruptError(
                f"{self.name.path}: {error.reason} at byte {error.offset}, "
                f"yet a whole frame follows at byte {later}: damaged after it was durable"
            ) from error

    def _begun(self) -> bool:
        data = os.pread(self._fd, FRAME_HEADER_BYTES, self.offset)
        try:
            header = unpack_frame_header(data, segment=self.name.number, offset=self.offset)
        except FrameError:
            return False
        return header is not None and header.nonce == self.header.nonce

    def _forget_window(self) -> None:
        self._window = memoryview(b"")
        self._window_at = 0

    def _view(self, offset: int, length: int) -> memoryview:
        """Read small windows: what lies behind the end is read in vain."""
        start = offset - self._window_at
        if start < 0 or start + length > len(self._window):
            data = os.pread(self._fd, max(_WINDOW, length), offset)
            self._window, self._window_at, start = memoryview(data), offset, 0
        return self._window[start : start + length]


def follow(tail: JournalTail, wait: Callable[[float], object] = time.sleep) -> Iterator[Batch]:
    """Yield batches as they become durable, for as long as the caller asks for more.

    Args:
        tail: where to read.
        wait: waits for at most so many seconds; a caller that is told of new events ends it early.
    """
    pause_s = SHORTEST_PAUSE_S
    while True:
        for batch in tail.poll():
            pause_s = SHORTEST_PAUSE_S
            yield batch
        wait(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
