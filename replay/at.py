"""Looks at a past moment of a journal: which event that is, and what was known behind it. Decides nothing.

A moment is a sequence number or a time. From the first start of a daemon on, times are those at which
its journal wrote: what a daemon knew at 12:00 is what it had written by then, whatever times ticks bear.
Before that, in an imported tape, they are the times of the ticks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from daemon.api.core_views import state_document
from daemon.api.risk_view import risk_document
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader, open_segment, seal_of
from daemon.journal.segment import SegmentName
from daemon.past import Past, past
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from replay.parity_starts import start_of
from replay.times import seq_at


class Moment(NamedTuple):
    """An event as a place in time; `ts_ns` is its own time, `append_ns` when the journal wrote it."""

    seq: int
    type: str
    ts_ns: int
    append_ns: int


def look(
    data: Path,
    seq: int,
    *,
    code_hash: str,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    keep: bool = True,
) -> Past:
    """Return core and venue as they were behind an event; see `daemon.past.past`."""
    return past(data, seq, code_hash=code_hash, kinds=kinds, any_code=True, keep=keep)


def document(found: Past, moment: Moment | None, *, closed: int) -> dict[str, Any]:
    """Return what was known, as `taped replay at --json` prints it."""
    risk = risk_document(found.core)
    del risk["known"]  # What limits there are is no matter of the past.
    return {
        "seq": found.seq,
        "event": None if moment is None else moment.type,
        "ts_ns": None if moment is None else moment.ts_ns,
        "written_ns": None if moment is None else moment.append_ns,
        "origin": found.origin,
        "replayed": found.seq - found.from_seq,
        **state_document(found.core, closed=closed),
        "risk": risk,
    }


def moment_of(journal: JournalReader, seq: int) -> Moment | None:
    """Return what is known of an event; None where there is none of that number."""
    for batch in journal.batches(max(seq, journal.first_seq), seq):
        event = batch.events[-1]
        return Moment(seq, type(event).__name__, event.ts_ns, batch.append_ns)
    return None


def seq_of(journal: JournalReader, at_ns: int) -> int:
    """Return the last event of a time; one below the journal's first when that lies before all.

    Raises:
        TimesError: the ticks of an imported tape are in no order of time.
    """
    segments = list_journal(journal.directory)
    begun = next((at for at, name in enumerate(segments) if start_of(journal, name) is not None), None)
    if begun is not None and _written_ns(journal, segments[begun]) <= at_ns:
        return _written_by(journal, segments[begun:], at_ns)
    last_seq = journal.last_seq if begun is None else segments[begun].first_seq - 1
    return seq_at(journal, at_ns + 1, last_seq=last_seq) - 1


def _written_by(journal: JournalReader, segments: list[SegmentName], at_ns: int) -> int:
    """Return the last event that was written by a time."""
    # Bisection asks each segment for its first frame, which is one small read.
    number = bisect_right(segments, at_ns, key=lambda name: _written_ns(journal, name)) - 1
    name = segments[max(0, number)]
    seq = name.first_seq - 1
    for batch in journal.batches(max(journal.first_seq, _indexed(journal, name, at_ns))):
        if batch.append_ns > at_ns:
            break
        seq = batch.last_seq
    return seq


def _written_ns(journal: JournalReader, name: SegmentName) -> int:
    batch = next(journal.batches(name.first_seq), None)
    return 2**63 if batch is None else batch.append_ns


def _indexed(journal: JournalReader, name: SegmentName, at_ns: int) -> int:
    """Return a place in a segment that was written by a time and lies near its last."""
    with open_segment(journal.directory, name) as reader:
        seal = seal_of(reader)
    if seal is None or not seal.index:
        return name.first_seq
    place = bisect_right([entry.append_ns for entry in seal.index], at_ns) - 1
    return seal.index[max(0, place)].first_seq
