"""What the core answers to an event once the state has taken it: the only place that makes decisions.

Strategies ask for orders; whether they leave, and what operators and venues hear back, stands here.
Answers are drafts put into the core's queue; they move no state themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from daemon.trading import follow_up
from daemon.trading.command_answers import CommandAnswers
from daemon.trading.decisions import REFUSED, Decisions, View, ask
from daemon.trading.drafts import Draft, cancel_draft
from daemon.trading.gate import is_halted
from daemon.trading.orders import KILL, LINK, Order, OrderStatus
from daemon.trading.risk import refusal
from daemon.trading.runners import stop_drafts
from schemas.errors import TapedError
from schemas.events import (
    AllocationChanged,
    CancelRejected,
    CancelRequested,
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
    Severity,
    StrategyStarted,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)

__all__ = ["REFUSED", "Answers"]

JOURNAL_ID_IN_ORDER_ID = 8

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


class Answers(Decisions):
    """Makes the core's decisions.

    Attributes:
        effects: numbered events that must be sent to the venue once they are durable.
        by_type: what is queued in answer to an event that was applied, by its type.
    """

    def __init__(self, view: View, pending: deque[Draft]) -> None:
        super().__init__(view, pending)
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
            OperatorCommand: CommandAnswers(view, pending).answer,
            ReconciliationFound: self._reconciliation,
            ParityChecked: self._compared,
        }

    def fault(self, event: Event, error: TapedError) -> None:
        """Queue the halt that follows an event which contradicts our books.

        What concerns an order we know halts its instrument, anything else all trading.
        """
        view = self._view
        order = view.orders.get(getattr(event, "order_id", 0))
        if order is None or order.request.instrument_id not in view.books:
            self.notify(Severity.ERROR, "an event contradicts our books; trading is halted", str(error))
            if view.trading_state != TradingState.HALTED:
                self.set_state(TradingState.HALTED, reason=str(error), source="core")
            return
        self.halt_instrument(view.books[order.request.instrument_id].instrument, str(error))

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
        self.follow_all()

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
            self._pending.append(partial(ask, follow_up.linked, other.order_id, view))
        instrument_id = order.request.instrument_id
        if type(event) is OrderFilled and is_halted(view, instrument_id):
            self._tell_of_held(order)
        if view.flattening is not None:
            if order.request.source == KILL and order.status.is_terminal and instrument_id in view.flattening:
                symbol = view.books[instrument_id].instrument.symbol
                self.notify(Severity.ERROR, f"{symbol} could not be closed by the kill switch", order.reason)
            self._pending.append(partial(ask, follow_up.flatten, instrument_id, view))

    def _state_changed(self, seq: int, event: TradingStateChanged | InstrumentStateChanged) -> None:  # noqa: ARG002
        if event.state is not TradingState.HALTED:
            self.follow_all()

    def _defined(self, seq: int, event: InstrumentDefined) -> None:  # noqa: ARG002
        self.follow_all()

    def _tell_of_held(self, parent: Order) -> None:
        orders = self._view.orders
        held = [str(i) for i in orders.links.children.get(parent.order_id, ()) if i in orders.held]
        if held:
            self.notify(
                Severity.WARNING,
                f"order {parent.order_id} was filled and its children may not leave while trading is halted",
                f"held until trading is resumed: order {', '.join(held)}",
            )

    def _cancel(self, seq: int, event: CancelRequested) -> None:
        order = self._view.orders.get(event.order_id)
        if order is None:
            self.refuse(f"cancel: order {event.order_id} is not known")
        elif order.status is OrderStatus.HELD:
            self._pending.appendleft(partial(ask, follow_up.linked, event.order_id, self._view))
        elif not order.takes(event):
            self.refuse(f"cancel: order {event.order_id} is {order.status.name}")
        else:
            self.effects.append((seq, event))

    def _replace(self, seq: int, event: ReplaceRequested) -> None:
        order = self._view.orders.get(event.order_id)
        if order is None:
            self.refuse(f"replace: order {event.order_id} is not known")
        elif order.replacing is not event:
            self.refuse(f"replace: order {event.order_id} is {order.status.name}")
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

    def _compared(self, seq: int, event: ParityChecked) -> None:  # noqa: ARG002
        if not event.passed:
            subject = "today's code decides other than what was recorded"
            self.notify(Severity.ERROR, subject, event.reason)

    def _reconciliation(self, seq: int, event: ReconciliationFound) -> None:  # noqa: ARG002
        if event.explained:
            return
        reason = f"the venue has {event.found}, expected {event.expected}: {event.detail}"
        book = None if event.instrument_id is None else self._view.books.get(event.instrument_id)
        if book is None:
            self.fault(event, TapedError(reason))
        else:
            self.halt_instrument(book.instrument, reason)
