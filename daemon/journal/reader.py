"""Reads a journal from any sequence number on, while a daemon may be writing it; changes nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import is_archived, list_journal
from daemon.journal.segment import SegmentName, SegmentReader
from schemas.codec import CODEC, AnyEvent
from schemas.frame import PAGE, FrameError, FrameType, SegmentHeader
from schemas.trailer import Seal


class Batch(NamedTuple):
    """Consecutive events as they were made durable together."""

    first_seq: int
    events: list[AnyEvent]
    append_ns: int

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event (one below `first_seq` when there is none)."""
        return self.first_seq + len(self.events) - 1


class SegmentGoneError(JournalError):
    """A segment that was there is so no more, neither plain nor archived."""


class JournalReader:
    """Reads the events of a journal folder in order, archived segments like plain ones.

    Attributes:
        directory: the folder with the segments.
        journal_id: the journal's uuid, 32 hexadecimal digits.
        first_seq: where the journal begins; above 1 once retention let go of older segments.

    Raises:
        JournalError: there is no journal, or it cannot be read.
        JournalCorruptError: a segment is missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        segments = list_journal(directory)
        if not segments:
            raise JournalError(
                f"{directory}: no segment here", hint="is this a taped data folder? `taped run` makes one"
            )
        header = _header(directory, segments[0])
        self.journal_id = header.journal.hex()
        self.created_ns = header.created_ns

    @property
    def first_seq(self) -> int:
        """Sequence number of the first event there is now."""
        return list_journal(self.directory)[0].first_seq

    @property
    def last_seq(self) -> int:
        """Sequence number of the last whole event on disk now; scans the unsealed segment."""
        with open_segment(self.directory, list_journal(self.directory)[-1]) as reader:
            seal = seal_of(reader)
            if seal is not None:
                return seal.next_seq - 1
            assert isinstance(reader, SegmentReader), "every archive has its seal"
            for _ in _frames(reader, last=True):
                pass
            return reader.next_seq - 1

    def batches(self, first_seq: int = 1, last_seq: int | None = None) -> Iterator[Batch]:
        """Yield the events from `first_seq` to `last_seq` (both included; None: to the end there is now).

        A journal that retention shortened is read from its own `first_seq` on, by callers who can do
        without what came before: state made of the rest alone would be silently wrong.

        Raises:
            JournalError: retention let go of the events from `first_seq` on.
            JournalCorruptError: a frame is damaged or a segment does not follow the one before.
        """
        segments = list_journal(self.directory)
        if max(1, first_seq) < segments[0].first_seq:
            raise JournalError(
                f"{self.directory}: begins at seq {segments[0].first_seq}, seq {first_seq} is gone",
                hint="retention let go of what came before; a snapshot or a backup may have it",
            )
        start = max(0, bisect_right([name.first_seq for name in segments], first_seq) - 1)
        expected: int | None = None
        for name in segments[start:]:
            if last_seq is not None and name.first_seq > last_seq:
                return
            if expected is not None and name.first_seq != expected:
                raise JournalCorruptError(f"{name.path}: begins at seq {name.first_seq}, expected {expected}")
            with open_segment(self.directory, name) as reader:
                if isinstance(reader, ArchiveReader):
                    found = _archived_batches(reader, first_seq)
                    expected = reader.footer.seal.next_seq
                    yield from _cut(found, first_seq, last_seq)
                    continue
                if name.first_seq < first_seq:
                    _seek(reader, first_seq)
                found = _batches(reader, first_seq, last=name is segments[-1])
                yield from _cut(found, first_seq, last_seq)
                expected = reader.next_seq


def open_segment(directory: Path, name: SegmentName) -> SegmentReader | ArchiveReader:
    """Open a segment; one that was archived or removed since it was listed is looked for again."""
    try:
        return ArchiveReader(name) if is_archived(name) else SegmentReader(name)
    except JournalError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    for now in list_journal(directory):
        if now.number == name.number:
            return ArchiveReader(now) if is_archived(now) else SegmentReader(now)
    raise SegmentGoneError(f"{name.path}: is gone", hint="retention let go of it while it was to be read")


def seal_of(reader: SegmentReader | ArchiveReader) -> Seal | None:
    """Return the seal of an open segment, or None while it has none."""
    if isinstance(reader, ArchiveReader):
        return reader.footer.seal
    found = reader.find_seal()
    return None if found is None else found.seal


def _header(directory: Path, name: SegmentName) -> SegmentHeader:
    with open_segment(directory, name) as reader:
        return reader.header


def _archived_batches(reader: ArchiveReader, first_seq: int) -> Iterator[Batch]:
    for item in reader.batches(first_seq):
        yield Batch(*item)


def _seek(reader: SegmentReader, seq: int) -> None:
    """Move to the last indexed frame that begins at or below `seq`."""
    seal = seal_of(reader)
    if seal is None:
        return
    index = seal.index
    entry = index[bisect_right([item.first_seq for item in index], seq) - 1] if index else None
    if entry is not None and entry.offset > PAGE:
        reader.start_at(offset=entry.offset, seq=entry.first_seq)


def _frames(reader: SegmentReader, *, last: bool) -> Iterator[Batch]:
    """Yield each DATA frame undecoded (`events` empty); a torn end is the end only of the last segment."""
    try:
        for item in reader.frames():
            if item.header.type is FrameType.DATA:
                yield Batch(item.header.first_seq, [], item.header.append_ns)
    except FrameError as error:
        _end_or_corrupt(reader, error, last=last)


def _batches(reader: SegmentReader, first_seq: int, *, last: bool) -> Iterator[Batch]:
    """Yield the frames that reach `first_seq`; those before it are checked, and not decoded."""
    decode = CODEC.decode
    try:
        for header, body in reader.frames():
            if header.type is FrameType.DATA and header.first_seq + header.event_count > first_seq:
                events = decode(body)
                if len(events) != header.event_count:
                    raise JournalCorruptError(
                        f"{reader.name.path}: frame of seq {header.first_seq} holds {len(events)} events, "
                        f"its header says {header.event_count}"
                    )
                yield Batch(header.first_seq, events, header.append_ns)
    except FrameError as error:
        _end_or_corrupt(reader, error, last=last)
        return
    if not last and reader.sealed is None:
        raise JournalCorruptError(f"{reader.name.path}: ends at byte {reader.offset} without a seal")


def _end_or_corrupt(reader: SegmentReader, error: FrameError, *, last: bool) -> None:
    """Return when the bad frame is the torn end of the last segment: a write in flight, or a crash."""
    if not last:
        raise JournalCorruptError(f"{reader.name.path}: {error.reason} at byte {error.offset}") from error
    later = reader.later_frame()
    if later is not None:
        raise JournalCorruptError(
            f"{reader.name.path}: {error.reason} at byte {error.offset}, "
            f"yet a whole frame follows at byte {later}: damaged after it was durable"
        ) from error


def _cut(batches: Iterator[Batch], first_seq: int, last_seq: int | None) -> Iterator[Batch]:
    for batch in batches:
        if batch.last_seq < first_seq:
            continue
        start = max(0, first_seq - batch.first_seq)
        stop = None if last_seq is None else last_seq - batch.first_seq + 1
        if start or (stop is not None and stop < len(batch.events)):
            yield Batch(batch.first_seq + start, batch.events[start:stop], batch.append_ns)
        else:
            yield batch
        if last_seq is not None and batch.last_seq >= last_seq:
            # The next frame may be one that is being written just now.
            return
