"""Makes the decisions of a journal again from its inputs, and compares them. Writes nothing.

The core takes the recorded inputs in their order and answers with decisions, as the daemon's core did;
encoded, these must be the recorded bytes, at the recorded places. Reports of venues are inputs: what
the paper venue filled is taken as it was told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.past import past
from daemon.start import advance
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, load
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from replay.parity_difference import Difference
from replay.parity_runs import Comparison, Run
from replay.parity_starts import start_before, with_starts
from schemas.errors import TapedError


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
    begin = past(data, first_seq - 1, code_hash=code_hash, kinds=kinds)

    def rewind(mark: CoreDump | None, seq: int) -> Core:
        if mark is None:
            return past(data, seq, code_hash=code_hash, kinds=kinds).core
        again = load(journal.journal_id, mark.parts(), kinds=kinds)
        advance(again, journal, seq)
        return again

    start = None if first_seq == 1 else start_before(journal, first_seq)
    comparison = Comparison(begin.core, first_seq, start, rewind, is_cut=first_seq > 1)
    for batch, start in with_starts(journal, first_seq, end):
        if start is not None:
            comparison.begin(batch.first_seq, start)
        comparison.take(batch)
        if progress is not None:
            progress(batch.last_seq)
    comparison.end(is_cut=end < there_is)
    seconds = time.perf_counter() - started
    return ParityResult(journal.journal_id, code_hash, begin.origin, first_seq, end, comparison.runs, seconds)
