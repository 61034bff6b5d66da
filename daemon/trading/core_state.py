"""What the core knows, and what can be asked of it; nothing here changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.trading.books import Book
from daemon.trading.calendar import Calendars
from daemon.trading.order_table import OrderTable
from daemon.trading.orders import Order
from daemon.trading.portfolio import Account, Portfolio, Position
from daemon.trading.risk import free_cash
from daemon.trading.risk.state import Risk
from daemon.trading.runners import Runners
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.trading.valuation import Exchange, Total, Worth, worth_by_currency
from schemas.errors import TapedError
from schemas.events import (
    InstrumentDefined,
    ParityChecked,
    TradingState,
)


class InstrumentError(TapedError):
    """An instrument cannot be told from another, or cannot change as it should."""


class CoreState:
    """State of trading after the events up to `next_seq - 1`.

    Args:
        journal_id: hex text of the journal's uuid; its start makes client order ids.
        next_seq: number of the next event.
        venue: where orders are submitted to.
        kinds: strategy classes by kind.

    Attributes:
        parity: the last comparison of decisions with those made again; None before the first.
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
        self.parity: ParityChecked | None = None
        self.exchange = Exchange(self.instruments)
        self.risk = Risk(self)
        self.strategies = Runners(kinds, self.books, self)

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

    def clock_due_ns(self, from_ns: int, unopened_ns: int) -> int:
        """Return the first time from the given one on at which a tick of the clock may do anything.

        `NEVER` of `daemon.trading.bars` when none would, as long as nothing else comes.

        Args:
            from_ns: the time to begin at.
            unopened_ns: what counts for bars that no tick of the market has begun yet.
        """
        risk = self.risk
        if risk.watches or risk.watch.broken or risk.protections.due:
            return from_ns
        if risk.always_asked or risk.asked_when_opening:
            # One of the rules wants to know whether the clock is right.
            return from_ns
        return self.strategies.clock_due_ns(from_ns, unopened_ns)

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
            "parity": msgspec.to_builtins(self.parity),
        }
