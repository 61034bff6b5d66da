"""Writes one segment of a journal anew: its frames as they were, links and seal made new."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalError
from daemon.journal.recovery import add_to_index
from daemon.journal.salvage import Loss, Place, Salvaged, read_header, seq_after
from daemon.journal.segment import segment_path
from schemas.codec import CODEC, AnyEvent
from schemas.frame import PAGE, FrameType, SegmentHeader, pack_frame, pack_segment_header
from schemas.trailer import Gap, IndexEntry, Seal


class End(NamedTuple):
    """What the next segment's header must say."""

    next_seq: int
    sha256: bytes
    crc: int


FIRST = End(1, bytes(32), 0)
"""What the first segment of a journal follows."""


class Rewriter:
    """Writes one segment beside the old one, where there is one, then takes its name.

    Attributes:
        next_seq: the number the next event gets.
        offset: where the next frame stands.
    """

    def __init__(self, directory: Path, place: Place, journal: bytes, before: End, disk: Disk) -> None:
        if before.next_seq != place.first_seq:
            raise JournalError(
                f"{place.label}: begins at seq {place.first_seq}, but the one before ends at "
                f"{before.next_seq - 1}: no repair puts these in one journal",
                hint="restore a backup",
            )
        self._directory, self._place, self._disk = directory, place, disk
        self._path = directory / "repair.tmp"
        self._path.unlink(missing_ok=True)
        self._fd = disk.create(self._path)
        old = read_header(place.path, place.number) if place.path else None
        self._nonce = os.urandom(8)
        header = pack_segment_header(
            SegmentHeader(
                number=place.number,
                first_seq=place.first_seq,
                created_ns=old.created_ns if old else time.time_ns(),
                journal=journal,
                nonce=self._nonce,
                previous_sha256=before.sha256,
                previous_crc=before.crc,
            )
        )
        disk.write(self._fd, [header], 0)
        self._sha = hashlib.sha256(header)
        self.offset, self._crc, self.next_seq = PAGE, before.crc, place.first_seq
        self._times: list[int] = []
        self._frames = 0
        self._index: list[IndexEntry] = []

    def add(self, item: Salvaged | Loss, kept: str, now_ns: int) -> None:
        """Write a frame as it was, or a GAP for a loss."""
        if isinstance(item, Loss):
            reason = f"{item.reason} (bytes {item.from_byte} to {item.to_byte} of {item.segment})"
            self._gap(
                Gap(lost_from=item.lost_from, next_seq=item.next_seq, reason=reason, quarantined=kept), now_ns
            )
        else:
            self._write(item.body, item.header.event_count, item.header.type, item.header.append_ns)
            self.next_seq = seq_after(item)

    def skip(self, seq: int, reason: str, now_ns: int) -> None:
        """Write that the events up to (not with) `seq` are not here."""
        self._gap(Gap(lost_from=self.next_seq, next_seq=seq, reason=reason, quarantined=""), now_ns)

    def _gap(self, gap: Gap, now_ns: int) -> None:
        self._write(msgspec.msgpack.encode(gap), 0, FrameType.GAP, now_ns)
        self.next_seq = gap.next_seq

    def append(self, events: Sequence[AnyEvent], now_ns: int) -> None:
        """Write events behind all others."""
        self._write(CODEC.encode(events), len(events), FrameType.DATA, now_ns)
        self.next_seq += len(events)

    def _write(self, body: bytes, event_count: int, type_: FrameType, append_ns: int) -> None:
        buffers, self._crc, total = pack_frame(
            body,
            previous_crc=self._crc,
            first_seq=self.next_seq,
            offset=self.offset,
            append_ns=append_ns,
            event_count=event_count,
            type_=type_,
            nonce=self._nonce,
        )
        self._disk.write(self._fd, buffers, self.offset)
        if type_ is FrameType.SEAL:
            return
        for buffer in buffers:
            self._sha.update(buffer)
        add_to_index(self._index, IndexEntry(self.next_seq, self.offset, append_ns))
        self._times = [self._times[0] if self._times else append_ns, append_ns]
        self.offset += total
        self._frames += 1

    def finish(self) -> End:
        """Seal the segment and put it in the place of the old one; durable on return."""
        seal = Seal(
            next_seq=self.next_seq,
            frames=self._frames,
            first_append_ns=self._times[0] if self._times else 0,
            last_append_ns=self._times[1] if self._times else 0,
            sha256=self._sha.digest(),
            index=self._index,
        )
        self._write(msgspec.msgpack.encode(seal), 0, FrameType.SEAL, seal.last_append_ns)
        self._disk.sync_file(self._fd)
        self.close()
        new = segment_path(self._directory, self._place.number, self._place.first_seq)
        self._disk.rename(self._path, new)
        self._disk.sync_directory(self._directory)
        return End(seal.next_seq, seal.sha256, self._crc)

    def close(self) -> None:
        """Let the unfinished file go; the next start removes it."""
        if self._fd >= 0:
            self._disk.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def quarantine(directory: Path, path: Path, disk: Disk) -> str:
    """Copy a damaged segment, make the copy durable, and return its name in the journal's folder."""
    folder = directory / "quarantine"
    folder.mkdir(exist_ok=True)
    disk.sync_directory(directory)
    name, dot, suffixes = path.name.partition(".")
    kept = folder / f"{name}-{time.time_ns()}{dot}{suffixes}"
    shutil.copyfile(path, kept)
    fd = disk.open(kept)
    try:
        disk.sync_file(fd)
    finally:
        disk.close(fd)
    disk.sync_directory(folder)
    return f"quarantine/{kept.name}"
