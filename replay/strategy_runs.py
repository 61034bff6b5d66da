"""Runs of one backtest whose market is handed over in different ways, and what each of them decided."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.trading.core import Core
from daemon.user_strategies import load_kinds
from replay.backtest import JOURNAL_ID, BacktestError, EventBatch, run_backtest
from replay.run import warm_batches
from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.codec import AnyEvent
from schemas.events import Bar, Event, OrderRequested, Quote, Trade

MAX_EVENTS = 5_000_000
MAX_DECISIONS = 200_000
_TICKS = frozenset({Trade, Quote, Bar})


@dataclass(slots=True)
class Decided:
    """What one run decided.

    Attributes:
        decisions: in order, with their numbers in the run.
        answered: behind so many events so many decisions had been made, for each event that was answered;
            only of runs that are handed over event by event.
        state: what each strategy had learned by the end.
    """

    decisions: list[tuple[int, Event]] = field(default_factory=list)
    answered: list[tuple[int, int]] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def orders(self) -> list[OrderRequested]:
        """What was asked for."""
        return [event for _, event in self.decisions if isinstance(event, OrderRequested)]


class Market:
    """The events of a spec, in memory, to be handed over in different ways.

    Raises:
        BacktestError: there are more than `MAX_EVENTS`.
    """

    def __init__(self, spec: BacktestSpec) -> None:
        self.batches: list[list[AnyEvent]] = []
        self.times = array("q")
        for batch in open_source(spec).batches():
            self.batches.append(list(batch.events))
            self.times.extend(event.ts_ns for event in batch.events if type(event) in _TICKS)
            if len(self.times) > MAX_EVENTS:
                raise BacktestError(
                    f"more than {MAX_EVENTS:,} events", hint="a check takes less: name a range of them"
                )

    def whole(self) -> Iterator[EventBatch]:
        """Yield everything as it was recorded."""
        return (_Batch(events) for events in self.batches)

    def one_by_one(self) -> Iterator[EventBatch]:
        """Yield every event as a batch of its own."""
        return (_Batch([event]) for events in self.batches for event in events)

    def until(self, count: int) -> Iterator[EventBatch]:
        """Yield so many events, definitions among them, and nothing of what follows."""
        left = count
        for events in self.batches:
            yield _Batch(events[:left])
            left -= len(events)
            if left <= 0:
                return

    def since(self, ticks: int) -> Iterator[EventBatch]:
        """Leave out so many ticks; all definitions are told."""
        left = ticks
        for events in self.batches:
            kept: list[AnyEvent] = []
            for event in events:
                if left and type(event) in _TICKS:
                    left -= 1
                else:
                    kept.append(event)
            yield _Batch(kept)


@dataclass(frozen=True, slots=True)
class _Batch:
    events: list[AnyEvent]


class _WatchedCore(Core):
    """A core that keeps what it decides."""

    def __init__(self, kinds: Mapping[str, Any]) -> None:
        super().__init__(JOURNAL_ID, kinds=kinds)
        self.decided: list[tuple[int, Event]] = []
        self._inside = False

    def advance(self, inputs: Iterator[Event]) -> list[Event]:
        """See `Core.advance`."""
        return self._keep(super().advance(inputs))

    def advance_one(self, event: Event) -> list[Event]:
        """See `Core.advance_one`."""
        with self._once():
            decisions = super().advance_one(event)
        return self._keep(decisions)

    def advance_trades(self, trades: Sequence[Trade], start: int) -> tuple[int, list[Event]]:
        """See `Core.advance_trades`."""
        with self._once():
            stop, decisions = super().advance_trades(trades, start)
        return stop, self._keep(decisions)

    @contextmanager
    def _once(self) -> Iterator[None]:
        """Keep nothing that a call inside this one returns: this one returns it too."""
        self._inside = True
        try:
            yield
        finally:
            self._inside = False

    def _keep(self, decisions: list[Event]) -> list[Event]:
        if decisions and not self._inside:
            first = self.next_seq - len(decisions)
            self.decided += enumerate(decisions, first)
            if len(self.decided) > MAX_DECISIONS:
                raise BacktestError(
                    f"more than {MAX_DECISIONS:,} decisions",
                    hint="a check takes less: name a range of events",
                )
        return decisions


def decide(spec: BacktestSpec, batches: Iterator[EventBatch]) -> Decided:
    """Run a backtest over these events, and return what it decided."""
    kinds = load_kinds(None if spec.strategies_folder is None else Path(spec.strategies_folder)).classes
    core = _WatchedCore(kinds)
    found = Decided()

    def counted() -> Iterator[EventBatch]:
        before = events = 0
        for batch in batches:
            yield batch
            events += len(batch.events)
            if len(core.decided) > before:
                before = len(core.decided)
                found.answered.append((events, before))

    run_backtest(
        counted(),
        strategy=spec.strategy,
        parameters=spec.parameters,
        instruments=spec.instruments,
        cash=spec.cash,
        venue=spec.venue,
        core=core,
        currency=spec.currency,
        warm=warm_batches(spec),
    )
    found.decisions = core.decided
    found.state = {name: runner.strategy.state() for name, runner in core.strategies.items()}
    return found
