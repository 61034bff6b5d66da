"""Projects instruments, orders and fills, with the classes the core itself uses; `money.py` does money.

An event that the order refuses (the core halts on those) changes nothing here; it is
in the history all the same.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import apsw

from daemon.readmodel.market import MarketProjection
from daemon.readmodel.money import MoneyProjection
from daemon.readmodel.money_text import to_text
from daemon.readmodel.order_rows import COLUMNS, OrderRow, load_order, order_values
from daemon.readmodel.risk import RiskProjection
from daemon.readmodel.rows import RowWriter
from daemon.trading.money import MoneyError, fee_money
from daemon.trading.orders import Order, OrderStateError
from schemas.codec import AnyEvent
from schemas.events import (
    CashWithdrawn,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
)


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
        self.instruments = _instruments(connection)
        self._risk = RiskProjection(connection)
        self._money = MoneyProjection(connection, market, self.instruments, self._risk.rates)
        self._write_orders = RowWriter(connection, "INSERT OR REPLACE INTO orders", COLUMNS, most=64)
        self._write_fills = RowWriter(connection, "INSERT INTO fills", 16, most=64)

    def event(self, seq: int, event: AnyEvent) -> None:
        """Take one event that is not a tick."""
        self._risk.event(seq, event)
        match event:
            case OrderRequested():
                self._request(seq, event)
            case ClockTicked():
                self._money.clock(seq, event.ts_ns)
            case OperatorCommand():
                self._money.command(seq, event)
            case CashWithdrawn():
                self._money.withdrawn(seq, event)
            case DaemonStarted():
                self._money.started(event)
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
        realised = self._money.fill(seq, event, instrument)
        self._fills += (
            seq, event.order_id, event.venue_trade_id, event.instrument_id, event.side, event.price,
            event.quantity, event.fee, event.fee_scale, event.fee_currency, event.liquidity,
            *map(to_text, realised), row.order.request.strategy_id, event.ts_ns, event.received_ns,
        )  # fmt: skip

    def _instrument(self, seq: int, event: InstrumentDefined) -> None:
        instrument_id = event.instrument_id
        former = self.instruments.get(instrument_id)
        if former is not None and _terms(former) != _terms(event):
            if self._in_use(instrument_id):
                return
            self._market.forget(instrument_id)
        self.instruments[instrument_id] = event
        self._money.instrument_defined()
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
        return instrument_id in self._money.portfolio.positions or bool(listed.get)

    def flush(self) -> None:
        """Write what has changed."""
        if self._changed_orders:
            rows = (order_values(self._orders[order_id]) for order_id in sorted(self._changed_orders))
            self._write_orders.write(list(chain.from_iterable(rows)))
            self._changed_orders.clear()
            self._orders = {key: row for key, row in self._orders.items() if not row.order.status.is_terminal}
        self._write_fills.write(self._fills)
        self._fills = []
        self._money.flush()

    def prune(self) -> None:
        """Delete what has fallen out of the limits; call it after `flush`."""
        self._money.prune()


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
