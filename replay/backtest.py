"""Runs a strategy over recorded market events, with the live core and the paper venue. Writes nothing.

Recorded orders, commands and decisions are left out: the backtest makes its own. Its events have
numbers of their own, from 1, so its result does not depend on how the journal was cut into frames,
nor on what else was recorded.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import length_hint
from typing import Any, Protocol

import msgspec

from daemon.settings import VenueSettings
from daemon.trading.core import CURRENCY_SETTING, Core
from daemon.trading.gate import hold_back
from daemon.trading.skim import is_plain
from daemon.trading.strategy import StrategyError, check_parameters
from daemon.venue.paper import PaperVenue, VenueOptions
from daemon.venue.paper.options import recorded
from replay.clock import Clock
from replay.recorder import Recorder
from replay.warmup import kept_history
from schemas.codec import CODEC, AnyEvent
from schemas.errors import TapedError
from schemas.events import (
    Bar,
    ClockTicked,
    DaemonStarted,
    Event,
    FeedGap,
    FeedStatus,
    InstrumentDefined,
    NotificationQueued,
    OperatorCommand,
    OrderDenied,
    OrderFilled,
    OrderRequested,
    OrderSubmitted,
    Quote,
    Scalar,
    SessionCalendarDefined,
    StrategyStopped,
    Trade,
)

JOURNAL_ID = "backtest"
MAX_ROUNDS = 1_000
_CHUNK = 1_024
_NOTED = frozenset({StrategyStopped, NotificationQueued, OrderDenied})
_RECORDED = frozenset({OrderSubmitted, OrderFilled})
_PLACED = frozenset({InstrumentDefined, SessionCalendarDefined, ClockTicked, DaemonStarted, OperatorCommand})
IMPORT_START = "import.start"
"""Command in front of imported events."""
_TRADES = frozenset({Trade})
_TICKS = frozenset({Trade, Quote, Bar, FeedStatus, FeedGap})


FEES = VenueSettings()
"""The daemon's own fees, which hold where none are given."""


class BacktestError(TapedError):
    """The backtest cannot run as asked for."""


class EventBatch(Protocol):
    """What is read of a journal's batch."""

    @property
    def events(self) -> Sequence[AnyEvent]:
        """Events in order."""


@dataclass(slots=True)
class Denials:
    """Orders that one risk rule denied: how many, and why the first one."""

    count: int
    example: str


@dataclass(slots=True)
class Unheard:
    """What a strategy listens to on an instrument and what came instead, as names of events."""

    listens: list[str]
    saw: list[str]


@dataclass(slots=True)
class BacktestResult:
    """What a backtest came to. Money is at 18 decimals, by currency; positions by symbol.

    `events` counts the market events that were read, `decisions_sha256` is over all decisions and
    venue reports, so equal hashes mean equal runs. `denials` are by rule; `unheard` holds the
    instruments of which no event came that the strategy listens to. `partial` is set when the run was
    stopped before the end of its data.
    """

    events: int = 0
    seconds: float = 0.0
    partial: bool = False
    orders: int = 0
    denied: int = 0
    fills: int = 0
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    denials: dict[str, Denials] = field(default_factory=dict)
    unheard: dict[str, Unheard] = field(default_factory=dict)
    instruments: list[str] = field(default_factory=list)
    positions: dict[str, dict[str, int]] = field(default_factory=dict)
    deposits: dict[str, int] = field(default_factory=dict)
    cash: dict[str, int] = field(default_factory=dict)
    equity: dict[str, int] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    realised: dict[str, int] = field(default_factory=dict)
    unrealised: dict[str, int] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    notifications: list[str] = field(default_factory=list)
    trading_state: str = "ACTIVE"
    decisions_sha256: str = ""

    @property
    def events_per_second(self) -> float:
        """Market events by the time the whole run took, reading included."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def result_sha256(self) -> str:
        """Hash of the decisions and every figure but the time it took: equal for equal data and choices."""
        figures = {name: getattr(self, name) for name in _FIGURES}
        figures["denials"] = {rule: denials.count for rule, denials in self.denials.items()}
        return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


_FIGURES = (
    "events", "orders", "denied", "fills", "maker_fee_ppm", "taker_fee_ppm", "instruments", "positions",
    "deposits", "cash", "equity", "fees", "realised", "unrealised", "trading_state", "decisions_sha256",
)  # fmt: skip
"""What the hash of a result covers; texts of errors stay out, for interpreters word them differently."""


def run_backtest(  # noqa: PLR0913
    batches: Iterable[EventBatch],
    *,
    strategy: str,
    parameters: Mapping[str, Scalar],
    instruments: Sequence[str] = (),
    cash: str = "100000",
    maker_fee_ppm: int = FEES.maker_fee_ppm,
    taker_fee_ppm: int = FEES.taker_fee_ppm,
    venue: VenueOptions | None = None,
    core: Core | None = None,
    progress: Callable[[int], None] | None = None,
    currency: str = "",
    recorder: Recorder | None = None,
    warm: Iterable[EventBatch] = (),
) -> BacktestResult:
    """Run a strategy over recorded batches.

    One strategy of the kind is started for each instrument, right behind its definition.

    Args:
        batches: recorded events, inputs and decisions alike.
        strategy: kind.
        parameters: by name; the rest has defaults.
        instruments: symbols, or `SYMBOL@VENUE`; none means all that appear.
        cash: paid in once for each quote currency, decimal text.
        maker_fee_ppm: of fills that rested.
        taker_fee_ppm: of fills that took.
        venue: how the venue fills, its fees included; those above and no other model when None.
        core: a fresh core, for strategy kinds of one's own.
        progress: called with the number of market events after each batch.
        currency: in which all is summed up; that of the first deposit when empty.
        recorder: takes note of the run while it goes on.
        warm: events from before those, of which the strategies are told as they start.

    Raises:
        BacktestError: the strategy cannot be started, or a named instrument never appeared.
    """
    core = Core(JOURNAL_ID) if core is None else core
    options = venue or VenueOptions(maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
    run = _Run(
        core,
        PaperVenue(options),
        strategy=strategy,
        parameters=parameters,
        cash=cash,
        wanted=instruments,
        recorder=recorder,
    )
    run.result.maker_fee_ppm, run.result.taker_fee_ppm = options.maker_fee_ppm, options.taker_fee_ppm
    started = time.perf_counter()
    run.warm_up(warm, _settings(options, currency))
    run.take([_settings(options, currency)])
    for batch in batches:
        run.batch(batch.events)
        if progress is not None:
            progress(run.result.events)
    return run.finish(time.perf_counter() - started)


class _Run:
    """One backtest under way."""

    def __init__(
        self,
        core: Core,
        venue: PaperVenue,
        *,
        strategy: str,
        parameters: Mapping[str, Scalar],
        cash: str,
        wanted: Sequence[str],
        recorder: Recorder | None = None,
    ) -> None:
        self.core = core
        self.venue = venue
        self.strategy = strategy
        self.parameters = dict(parameters)
        self.cash = cash
        self.wanted = tuple(wanted)
        self.result = BacktestResult()
        self._hash = hashlib.sha256()
        self._unhashed: list[Event] = []
        self._counts: Counter[type[Event]] = Counter()
        self._started: dict[str, int] = {}
        self._warming = False
        self._kinds: set[type[Any]] = set()
        self.clock = Clock(core, venue, lambda ts_ns: self._tick(ClockTicked(ts_ns=ts_ns, synchronized=True)))
        self.recorder = recorder
        self._noted = _NOTED
        if recorder is not None:
            recorder.begin(core)
            self._noted = _NOTED | _RECORDED

    def batch(self, events: Sequence[AnyEvent]) -> None:
        """Take one recorded batch."""
        kinds = set(map(type, events))
        self._kinds |= kinds
        if not kinds <= _TICKS:
            if kinds & _PLACED:
                self._by_runs(events)
                return
            events = [event for event in events if type(event) in _TICKS]
        self.result.events += len(events)
        self._take_ticks(events, plain=kinds == _TRADES and is_plain(events))  # type: ignore[arg-type]

    def warm_up(self, batches: Iterable[EventBatch], settings: DaemonStarted) -> None:
        """Take what came before, without trading; the strategies start behind it, and are told of it."""
        recorder, self.recorder = self.recorder, None
        self._warming = True
        for place, batch in enumerate(batches):
            if not place:
                self.take([_keeping(settings, kept_history(self._values()))])
            self.batch(batch.events)
        self.recorder, self._warming = recorder, False
        self.result.events = 0
        self._kinds.clear()
        for instrument in list(self.core.instruments.values()):
            self._define(instrument)

    def _values(self) -> dict[str, Scalar]:
        try:
            return check_parameters(self.core.strategies.kind(self.strategy), self.parameters)
        except StrategyError as error:
            raise BacktestError(error.message, hint=error.hint) from error

    def _take_ticks(self, events: Sequence[Any], *, plain: bool = False) -> None:
        """Take market events, as a whole or as a recorder cuts them; plain: trades that can be skimmed."""
        if not events:
            return
        take = self._take_trades if plain else self.take
        watched = (events,) if self.recorder is None else self.recorder.pieces(events)
        for piece in watched:
            for part in self.clock.pieces(piece):
                take(part)

    def _by_runs(self, events: Sequence[AnyEvent]) -> None:
        """Take a batch with events that have a place between ticks: definitions, and the clock's own."""
        ticks: list[Event] = []
        for event in events:
            if type(event) in _TICKS:
                ticks.append(event)  # type: ignore[arg-type]
            elif isinstance(event, InstrumentDefined) and self._is_wanted(event):
                self.result.events += len(ticks) + 1
                self._take_ticks(ticks)
                ticks = []
                self._define(event)
            elif isinstance(event, SessionCalendarDefined):
                self.result.events += len(ticks)
                self._take_ticks(ticks)
                self.take([event])
                ticks = []
            elif isinstance(event, ClockTicked):
                self.result.events += len(ticks)
                self._take_ticks(ticks)
                self.clock.recorded = True
                self._tick(event)
                ticks = []
            elif isinstance(event, DaemonStarted):
                self.clock.recorded = True
            elif isinstance(event, OperatorCommand) and event.command == IMPORT_START:
                self.clock.recorded = False
        self.result.events += len(ticks)
        self._take_ticks(ticks)

    def take(self, inputs: Sequence[Any]) -> None:
        """Pass inputs through core and venue; one by one while an order works, else as a whole."""
        core, venue = self.core, self.venue
        events: Iterator[Any] = iter(inputs)
        total = len(inputs)
        while True:
            if venue.idle:
                decisions = core.advance(events)
                if not decisions:
                    return
                self._record(decisions)
                self._settle(inputs[total - length_hint(events) - 1].ts_ns)
            else:
                event = next(events, None)
                if event is None:
                    return
                self._step(event)

    def _take_trades(self, trades: Sequence[Trade]) -> None:
        """Do the same with plain trades."""
        core, venue = self.core, self.venue
        at, total = 0, len(trades)
        while at < total:
            if venue.idle:
                at, decisions = core.advance_trades(trades, at)
                if decisions:
                    self._record(decisions)
                    self._settle(trades[at - 1].ts_ns)
            else:
                at += 1
                self._step(trades[at - 1])

    def _step(self, event: Any) -> None:
        """Pass one input through core and venue while an order works."""
        if self.venue.next_end_ns <= event.ts_ns:
            self.clock.end_orders(event.ts_ns)
        self._let_arrive(event.ts_ns)
        seq = self.core.next_seq
        self._record(self.core.advance(iter((event,))))
        # The venue sees the event after the strategy has; orders in answer to it arrive later.
        self._report(self.venue.on_event(event, seq))
        self._settle(event.ts_ns)

    def _tick(self, tick: ClockTicked) -> None:
        """Pass a tick of the clock; one without an answer takes no number, as if it had never come."""
        self._let_arrive(tick.ts_ns)
        core = self.core
        seq = core.next_seq
        decisions = core.advance_one(tick)
        if decisions:
            self._record(decisions)
        else:
            core.next_seq = seq
        self._report(self.venue.on_event(tick, seq))
        self._settle(tick.ts_ns)

    def _settle(self, now_ns: int) -> None:
        """Pass orders to the venue and its reports to the core until both are still."""
        for _ in range(MAX_ROUNDS):
            effects = self.core.take_effects()
            if not effects:
                return
            for effect in effects:
                # One by one: what a venue reports of an order may bear on the next.
                leaving, reports = hold_back((effect,), self.core, now_ns)
                self._report(reports + self.venue.send(leaving, self.core, now_ns))
        raise BacktestError(f"{self.strategy} answered its own fills {MAX_ROUNDS} times at one event")

    def _let_arrive(self, now_ns: int) -> None:
        """Let what is under way arrive before the first event that is not earlier."""
        while (due_ns := self.venue.due_ns) is not None and due_ns <= now_ns:
            self._report(self.venue.arrive(self.core, due_ns))
            self._settle(due_ns)

    def _report(self, reports: list[Event]) -> None:
        if reports:
            self._record(reports)
            for report in reports:
                decisions = self.core.advance_one(report)
                if decisions:
                    self._record(decisions)

    def _record(self, events: Sequence[Event]) -> None:
        if not events:
            return
        noted = self._noted
        for event in events:
            if type(event) in noted:
                self._note(event)
        self._unhashed += events
        # A whole chunk costs 0.1 us an event to encode and hash, one by one 1.5. The chunks are of
        # fixed length, so the hash does not depend on how the events came in.
        while len(self._unhashed) >= _CHUNK:
            self._digest(self._unhashed[:_CHUNK])
            del self._unhashed[:_CHUNK]

    def _digest(self, events: list[Event]) -> None:
        self._counts.update(map(type, events))
        self._hash.update(CODEC.encode(events))

    def _note(self, event: Event) -> None:
        if isinstance(event, StrategyStopped):
            self.result.stopped[event.strategy_id] = event.reason
        elif isinstance(event, NotificationQueued):
            self.result.notifications.append(event.body)
        elif isinstance(event, OrderDenied):
            denials = self.result.denials.setdefault(
                event.rule, Denials(0, f"order {event.order_id}: {event.reason}")
            )
            denials.count += 1
        elif self.recorder is not None:
            if isinstance(event, OrderSubmitted):
                self.recorder.submitted(event)
            elif isinstance(event, OrderFilled):
                self.recorder.filled(event)

    def _is_wanted(self, instrument: InstrumentDefined) -> bool:
        if not self.wanted:
            return True
        return instrument.symbol in self.wanted or f"{instrument.symbol}@{instrument.venue}" in self.wanted

    def _define(self, instrument: InstrumentDefined) -> None:
        """Take a definition; the first one of an instrument brings cash and starts the strategy."""
        name = f"{instrument.symbol}@{instrument.venue}"
        self.take([instrument])
        if self._warming or name in self._started:
            return
        self._started[name] = instrument.instrument_id
        self.result.instruments.append(name)
        if instrument.quote_currency not in self.core.account.deposits:
            deposit = {"currency": instrument.quote_currency, "amount": self.cash}
            self.take([_command(instrument.ts_ns, "account.deposit", deposit)])
        start: dict[str, Scalar | list[Scalar]] = {
            "strategy_id": f"{self.strategy}-{name}",
            "kind": self.strategy,
            "instruments": [name],
        }
        start.update({f"param.{key}": value for key, value in self.parameters.items()})
        told = len(self.result.notifications)
        self.take([_command(instrument.ts_ns, "strategy.start", start)])
        if len(self.result.notifications) > told:
            hint = "" if self.wanted else "it is started for each instrument; --instruments names some"
            raise BacktestError(self.result.notifications[-1], hint=hint)

    def _unheard(self) -> dict[str, Unheard]:
        """Return the instruments whose strategy was told nothing, which looks like a strategy that waits."""
        unheard: dict[str, Unheard] = {}
        for name, instrument_id in self._started.items():
            strategy_id = f"{self.strategy}-{name}"
            if strategy_id not in self.core.strategies:
                continue
            runner, book = self.core.strategies[strategy_id], self.core.books[instrument_id]
            listens = runner.listens(instrument_id)
            came = ((Trade, book.trade), (Quote, book.bid or book.ask), (Bar, Bar in self._kinds))
            saw = [kind for kind, sign in came if sign]
            if listens and not any(kind in saw for kind in listens):
                unheard[name] = Unheard([k.__name__ for k in listens], [k.__name__ for k in saw])
        return unheard

    def finish(self, seconds: float) -> BacktestResult:
        """Return what it came to.

        Raises:
            BacktestError: a named instrument never appeared.
        """
        result, core = self.result, self.core
        symbols = {name.rpartition("@")[0] for name in self._started} | set(self._started)
        missing = [name for name in self.wanted if name not in symbols]
        if missing:
            raise BacktestError(f"no instrument {', '.join(missing)} in these events")
        self._digest(self._unhashed)
        result.decisions_sha256 = self._hash.hexdigest()
        result.seconds = seconds
        result.orders = self._counts[OrderRequested]
        result.denied = self._counts[OrderDenied]
        result.fills = self._counts[OrderFilled]
        result.unheard = self._unheard()
        result.trading_state = core.trading_state.name
        result.deposits, result.cash = dict(core.account.deposits), dict(core.account.cash)
        result.fees, result.equity = dict(core.account.fees), core.equity()
        for instrument_id, position in core.positions.items():
            instrument = core.instruments[instrument_id]
            currency = instrument.quote_currency
            price = core.books[instrument_id].mark(position.quantity)
            unrealised = 0 if price is None else position.unrealised(instrument, price).average
            result.realised[currency] = result.realised.get(currency, 0) + position.realised
            result.unrealised[currency] = result.unrealised.get(currency, 0) + unrealised
            result.positions[f"{instrument.symbol}@{instrument.venue}"] = {
                "quantity": position.quantity,
                "quantity_scale": instrument.quantity_scale,
                "cost_basis": position.cost_basis,
                "realised": position.realised,
                "unrealised": unrealised,
            }
        return result


def _settings(options: VenueOptions, currency: str = "") -> DaemonStarted:
    settings = recorded(options)
    if currency:
        settings[CURRENCY_SETTING] = currency
    return DaemonStarted(ts_ns=0, daemon_version="", config_hash="", code_hash="", settings=settings)


def _keeping(started: DaemonStarted, history: Mapping[str, Scalar]) -> DaemonStarted:
    return msgspec.structs.replace(started, settings={**started.settings, **history})


def _command(ts_ns: int, command: str, arguments: Mapping[str, Scalar | list[Scalar]]) -> OperatorCommand:
    return OperatorCommand(
        ts_ns=ts_ns, who="backtest", role="admin", command=command, arguments=dict(arguments)
    )
