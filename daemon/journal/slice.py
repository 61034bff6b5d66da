"""Cuts a range of events into a journal of its own, to be looked at and replayed elsewhere.

A slice holds the definitions of instruments and calendars that were in force, then a GAP frame that
tells of the events that were left out, then the range, then one `OperatorCommand` "slice" that says
where it was cut from. Events of the range keep their numbers, because orders are known by theirs. What else
happened before the range is not in it: positions, cash and orders begin with it.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from daemon.journal.disk import DISK
from daemon.journal.errors import JournalError
from daemon.journal.reader import Batch, JournalReader
from daemon.journal.redact import Redaction
from daemon.journal.rewrite import FIRST, Rewriter
from daemon.journal.salvage import Place
from schemas.codec import AnyEvent
from schemas.events import InstrumentDefined, OperatorCommand, SessionCalendarDefined

WHO = "taped/slice"
SEGMENT_BYTES = 64 << 20


class Sliced(NamedTuple):
    """What a slice holds: the range, how many of its events there are, and definitions before it."""

    journal_id: str
    first_seq: int
    last_seq: int
    events: int
    definitions: int


class Definitions:
    """What instruments and calendars were in force, for whoever begins to read in the middle."""

    def __init__(self, events: Iterable[AnyEvent] = ()) -> None:
        self._instruments: dict[int, AnyEvent] = {}
        self._calendars: dict[tuple[str, int | None], AnyEvent] = {}
        self.take(events)

    def take(self, events: Iterable[AnyEvent]) -> None:
        """Take the definitions among these events; a later one replaces the earlier one."""
        for event in events:
            if isinstance(event, InstrumentDefined):
                self._instruments[event.instrument_id] = event
            elif isinstance(event, SessionCalendarDefined):
                self._calendars[event.venue, event.instrument_id] = event

    def events(self) -> list[AnyEvent]:
        """Return the definitions in force."""
        return [*self._instruments.values(), *self._calendars.values()]


def cut_slice(
    directory: Path,
    out: Path,
    first_seq: int,
    last_seq: int,
    *,
    redact: bool = False,
    before: Iterable[AnyEvent] = (),
    advance: Callable[[int], None] | None = None,
) -> Sliced:
    """Write the events from `first_seq` to `last_seq` (both included) to a new journal in `out`.

    Args:
        directory: folder of the journal; a daemon may be writing it.
        out: folder for the slice's segments; made here, and it must not exist.
        first_seq: first event of the range.
        last_seq: last one; beyond the journal's end it means the end.
        redact: replace the names of operators, the ids that clients gave, and tokens.
        before: definitions that were in force before the journal's first event.
        advance: called with the number of events that were read since the last call.

    Raises:
        JournalError: there is no such range, `out` exists, or the disk refused; nothing is left in `out`.
    """
    reader = JournalReader(directory)
    begins, ends = reader.first_seq, reader.last_seq
    last_seq = min(last_seq, ends)
    if not begins <= first_seq <= last_seq:
        raise JournalError(f"{directory}: holds seq {begins} to {ends}, there is no seq {first_seq}")
    definitions = Definitions(before)
    redaction = Redaction() if redact else None
    for batch in _told(reader.batches(begins, first_seq - 1) if first_seq > begins else (), advance):
        definitions.take(batch.events)
        if redaction is not None:
            redaction.learn(batch.events)
    if redaction is not None:
        # A name may stand in a text before its bearer does anything: all are learned first.
        for batch in _told(reader.batches(first_seq, last_seq), advance):
            redaction.learn(batch.events)
    batches = _told(reader.batches(first_seq, last_seq), advance)
    with _new_folder(out):
        writer = _SliceWriter(out)
        count = _write(writer, definitions.events(), batches, redaction)
        writer.append([_told_from(reader.journal_id, first_seq, last_seq, redact=redact)], time.time_ns())
        writer.finish()
    return Sliced(writer.journal.hex(), first_seq, last_seq, count, len(definitions.events()))


def _write(
    writer: _SliceWriter, definitions: list[AnyEvent], batches: Iterable[Batch], redaction: Redaction | None
) -> int:
    """Write definitions and range; return how many events the range has."""
    now_ns = time.time_ns()
    writer.append(definitions if redaction is None else redaction.events(definitions, 0), now_ns)
    count = 0
    for batch in batches:
        if batch.first_seq > writer.next_seq:
            writer.skip(batch.first_seq, "lost in the journal" if count else "left out of the slice")
        events = batch.events if redaction is None else redaction.events(batch.events, batch.first_seq)
        writer.append(events, batch.append_ns)
        count += len(events)
    return count


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """Make the folder; whatever ends the block early takes it away again."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True)
    except FileExistsError:
        raise JournalError(f"{out}: exists already", hint="name a folder that does not") from None
    except OSError as error:
        raise JournalError(f"{out}: {error.strerror}") from error
    try:
        yield
    except BaseException as error:
        shutil.rmtree(made[-1], ignore_errors=True)
        if isinstance(error, OSError):
            raise JournalError(f"{out}: {error.strerror or error}") from error
        raise


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
        self._segment.skip(seq, reason, time.time_ns())

    def finish(self) -> None:
        self._segment.finish()
