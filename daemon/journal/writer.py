"""The one writer of a journal: frames, one sync each, segments rolled and sealed.

It runs on its caller's thread; its only own thread fills the next segment with zeros.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalError, JournalPoisonedError
from daemon.journal.lock import JournalLock
from daemon.journal.recovery import OpenSegment, Recovered, Tail, add_to_index, keep_tail, recover
from daemon.journal.segment import segment_path
from daemon.journal.spare import Spare
from schemas.codec import CODEC, AnyEvent
from schemas.frame import (
    MAX_BODY_BYTES,
    MAX_EVENTS,
    PAGE,
    FrameType,
    SegmentHeader,
    frame_bytes,
    pack_frame,
    pack_segment_header,
)
from schemas.trailer import IndexEntry, Seal

log = logging.getLogger(__name__)

SEGMENT_BYTES = 64 << 20
_SEAL_ROOM = 64 * PAGE


class JournalWriter:
    """Appends batches of events; an append that returned is durable.

    One thread at a time may call it. After a failed write or sync it is poisoned: every later
    append raises, and only a new process that recovers may write again.

    Attributes:
        directory: the folder with the segments.
        journal_id: the journal's uuid, 32 hexadecimal digits.
        next_seq: the number the next event gets.
        tail: what recovery cut off at opening, or None.
        sync_ns: how long the last frame's write and sync took.
        bytes_written: of segment headers and frames since the opening.
    """

    def __init__(
        self,
        directory: Path,
        *,
        lock: JournalLock,
        disk: Disk,
        segment_bytes: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self.directory = directory
        self._lock = lock
        self._disk = disk
        self._frames_end = segment_bytes - min(_SEAL_ROOM, segment_bytes // 4)
        self._clock_ns = clock_ns
        self._poison: str | None = None
        self._journal = uuid.uuid4().bytes
        self.next_seq = 1
        self.tail: Tail | None = None
        self.sync_ns = 0
        self.bytes_written = 0
        self._number = 0
        self._previous_sha256 = bytes(32)
        self._crc = 0
        self._spare = Spare(directory, disk, segment_bytes)
        self._fd = -1
        self._path = directory
        self._nonce = b""
        self._first_append_ns: int = 0
        self._last_append_ns: int = 0
        self._begin_bookkeeping(b"")

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        watermark: int = 0,
        disk: Disk = DISK,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> Self:
        """Lock the folder and recover what is there; a new journal gets its first segment.

        Behind an existing end, a segment begins with the first append: who opens a journal and
        then finds something wrong leaves no trace in it.

        Args:
            directory: the folder with the segments; made when it does not exist.
            segment_bytes: how much disk each segment takes.
            watermark: the highest sequence number that a read model holds.
            disk: where everything is written.
            clock_ns: time for headers; steps back do no harm.

        Raises:
            JournalLockedError: another process writes this journal.
            JournalCorruptError: it is damaged, see `recover`.
            JournalError: the disk refused.
        """
        made = [folder for folder in (directory, *directory.parents) if not folder.exists()]
        lock = JournalLock(directory)
        writer: Self | None = None
        try:
            # A segment is only as durable as the names of the folders above it.
            for folder in dict.fromkeys((directory, *made)):
                disk.sync_directory(folder.parent)
            writer = cls(directory, lock=lock, disk=disk, segment_bytes=segment_bytes, clock_ns=clock_ns)
            recovered = recover(directory, disk, watermark=watermark)
            if recovered is None:
                writer._begin_segment()
            else:
                writer._take_over(recovered)
        except OSError as error:
            _abandon(writer, lock)
            raise JournalError(
                f"{directory}: {error.strerror or error}", hint=_hint(error, segment_bytes)
            ) from error
        except BaseException:
            _abandon(writer, lock)
            raise
        return writer

    @property
    def journal_id(self) -> str:
        """The journal's uuid, 32 hexadecimal digits."""
        return self._journal.hex()

    @property
    def bytes_filled(self) -> int:
        """Zeros that segments were filled with since the opening."""
        return self._spare.bytes_filled

    def append(self, events: Sequence[AnyEvent]) -> int:
        """Write the events as one frame and sync it; return the sequence number of the first.

        A batch over the frame's limits becomes several frames.

        Raises:
            CodecError: an event cannot be encoded; nothing was written.
            JournalPoisonedError: this or an earlier write failed.
        """
        first_seq = self.next_seq
        if len(events) > MAX_EVENTS:
            return self._append_halves(events)
        body = CODEC.encode(events)
        if len(body) > MAX_BODY_BYTES:
            if len(events) == 1:
                raise JournalError(f"one event of {len(body)} bytes is over the limit of {MAX_BODY_BYTES}")
            return self._append_halves(events)
        self._append_frame(body, len(events), FrameType.DATA)
        return first_seq

    def _append_halves(self, events: Sequence[AnyEvent]) -> int:
        middle = len(events) // 2
        first_seq = self.append(events[:middle])
        self.append(events[middle:])
        return first_seq

    def mark(self) -> None:
        """Certify the last frame: a whole frame after it proves that it had been acknowledged."""
        if self._fd < 0:
            return
        self._append_frame(b"", 0, FrameType.MARK)

    def _append_frame(self, body: bytes, event_count: int, type_: FrameType) -> None:
        if self._poison is not None:
            raise JournalPoisonedError(self._poison)
        try:
            if self._fd < 0:
                self._begin_segment()
            if self._offset + frame_bytes(len(body)) > self._frames_end and self._frames:
                self._roll()
            self._write_frame(body, event_count, type_)
        except OSError as error:
            self._poison = f"{self._path.name} at byte {self._offset}: {error.strerror or error}"
            raise JournalPoisonedError(self._poison) from error

    def _write_frame(self, body: bytes, event_count: int, type_: FrameType) -> None:
        now = self._clock_ns()
        buffers, crc, total = pack_frame(
            body,
            previous_crc=self._crc,
            first_seq=self.next_seq,
            offset=self._offset,
            append_ns=now,
            event_count=event_count,
            type_=type_,
            nonce=self._nonce,
        )
        started = time.perf_counter_ns()
        self._disk.write(self._fd, buffers, self._offset)
        self._disk.start_writing(self._fd, self._offset, total)
        # The hash of the sealed segment grows with it: over 64 MiB at the seal it would stall a roll by
        # some 45 ms. Here the device writes meanwhile, and a durable frame takes no longer; behind the
        # sync it cost 6 %, on a thread beside it the same.
        for buffer in buffers:
            self._sha.update(buffer)
        self._disk.sync(self._fd)
        self.sync_ns = time.perf_counter_ns() - started
        add_to_index(self._index, IndexEntry(self.next_seq, self._offset, now))
        self._first_append_ns = self._first_append_ns or now
        self._last_append_ns = now
        self._crc = crc
        self._offset += total
        self.bytes_written += total
        self._frames += 1
        self.next_seq += event_count

    def _roll(self) -> None:
        self._seal()
        self._begin_segment()

    def _seal(self) -> None:
        seal = Seal(
            next_seq=self.next_seq,
            frames=self._frames,
            first_append_ns=self._first_append_ns,
            last_append_ns=self._last_append_ns,
            sha256=self._sha.digest(),
            index=self._index,
        )
        self._write_frame(msgspec.msgpack.encode(seal), 0, FrameType.SEAL)
        self._disk.truncate(self._fd, self._offset)
        self._disk.sync_file(self._fd)
        self._disk.close(self._fd)
        self._fd = -1
        self._previous_sha256 = seal.sha256

    def _begin_segment(self) -> None:
        """Give the spare its header and its name; both are durable before anything is appended."""
        spare_path, self._fd = self._spare.take()
        self._number += 1
        self._nonce = os.urandom(8)
        header = pack_segment_header(
            SegmentHeader(
                number=self._number,
                first_seq=self.next_seq,
                created_ns=self._clock_ns(),
                journal=self._journal,
                nonce=self._nonce,
                previous_sha256=self._previous_sha256,
                previous_crc=self._crc,
            )
        )
        self._disk.write(self._fd, [header], 0)
        self._disk.sync_file(self._fd)
        self.bytes_written += len(header)
        self._path = segment_path(self.directory, self._number, self.next_seq)
        self._disk.rename(spare_path, self._path)
        self._disk.sync_directory(self.directory)
        self._begin_bookkeeping(header)
        self._spare.prepare()

    def _begin_bookkeeping(self, header: bytes) -> None:
        self._sha = hashlib.sha256(header)
        self._offset = PAGE
        self._frames = 0
        self._first_append_ns = 0
        self._last_append_ns = 0
        self._index: list[IndexEntry] = []

    def _take_over(self, recovered: Recovered) -> None:
        """Go on behind what recovery found; an unsealed segment is made durable and sealed first."""
        self._journal = recovered.journal
        self.next_seq = recovered.next_seq
        self._number = recovered.next_segment - 1
        self._previous_sha256 = recovered.previous_sha256
        self._crc = recovered.previous_crc
        self.tail = recovered.tail
        if recovered.tail is not None:
            keep_tail(recovered.tail, self._disk)
            log.warning(
                "torn tail of %s cut at byte %d (%s); taken as never acknowledged, kept as %s",
                recovered.tail.segment.name,
                recovered.tail.offset,
                recovered.tail.reason,
                recovered.tail.kept,
            )
        if recovered.open_segment is not None:
            self._finish(recovered.open_segment)

    def _finish(self, segment: OpenSegment) -> None:
        self._path = segment.name.path
        self._fd = self._disk.open(self._path)
        self._disk.truncate(self._fd, segment.end)
        # What recovery read may have been in memory only: durable before anybody is told of it.
        self._disk.sync_file(self._fd)
        if segment.sealed:
            self._disk.close(self._fd)
            self._fd = -1
            return
        self._sha = hashlib.sha256()
        with self._path.open("rb") as file:
            while data := file.read(1 << 20):
                self._sha.update(data)
        self._nonce = segment.header.nonce
        self._offset = segment.end
        self._frames = segment.frames
        self._first_append_ns = segment.first_append_ns
        self._last_append_ns = segment.last_append_ns
        self._index = segment.entries
        self._seal()

    def close(self) -> None:
        """Seal the segment and let the journal go. A poisoned journal is only let go."""
        try:
            self._spare.discard()
            if self._poison is None and self._fd >= 0:
                self._seal()
        except OSError as error:
            self._poison = f"{self._path.name}: {error.strerror or error}"
            raise JournalPoisonedError(self._poison) from error
        finally:
            self.let_go()
            self._lock.release()

    def let_go(self) -> None:
        """Close the segment's file as it is."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hint(error: OSError, segment_bytes: int) -> str:
    if error.errno == errno.ENOSPC:
        return f"free more than {segment_bytes >> 20} MiB, which a segment takes, and start again"
    return "check disk and permissions of the data folder"


def _abandon(writer: JournalWriter | None, lock: JournalLock) -> None:
    """Let go of what an opening that failed had taken."""
    if writer is not None:
        writer.let_go()
    lock.release()
