"""What all who answer in the core share: what they look at, and the drafts that several of them queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from daemon.trading import follow_up
from daemon.trading.books import Book
from daemon.trading.drafts import Draft
from daemon.trading.order_table import OrderTable
from daemon.trading.portfolio import Account, Portfolio, Position
from daemon.trading.risk.state import Risk
from daemon.trading.runners import Runners
from daemon.trading.valuation import Exchange
from schemas.events import (
    Event,
    InstrumentDefined,
    InstrumentStateChanged,
    NotificationQueued,
    Severity,
    TradingState,
    TradingStateChanged,
)

REFUSED = "a request changed nothing"
"""Subject of the notification that follows a command or request which could not be carried out."""


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


class Decisions:
    """Puts drafts into the core's queue.

    Args:
        view: the core.
        pending: its queue.
    """

    def __init__(self, view: View, pending: deque[Draft]) -> None:
        self._view = view
        self._pending = pending

    def halt_instrument(self, instrument: InstrumentDefined, reason: str) -> None:
        """Queue the halt of one instrument, unless it is halted, and tell why."""
        self.notify(Severity.ERROR, f"an event contradicts our books; {instrument.symbol} is halted", reason)
        if self._view.instrument_states.get(instrument.instrument_id) != TradingState.HALTED:
            self.set_instrument_state(
                instrument.instrument_id, TradingState.HALTED, reason=reason, source="core"
            )

    def follow_all(self) -> None:
        """Queue what linked orders and the kill switch need, wherever they need anything."""
        view = self._view
        for order in view.orders.links.all():
            self._pending.append(partial(ask, follow_up.linked, order.order_id, view))
        for instrument_id in view.positions if view.flattening is not None else ():
            self._pending.append(partial(ask, follow_up.flatten, instrument_id, view))

    def set_state(self, state: TradingState, *, reason: str, source: str) -> None:
        """Queue a change of the trading state."""
        self._pending.append(partial(TradingStateChanged, state=state, reason=reason, source=source))

    def set_instrument_state(
        self, instrument_id: int, state: TradingState, *, reason: str, source: str
    ) -> None:
        """Queue a change of one instrument's state."""
        self._pending.append(
            partial(
                InstrumentStateChanged,
                instrument_id=instrument_id,
                state=state,
                reason=reason,
                source=source,
            )
        )

    def refuse(self, why: str) -> None:
        """Tell that a command or request changed nothing."""
        self.notify(Severity.WARNING, REFUSED, why)

    def notify(self, severity: Severity, subject: str, body: str) -> None:
        """Queue a notification."""
        self._pending.append(partial(NotificationQueued, severity=severity, subject=subject, body=body))


def ask(question: Callable[[int, View], Draft | None], key: int, view: View, *, ts_ns: int) -> Event | None:
    """Make the event that is missing once it is this draft's turn; by then it may not be missing any more."""
    draft = question(key, view)
    if draft is None:
        return None
    event: Event = draft(ts_ns=ts_ns)
    return event
