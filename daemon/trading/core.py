"""The pure core: takes numbered events, keeps the books, answers with decisions. No clock, no I/O.

An input moves the state, then the decisions it caused are numbered right behind it and move the
state in turn. `run` does both; `replay` takes inputs and recorded decisions alike and makes none.
Both go through the same loop and the same appliers, so a replayed core equals one that never
stopped. The core's "now" is the `ts_ns` of the input it answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any

import msgspec

from daemon.trading.answers import Answers
from daemon.trading.books import Book
from daemon.trading.calendar import Calendars
from daemon.trading.commands import CommandError, Deposit, Kill, ResetRisk, parse
from daemon.trading.money import fee_money, money
from daemon.trading.order_table import OrderTable
from daemon.trading.orders import KILL, Order, OrderStateError
from daemon.trading.portfolio import Account, Portfolio, Position
from daemon.trading.risk import free_cash
from daemon.trading.risk.state import Risk
from daemon.trading.runners import Runners
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.trading.valuation import Exchange, Total, Worth, worth_by_currency
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.events import (
    SUSPICIOUS,
    AllocationChanged,
    Bar,
    CancelRejected,
    CancelRequested,
    CashWithdrawn,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    InstrumentStateChanged,
    OperatorCommand,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRejected,
    OrderReleased,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderTriggered,
    OrderUnknown,
    Quote,
    ReconciliationFound,
    ReplaceDenied,
    ReplaceRejected,
    ReplaceRequested,
    RiskLimitsChanged,
    SessionCalendarDefined,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
    Trade,
    TradingPaused,
    TradingState,
    TradingStateChanged,
    is_decision,
)

Applier = Callable[[int, Any], bool | None]
"""Moves the state by an event; False says that the event told nothing new, and needs no answer."""

TAKER_FEE_SETTING = "venue.taker_fee_ppm"
"""Key of `DaemonStarted.settings` that the cash rule takes the fee from."""

CURRENCY_SETTING = "account.currency"
"""Key of `DaemonStarted.settings` that tells the currency in which all is summed up."""


class InstrumentError(TapedError):
    """An instrument cannot be told from another, or cannot change as it should."""


class Core:
    """State of trading after the events up to `next_seq - 1`.

    Args:
        journal_id: hex text of the journal's uuid; its start makes client order ids.
        next_seq: number of the next event.
        venue: where orders are submitted to.
        kinds: strategy classes by kind.

    Attributes:
        instrument_states: of instruments that may not be traded as `trading_state` allows.
        flattening: while the kill switch closes positions, the instruments whose closing order came to
            nothing; else None.
        unsettled: the journal's last frame may lack decisions; the next input is followed by them.
        venue_state: what the dump this core was loaded from holds of a venue in the same process.
    """

    def __init__(
        self,
        journal_id: str,
        next_seq: int = 1,
        *,
        venue: str = "paper",
        kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    ) -> None:
        self.journal_id = journal_id
        self.next_seq = next_seq
        self.venue = venue
        self.instruments: dict[int, InstrumentDefined] = {}
        self.books: dict[int, Book] = {}
        self.calendars = Calendars()
        self.orders = OrderTable()
        self.portfolio = Portfolio()
        self.trading_state = TradingState.ACTIVE
        self.trading_source = ""
        self.instrument_states: dict[int, TradingState] = {}
        self.flattening: set[int] | None = None
        self.unsettled = False
        self.taker_fee_ppm = 0
        self.currency = ""
        self.venue_state = b""
        self.exchange = Exchange(self.instruments)
        self.risk = Risk(self)
        self.strategies = Runners(kinds, self.books, self)
        self._pending = self.strategies.pending
        self._answers = Answers(self, self._pending)
        self._appliers: dict[type, Applier] = {
            InstrumentDefined: self._define,
            SessionCalendarDefined: self._calendar,
            Bar: self._bar,
            OrderRequested: self._requested,
            OrderDenied: self._decided,
            OrderHeld: self._decided,
            OrderReleased: self._decided,
            OrderSubmitted: self._decided,
            OrderAccepted: self._reported,
            OrderRejected: self._reported,
            OrderTriggered: self._reported,
            OrderFilled: self._filled,
            OrderCanceled: self._reported,
            OrderExpired: self._reported,
            OrderUnknown: self._reported,
            CancelRequested: self._wished,
            CancelRejected: self._reported,
            ReplaceRequested: self._wished,
            ReplaceDenied: self._reported,
            ReplaceRejected: self._reported,
            OrderReplaced: self._reported,
            ReconciliationFound: self._nothing,
            TradingStateChanged: self._state_changed,
            InstrumentStateChanged: self._instrument_state_changed,
            StrategyStarted: self._strategy_started,
            StrategyStopped: self._strategy_stopped,
            StrategyParametersChanged: self._strategy_changed,
            AllocationChanged: self._allocated,
            OperatorCommand: self._commanded,
            CashWithdrawn: self._withdrawn,
            RiskLimitsChanged: self._limits_changed,
            TradingPaused: self._paused,
            DaemonStarted: self._daemon_started,
            ClockTicked: self._ticked,
        }

    @property
    def account(self) -> Account:
        """Cash, deposits and fees by currency."""
        return self.portfolio.account

    @property
    def positions(self) -> dict[int, Position]:
        """Positions by instrument id, flat ones with a past included."""
        return self.portfolio.positions

    def find_instrument(self, symbol: str, venue: str | None = None) -> InstrumentDefined | None:
        """Return the instrument of that symbol, or None.

        Raises:
            InstrumentError: several venues have it and none was named.
        """
        found = [
            instrument
            for instrument in self.instruments.values()
            if instrument.symbol == symbol and venue in (None, instrument.venue)
        ]
        if len(found) > 1:
            venues = ", ".join(instrument.venue for instrument in found)
            raise InstrumentError(f"{symbol} is on {venues}", hint="name the venue")
        return found[0] if found else None

    def order_by_client_id(self, client_id: str) -> Order | None:
        """Return the first order that was requested under the caller's own id."""
        return self.orders.by_client_id(client_id)

    def mark(self, instrument_id: int, quantity: int) -> int | None:
        """Return the price a holding of that sign is valued at; None when none is known."""
        return self.books[instrument_id].mark(quantity)

    def worth(self) -> dict[str, Worth]:
        """Return cash, positions at their marks and exposure, by currency, as money."""
        rates = self.risk.limits.margin_rates
        return worth_by_currency(self.portfolio, self.instruments, self.mark, rates)

    def total(self) -> Total:
        """Return all of `worth` in the currency of `account.currency`, else of the first deposit."""
        return self.exchange.total(self.worth(), self.risk.currency, self.mark)

    def equity(self) -> dict[str, int]:
        """Return cash plus positions at their marks, by currency, as money."""
        return {currency: worth.equity for currency, worth in self.worth().items()}

    def free_cash(self, currency: str) -> int:
        """Return the cash that working orders do not need, as money."""
        return free_cash(currency, self)

    def run(self, inputs: Sequence[Event]) -> tuple[list[Event], list[tuple[int, Event]]]:
        """Take inputs; return them with the decisions right behind each, and what must be sent.

        The first returned event has the number `next_seq` had before the call. Effects are
        `OrderSubmitted`, `CancelRequested` and `ReplaceRequested` of working orders with their numbers;
        they may leave once all returned events are durable.
        """
        events = iter(inputs)
        merged: list[Event] = []
        done = 0
        while decisions := self.advance(events):
            taken = len(inputs) - length_hint(events)
            merged += inputs[done:taken]
            merged += decisions
            done = taken
        effects = self.take_effects()
        if not done:
            return (inputs if isinstance(inputs, list) else list(inputs)), effects
        merged += inputs[done:]
        return merged, effects

    def advance(self, inputs: Iterator[Event]) -> list[Event]:
        """Take inputs up to and with the first that causes decisions; return these, or none at the end.

        Args:
            inputs: iterator over a list or tuple, whose length hint is exact.
        """
        if self.unsettled:
            self.unsettled = False
            self._answers.settle()
        return self._consume(inputs, replaying=False)

    def take_effects(self) -> list[tuple[int, Event]]:
        """Return what must be sent since the last call."""
        effects = self._answers.effects
        self._answers.effects = []
        return effects

    def replay(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take recorded inputs and decisions; strategies run, but what they ask for is dropped.

        Raises:
            ValueError: the events do not follow those taken before.
        """
        if first_seq != self.next_seq:
            raise ValueError(f"replay from {first_seq}, expected {self.next_seq}")
        self.unsettled = True
        self._consume(iter(events), replaying=True)

    def _consume(self, events: Iterator[Any], *, replaying: bool) -> list[Event]:  # noqa: C901, PLR0912
        # The hot loop: numbers are worked out from the iterator only where somebody needs them.
        # A trade nobody listens to costs 0.09 us, one for a moving-average cross 0.4 us.
        books, pending, strategies, applier_of = (
            self.books,
            self._pending,
            self.strategies,
            self._appliers.get,
        )
        end = self.next_seq + length_hint(events)
        for event in events:
            kind = type(event)
            if kind is Trade:
                book = books.get(event.instrument_id)
                # Most ticks have no flags at all, and asking that first costs nothing one can measure.
                if book is None or (event.conditions and event.conditions & SUSPICIOUS):
                    continue
                book.trade = event
                for on_trade, strategy_id in book.trade_hooks:
                    try:
                        on_trade(event)
                    except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
                        strategies.fail(strategy_id, error)
            elif kind is Quote:
                book = books.get(event.instrument_id)
                if book is None or (event.conditions and event.conditions & SUSPICIOUS):
                    continue
                if event.bid_price is not None:
                    book.bid = event
                if event.ask_price is not None:
                    book.ask = event
                for on_quote, strategy_id in book.quote_hooks:
                    try:
                        on_quote(event)
                    except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
                        strategies.fail(strategy_id, error)
            else:
                applier = applier_of(kind)
                if applier is None:
                    continue
                self._take(end - length_hint(events) - 1, event, applier, replaying=replaying)
            if pending:
                if replaying:
                    pending.clear()
                else:
                    self.next_seq = end - length_hint(events)
                    decisions = self._decide(event.ts_ns)
                    if decisions:
                        return decisions
        self.next_seq = end
        return []

    def _take(self, seq: int, event: Event, applier: Applier, *, replaying: bool) -> None:
        if replaying:
            self.strategies.deaf = is_decision(event)
        try:
            counted = applier(seq, event)
        except TapedError as error:
            self._answers.fault(event, error)
        else:
            if not replaying and counted is not False:
                answer = self._answers.by_type.get(type(event))
                if answer is not None:
                    answer(seq, event)
        if replaying:
            self.strategies.deaf = False

    def _decide(self, now_ns: int) -> list[Event]:
        decisions: list[Event] = []
        pending, applier_of, answer_to = self._pending, self._appliers.get, self._answers.by_type.get
        self.strategies.deaf = True
        while pending:
            event = pending.popleft()(ts_ns=now_ns)
            if event is None:
                continue
            seq = self.next_seq
            self.next_seq = seq + 1
            decisions.append(event)
            applier = applier_of(type(event))
            if applier is not None:
                applier(seq, event)
                answer = answer_to(type(event))
                if answer is not None:
                    answer(seq, event)
        self.strategies.deaf = False
        return decisions

    def _nothing(self, seq: int, event: Event) -> None:
        """Leave the state alone; the event has an answer only."""

    def _define(self, seq: int, event: InstrumentDefined) -> None:  # noqa: ARG002
        instrument_id = event.instrument_id
        book = self.books.get(instrument_id)
        if book is None:
            book = self.books[instrument_id] = Book(event, self.calendars.of(event))
            self.strategies.define(instrument_id)
        elif _terms(book.instrument) != _terms(event):
            if self._in_use(instrument_id):
                raise InstrumentError(
                    f"{event.symbol}: scales, multiplier or currency changed while it is traded"
                )
            book.forget_market()
            book.instrument = event
            self.strategies.forget(instrument_id)
        book.instrument = self.instruments[instrument_id] = event
        self.exchange.forget()
        book.calendar = self.calendars.of(event)

    def _calendar(self, seq: int, event: SessionCalendarDefined) -> None:  # noqa: ARG002
        self.calendars.define(event)
        for book in self.books.values():
            book.calendar = self.calendars.of(book.instrument)

    def _in_use(self, instrument_id: int) -> bool:
        return (
            instrument_id in self.positions
            or self.strategies.uses(instrument_id)
            or any(order.request.instrument_id == instrument_id for order in self.orders.working.values())
            or any(order.request.instrument_id == instrument_id for order in self.orders.held.values())
        )

    def _bar(self, seq: int, event: Bar) -> None:  # noqa: ARG002
        book = self.books.get(event.instrument_id)
        if book is not None:
            for on_bar, strategy_id in book.bar_hooks:
                self.strategies.call(strategy_id, on_bar, event)

    def _requested(self, seq: int, event: OrderRequested) -> None:
        self.orders.open(seq, event)
        if self.risk.watches:
            self.risk.look(event.ts_ns)

    def _decided(self, seq: int, event: OrderDenied | OrderSubmitted) -> None:  # noqa: ARG002
        order, _ = self.orders.apply(event.order_id, event)
        self.risk.decided(event, order)
        if self.flattening is not None:
            self._note_unflattened(order)
        self.strategies.decided(order)

    def _reported(self, seq: int, event: Any) -> bool:  # noqa: ARG002
        order, counted = self.orders.apply(event.order_id, event)
        if counted:
            self.risk.followed(event, order)
            if self.flattening is not None:
                self._note_unflattened(order)
            self.strategies.told(event, order)
        return counted

    def _note_unflattened(self, order: Order) -> None:
        assert self.flattening is not None
        if order.request.source == KILL and order.status.is_terminal and not order.filled_quantity:
            self.flattening.add(order.request.instrument_id)

    def _filled(self, seq: int, event: OrderFilled) -> bool:  # noqa: ARG002
        fee_money(event.fee, event.fee_scale)  # Refused before anything has changed.
        doubt = self.orders.doubt(event)
        order, counted = self.orders.apply(event.order_id, event)
        if not counted:
            return False
        # What the venue filled is ours, whether it should have been filled or not.
        held = self.portfolio.quantity(event.instrument_id) if self.risk.protects else 0
        realised = self.portfolio.apply_fill(event, self.instruments[event.instrument_id])
        self.risk.filled(event, order, held=held, profit=realised.average)
        if doubt is not None:
            self._answers.fault(event, OrderStateError(doubt))
        self.strategies.told(event, order)
        return True

    def _wished(self, seq: int, event: CancelRequested | ReplaceRequested) -> None:  # noqa: ARG002
        order = self.orders.get(event.order_id)
        if order is not None and order.takes(event):
            self.orders.apply(event.order_id, event)
            self.risk.wished(event, order)

    def _state_changed(self, seq: int, event: TradingStateChanged) -> None:  # noqa: ARG002
        self.risk.state_changed(event)
        self.trading_state = event.state
        self.trading_source = event.source
        if event.state != TradingState.HALTED:
            self.flattening = None

    def _instrument_state_changed(self, seq: int, event: InstrumentStateChanged) -> None:  # noqa: ARG002
        if event.state == TradingState.ACTIVE:
            self.instrument_states.pop(event.instrument_id, None)
        else:
            self.instrument_states[event.instrument_id] = event.state

    def _strategy_started(self, seq: int, event: StrategyStarted) -> None:
        self.strategies.start(seq, event)

    def _strategy_stopped(self, seq: int, event: StrategyStopped) -> None:  # noqa: ARG002
        self.strategies.stop(event)

    def _allocated(self, seq: int, event: AllocationChanged) -> None:  # noqa: ARG002
        self.strategies.allocate(event)

    def _strategy_changed(self, seq: int, event: StrategyParametersChanged) -> None:  # noqa: ARG002
        self.strategies.change(event)

    def _commanded(self, seq: int, event: OperatorCommand) -> None:  # noqa: ARG002
        try:
            command = parse(event)
        except CommandError:
            return  # The answer says so.
        if isinstance(command, Kill):
            self.flattening = set() if command.flatten else None
        elif isinstance(command, Deposit):
            before = self.risk.equity()
            self.account.deposit(command.currency, command.amount)
            self.risk.cash_moved(before)
        elif isinstance(command, ResetRisk):
            self.risk.reset()

    def _withdrawn(self, seq: int, event: CashWithdrawn) -> None:  # noqa: ARG002
        before = self.risk.equity()
        self.account.withdraw(event.currency, money(event.amount))
        self.risk.cash_moved(before)

    def _limits_changed(self, seq: int, event: RiskLimitsChanged) -> None:  # noqa: ARG002
        self.risk.limits_changed(event)

    def _paused(self, seq: int, event: TradingPaused) -> None:  # noqa: ARG002
        self.risk.paused(event)

    def _daemon_started(self, seq: int, event: DaemonStarted) -> None:  # noqa: ARG002
        fee = event.settings.get(TAKER_FEE_SETTING)
        self.taker_fee_ppm = fee if type(fee) is int else 0
        currency = event.settings.get(CURRENCY_SETTING)
        self.currency = currency if isinstance(currency, str) else ""
        self.strategies.configure(event.settings)
        self.risk.daemon_started(event)

    def _ticked(self, seq: int, event: ClockTicked) -> None:  # noqa: ARG002
        self.risk.ticked(event)
        self.strategies.tick(event)

    def state(self) -> dict[str, Any]:
        """Return everything the core knows as plain exact values, for comparison."""
        return {
            "next_seq": self.next_seq,
            "trading_state": self.trading_state.name,
            "trading_source": self.trading_source,
            "instrument_states": {i: state.name for i, state in self.instrument_states.items()},
            "flattening": None if self.flattening is None else sorted(self.flattening),
            "taker_fee_ppm": self.taker_fee_ppm,
            "currency": self.currency,
            "instruments": msgspec.to_builtins(list(self.instruments.values())),
            "calendars": msgspec.to_builtins(list(self.calendars.defined.values())),
            "books": {
                instrument_id: msgspec.to_builtins([book.trade, book.bid, book.ask])
                for instrument_id, book in self.books.items()
            },
            "orders": self.orders.state(),
            "working": list(self.orders.working),
            **self.portfolio.state(),
            "risk": self.risk.state(),
            "strategies": {strategy_id: runner.state() for strategy_id, runner in self.strategies.items()},
            "share_ppm": dict(self.strategies.share_ppm),
            "allocator": self.strategies.allocator.state(),
            "configured": self.strategies.configured,
            "stopped": dict(self.strategies.stopped),
            "history": self.strategies.history.state(),
        }


def _terms(instrument: InstrumentDefined) -> tuple[int, int, int, str]:
    return (
        instrument.price_scale,
        instrument.quantity_scale,
        instrument.multiplier,
        instrument.quote_currency,
    )
