"""How each event moves the state of the core, whether it comes or is replayed. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from daemon.trading.books import Book
from daemon.trading.commands import CommandError, Deposit, Kill, ResetRisk, parse
from daemon.trading.core_state import CoreState, InstrumentError
from daemon.trading.money import fee_money, money
from daemon.trading.orders import KILL, Order, OrderStateError
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.errors import TapedError
from schemas.events import (
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
    ParityChecked,
    ReconciliationFound,
    ReplaceDenied,
    ReplaceRejected,
    ReplaceRequested,
    RiskLimitsChanged,
    SessionCalendarDefined,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
    TradingPaused,
    TradingState,
    TradingStateChanged,
)

Applier = Callable[[int, Any], bool | None]
"""Moves the state by an event; False says that the event told nothing new, and needs no answer."""

TAKER_FEE_SETTING = "venue.taker_fee_ppm"
"""Key of `DaemonStarted.settings` that the cash rule takes the fee from."""

CURRENCY_SETTING = "account.currency"
"""Key of `DaemonStarted.settings` that tells the currency in which all is summed up."""


class CoreChanges(CoreState):
    """The state with one applier for each type of event that changes it.

    An applier that raises has changed nothing.
    """

    def __init__(
        self,
        journal_id: str,
        next_seq: int = 1,
        *,
        venue: str = "paper",
        kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    ) -> None:
        super().__init__(journal_id, next_seq, venue=venue, kinds=kinds)
        self._fault: Callable[[Event, TapedError], None] = _untold
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
            ParityChecked: self._compared,
        }

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
            self._fault(event, OrderStateError(doubt))
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

    def _compared(self, seq: int, event: ParityChecked) -> None:  # noqa: ARG002
        self.parity = event

    def _ticked(self, seq: int, event: ClockTicked) -> None:  # noqa: ARG002
        self.risk.ticked(event)
        self.strategies.tick(event)


def _terms(instrument: InstrumentDefined) -> tuple[int, int, int, str]:
    return (
        instrument.price_scale,
        instrument.quantity_scale,
        instrument.multiplier,
        instrument.quote_currency,
    )


def _untold(event: Event, error: TapedError) -> None:
    """Stand in for who is told of a contradiction, until somebody is."""
