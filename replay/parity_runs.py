"""Holds the decisions a core makes against the recorded ones, process by process; reads no file.

A run whose decisions differ is not compared behind its first difference: all later ones could follow
from it. The next process is compared again, with a core that took what is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import length_hint
from typing import Any

from daemon.journal.reader import Batch
from daemon.journal.repair import WHO as REPAIR
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, DumpError, dump
from replay.parity_difference import Cause, Difference, difference, first_difference
from schemas.codec import CODEC, AnyEvent
from schemas.events import DECISIONS, DaemonStarted, Event, OperatorCommand, is_decision
from schemas.frame import MAX_BODY_BYTES, MAX_EVENTS

MAX_RUNS = 1_000
"""Runs that are told one by one; behind them the rest is only taken as it is recorded."""

_PLACES = frozenset({DaemonStarted, OperatorCommand})
_LOOKED_AT = DECISIONS | _PLACES

Rewind = Callable[[CoreDump | None, int], Core]
"""Gives a core that took what is recorded up to an event: from a dump on, or from the beginning."""


@dataclass(slots=True)
class Run:
    """What one process decided, or several of the same code one behind the other.

    Attributes:
        first_seq: where it begins.
        last_seq: where it ends.
        code_hash: of the code that decided; empty where no daemon did.
        version: of taped.
        starts: processes that began in it.
        decisions: recorded decisions that were made again, equal to the byte.
        unchecked: events that could only be taken as they are recorded.
        why_unchecked: why so.
        lost: decisions that were made again and are not recorded: the process ended in the middle.
        difference: the first, or None.
    """

    first_seq: int
    last_seq: int
    code_hash: str = ""
    version: str = ""
    starts: int = 0
    decisions: int = 0
    unchecked: int = 0
    why_unchecked: str = ""
    lost: int = 0
    difference: Difference | None = None


class Comparison:
    """Lets a core decide anew, batch by batch.

    Args:
        core: as it was before the first batch.
        first_seq: number of the first event.
        start: of the process that wrote the first event, if a daemon did.
        rewind: as its type says.
        is_cut: the first events may be decisions whose input lies before them.

    Attributes:
        runs: what was found, in order.
    """

    def __init__(
        self,
        core: Core,
        first_seq: int,
        start: DaemonStarted | None,
        rewind: Rewind,
        *,
        is_cut: bool = False,
    ) -> None:
        self.core = core
        self.runs: list[Run] = [_run(first_seq, start)]
        core.unsettled = False
        self._rewind = rewind
        self._next_seq = first_seq
        self._is_cut = is_cut
        self._follows = False
        self._lacks = False
        self._made: list[Event] = []
        self._cause = Cause(0, None)
        self._mark = _dumped(core)
        self._start = start
        self._last: Batch | None = None

    @property
    def run(self) -> Run:
        """The present run."""
        return self.runs[-1]

    def begin(self, seq: int, start: DaemonStarted) -> None:
        """Take the beginning of a process."""
        self._end_process(is_cut=False)
        if self._made:
            self.core, self._made = self._rewind(self._mark, seq - 1), []
        self._start = start
        self._is_cut = False
        self._follows = self._lacks
        self._mark = _dumped(self.core)
        # What its predecessor left undecided is decided behind its first input.
        self.core.unsettled = seq > 1
        run = self.run
        why = run.why_unchecked
        if len(self.runs) >= MAX_RUNS:
            self._go_unchecked(f"only {MAX_RUNS:,} runs are told apart")
        elif run.difference is None and run.code_hash == start.code_hash:
            run.starts += 1
        else:
            self.runs.append(_run(seq, start, starts=1))
        if self._lacks:
            self.run.why_unchecked = why

    def take(self, batch: Batch) -> None:
        """Compare a batch."""
        if batch.first_seq != self._next_seq:
            self._jump(batch.first_seq)
        self._next_seq = batch.last_seq + 1
        self._last = batch
        self.run.last_seq = batch.last_seq
        if self._follows:
            self._follow(batch)
            return
        events, at = batch.events, 0
        if self._is_cut:
            at = self._skip(batch)
        if self._made or not _LOOKED_AT.isdisjoint(map(type, events)):
            self._take_mixed(batch, at)
            return
        inputs: Iterator[Any] = iter(events)
        made = self.core.advance(inputs)
        if made:
            self._note(batch, len(events) - length_hint(inputs), made)
            self._take_mixed(batch, len(events) - length_hint(inputs))

    def end(self, *, is_cut: bool) -> None:
        """Take the end; `is_cut`: more events follow, which are not compared."""
        self._end_process(is_cut=is_cut)
        self.runs[:] = [run for run in self.runs if run.last_seq >= run.first_seq]

    def _take_mixed(self, batch: Batch, at: int) -> None:
        """Compare a batch that holds decisions, or should, from an index on."""
        events, core = batch.events, self.core
        while at < len(events):
            if self._made:
                at = self._match(batch, at)
                if self._follows:
                    return
                continue
            event = events[at]
            if decides(event):
                self._differ(batch, at, None)
                return
            if self._begins_elsewhere(event):
                assert isinstance(event, DaemonStarted)
                self.begin(batch.first_seq + at, event)
                core = self.core
            if _is_repair(event):
                self._go_unchecked("a repair wrote them")
                self._follow(Batch(batch.first_seq + at, events[at:], batch.append_ns))
                return
            stop = self._inputs_end(events, at)
            inputs: Iterator[Any] = iter(events[at:stop])
            made = core.advance(inputs)
            at = stop - length_hint(inputs)
            if made:
                self._note(batch, at, made)
        core.take_effects()

    def _inputs_end(self, events: Sequence[AnyEvent], at: int) -> int:
        """Return where the inputs from an index on end: at a decision, or at what must be looked at."""
        stop = at + 1
        while stop < len(events):
            event = events[stop]
            if type(event) in _LOOKED_AT and (type(event) in _PLACES or is_decision(event)):  # type: ignore[arg-type]
                break
            stop += 1
        return stop

    def _note(self, batch: Batch, at: int, made: list[Event]) -> None:
        self._made = made
        self._cause = Cause(batch.first_seq + at - 1, batch.events[at - 1])

    def _match(self, batch: Batch, at: int) -> int:
        """Hold what was made against what stands at an index; return the index behind it."""
        made = self._made
        recorded = batch.events[at : at + len(made)]
        place = first_difference(recorded, made[: len(recorded)])
        if place is not None:
            self.run.decisions += place
            self._differ(batch, at + place, made[place])
            return at + place
        self.run.decisions += len(recorded)
        self._made = made[len(recorded) :]
        return at + len(recorded)

    def _differ(self, batch: Batch, at: int, made: Event | None) -> None:
        """Note the first difference of a run; the rest of it is taken as it is recorded."""
        recorded = batch.events[at]
        self.run.difference = difference(
            batch.first_seq + at, recorded, made, self._cause, is_decision=decides(recorded)
        )
        self._go_unchecked("they lie behind a difference")
        self.run.unchecked += len(batch.events) - at - 1
        self.core = self._rewind(self._mark, batch.last_seq)
        self._made = []

    def _go_unchecked(self, why: str) -> None:
        self._follows = True
        self.run.why_unchecked = self.run.why_unchecked or why

    def _follow(self, batch: Batch) -> None:
        self.core.replay(batch.first_seq, batch.events)
        if self._lacks and any(map(_is_repair, batch.events)):
            self._lacks = False
        self.run.unchecked += len(batch.events)

    def _skip(self, batch: Batch) -> int:
        """Take decisions whose input lies before the first event; return how many."""
        at = next((at for at, event in enumerate(batch.events) if not decides(event)), len(batch.events))
        self._is_cut = at == len(batch.events)
        if at:
            self._follow(Batch(batch.first_seq, batch.events[:at], 0))
            self.core.unsettled = False
            self.run.why_unchecked = "their input lies before the first event"
        return at

    def _jump(self, seq: int) -> None:
        """Go on behind a loss that the journal tells of.

        What was decided behind it knew what is lost, up to the repair that accepted the loss: only what
        started behind that knew as little as is recorded.
        """
        self._lacks = True
        if self._made:
            self.run.lost += len(self._made)
            self.core, self._made = self._rewind(self._mark, seq - 1), []
        self.core.next_seq = seq
        self._go_unchecked("events before them are lost")

    def _begins_elsewhere(self, event: AnyEvent) -> bool:
        """Return whether a process begins here, though no segment does: the journal was written anew."""
        return isinstance(event, DaemonStarted) and event is not self._start

    def _end_process(self, *, is_cut: bool) -> None:
        """Judge what was made and is not recorded: lost with the process, or never made by it."""
        if not self._made or self._last is None:
            return
        if is_cut or _may_be_torn(self._last.events):
            self.run.lost += len(self._made)
            return
        self.run.difference = difference(
            self._last.last_seq + 1, None, self._made[0], self._cause, is_decision=False
        )


def _is_repair(event: AnyEvent) -> bool:
    return isinstance(event, OperatorCommand) and event.who == REPAIR


def decides(event: AnyEvent) -> bool:
    """Return whether an event is a decision."""
    return type(event) in DECISIONS and is_decision(event)  # type: ignore[arg-type]


def _run(seq: int, start: DaemonStarted | None, starts: int = 0) -> Run:
    if start is None:
        return Run(seq, seq - 1, starts=starts)
    return Run(seq, seq - 1, start.code_hash, start.daemon_version, starts)


def _dumped(core: Core) -> CoreDump | None:
    """Return where to begin again; None where a strategy of one's own cannot be dumped."""
    try:
        return dump(core)
    except DumpError:
        return None


def _may_be_torn(events: Sequence[AnyEvent]) -> bool:
    """Return whether these may be a part of what was handed to the journal at once.

    An input stands in one frame with its decisions, unless they are too many for one: then halves of
    them are written one behind the other.
    """
    return 2 * len(events) >= MAX_EVENTS or 4 * len(CODEC.encode(events)) >= MAX_BODY_BYTES
