"""Projects orders, fills, positions, account and equity, with the classes the core itself uses.

An event that the order or the account refuses (the core halts on those) changes nothing here; it is
in the history all the same.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import apsw

from daemon.readmodel.bars import DAY, MINUTE
from daemon.readmodel.database import storable
from daemon.readmodel.market import MarketProjection
from daemon.readmodel.money_text import from_text, to_text
from daemon.readmodel.order_rows import COLUMNS, OrderRow, load_order, order_values
from daemon.readmodel.rows import RowWriter
from daemon.trading.commands import CommandError, Deposit, parse
from daemon.trading.money import MoneyError, fee_money
from daemon.trading.orders import Order, OrderStateError
from daemon.trading.portfolio import Portfolio, Position
from schemas.codec import AnyEvent
from schemas.events import (
    ClockTicked,
    Event,
    InstrumentDefined,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
)

DAYS_OF_EQUITY = 400


class TradingProjection:
    """Follows orders and money; state of earlier events is read from the tables at the start.

    Args:
        connection: the writer.
        market: gives the prices that positions are valued at.
    """

    def __init__(self, connection: apsw.Connection, market: MarketProjection) -> None:
        self._connection = connection
        self._market = market
        self._orders: dict[int, OrderRow] = {}
        self._changed_orders: set[int] = set()
        self._fills: list[Any] = []
        self._equity: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._position_marks: dict[int, tuple[int, int]] = {}
        self._account_marks: dict[str, tuple[int, int]] = {}
        self.instruments = _instruments(connection)
        self.portfolio = _portfolio(connection)
        self._equity_minute: int | None = connection.execute("SELECT max(minute_ns) FROM equity").get
        self._write_orders = RowWriter(connection, "INSERT OR REPLACE INTO orders", COLUMNS, most=64)
        self._write_fills = RowWriter(connection, "INSERT INTO fills", 15, most=64)
        self._write_positions = RowWriter(connection, "INSERT OR REPLACE INTO positions", 6, most=32)
        self._write_account = RowWriter(connection, "INSERT OR REPLACE INTO account", 6, most=8)
        self._write_equity = RowWriter(connection, "INSERT OR REPLACE INTO equity", 6, most=8)

    def event(self, seq: int, event: AnyEvent) -> None:
        """Take one event that is not a tick."""
        match event:
            case OrderRequested():
                self._request(seq, event)
            case ClockTicked():
                self._clock(seq, event.ts_ns)
            case OperatorCommand():
                self._command(seq, event)
            case InstrumentDefined():
                self._instrument(seq, event)
            case Event():
                order_id = getattr(event, "order_id", None)
                if order_id is not None:
                    self._order_event(seq, order_id, event)
            case _:
                pass

    def _request(self, seq: int, event: OrderRequested) -> None:
        client_id = event.client_id
        if client_id is not None and self._is_taken(client_id):
            client_id = None
        self._orders[seq] = OrderRow(Order.requested(seq, event), client_id, updated_seq=seq)
        self._changed_orders.add(seq)

    def _is_taken(self, client_id: str) -> bool:
        if any(row.client_id == client_id for row in self._orders.values()):
            return True
        found = self._connection.execute("SELECT 1 FROM orders WHERE client_id = ?", (client_id,))
        return found.get is not None

    def _order_event(self, seq: int, order_id: int, event: Event) -> None:
        row = self._orders.get(order_id) or load_order(self._connection, order_id)
        if row is None:
            return
        instrument = self.instruments.get(row.order.request.instrument_id)
        if isinstance(event, OrderFilled) and instrument is None:
            return
        try:
            if isinstance(event, OrderFilled):
                fee_money(event.fee, event.fee_scale)
            if not row.order.apply(event):
                return
        except (OrderStateError, MoneyError):
            return
        row.follow(seq, event)
        self._orders[order_id] = row
        self._changed_orders.add(order_id)
        if isinstance(event, OrderFilled) and instrument is not None:
            self._fill(seq, event, row, instrument)

    def _fill(self, seq: int, event: OrderFilled, row: OrderRow, instrument: InstrumentDefined) -> None:
        realised = self.portfolio.apply_fill(event, instrument)
        self._fills += (
            seq, event.order_id, event.venue_trade_id, event.instrument_id, event.side, event.price,
            event.quantity, event.fee, event.fee_scale, event.fee_currency, event.liquidity,
            to_text(realised), row.order.request.strategy_id, event.ts_ns, event.received_ns,
        )  # fmt: skip
        self._position_marks[event.instrument_id] = (event.ts_ns, seq)
        for currency in (instrument.quote_currency, event.fee_currency):
            self._account_marks[currency] = (event.ts_ns, seq)
        self._value(seq, event.received_ns - event.received_ns % MINUTE)

    def _command(self, seq: int, event: OperatorCommand) -> None:
        try:
            command = parse(event)
        except CommandError:
            return
        if isinstance(command, Deposit):
            self.portfolio.account.deposit(command.currency, command.amount)
            self._account_marks[command.currency] = (event.ts_ns, seq)

    def _instrument(self, seq: int, event: InstrumentDefined) -> None:
        instrument_id = event.instrument_id
        former = self.instruments.get(instrument_id)
        if former is not None and _terms(former) != _terms(event):
            if self._in_use(instrument_id):
                return
            self._market.forget(instrument_id)
        self.instruments[instrument_id] = event
        self._connection.execute(
            "INSERT OR REPLACE INTO instruments VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                instrument_id, event.symbol, event.venue, event.asset_class, event.base_currency,
                event.quote_currency, event.price_scale, event.quantity_scale, event.tick_size,
                event.lot_size, event.multiplier, event.session_zone, seq, event.ts_ns,
            ),
        )  # fmt: skip

    def _in_use(self, instrument_id: int) -> bool:
        """Return whether the core refuses other terms for this instrument."""
        self.flush()
        listed = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM orders WHERE is_open = 1 AND instrument_id = ?1"
            " AND status NOT IN ('REQUESTED', 'RELEASED'))"
            " OR EXISTS (SELECT 1 FROM strategies, json_each(instrument_ids) WHERE running AND value = ?1)",
            (instrument_id,),
        )
        return instrument_id in self.portfolio.positions or bool(listed.get)

    def _clock(self, seq: int, ts_ns: int) -> None:
        minute_ns = ts_ns - ts_ns % MINUTE
        if self._equity_minute is None or minute_ns > self._equity_minute:
            self._value(seq, minute_ns)

    def _value(self, seq: int, minute_ns: int) -> None:
        """Note what the account is worth now, as the row of that minute."""
        portfolio, mark = self.portfolio, self._market.mark
        marks = {
            instrument_id: price
            for instrument_id, position in portfolio.positions.items()
            if (price := mark(instrument_id, position.quantity)) is not None
        }
        for currency, equity in portfolio.equity(self.instruments, marks).items():
            cash = portfolio.account.cash.get(currency, 0)
            self._equity[currency, minute_ns] = (
                currency, minute_ns, seq, to_text(cash), to_text(equity - cash), to_text(equity)
            )  # fmt: skip
            if self._equity_minute is None or minute_ns > self._equity_minute:
                self._equity_minute = minute_ns

    def flush(self) -> None:
        """Write what has changed."""
        if self._changed_orders:
            rows = (order_values(self._orders[order_id]) for order_id in sorted(self._changed_orders))
            self._write_orders.write(list(chain.from_iterable(rows)))
            self._changed_orders.clear()
            self._orders = {key: row for key, row in self._orders.items() if not row.order.status.is_terminal}
        self._write_fills.write(self._fills)
        self._fills = []
        self._flush_money()

    def _flush_money(self) -> None:
        positions: list[Any] = []
        for instrument_id, mark in self._position_marks.items():
            held = self.portfolio.positions[instrument_id]
            positions += (
                instrument_id, storable(held.quantity), to_text(held.cost_basis), to_text(held.realised),
                *mark,
            )  # fmt: skip
        self._write_positions.write(positions)
        account: list[Any] = []
        for currency, mark in self._account_marks.items():
            books = self.portfolio.account
            sums = [to_text(book.get(currency, 0)) for book in (books.cash, books.deposits, books.fees)]
            account += (currency, *sums, *mark)
        self._write_account.write(account)
        self._write_equity.write(list(chain.from_iterable(self._equity.values())))
        self._position_marks, self._account_marks, self._equity = {}, {}, {}

    def prune(self) -> None:
        """Delete what has fallen out of the limits; call it after `flush`."""
        if self._equity_minute is not None:
            first_ns = self._equity_minute - DAYS_OF_EQUITY * DAY
            self._connection.execute("DELETE FROM equity WHERE minute_ns < ?", (first_ns,))


def _terms(instrument: InstrumentDefined) -> tuple[int, int, int, str]:
    return (
        instrument.price_scale,
        instrument.quantity_scale,
        instrument.multiplier,
        instrument.quote_currency,
    )


def _instruments(connection: apsw.Connection) -> dict[int, InstrumentDefined]:
    names = InstrumentDefined.__struct_fields__[2:]
    query = f"SELECT defined_ns, {', '.join(names)} FROM instruments ORDER BY instrument_id"  # noqa: S608
    rows = connection.execute(query)
    return {row[1]: InstrumentDefined(ts_ns=row[0], **dict(zip(names, row[1:], strict=True))) for row in rows}


def _portfolio(connection: apsw.Connection) -> Portfolio:
    portfolio = Portfolio()
    for row in connection.execute("SELECT instrument_id, quantity, cost_basis, realised FROM positions"):
        portfolio.positions[row[0]] = Position(int(row[1]), from_text(row[2]), from_text(row[3]))
    account = portfolio.account
    for row in connection.execute("SELECT currency, cash, deposits, fees FROM account"):
        for book, text in zip((account.cash, account.deposits, account.fees), row[1:], strict=True):
            book[row[0]] = from_text(text)
    return portfolio
