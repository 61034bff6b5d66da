"""What the read model knows, as documents. One query or two for each question, in tens of microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from daemon.api import views
from daemon.api.risk_view import risk_document
from daemon.readmodel.queries import ReadModelQueries, Row
from daemon.trading.core import Core
from schemas.events import BarSide, InstrumentDefined

Document = dict[str, Any]
PriceRows = Mapping[int, Row]


class Reads:
    """Questions of the API to the read model; instruments and their scales come from the core."""

    def __init__(self, queries: ReadModelQueries, core: Core) -> None:
        self._queries = queries
        self._core = core

    def instruments(self) -> list[Document]:
        """Return all instruments by id."""
        return [views.instrument(defined) for _, defined in sorted(self._core.instruments.items())]

    def price_rows(self) -> PriceRows:
        """Return last trade and standing quote of each instrument that has one, as stored."""
        rows = self._queries.prices()
        return {
            row["instrument_id"]: row
            for row in rows
            if row["trade_seq"] is not None or row["quote_seq"] is not None
        }

    def price(self, row: Row) -> Document:
        """Return one row of `price_rows` for people."""
        return views.price(row)

    def bars(
        self,
        defined: InstrumentDefined,
        *,
        interval: str,
        side: BarSide,
        from_ns: int | None,
        to_ns: int | None,
        limit: int,
    ) -> list[Document]:
        """Return bars in order of time: from a time on, or the last ones before `to_ns`."""
        rows = self._queries.bars(
            defined.instrument_id, interval, side, from_ns=from_ns, to_ns=to_ns, limit=limit
        )
        return [views.bar(row, defined) for row in rows]

    def ticks(
        self, defined: InstrumentDefined, *, kind: str, before: int | None, limit: int
    ) -> list[Document]:
        """Return trades or quotes, newest first."""
        view = views.trade if kind == "trade" else views.quote
        rows = self._queries.ticks(defined.instrument_id, kind, before=before, limit=limit)
        return [view(row, defined) for row in rows]

    def orders(
        self, *, is_open: bool | None, instrument_id: int | None, before: int | None, limit: int
    ) -> list[Document]:
        """Return orders, newest first."""
        rows = self._queries.orders(is_open=is_open, instrument_id=instrument_id, before=before, limit=limit)
        return [self._order(row) for row in rows]

    def order(self, order_id: int) -> Document | None:
        """Return one order, or None."""
        row = self._queries.order(order_id)
        return None if row is None else self._order(row)

    def children(self, order_id: int) -> list[Document]:
        """Return the orders that an order's fills release, oldest first."""
        return [self._order(row) for row in self._queries.children(order_id)]

    def order_by_client_id(self, client_id: str) -> Document | None:
        """Return the order that was requested under the caller's own id, or None."""
        row = self._queries.order_by_client_id(client_id)
        return None if row is None else self._order(row)

    def request_of_client_id(self, client_id: str) -> Row | None:
        """Return the terms under which the order of a caller's own id was asked for, scaled, or None."""
        row = self._queries.order_by_client_id(client_id)
        if row is None:
            return None
        asked = {name: row[f"requested_{name}"] for name in ("quantity", "price", "stop_price")}
        return {**row, **asked}

    def fills(self, limit: int) -> list[Document]:
        """Return the latest fills, oldest first."""
        instruments = self._core.instruments
        rows = self._queries.fills(limit=limit)
        return [views.fill(row, instruments[row["instrument_id"]]) for row in reversed(rows)]

    def positions(self) -> list[Document]:
        """Return positions at market."""
        return [views.position(row) for row in self._queries.positions()]

    def account(self) -> Document:
        """Return cash and equity by currency."""
        return views.account(self._queries.account(), self._queries.positions())

    def trading(self) -> Document:
        """Return the trading state."""
        return views.trading(self._queries.trading_state())

    def trading_states(self) -> Document:
        """Return the trading state, and of each instrument that has a stricter one."""
        instruments = self._core.instruments
        rows = self._queries.instrument_states()
        stricter = [views.instrument_state(row, instruments.get(row["instrument_id"])) for row in rows]
        return {**self.trading(), "instruments": stricter}

    def strategies(self) -> list[Document]:
        """Return every strategy that ever ran, by id."""
        core = self._core
        return [
            views.strategy(row, core.instruments, core.strategies.share_ppm)
            for row in self._queries.strategies()
        ]

    def running_strategy(self, strategy_id: str) -> Document | None:
        """Return a strategy as the core runs it now, or None."""
        runner = self._core.strategies.get(strategy_id)
        if runner is None:
            return None
        row = {
            "strategy_id": strategy_id,
            "kind": runner.kind,
            "parameters": msgspec.json.encode(runner.parameters),
            "instrument_ids": msgspec.json.encode(runner.instrument_ids),
            "running": True,
            "reason": None,
            "started_ns": runner.started.ts_ns,
            "stopped_ns": None,
        }
        return views.strategy(row, self._core.instruments, self._core.strategies.share_ppm)

    def strategy_kinds(self) -> list[Document]:
        """Return the kinds of strategies that can be started, with their parameters."""
        return [views.strategy_kind(kind) for _, kind in sorted(self._core.strategies.kinds.items())]

    def risk(self) -> Document:
        """Return the limits in force, what they are judged by, and the pauses that hold."""
        return risk_document(self._core)

    def breakers(self) -> list[Document]:
        """Return every circuit breaker that ever changed, by name."""
        return [views.breaker(row) for row in self._queries.breakers()]

    def events(
        self, *, text: str | None, order_id: int | None, before: int | None, limit: int
    ) -> list[Document]:
        """Return the history of events but ticks, newest first."""
        rows = self._queries.events(text=text, order_id=order_id, before=before, limit=limit)
        return [views.event(row) for row in rows]

    def _order(self, row: Row) -> Document:
        defined = self._core.instruments.get(row["instrument_id"])
        return views.order(row, defined, venue=self._core.venue)
