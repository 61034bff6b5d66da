"""Writes a damaged journal anew from its first damage on, with a GAP frame where events are lost.

This is the only way past a refusal to start, and the daemon never takes it. Frames whose checksums
hold are kept, with their events, numbers and times. Every file that holds damage is copied to
`quarantine` before it is replaced. Segments behind the damage are written anew too, because each
header holds the hash of the segment before; an archived one becomes a plain one. A segment that is
missing is stood in for by one that tells of the loss. Stopped at any point, it may be run again. At
its end it halts trading, in the journal: whoever accepted the loss resumes it when the books are
checked.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.base_file import first_base
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import all_segments, is_archived
from daemon.journal.lock import JournalLock
from daemon.journal.rewrite import FIRST, End, Rewriter, quarantine
from daemon.journal.salvage import Loss, Place, content, read_header, seq_after
from daemon.journal.segment import SegmentName, SegmentReader
from schemas.base_state import BaseHeader
from schemas.codec import CODEC, CodecError
from schemas.events import Event, OperatorCommand, TradingState, TradingStateChanged
from schemas.frame import PAGE, FrameError, FrameType, NewerFormatError
from schemas.trailer import Seal, TrailerError

WHO = "taped/repair"
_COPY_BYTES = 1 << 20


@dataclass(slots=True)
class Plan:
    """What a repair would do.

    Attributes:
        losses: each damage in order.
        damaged: segment files that go to quarantine.
        rewritten: names of the segments that are made or written anew, damaged ones included.
        journal: the journal's uuid.
        todo: the segments to write, and `before`: what the first of them must follow.
        written_bytes: about how much will be written.
    """

    losses: list[Loss] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    rewritten: list[str] = field(default_factory=list)
    journal: bytes = b""
    todo: list[Place] = field(default_factory=list)
    before: End = FIRST
    written_bytes: int = 0

    @property
    def needed(self) -> bool:
        """Whether there is anything to repair."""
        return bool(self.rewritten)

    @property
    def lost_events(self) -> int:
        """How many events would be accepted as lost."""
        return sum(loss.events for loss in self.losses)

    @property
    def quarantine_bytes(self) -> int:
        """How much is copied to quarantine."""
        return sum(path.stat().st_size for path in self.damaged)


def plan_repair(directory: Path, *, watermark: int = 0, advance: Callable[[int], None] | None = None) -> Plan:
    """Read the whole journal and return what a repair would do; changes nothing.

    Args:
        directory: the folder with the segments; nobody may be writing it.
        watermark: the highest sequence number that a read model holds.
        advance: called with the number of bytes that were read since the last call.

    Raises:
        JournalError: there is nothing that could be repaired, or the base state is damaged.
        NewerFormatError: a newer taped wrote it.
    """
    base = first_base(directory)
    first_number = 1 if base is None else base.header.segment
    first = FIRST if base is None else _end_before(base.header)
    places = _places(directory, first_number, first.next_seq)
    plan = Plan(journal=_journal(places) if base is None else base.header.journal)
    before: End = first
    for index, place in enumerate(places):
        last = place is places[-1]
        mark = watermark if last else 0
        length = place.path.stat().st_size if place.path else 0
        end = None if plan.todo else _end_if_whole(place, before, last=last)
        if advance is not None:
            advance(length)
        if end is not None and end.next_seq > mark:
            before = end
            continue
        if not plan.todo:
            plan.todo, plan.before = places[index:], before
        losses = [item for item in content(place, mark) if isinstance(item, Loss)]
        plan.losses += losses
        plan.rewritten.append(place.label)
        plan.written_bytes += _plain_bytes(place)
        if place.path is not None and losses:
            plan.damaged.append(place.path)
            plan.written_bytes += length
    return plan


def _end_before(base: BaseHeader) -> End:
    """Return what the first segment of a journal follows that begins with a base state."""
    return End(base.first_seq, base.previous_sha256, base.previous_crc)


def _plain_bytes(place: Place) -> int:
    """Return about how long a segment is when it is written anew."""
    if place.path is None:
        return 2 * PAGE
    if not place.is_archived:
        return place.path.stat().st_size
    try:
        with ArchiveReader(SegmentName(place.number, place.first_seq, place.path)) as reader:
            return reader.footer.segment_bytes
    except JournalCorruptError:
        return 2 * PAGE


def apply_repair(
    directory: Path,
    *,
    watermark: int = 0,
    now_ns: int | None = None,
    disk: Disk = DISK,
    advance: Callable[[int], None] | None = None,
) -> Plan:
    """Repair the journal, and accept the loss; return what was done.

    `advance` is called with the number of segments that were written since the last call.

    Raises:
        JournalLockedError: a daemon holds it.
        JournalError: it cannot be repaired; or the disk refused, and it may be run again.
    """
    now = time.time_ns() if now_ns is None else now_ns
    with JournalLock(directory):
        plan = plan_repair(directory, watermark=watermark)
        try:
            if plan.needed:
                # A snapshot from behind the damage would still tell of what is given up here.
                shutil.rmtree(directory.parent / "snapshots", ignore_errors=True)
                _apply(directory, plan, watermark, now, disk, advance)
        except OSError as error:
            raise JournalError(
                f"{directory}: {error.strerror or error}",
                hint="the originals of what was replaced are in quarantine; run repair again",
            ) from error
    return plan


def _apply(
    directory: Path,
    plan: Plan,
    watermark: int,
    now_ns: int,
    disk: Disk,
    advance: Callable[[int], None] | None,
) -> None:
    end, todo = plan.before, plan.todo
    for place in todo:
        last = place is todo[-1]
        kept = ""
        if place.path in plan.damaged and place.path is not None:
            kept = quarantine(directory, place.path, disk)
        with Rewriter(directory, place, plan.journal, end, disk) as writer:
            for item in content(place, watermark if last else 0):
                writer.add(item, kept, now_ns)
            if last:
                writer.append(_halt(plan, now_ns), now_ns)
            end = writer.finish()
        if place.path is not None and place.is_archived:
            # The plain one has its name, and counts where both are.
            disk.unlink(place.path)
            disk.sync_directory(place.path.parent)
        if advance is not None:
            advance(1)


def _halt(plan: Plan, now_ns: int) -> list[Event]:
    """Return the command and its answer: books that lack events must not be traded on."""
    reason = f"journal repaired, {plan.lost_events} events lost"
    return [
        OperatorCommand(
            ts_ns=now_ns, who=WHO, role="admin", command="trading.halt", arguments={"reason": reason}
        ),
        TradingStateChanged(ts_ns=now_ns, state=TradingState.HALTED, reason=reason, source=f"operator:{WHO}"),
    ]


def _places(directory: Path, first_number: int, first_seq: int) -> list[Place]:
    """Return the segments from the journal's beginning on, with the missing ones between them."""
    found: dict[int, SegmentName] = {}
    for there in all_segments(directory):
        if there.number in found:
            raise JournalError(f"{directory}: segment {there.number} is there twice", hint="restore a backup")
        if there.number >= first_number:
            found[there.number] = there
    if not found:
        raise JournalError(f"{directory}: no segment is left", hint="restore a backup")
    newest = max(found)
    if is_archived(found[newest]):
        newest += 1  # Only older ones are archived: the newest one is missing.
    places: list[Place] = []
    following: SegmentName | None = None
    for number in range(newest, first_number - 1, -1):
        name = found.get(number)
        after = following.first_seq if following else None
        if name is not None:
            places.append(Place(number, name.first_seq, name.path, after))
            following = name
            continue
        # Where it began is not known: the segment before it ends where it ends.
        places.append(Place(number, -1, None, after))
    return _with_first_seqs(places[::-1], first_seq)


def _with_first_seqs(places: list[Place], first_seq: int) -> list[Place]:
    """Let a missing segment begin where the one before ends, and span all that is missing with it."""
    known: list[Place] = []
    for place in places:
        if place.path is not None:
            known.append(place)
            continue
        if not known:
            known.append(place._replace(first_seq=first_seq))
            continue
        before = known[-1]
        if before.path is None:
            # A second missing one is empty: the first stands for all that lies between.
            known.append(place._replace(first_seq=place.next_first_seq or 0))
            continue
        end = before.first_seq
        for item in content(before._replace(next_first_seq=None), 0):
            end = seq_after(item)
        known[-1] = before._replace(next_first_seq=end)
        known.append(place._replace(first_seq=end))
    return known


def _journal(places: list[Place]) -> bytes:
    for place in places:
        header = read_header(place.path, place.number) if place.path else None
        if header is not None:
            return header.journal
    raise JournalError(
        "no segment's header is whole: whose journal it is cannot be told", hint="restore a backup"
    )


def _end_if_whole(place: Place, before: End, *, last: bool) -> End | None:
    """Return how a segment ends, or None when anything in it is not as it must be."""
    if place.path is None:
        return None
    if place.is_archived:
        return _end_of_archive(SegmentName(place.number, place.first_seq, place.path), before)
    try:
        with SegmentReader(SegmentName(place.number, place.first_seq, place.path)) as reader:
            header = reader.header
            follows = End(header.first_seq, header.previous_sha256, header.previous_crc)
            whole = before == follows and _is_whole(place.path, reader, last=last)
            sha256 = reader.sealed.sha256 if reader.sealed else bytes(32)
            return End(reader.next_seq, sha256, reader.previous_crc) if whole else None
    except NewerFormatError:
        raise
    except (FrameError, CodecError, TrailerError):
        return None


def _end_of_archive(name: SegmentName, before: End) -> End | None:
    try:
        with ArchiveReader(name) as reader:
            header, seal = reader.header, reader.footer.seal
            if before != End(header.first_seq, header.previous_sha256, header.previous_crc):
                return None
            reader.check()
            return End(seal.next_seq, seal.sha256, reader.footer.seal_crc)
    except NewerFormatError:
        raise
    except (JournalCorruptError, FrameError):
        return None


def _is_whole(path: Path, reader: SegmentReader, *, last: bool) -> bool:
    try:
        for header, body in reader.frames():
            if header.type is FrameType.DATA and CODEC.count_types(body).total() != header.event_count:
                return False
    except FrameError:
        if not last:
            return False
    if reader.sealed is None:
        # The end of the last one may be torn: that is no damage, and the next start cuts it.
        return last and reader.later_frame(alone=True) is None
    return _is_sealed_whole(path, reader, reader.sealed, last=last)


def _is_sealed_whole(path: Path, reader: SegmentReader, seal: Seal, *, last: bool) -> bool:
    """Return whether the seal's hash and number hold, and nothing stands behind it."""
    sha = hashlib.sha256()
    left = reader.sealed_at
    with path.open("rb") as file:
        while left and (data := file.read(min(left, _COPY_BYTES))):
            sha.update(data)
            left -= len(data)
        file.seek(reader.offset)
        behind = any(data.strip(b"\0") or not last for data in iter(lambda: file.read(_COPY_BYTES), b""))
    return not behind and sha.digest() == seal.sha256 and seal.next_seq == reader.next_seq
