"""Goes on from a past state with something changed, and compares both courses. Writes nothing.

As long as the changed core decides what was decided, it is told what was told: the journal's own reports,
at their places. So a fork in which nothing is changed is the recorded history. From its first other
decision on it goes its own way: over the same market, with the paper venue as it stood then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import length_hint
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from daemon.journal.reader import Batch, JournalReader
from daemon.past import Past, past
from daemon.trading.answers import REFUSED
from daemon.trading.core import Core
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.venue.paper.follow import Follower, Report, is_ours
from daemon.venue.paper.options import VenueOptions, read_recorded
from replay.at import moment_of
from replay.fork_market import ForkError, Freely
from replay.parity_difference import Cause, Difference, difference, first_difference
from replay.parity_runs import decides
from replay.parity_starts import with_starts
from schemas.codec import AnyEvent
from schemas.decimals import decimal_text
from schemas.events import (
    Bar,
    ClockTicked,
    DaemonStarted,
    Event,
    NotificationQueued,
    OperatorCommand,
    OrderAccepted,
    OrderDenied,
    OrderFilled,
    OrderRequested,
    OrderSubmitted,
    Quote,
    Scalar,
    SessionCalendarDefined,
    Trade,
)

MAX_POINTS = 512
_TIMED = frozenset({Trade, Quote, Bar, ClockTicked})
MAX_LOOKED_AT = 100_000
"""Events in which it is looked how late orders usually arrive."""


class Changes(NamedTuple):
    """What is to be other than it was.

    Attributes:
        limits: of risk, by name; None takes one away.
        parameters: by strategy, then by name.
        stops: strategies that do not go on.
        venue: options of the paper venue, by name.
    """

    limits: Mapping[str, Scalar] = {}
    parameters: Mapping[str, Mapping[str, Scalar]] = {}
    stops: Sequence[str] = ()
    venue: Mapping[str, Any] = {}


class Point(NamedTuple):
    """Equity of both courses behind an event, as money of the main currency; the time is the market's."""

    seq: int
    ts_ns: int
    recorded: int
    forked: int


@dataclass(slots=True)
class Course:
    """What became of one course in the range; money at 18 decimals, positions as text."""

    orders: int = 0
    denied: int = 0
    fills: int = 0
    fees: int = 0
    equity: int = 0
    profit: int = 0
    max_drawdown: int = 0
    trading_state: str = ""
    positions: dict[str, str] = field(default_factory=dict)

    def count(self, events: Sequence[AnyEvent]) -> None:
        """Count orders, denials and fills."""
        for event in events:
            kind = type(event)
            self.orders += kind is OrderRequested
            self.denied += kind is OrderDenied
            self.fills += kind is OrderFilled


@dataclass(slots=True)
class ForkResult:
    """What a fork came to.

    Attributes:
        at: the event it begins behind.
        last_seq: the last recorded event.
        origin: the state it was made from, in words.
        currency: in which equity is told.
        delay_us: how much later than by the venue's own latency orders arrive once the course is its own.
        diverged: the first other decision; None where all are the same.
        same_decisions: recorded decisions before it that were made again.
        points: both equity curves, at most `MAX_POINTS` + 1.
    """

    at: int
    last_seq: int
    origin: str
    currency: str
    recorded: Course = field(default_factory=Course)
    forked: Course = field(default_factory=Course)
    delay_us: int = 0
    diverged: Difference | None = None
    same_decisions: int = 0
    points: list[Point] = field(default_factory=list)
    seconds: float = 0.0


def fork(
    data: Path,
    at: int,
    changes: Changes,
    *,
    code_hash: str,
    last_seq: int | None = None,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    progress: Callable[[int], None] | None = None,
) -> ForkResult:
    """Go on behind an event with something changed.

    Args:
        data: the data folder; a daemon may be running on it.
        at: the event; with the decisions that answer it, where it has any.
        changes: what is other.
        code_hash: of the code that runs.
        last_seq: where to end; None for the end there is now.
        kinds: strategy classes by kind.
        progress: called with the last event that is done.

    Raises:
        ForkError: a change is refused, or there is nothing behind the event.
        PastError: the journal does not hold the event.
        JournalError: the journal cannot be read.
    """
    started = time.perf_counter()
    journal = JournalReader(data / "journal")
    there_is = journal.last_seq
    end = there_is if last_seq is None else min(last_seq, there_is)
    at = _behind_decisions(journal, at, end)
    if end <= at:
        raise ForkError(f"{data}: nothing is recorded behind seq {at:,} up to {end:,}")
    found = past(data, at, code_hash=code_hash, kinds=kinds)
    history = past(data, at, code_hash=code_hash, kinds=kinds).core
    moment = moment_of(journal, at) if at else None
    now_ns = 0 if moment is None else moment.ts_ns
    result = ForkResult(at, end, found.origin, found.core.risk.currency)
    result.delay_us = usual_delay_us(journal, found.venue.options, at + 1, end)
    course = _Course(found, result, keep_venue=bool(changes.venue))
    course.change(changes, now_ns)
    curves = _Curves(result, history, found.core, end - at)
    curves.begin(now_ns)
    for batch, start in with_starts(journal, at + 1, end):
        history.next_seq = batch.first_seq
        history.replay(batch.first_seq, batch.events)
        result.recorded.count(batch.events)
        course.take(batch, start)
        curves.look(batch)
        if progress is not None:
            progress(batch.last_seq)
    curves.end(batch)
    result.seconds = time.perf_counter() - started
    return result


class _Course:
    """The changed course: on the recorded one as long as it decides the same, then on its own."""

    def __init__(self, found: Past, result: ForkResult, *, keep_venue: bool) -> None:
        self._core = core = found.core
        self._follower = Follower(core, found.venue, found.pending)
        self._result = result
        self._keep_venue = keep_venue
        self._free: Freely | None = None
        self._made: list[Event] = []
        self._cause = Cause(0, None)
        core.unsettled = False

    def change(self, changes: Changes, now_ns: int) -> None:
        """Let what is to be other be so.

        Raises:
            ForkError: the core refuses it.
        """
        core, venue = self._core, self._follower.venue
        for strategy_id in (*changes.parameters, *changes.stops):
            if strategy_id not in core.strategies:
                running = ", ".join(core.strategies) or "none"
                raise ForkError(
                    f"strategy {strategy_id} does not run behind seq {self._result.at:,}",
                    hint=f"running there: {running}",
                )
        if changes.venue:
            venue.configure(_options(venue.options, changes.venue))
            core.taker_fee_ppm = venue.options.taker_fee_ppm
        commands = list(_commands(changes, now_ns))
        seq = core.next_seq
        decisions = core.run(commands)[0] if commands else []
        for event in decisions:
            if isinstance(event, NotificationQueued) and event.subject == REFUSED:
                raise ForkError(event.body)
        # Numbers go on as they were recorded, so that equal orders have equal names. What was asked for
        # beside that (a stopped strategy's cancels) leaves the recorded course at once.
        asked = core.take_effects()
        core.next_seq = seq
        if asked or changes.venue:
            core.next_seq = seq + len(commands) + len(decisions[len(commands) :])
            self._go_free(now_ns, None)

    def take(self, batch: Batch, start: DaemonStarted | None) -> None:
        """Take a recorded batch."""
        if start is not None:
            self._core.unsettled = True
        if self._free is not None:
            self._free.take(batch.first_seq, batch.events)
            return
        if batch.first_seq != self._core.next_seq - len(self._made):
            self._follower.skip_to(batch.first_seq)
        at, events = 0, batch.events
        while at < len(events):
            at = self._match(batch, at) if self._made else self._run(batch, at)
            if self._free is not None:
                self._free.take(batch.first_seq + at, events[at:])
                return
        self._core.take_effects()

    def _run(self, batch: Batch, at: int) -> int:
        """Let the core take inputs from an index on; return the index behind them."""
        event, core, follower = batch.events[at], self._core, self._follower
        seq = batch.first_seq + at
        if decides(event):
            self._diverge(batch, at, None)
            return at
        agreed = not isinstance(event, Report) or is_ours(event) or follower.agrees(event)
        if isinstance(event, DaemonStarted) and not self._keep_venue:
            follower.venue.configure(read_recorded(event.settings))
        stop = at + 1 if _is_cut(event) else _inputs_end(batch.events, at)
        inputs: Any = iter(batch.events[at:stop])
        made = core.advance(inputs)
        taken = stop - length_hint(inputs)
        if not agreed:
            follower.give_way(seq)
        self._result.forked.count(batch.events[at:taken])
        follower.expect(follower.venue.on_market(batch.events[at:taken], seq))
        if made:
            self._made = made
            self._cause = Cause(batch.first_seq + taken - 1, batch.events[taken - 1])
        return taken

    def _match(self, batch: Batch, at: int) -> int:
        """Hold decisions against the recorded ones; return the index behind those that are equal."""
        recorded = batch.events[at : at + len(self._made)]
        place = first_difference(recorded, self._made[: len(recorded)])
        if place is not None:
            self._result.same_decisions += place
            self._diverge(batch, at + place, self._made[place])
            return at + place
        self._result.same_decisions += len(recorded)
        self._result.forked.count(recorded)
        self._made = self._made[len(recorded) :]
        return at + len(recorded)

    def _diverge(self, batch: Batch, at: int, made: Event | None) -> None:
        recorded = batch.events[at]
        found = difference(batch.first_seq + at, recorded, made, self._cause, is_decision=decides(recorded))
        if made is not None:
            self._result.forked.count(self._made[self._made.index(made) :])
        self._go_free(self._cause.event.ts_ns if self._cause.event is not None else recorded.ts_ns, found)

    def _go_free(self, now_ns: int, found: Difference | None) -> None:
        self._result.diverged = found
        self._made = []
        self._free = Freely(
            self._core,
            self._follower.venue,
            self._result.forked.count,
            delay_us=self._result.delay_us,
            keep_venue=self._keep_venue,
        )
        self._free.begin(self._follower.pending, now_ns)


def _behind_decisions(journal: JournalReader, at: int, last_seq: int) -> int:
    """Return the last decision that answers an event, or the event: forks begin between two inputs."""
    for batch in journal.batches(at + 1, last_seq) if at < last_seq else ():
        for event in batch.events:
            if not decides(event):
                return at
            at += 1
    return at


def usual_delay_us(journal: JournalReader, options: VenueOptions, first_seq: int, last_seq: int) -> int:
    """Return how much later than by the venue's latency orders arrived, in the market's time: the median.

    A daemon sends an order once it is durable; meanwhile the market goes on.
    """
    submitted: dict[int, int] = {}
    delays: list[int] = []
    now_ns = 0
    for batch in journal.batches(first_seq, min(last_seq, first_seq + MAX_LOOKED_AT)):
        for event in batch.events:
            if isinstance(event, OrderSubmitted):
                submitted[event.order_id] = event.ts_ns
            elif isinstance(event, OrderAccepted) and event.order_id in submitted:
                delays.append(max(0, now_ns - submitted.pop(event.order_id)))
            elif isinstance(event, Trade | Quote | ClockTicked):
                now_ns = max(now_ns, event.ts_ns)
    if not delays:
        return 0
    mean_us = options.latency_spread_us // (2 if options.latency_shape == "uniform" else 1)
    return max(0, int(median(delays)) // 1_000 - options.latency_us - mean_us)


class _Curves:
    """Both equity curves, at places that are equally far apart."""

    def __init__(self, result: ForkResult, recorded: Core, forked: Core, events: int) -> None:
        self._result = result
        self._cores = (recorded, forked)
        self._step = -(-events // MAX_POINTS)
        self._next = result.at + self._step
        self._peaks = [-(2**200)] * 2
        self._first = (0, 0)
        self._now_ns: int | None = None

    def begin(self, ts_ns: int) -> None:
        """Add the first point, for now at the time of its event."""
        self._add(self._result.at, ts_ns)

    def look(self, batch: Batch) -> None:
        """Add a point, if it is time for one."""
        self._listen(batch)
        if batch.last_seq >= self._next:
            self._add(batch.last_seq, self._time(batch))
            self._next = batch.last_seq + self._step

    def _listen(self, batch: Batch) -> None:
        """Take the market's time, which never goes back: what an import wrote bears that of the import."""
        ticks = (event.ts_ns for event in reversed(batch.events) if type(event) in _TIMED)
        if (ts_ns := next(ticks, None)) is None:
            return
        if self._now_ns is None:
            points = self._result.points
            first_ns = next(event.ts_ns for event in batch.events if type(event) in _TIMED)
            points[0] = points[0]._replace(ts_ns=min(points[0].ts_ns or first_ns, first_ns))
        self._now_ns = max(ts_ns, self._now_ns or 0)

    def _time(self, batch: Batch) -> int:
        return batch.events[-1].ts_ns if self._now_ns is None else self._now_ns

    def _add(self, seq: int, ts_ns: int) -> None:
        result = self._result
        values = [core.total().worth.equity for core in self._cores]
        if not result.points:
            self._first = (values[0], values[1])
        result.points.append(Point(seq, ts_ns, *values))
        for at, course in enumerate((result.recorded, result.forked)):
            self._peaks[at] = max(self._peaks[at], values[at])
            course.max_drawdown = max(course.max_drawdown, self._peaks[at] - values[at])

    def end(self, batch: Batch) -> None:
        """Add the last point, and tell what both came to."""
        result = self._result
        result.currency = self._cores[0].risk.currency
        if result.points[-1].seq < batch.last_seq:
            self._add(batch.last_seq, self._time(batch))
        for at, (core, course) in enumerate(zip(self._cores, (result.recorded, result.forked), strict=True)):
            course.equity = result.points[-1][2 + at]
            course.profit = course.equity - self._first[at]
            course.fees = core.account.fees.get(result.currency, 0)
            course.trading_state = core.trading_state.name
            for instrument_id, held in core.positions.items():
                defined = core.instruments[instrument_id]
                course.positions[f"{defined.symbol}@{defined.venue}"] = decimal_text(
                    held.quantity, defined.quantity_scale
                )


def _is_cut(event: AnyEvent) -> bool:
    """Return whether core and venue must meet an event at the same place."""
    return isinstance(event, Report | DaemonStarted | SessionCalendarDefined)


def _inputs_end(events: Sequence[AnyEvent], at: int) -> int:
    stop = at + 1
    while stop < len(events) and not (_is_cut(events[stop]) or decides(events[stop])):
        stop += 1
    return stop


def _options(options: VenueOptions, changed: Mapping[str, Any]) -> VenueOptions:
    known = {name for name in VenueOptions.__dataclass_fields__ if name != "fees"}
    for name, value in changed.items():
        if name not in known:
            raise ForkError(
                f"venue.{name} is no option of the venue", hint=f"there is {', '.join(sorted(known))}"
            )
        if type(value) is not type(getattr(options, name)):
            raise ForkError(f"venue.{name}: expected a value like {getattr(options, name)!r}")
    return replace(options, **changed)


def _commands(changes: Changes, now_ns: int) -> Sequence[Event]:
    told: list[tuple[str, dict[str, Any]]] = []
    if changes.limits:
        told.append(("risk.set", dict(changes.limits)))
    for strategy_id, values in changes.parameters.items():
        prefixed = {f"param.{name}": value for name, value in values.items()}
        told.append(("strategy.set", {"strategy_id": strategy_id, **prefixed}))
    told += [("strategy.stop", {"strategy_id": strategy_id}) for strategy_id in changes.stops]
    return [
        OperatorCommand(ts_ns=now_ns, who="fork", role="admin", command=name, arguments=arguments)
        for name, arguments in told
    ]
