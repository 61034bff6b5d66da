"""Which event of a journal a time means: found by its index, a scan only of the last stretch.

Times are those of ticks, for commands that import recordings bear the time of the import. Ticks of
one journal come nearly in order of time: venues' clocks differ by some seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.listing import list_journal
from daemon.journal.reader import JournalReader, open_segment, seal_of
from daemon.journal.segment import SegmentName
from schemas.errors import TapedError
from schemas.events import Bar, Quote, Trade

DISORDER_NS = 10_000_000_000
"""Ticks may lie so much earlier than one recorded before them."""
_TICKS = frozenset({Trade, Quote, Bar})


class TimesError(TapedError):
    """The ticks of a journal are not in order of time."""


def seq_at(journal: JournalReader, at_ns: int, *, last_seq: int) -> int:
    """Return the number of the first tick that is not earlier; one above `last_seq` when all are.

    Args:
        journal: to look in.
        at_ns: the time.
        last_seq: the last event there is.

    Raises:
        TimesError: segments do not follow one another in time, so a time means no one place.
    """
    segments = list_journal(journal.directory)
    starts = _in_order(journal, [name.first_seq for name in segments])
    near_ns = at_ns - DISORDER_NS
    number = max(0, bisect_left([time_ns for _, time_ns in starts], near_ns) - 1)
    points = _in_order(journal, _index(journal, segments[number]))
    place = max(0, bisect_left([time_ns for _, time_ns in points], near_ns) - 1)
    first = points[place][0] if points else starts[number][0] if starts else last_seq + 1
    for batch in journal.batches(max(first, journal.first_seq), last_seq):
        for seq, event in enumerate(batch.events, batch.first_seq):
            if event.ts_ns >= at_ns and type(event) in _TICKS:
                return seq
    return last_seq + 1


def _index(journal: JournalReader, name: SegmentName) -> list[int]:
    """Return the numbers at which reading of a segment may start."""
    with open_segment(journal.directory, name) as reader:
        if isinstance(reader, ArchiveReader):
            return [block.first_seq for block in reader.footer.blocks]
        seal = seal_of(reader)
        return [name.first_seq] if seal is None else [entry.first_seq for entry in seal.index]


def _in_order(journal: JournalReader, seqs: list[int]) -> list[tuple[int, int]]:
    """Return each number with the time of the next tick, as far as there are ticks."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        tick = _next_tick(journal, seq)
        if tick is None:
            break
        found.append((seq, tick))
    for (before, earlier_ns), (after, later_ns) in pairwise(found):
        if later_ns < earlier_ns - DISORDER_NS:
            raise TimesError(
                f"{journal.directory}: the ticks from seq {after} on lie before those from seq {before},"
                " so a time means no one place",
                hint="name sequence numbers, or import into a journal in order of time",
            )
    return found


def _next_tick(journal: JournalReader, seq: int) -> int | None:
    """Return the time of the first tick from a number on."""
    for batch in journal.batches(seq):
        for event in batch.events:
            if type(event) in _TICKS:
                return event.ts_ns
    return None
