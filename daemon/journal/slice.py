"""Cuts a range of events into a journal of its own, to be looked at and replayed elsewhere.

A slice holds the definitions of instruments that were in force, then a GAP frame that tells of the
events that were left out, then the range, then one `OperatorCommand` "slice" that says where it was
cut from. Events of the range keep their numbers, because orders are known by theirs. What else
happened before the range is not in it: positions, cash and orders begin with it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.journal.disk import DISK
from daemon.journal.errors import JournalError
from daemon.journal.reader import Batch, JournalReader
from daemon.journal.redact import Redaction
from daemon.journal.rewrite import FIRST, Rewriter
from daemon.journal.salvage import Loss, Place
from schemas.codec import AnyEvent
from schemas.events import InstrumentDefined, OperatorCommand

WHO = "taped/slice"
SEGMENT_BYTES = 64 << 20


class Sliced(NamedTuple):
    """What a slice holds: the range, how many of its events there are, and definitions before it."""

    journal_id: str
    first_seq: int
    last_seq: int
    events: int
    instruments: int


def cut_slice(
    directory: Path,
    out: Path,
    first_seq: int,
    last_seq: int,
    *,
    redact: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Sliced:
    """Write the events from `first_seq` to `last_seq` (both included) to a new journal in `out`.

    Args:
        directory: folder of the journal; a daemon may be writing it.
        out: folder for the slice's segments; made here, and it must not exist.
        first_seq: first event of the range.
        last_seq: last one; beyond the journal's end it means the end.
        redact: replace the names of operators and the ids that clients gave.
        advance: called with the number of events that were read since the last call.

    Raises:
        JournalError: there is no such range, `out` exists, or the disk refused.
    """
    reader = JournalReader(directory)
    last_seq = min(last_seq, reader.last_seq)
    if not 1 <= first_seq <= last_seq:
        raise JournalError(f"{directory}: ends at seq {reader.last_seq}, there is no seq {first_seq}")
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise JournalError(f"{out}: exists already", hint="name a folder that does not") from None
    redaction = Redaction() if redact else None
    instruments: dict[int, AnyEvent] = {}
    for batch in _told(reader.batches(1, first_seq - 1) if first_seq > 1 else (), advance):
        for event in batch.events:
            if isinstance(event, InstrumentDefined):
                instruments[event.instrument_id] = event
    try:
        writer = _SliceWriter(out)
        writer.append(list(instruments.values()), time.time_ns())
        count = 0
        for batch in _told(reader.batches(first_seq, last_seq), advance):
            if batch.first_seq > writer.next_seq:
                writer.skip(batch.first_seq, "lost in the journal" if count else "left out of the slice")
            events = batch.events if redaction is None else redaction.batch(batch)
            writer.append(events, batch.append_ns)
            count += len(events)
        writer.append([_told_from(reader.journal_id, first_seq, last_seq, redact=redact)], time.time_ns())
        writer.finish()
    except OSError as error:
        raise JournalError(f"{out}: {error.strerror or error}") from error
    return Sliced(writer.journal.hex(), first_seq, last_seq, count, len(instruments))


def _told_from(journal_id: str, first_seq: int, last_seq: int, *, redact: bool) -> OperatorCommand:
    return OperatorCommand(
        ts_ns=time.time_ns(),
        who=WHO,
        role="system",
        command="slice",
        arguments={"journal": journal_id, "from": first_seq, "to": last_seq, "redacted": redact},
    )


def _told(batches: Iterable[Batch], advance: Callable[[int], None] | None) -> Iterator[Batch]:
    for batch in batches:
        yield batch
        if advance is not None:
            advance(len(batch.events))


class _SliceWriter:
    """Writes segments one behind the other."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self.journal = uuid.uuid4().bytes
        self._end = FIRST
        self._number = 1
        self._segment = self._begin()

    @property
    def next_seq(self) -> int:
        return self._segment.next_seq

    def _begin(self) -> Rewriter:
        place = Place(self._number, self._end.next_seq, None, None)
        return Rewriter(self._out, place, self.journal, self._end, DISK)

    def append(self, events: list[AnyEvent], append_ns: int) -> None:
        if not events:
            return
        if self._segment.offset > SEGMENT_BYTES:
            self._end = self._segment.finish()
            self._number += 1
            self._segment = self._begin()
        self._segment.append(events, append_ns)

    def skip(self, seq: int, reason: str) -> None:
        gap = Loss("the slice", 0, 0, self.next_seq, seq, reason)
        self._segment.add(gap, "", time.time_ns())

    def finish(self) -> None:
        self._segment.finish()
