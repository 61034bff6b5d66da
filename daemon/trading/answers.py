"""What the core answers to an event once the state has taken it: the only place that makes decisions.

Strategies ask for orders; whether they leave, and what operators and venues hear back, stands here.
Answers are drafts put into the core's queue; they move no state themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from msgspec import structs

from daemon.trading import follow_up
from daemon.trading.books import Book
from daemon.trading.commands import (
    CommandError,
    Kill,
    SetInstrumentState,
    SetLimits,
    SetParameters,
    SetTradingState,
    StartStrategy,
    StopStrategy,
    Withdraw,
    parse,
)
from daemon.trading.drafts import Draft, cancel_draft
from daemon.trading.gate import is_halted
from daemon.trading.money import MONEY_SCALE
from daemon.trading.order_table import OrderTable
from daemon.trading.orders import KILL, LINK, Order, OrderStatus
from daemon.trading.portfolio import Account, Portfolio, Position
from daemon.trading.risk import free_cash, refusal
from daemon.trading.risk.limits import MAX_LIMITS, limits_of
from daemon.trading.risk.state import Risk
from daemon.trading.runners import MAX_STRATEGIES, Runners, stop_drafts
from daemon.trading.strategy import StrategyError, check_parameters
from daemon.trading.valuation import Exchange
from schemas.decimals import decimal_text
from schemas.errors import TapedError
from schemas.events import (
    AllocationChanged,
    CancelRejected,
    CancelRequested,
    CashWithdrawn,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    InstrumentStateChanged,
    NotificationQueued,
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
    ReconciliationFound,
    ReplaceDenied,
    ReplaceRejected,
    ReplaceRequested,
    RiskLimitsChanged,
    Severity,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)

JOURNAL_ID_IN_ORDER_ID = 8
REFUSED = "a request changed nothing"
"""Subject of the notification that follows a command or request which could not be carried out."""

_NEWS = (
    OrderHeld,
    OrderDenied,
    OrderAccepted,
    OrderRejected,
    OrderTriggered,
    OrderFilled,
    CancelRejected,
    OrderCanceled,
    OrderExpired,
    ReplaceDenied,
    ReplaceRejected,
    OrderReplaced,
    OrderUnknown,
)
"""News of an order, on which others may depend."""


class View(Protocol):
    """What answers are made from; the core is one."""

    journal_id: str
    venue: str
    books: dict[int, Book]
    orders: OrderTable
    trading_state: TradingState
    instrument_states: dict[int, TradingState]
    flattening: set[int] | None
    taker_fee_ppm: int
    strategies: Runners
    risk: Risk

    portfolio: Portfolio
    instruments: dict[int, InstrumentDefined]
    exchange: Exchange

    @property
    def positions(self) -> dict[int, Position]: ...  # noqa: D102
    @property
    def account(self) -> Account: ...  # noqa: D102
    def mark(self, instrument_id: int, quantity: int) -> int | None: ...  # noqa: D102
    def find_instrument(self, symbol: str, venue: str | None = None) -> InstrumentDefined | None: ...  # noqa: D102


class Answers:
    """Makes the core's decisions.

    Attributes:
        effects: numbered events that must be sent to the venue once they are durable.
        by_type: what is queued in answer to an event that was applied, by its type.
    """

    def __init__(self, view: View, pending: deque[Draft]) -> None:
        self._view = view
        self._pending = pending
        self.effects: list[tuple[int, Event]] = []
        self.by_type: dict[type, Callable[[int, Any], None]] = {
            OrderRequested: self._order,
            OrderSubmitted: self._submitted,
            OrderReleased: self._released,
            **dict.fromkeys(_NEWS, self._follow),
            InstrumentDefined: self._defined,
            TradingStateChanged: self._state_changed,
            InstrumentStateChanged: self._state_changed,
            CancelRequested: self._cancel,
            ReplaceRequested: self._replace,
            StrategyStopped: self._stopped,
            ClockTicked: self._ticked,
            **dict.fromkeys((DaemonStarted, StrategyStarted), self._allocate),
            OperatorCommand: self._command,
            ReconciliationFound: self._reconciliation,
        }

    def fault(self, event: Event, error: TapedError) -> None:
        """Queue the halt that follows an event which contradicts our books.

        What concerns an order we know halts its instrument, anything else all trading.
        """
        view = self._view
        order = view.orders.get(getattr(event, "order_id", 0))
        if order is None or order.request.instrument_id not in view.books:
            self._notify(Severity.ERROR, "an event contradicts our books; trading is halted", str(error))
            if view.trading_state != TradingState.HALTED:
                self._set_state(TradingState.HALTED, reason=str(error), source="core")
            return
        self._halt_instrument(view.books[order.request.instrument_id].instrument, str(error))

    def _halt_instrument(self, instrument: InstrumentDefined, reason: str) -> None:
        self._notify(Severity.ERROR, f"an event contradicts our books; {instrument.symbol} is halted", reason)
        if self._view.instrument_states.get(instrument.instrument_id) != TradingState.HALTED:
            self._set_instrument_state(
                instrument.instrument_id, TradingState.HALTED, reason=reason, source="core"
            )

    def settle(self) -> None:
        """Queue what the journal's last frame left open: nothing of it has ever left the process."""
        view = self._view
        for order_id, order in view.orders.undecided.items():
            if order.status is OrderStatus.RELEASED:
                self._pending.append(self._submission(order_id))
                continue
            reason = "the daemon ended before it was decided"
            self._pending.append(partial(OrderDenied, order_id=order_id, rule="INTERRUPTED", reason=reason))
        for strategy_id, why in view.strategies.broken.items():
            self._pending.extend(stop_drafts(strategy_id, why))
        self._pending.extend(view.risk.missing())
        self._follow_all()

    def _order(self, seq: int, event: OrderRequested) -> None:
        # The verdict comes before whatever else is queued, so it stands right behind its request.
        # What the kill switch asks for passes: no rule may keep a position that is to be closed.
        refused = None if event.source == KILL else refusal(self._view.orders[seq], self._view)
        if refused is not None:
            rule, reason = refused
            self._pending.appendleft(partial(OrderDenied, order_id=seq, rule=rule, reason=reason))
        elif event.parent_id is not None:
            self._pending.appendleft(partial(OrderHeld, order_id=seq))
        else:
            self._pending.appendleft(self._submission(seq))

    def _released(self, seq: int, event: OrderReleased) -> None:  # noqa: ARG002
        self._pending.appendleft(self._submission(event.order_id))

    def _submission(self, order_id: int) -> Draft:
        view = self._view
        client_order_id = f"{view.journal_id[:JOURNAL_ID_IN_ORDER_ID]}-{order_id}"
        return partial(OrderSubmitted, order_id=order_id, client_order_id=client_order_id, venue=view.venue)

    def _submitted(self, seq: int, event: OrderSubmitted) -> None:
        self.effects.append((seq, event))

    def _follow(self, seq: int, event: Any) -> None:  # noqa: ARG002
        """Queue what the news of an order means for others."""
        view = self._view
        risk = view.risk
        if risk.watch.broken or risk.protections.due:
            self._pending.extend(risk.missing())
        links = view.orders.links
        if not (links.children or links.groups) and view.flattening is None:
            return
        order = view.orders.get(event.order_id)
        if order is None:
            return
        for other in links.concerned(order):
            self._pending.append(partial(_ask, follow_up.linked, other.order_id, view))
        instrument_id = order.request.instrument_id
        if type(event) is OrderFilled and is_halted(view, instrument_id):
            self._tell_of_held(order)
        if view.flattening is not None:
            if order.request.source == KILL and order.status.is_terminal and instrument_id in view.flattening:
                symbol = view.books[instrument_id].instrument.symbol
                self._notify(Severity.ERROR, f"{symbol} could not be closed by the kill switch", order.reason)
            self._pending.append(partial(_ask, follow_up.flatten, instrument_id, view))

    def _follow_all(self) -> None:
        view = self._view
        for order in view.orders.links.all():
            self._pending.append(partial(_ask, follow_up.linked, order.order_id, view))
        for instrument_id in view.positions if view.flattening is not None else ():
            self._pending.append(partial(_ask, follow_up.flatten, instrument_id, view))

    def _state_changed(self, seq: int, event: TradingStateChanged | InstrumentStateChanged) -> None:  # noqa: ARG002
        if event.state is not TradingState.HALTED:
            self._follow_all()

    def _defined(self, seq: int, event: InstrumentDefined) -> None:  # noqa: ARG002
        self._follow_all()

    def _tell_of_held(self, parent: Order) -> None:
        orders = self._view.orders
        held = [str(i) for i in orders.links.children.get(parent.order_id, ()) if i in orders.held]
        if held:
            self._notify(
                Severity.WARNING,
                f"order {parent.order_id} was filled and its children may not leave while trading is halted",
                f"held until trading is resumed: order {', '.join(held)}",
            )

    def _cancel(self, seq: int, event: CancelRequested) -> None:
        order = self._view.orders.get(event.order_id)
        if order is None:
            self._refuse(f"cancel: order {event.order_id} is not known")
        elif order.status is OrderStatus.HELD:
            self._pending.appendleft(partial(_ask, follow_up.linked, event.order_id, self._view))
        elif not order.takes(event):
            self._refuse(f"cancel: order {event.order_id} is {order.status.name}")
        else:
            self.effects.append((seq, event))

    def _replace(self, seq: int, event: ReplaceRequested) -> None:
        order = self._view.orders.get(event.order_id)
        if order is None:
            self._refuse(f"replace: order {event.order_id} is not known")
        elif order.replacing is not event:
            self._refuse(f"replace: order {event.order_id} is {order.status.name}")
        else:
            # What links ask for changes no terms but the quantity, to what is left for this order.
            refused = None if event.source == LINK else refusal(order.with_terms(event), self._view)
            if refused is None:
                self.effects.append((seq, event))
                return
            rule, reason = refused
            self._pending.appendleft(
                partial(ReplaceDenied, order_id=event.order_id, rule=rule, reason=reason)
            )

    def _stopped(self, seq: int, event: StrategyStopped) -> None:
        table = self._view.orders
        for order in (*table.held.values(), *table.working.values()):
            if order.request.strategy_id == event.strategy_id and not order.canceling:
                self._pending.append(cancel_draft(order.order_id, event.strategy_id))
        self._allocate(seq, event)

    def _allocate(self, seq: int, event: Event) -> None:  # noqa: ARG002
        allocator = self._view.strategies.allocator
        if allocator.due:
            self._pending.append(
                partial(AllocationChanged, share_ppm=allocator.share_ppm(), method=allocator.method)
            )

    def _ticked(self, seq: int, event: ClockTicked) -> None:
        self._pending.extend(self._view.risk.missing())
        self._allocate(seq, event)

    def _reconciliation(self, seq: int, event: ReconciliationFound) -> None:  # noqa: ARG002
        if event.explained:
            return
        reason = f"the venue has {event.found}, expected {event.expected}: {event.detail}"
        book = None if event.instrument_id is None else self._view.books.get(event.instrument_id)
        if book is None:
            self.fault(event, TapedError(reason))
        else:
            self._halt_instrument(book.instrument, reason)

    def _command(self, seq: int, event: OperatorCommand) -> None:  # noqa: ARG002
        try:
            command = parse(event)
            match command:
                case SetTradingState():
                    self._set_state(command.state, reason=command.reason, source=f"operator:{event.who}")
                case SetInstrumentState():
                    self._set_instrument_state(
                        self._instrument_id(command.instrument),
                        command.state,
                        reason=command.reason,
                        source=f"operator:{event.who}",
                    )
                case Kill():
                    self._kill(command, event.who)
                case Withdraw():
                    self._withdraw(command, event.who)
                case SetLimits():
                    self._set_limits(command, event.who)
                case StartStrategy():
                    self._start(command)
                case StopStrategy():
                    self._stop(command, event.who)
                case SetParameters():
                    self._set_parameters(command)
                case _:  # Deposits and resets have moved the account already; the rest concerns other parts.
                    pass
        except TapedError as error:
            self._refuse(str(error))

    def _kill(self, command: Kill, who: str) -> None:
        view = self._view
        self._set_state(TradingState.HALTED, reason=command.reason, source=f"operator:{who}")
        for order_id in (*view.orders.held, *view.orders.working):
            self._pending.append(partial(CancelRequested, order_id=order_id, source=KILL))
        if command.flatten:
            # A strategy counts what it holds by its own fills, and would go on counting what is closed now.
            for strategy_id in view.strategies:
                reason = f"kill switch of {who}"
                self._pending.append(partial(StrategyStopped, strategy_id=strategy_id, reason=reason))
            self._follow_all()

    def _withdraw(self, command: Withdraw, who: str) -> None:
        currency, free = command.currency, free_cash(command.currency, self._view)
        amount = decimal_text(command.amount, MONEY_SCALE)
        if command.amount > free:
            raise CommandError(
                f"withdraw of {amount} {currency}: {decimal_text(free, MONEY_SCALE)} {currency} are free"
            )
        self._pending.append(
            partial(CashWithdrawn, currency=currency, amount=amount, source=f"operator:{who}")
        )

    def _set_limits(self, command: SetLimits, who: str) -> None:
        risk = self._view.risk
        changed = {**risk.changed, **command.limits}
        if len(changed) > MAX_LIMITS:
            raise CommandError(f"risk.set: more than {MAX_LIMITS} limits")
        limits_of({**risk.configured, **changed})  # Refused here and not when it is recorded.
        self._pending.append(partial(RiskLimitsChanged, limits=command.limits, source=f"operator:{who}"))

    def _start(self, command: StartStrategy) -> None:
        strategies = self._view.strategies
        if command.strategy_id in strategies:
            raise CommandError(f"strategy {command.strategy_id} runs already")
        if len(strategies) >= MAX_STRATEGIES:
            raise StrategyError(f"{MAX_STRATEGIES} strategies run already")
        kind = strategies.kind(command.kind)
        draft = partial(
            StrategyStarted,
            strategy_id=command.strategy_id,
            kind=command.kind,
            parameters=check_parameters(kind, command.parameters),
            instrument_ids=[self._instrument_id(symbol) for symbol in command.instruments],
        )
        strategies.prepare(draft(ts_ns=0))  # Refused here and not when it is recorded.
        self._pending.append(draft)

    def _stop(self, command: StopStrategy, who: str) -> None:
        if command.strategy_id not in self._view.strategies:
            raise CommandError(f"strategy {command.strategy_id} does not run")
        self._pending.append(
            partial(StrategyStopped, strategy_id=command.strategy_id, reason=f"stopped by {who}")
        )

    def _set_parameters(self, command: SetParameters) -> None:
        runner = self._view.strategies.get(command.strategy_id)
        if runner is None:
            raise CommandError(f"strategy {command.strategy_id} does not run")
        kind = self._view.strategies.kind(runner.kind)
        parameters = check_parameters(kind, {**runner.parameters, **command.parameters})
        if parameters == runner.strategy.values:
            raise CommandError(f"strategy {command.strategy_id} has these parameters already")
        self._view.strategies.prepare(structs.replace(runner.started, parameters=parameters))
        self._pending.append(
            partial(StrategyParametersChanged, strategy_id=command.strategy_id, parameters=parameters)
        )

    def _instrument_id(self, text: str) -> int:
        instrument = self._view.find_instrument(text)
        if instrument is None:
            symbol, _, venue = text.rpartition("@")
            instrument = self._view.find_instrument(symbol, venue)
        if instrument is None:
            raise CommandError(f"there is no instrument {text[:100]!r}")
        return instrument.instrument_id

    def _set_state(self, state: TradingState, *, reason: str, source: str) -> None:
        self._pending.append(partial(TradingStateChanged, state=state, reason=reason, source=source))

    def _set_instrument_state(
        self, instrument_id: int, state: TradingState, *, reason: str, source: str
    ) -> None:
        self._pending.append(
            partial(
                InstrumentStateChanged,
                instrument_id=instrument_id,
                state=state,
                reason=reason,
                source=source,
            )
        )

    def _refuse(self, why: str) -> None:
        self._notify(Severity.WARNING, REFUSED, why)

    def _notify(self, severity: Severity, subject: str, body: str) -> None:
        self._pending.append(partial(NotificationQueued, severity=severity, subject=subject, body=body))


def _ask(question: Callable[[int, View], Draft | None], key: int, view: View, *, ts_ns: int) -> Event | None:
    """Make the event that is missing once it is this draft's turn; by then it may not be missing any more."""
    draft = question(key, view)
    if draft is None:
        return None
    event: Event = draft(ts_ns=ts_ns)
    return event
