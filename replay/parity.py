"""Makes the decisions of a journal again from its inputs, and compares them. Writes nothing.

The core takes the recorded inputs in their order and answers with decisions, as the daemon's core did;
encoded, these must be the recorded bytes, at the recorded places. Reports of venues are inputs: what
the paper venue filled is taken as it was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daemon.journal.base_file import first_base
from daemon.journal.listing import list_journal
from daemon.journal.reader import Batch, JournalReader
from daemon.start import advance, core_at_beginning
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, load
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from replay.parity_difference import Difference
from replay.parity_runs import Comparison, Run, decides
from schemas.errors import TapedError
from schemas.events import DaemonStarted

MAX_LOOKAHEAD_EVENTS = 1_000
"""Reports that a process may find missing before it tells of its own start."""


class ParityError(TapedError):
    """There is nothing to compare."""


@dataclass(slots=True)
class ParityResult:
    """What a comparison came to.

    Attributes:
        journal_id: the journal's uuid.
        code_hash: of the code that runs.
        origin: the state the comparison began with, in words.
        first_seq: the first event that was compared.
        last_seq: the last one.
        runs: in order.
        seconds: how long it took.
    """

    journal_id: str
    code_hash: str
    origin: str
    first_seq: int
    last_seq: int
    runs: list[Run] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def decisions(self) -> int:
        """Decisions that are equal."""
        return sum(run.decisions for run in self.runs)

    @property
    def difference(self) -> Difference | None:
        """The first one there is."""
        return next((run.difference for run in self.runs if run.difference is not None), None)

    @property
    def passed(self) -> bool:
        """Whether all that was compared is equal."""
        return self.difference is None

    @property
    def events(self) -> int:
        """Events in the range."""
        return self.last_seq - self.first_seq + 1

    @property
    def events_per_second(self) -> float:
        """How fast it was, reading included."""
        return self.events / self.seconds if self.seconds else 0.0


def check_parity(
    data: Path,
    *,
    code_hash: str,
    first_seq: int = 1,
    last_seq: int | None = None,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    progress: Callable[[int], None] | None = None,
) -> ParityResult:
    """Compare the decisions of a data folder's journal; a daemon may be writing it.

    Args:
        data: the data folder.
        code_hash: of the code that runs.
        first_seq: where to begin; what lies before it is only replayed, from the nearest state.
        last_seq: where to end; None for the end there is now.
        kinds: strategy classes by kind.
        progress: called with the last event that is done.

    Raises:
        ParityError: there is no event in the range.
        JournalError: the journal cannot be read.
    """
    started = time.perf_counter()
    journal = JournalReader(data / "journal")
    first_seq, there_is = max(first_seq, journal.first_seq), journal.last_seq
    end = there_is if last_seq is None else min(last_seq, there_is)
    if end < first_seq:
        raise ParityError(f"{data}: no events from seq {first_seq} to {end}")
    core, origin = _begin(journal, first_seq, kinds)

    def rewind(mark: CoreDump | None, seq: int) -> Core:
        again = (
            core_at_beginning(first_base(journal.directory), journal.journal_id, kinds)
            if mark is None
            else load(journal.journal_id, mark.parts(), kinds=kinds)
        )
        advance(again, journal, seq)
        return again

    start = None if first_seq == 1 else start_before(journal, first_seq)
    comparison = Comparison(core, first_seq, start, rewind, is_cut=first_seq > 1)
    for batch, start in with_starts(journal, first_seq, end):
        if start is not None:
            comparison.begin(batch.first_seq, start)
        comparison.take(batch)
        if progress is not None:
            progress(batch.last_seq)
    comparison.end(is_cut=end < there_is)
    seconds = time.perf_counter() - started
    return ParityResult(journal.journal_id, code_hash, origin, first_seq, end, comparison.runs, seconds)


def _begin(journal: JournalReader, first_seq: int, kinds: Mapping[str, type[Strategy]]) -> tuple[Core, str]:
    """Return the core before an event, and where it is from, in words."""
    core = core_at_beginning(first_base(journal.directory), journal.journal_id, kinds)
    origin = "the beginning" if core.next_seq == 1 else f"the base state at seq {core.next_seq - 1:,}"
    if core.next_seq < first_seq:
        advance(core, journal, first_seq - 1)
    return core, origin


def with_starts(
    journal: JournalReader, first_seq: int, last_seq: int
) -> Iterator[tuple[Batch, DaemonStarted | None]]:
    """Yield the batches, each with the `DaemonStarted` of the process that begins with it, if one does.

    A process begins with a segment. Before it tells of itself it tells of reports that its
    predecessor's venue had made and the journal lacked.
    """
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
            held: list[Batch] = []
            for batch in journal.batches(name.first_seq, seq - 1):
                held.append(batch)
                start, is_open = _look(held)
                if start is not None:
                    return start
                if not is_open:
                    break
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
