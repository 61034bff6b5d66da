"""The journal's durable events as packets, from any sequence number on; changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.listing import list_journal
from daemon.journal.reader import Batch, JournalReader, open_segment
from daemon.journal.segment import SegmentReader
from daemon.journal.tail import JournalTail
from daemon.sync.errors import SyncError
from daemon.sync.packets import MAX_EVENTS, Gap, Packet, PacketMaker
from daemon.sync.rows import RowMaker
from schemas.frame import FrameType
from schemas.trailer import Gap as TrailerGap
from schemas.trailer import decode_gap


class JournalSource:
    """Gives packets of what became durable, in order. One thread at a time may use it.

    Args:
        directory: the folder with the segments.
        after_seq: the last event that is shipped already.
        maker: makes rows; knows the instruments defined up to there.
        max_events: in one packet.

    Raises:
        JournalError: there is no journal.
    """

    def __init__(
        self, directory: Path, after_seq: int, maker: RowMaker, *, max_events: int = MAX_EVENTS
    ) -> None:
        begins = JournalReader(directory).first_seq
        self._tail = JournalTail(directory, max(after_seq + 1, begins))
        self._batches: Iterator[Batch] = iter(())
        self._packets = PacketMaker(
            maker, after_seq, max_events=max_events, why=lambda gap: _why_lost(directory, begins, gap)
        )

    def next_packet(self) -> Packet | None:
        """Return the next packet, or None when all that is durable was given.

        Raises:
            JournalCorruptError: the journal is damaged.
        """
        packets = self._packets
        while not packets.is_full:
            batch = next(self._batches, None)
            if batch is None:
                # One look more: the last one may have ended before the journal went on.
                self._batches = self._tail.poll()
                batch = next(self._batches, None)
                if batch is None:
                    break
            packets.take(batch)
        return packets.finish()

    def close(self) -> None:
        """Let the file go."""
        self._tail.close()


def _why_lost(directory: Path, begins: int, gap: Gap) -> str:
    """Return why the journal lacks events."""
    if gap.next_seq <= begins:
        return "retention let go of them before they were shipped"
    holder = [name for name in list_journal(directory) if name.first_seq <= gap.first_seq][-1]
    with open_segment(directory, holder) as reader:
        for told in _gaps(reader):
            if told.next_seq == gap.next_seq:
                return told.reason
    return "the journal lost them"


def _gaps(reader: SegmentReader | ArchiveReader) -> Iterator[TrailerGap]:
    if isinstance(reader, ArchiveReader):
        for entry in reader.footer.blocks:
            for kept in reader.frames_of(entry):
                if kept.type is FrameType.GAP:
                    yield decode_gap(kept.body)
        return
    for _ in reader.frames():
        yield from reader.gaps[-1:]


def check_history(directory: Path, seq: int, ts_ns: int | None) -> int:
    """Check that the journal is the one whose events up to `seq` were shipped.

    Args:
        directory: the folder with the segments.
        seq: the last event that the database has.
        ts_ns: that event's time, where the database knows it.

    Returns:
        When it was written to the journal; 0 where the journal does not have it any more.

    Raises:
        SyncError: the journal ends before that event, or another event stands there.
    """
    reader = JournalReader(directory)
    if seq < reader.first_seq:
        return 0
    last_seq = reader.last_seq
    if last_seq < seq:
        raise SyncError(
            f"{directory}: the journal ends at seq {last_seq:,}, the database has it up to seq {seq:,}",
            hint="an older copy was put back? Nothing is shipped from it, as new events would get numbers "
            "that are taken; `taped backup restore --seen` and `taped journal repair` leave those out",
        )
    batch = next(reader.batches(seq, seq), None)
    if batch is None:
        return 0
    if ts_ns is None or batch.events[0].ts_ns == ts_ns:
        return batch.append_ns
    raise SyncError(
        f"{directory}: event {seq:,} has the time {batch.events[0].ts_ns}, in the database it is {ts_ns}",
        hint="the journal went on from an older copy: its events are not those that were shipped; "
        "nothing is shipped from it",
    )
