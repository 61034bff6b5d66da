"""Where the processes that wrote a journal begin. Compares nothing.

A process begins with a segment. Before it tells of itself it tells of reports that its predecessor's
venue had made and the journal lacked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from daemon.journal.listing import list_journal
from daemon.journal.reader import Batch, JournalReader
from daemon.journal.segment import SegmentName
from replay.parity_runs import decides
from schemas.events import DaemonStarted

MAX_LOOKAHEAD_EVENTS = 1_000
"""Reports that a process may find missing before it tells of its own start."""


def with_starts(
    journal: JournalReader, first_seq: int, last_seq: int
) -> Iterator[tuple[Batch, DaemonStarted | None]]:
    """Yield the batches, each with the `DaemonStarted` of the process that begins with it, if one does."""
    beginnings = {name.first_seq for name in list_journal(journal.directory)}
    held: list[Batch] = []
    for batch in journal.batches(first_seq, last_seq):
        if not held and batch.first_seq not in beginnings:
            yield batch, None
            continue
        held.append(batch)
        start, is_open = _look(held)
        if not is_open:
            yield held[0], start
            yield from ((batch, None) for batch in held[1:])
            held = []
    yield from ((batch, None) for batch in held)


def start_before(journal: JournalReader, seq: int) -> DaemonStarted | None:
    """Return the start of the process that wrote an event; None where that is not known."""
    for name in reversed(list_journal(journal.directory)):
        if name.first_seq < seq:
            start = start_of(journal, name)
            if start is not None:
                return start
    return None


def start_of(journal: JournalReader, name: SegmentName) -> DaemonStarted | None:
    """Return the start that a segment begins with, if a process began with it."""
    return _first(journal.batches(name.first_seq))


def _first(batches: Iterable[Batch]) -> DaemonStarted | None:
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        start, is_open = _look(held)
        if not is_open:
            return start
    return None


def _look(held: Sequence[Batch]) -> tuple[DaemonStarted | None, bool]:
    """Return the start that a segment's first events tell of, and whether one may still come."""
    for batch in held:
        for event in batch.events:
            if isinstance(event, DaemonStarted):
                return event, False
            if not (hasattr(event, "order_id") or decides(event)):
                return None, False
    return None, sum(len(batch.events) for batch in held) < MAX_LOOKAHEAD_EVENTS
