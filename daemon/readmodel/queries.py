"""Questions to the read model, answered as plain dictionaries of integers and text.

Prices and quantities are scaled integers, money an integer at 18 decimals: whoever shows them makes
decimals of them. Each call is one or two indexed reads; lists are bounded and paged by sequence
number. One connection, so one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from daemon.readmodel.bars import INTERVALS
from daemon.readmodel.database import ReadModelError, named_errors, open_reader
from daemon.readmodel.money_text import from_text
from schemas.events import BarSide

Row = dict[str, Any]
Shape = tuple[list[str], list[tuple[str, Callable[[Any], Any]]]]

MAX_ROWS = 1_000
_FIRST, _LAST = -(2**63), 2**63 - 1
_MONEY = (
    "cost_basis cost_basis_fifo realised realised_fifo cost cash deposits withdrawals fees maker_fees"
    " market_value equity gross initial maintenance"
)
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_MONEY.split(), from_text),
    **dict.fromkeys(("quantity", "volume", "filled_value"), int),
    **dict.fromkeys(("is_open", "post_only", "reduce_only", "running", "finished"), bool),
}

_POSITIONS = """
SELECT positions.*, symbol, venue, quote_currency, price_scale, quantity_scale, multiplier,
       last_trade.price AS last_price, bid_price, ask_price
FROM positions JOIN instruments USING (instrument_id)
LEFT JOIN last_trade USING (instrument_id) LEFT JOIN last_quote USING (instrument_id)
ORDER BY instrument_id
"""
_PRICES = """
SELECT instrument_id, symbol, instruments.venue, price_scale, quantity_scale,
       last_trade.price AS last_price, last_trade.quantity AS last_quantity, last_trade.ts_ns AS trade_ns,
       last_trade.seq AS trade_seq, bid_price, bid_quantity, ask_price, ask_quantity,
       last_quote.ts_ns AS quote_ns, last_quote.seq AS quote_seq
FROM instruments LEFT JOIN last_trade USING (instrument_id) LEFT JOIN last_quote USING (instrument_id)
ORDER BY instrument_id
"""
_BARS = """
SELECT start_ns, open, high, low, close, volume, count FROM bars
WHERE instrument_id = ? AND interval_ns = ? AND side = ? AND start_ns >= ? AND start_ns < ?
"""


class ReadModelQueries:
    """Reads one read-model file while its writer goes on writing.

    Raises:
        ReadModelError: there is no such file, or it cannot be read. So can each call.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_reader(path)
        self._shapes: dict[str, Shape] = {}

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def status(self) -> Row:
        """Return what stands in the table `meta`: journal_id, applied_seq and others."""
        return {row["name"]: row["value"] for row in self._rows("SELECT name, value FROM meta")}

    def instruments(self) -> list[Row]:
        """Return every instrument, by id."""
        return self._rows("SELECT * FROM instruments ORDER BY instrument_id")

    def prices(self) -> list[Row]:
        """Return every instrument with its last trade and standing quote; None where there is none yet."""
        return self._rows(_PRICES)

    def ticks(
        self,
        instrument_id: int,
        kind: str = "trade",
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return ticks of an instrument, newest first.

        Args:
            instrument_id: the instrument.
            kind: "trade" or "quote".
            before: only sequence numbers below this: the last row's `seq` gives the next page.
            after: only sequence numbers above this.
            limit: most rows wanted, 1 to `MAX_ROWS`.
        """
        if kind not in ("trade", "quote"):
            raise ReadModelError(f"ticks of kind {kind!r}: expected trade or quote")
        return self._rows(
            f"SELECT * FROM {kind}s WHERE instrument_id = ? AND seq > ? AND seq < ?"  # noqa: S608
            " ORDER BY seq DESC LIMIT ?",
            (instrument_id, _or(after, _FIRST), _or(before, _LAST), _bounded(limit)),
        )

    def bars(
        self,
        instrument_id: int,
        interval: str = "1min",
        side: int = BarSide.TRADE,
        *,
        from_ns: int | None = None,
        to_ns: int | None = None,
        limit: int = 500,
    ) -> list[Row]:
        """Return bars in order of time: from `from_ns` on, or the last ones before `to_ns`.

        Args:
            instrument_id: the instrument.
            interval: a name of `INTERVALS`.
            side: 0 trade, 1 bid, 2 ask.
            from_ns: the first bar starts here or later; the page then begins there.
            to_ns: bars start before this.
            limit: most rows wanted, 1 to `MAX_ROWS`.
        """
        if interval not in INTERVALS:
            raise ReadModelError(f"bars of {interval!r}: expected one of {', '.join(INTERVALS)}")
        # An int, as SQLite knows no enumerations; the newest page is read backwards and turned.
        values = (instrument_id, INTERVALS[interval], int(side), _or(from_ns, _FIRST), _or(to_ns, _LAST))
        order = "DESC" if from_ns is None else "ASC"
        rows = self._rows(f"{_BARS} ORDER BY start_ns {order} LIMIT ?", (*values, _bounded(limit)))
        return rows[::-1] if from_ns is None else rows

    def orders(
        self,
        *,
        is_open: bool | None = None,
        instrument_id: int | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return orders, newest first; `before` and `after` are order ids, as in `ticks`."""
        wanted = ["order_id > ?", "order_id < ?"]
        values: list[int] = [_or(after, _FIRST), _or(before, _LAST)]
        if is_open is not None:
            wanted.append("is_open = 1" if is_open else "is_open = 0")
        if instrument_id is not None:
            wanted.append("instrument_id = ?")
            values.append(instrument_id)
        return self._rows(
            f"SELECT * FROM orders WHERE {' AND '.join(wanted)} ORDER BY order_id DESC LIMIT ?",  # noqa: S608
            (*values, _bounded(limit)),
        )

    def order(self, order_id: int) -> Row | None:
        """Return one order, or None."""
        return self._row("SELECT * FROM orders WHERE order_id = ?", order_id)

    def children(self, order_id: int) -> list[Row]:
        """Return the orders that an order's fills release, oldest first; a parent has few."""
        return self._rows("SELECT * FROM orders WHERE parent_id = ? ORDER BY order_id", (order_id,))

    def order_by_client_id(self, client_id: str) -> Row | None:
        """Return the order that was requested first under the caller's own id, or None."""
        return self._row("SELECT * FROM orders WHERE client_id = ?", client_id)

    def fills(
        self,
        *,
        order_id: int | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return fills, newest first; of one order where it is given."""
        of_order = "" if order_id is None else " AND order_id = ?"
        values = () if order_id is None else (order_id,)
        return self._rows(
            f"SELECT * FROM fills WHERE seq > ? AND seq < ?{of_order} ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (_or(after, _FIRST), _or(before, _LAST), *values, _bounded(limit)),
        )

    def positions(self) -> list[Row]:
        """Return positions with their instrument's scales and last prices; flat ones with a past too."""
        return self._rows(_POSITIONS)

    def lots(self, instrument_id: int) -> list[Row]:
        """Return the open lots of a position, oldest first."""
        return self._rows("SELECT * FROM lots WHERE instrument_id = ? ORDER BY number", (instrument_id,))

    def account(self) -> list[Row]:
        """Return cash, deposits, withdrawals and fees of each currency."""
        return self._rows("SELECT * FROM account ORDER BY currency")

    def equity(self, currency: str, *, from_ns: int | None = None, limit: int = 500) -> list[Row]:
        """Return what the account was worth minute by minute: from a time on, or the last minutes."""
        order = "DESC" if from_ns is None else "ASC"
        rows = self._rows(
            f"SELECT * FROM equity WHERE currency = ? AND minute_ns >= ? ORDER BY minute_ns {order} LIMIT ?",  # noqa: S608
            (currency, _or(from_ns, _FIRST), _bounded(limit)),
        )
        return rows[::-1] if from_ns is None else rows

    def equity_total(self, *, from_ns: int | None = None, limit: int = 500) -> list[Row]:
        """Return the same in one currency; `unknown` is JSON: currencies that are left out."""
        order = "DESC" if from_ns is None else "ASC"
        rows = self._rows(
            f"SELECT * FROM equity_total WHERE minute_ns >= ? ORDER BY minute_ns {order} LIMIT ?",  # noqa: S608
            (_or(from_ns, _FIRST), _bounded(limit)),
        )
        return rows[::-1] if from_ns is None else rows

    def sensors(self, *, before: int | None = None, limit: int = 100) -> list[Row]:
        """Return what the sensors said, newest first; `readings` is JSON, `before` as in `ticks`."""
        return self._rows(
            "SELECT * FROM sensors WHERE seq < ? ORDER BY seq DESC LIMIT ?",
            (_or(before, _LAST), _bounded(limit)),
        )

    def risk_limits(self) -> list[Row]:
        """Return every limit that is configured or was set; the values are JSON, None for none."""
        return self._rows("SELECT * FROM risk_limits ORDER BY name")

    def pauses(self) -> list[Row]:
        """Return the pauses after losses that may not be over; None stands for all."""
        return self._rows("SELECT * FROM pauses ORDER BY seq")

    def calendars(self) -> list[Row]:
        """Return the session calendars in force; lists are JSON."""
        return self._rows("SELECT * FROM calendars ORDER BY seq")

    def trading_state(self) -> Row | None:
        """Return the last change of the trading state; None while it has never changed."""
        return self._row("SELECT state, reason, source, ts_ns, seq FROM trading_state")

    def instrument_states(self) -> list[Row]:
        """Return the state of each instrument that may not be traded as the trading state allows."""
        return self._rows("SELECT * FROM instrument_states ORDER BY instrument_id")

    def strategies(self) -> list[Row]:
        """Return every strategy that ever ran; `parameters` and `instrument_ids` are JSON."""
        return self._rows("SELECT * FROM strategies ORDER BY strategy_id")

    def breakers(self) -> list[Row]:
        """Return every circuit breaker that ever changed."""
        return self._rows("SELECT * FROM breakers ORDER BY breaker")

    def imports(self) -> list[Row]:
        """Return what was imported, in that order."""
        return self._rows("SELECT * FROM imports ORDER BY start_seq")

    def import_of(self, sha256: str) -> Row | None:
        """Return the last finished import of a file with this content, or None."""
        return self._row(
            "SELECT * FROM imports WHERE sha256 = ? AND finished = 1 ORDER BY start_seq DESC LIMIT 1", sha256
        )

    def events(
        self,
        *,
        text: str | None = None,
        order_id: int | None = None,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return the history of events, newest first.

        Args:
            text: words that must all occur; no query language.
            order_id: only events of this order.
            before: as in `ticks`.
            after: as in `ticks`.
            limit: as in `ticks`.
        """
        wanted = ["seq > ?", "seq < ?"]
        values: list[int | str] = [_or(after, _FIRST), _or(before, _LAST)]
        if order_id is not None:
            wanted.append("order_id = ?")
            values.append(order_id)
        # A zero ends the text of a query in SQLite, in the middle of a word; no event holds one.
        text = text and text.replace("\x00", " ")
        if text is not None and text.split():
            wanted.append("number IN (SELECT rowid FROM events_text WHERE events_text MATCH ?)")
            values.append(" ".join('"' + word.replace('"', '""') + '"' for word in text.split()))
        return self._rows(
            f"SELECT * FROM events WHERE {' AND '.join(wanted)} ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (*values, _bounded(limit)),
        )

    def _row(self, query: str, *values: int | str) -> Row | None:
        rows = self._rows(query, values)
        return rows[0] if rows else None

    def _rows(self, query: str, values: tuple[int | str, ...] = ()) -> list[Row]:
        with named_errors(self._path, "read"):
            cursor = self._connection.execute(query, values)
            shape = self._shapes.get(query)
            if shape is None:
                shape = _shape(cursor)
                if shape is None:
                    return []
                self._shapes[query] = shape
            names, conversions = shape
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
        for name, convert in conversions:
            for row in rows:
                if row[name] is not None:
                    row[name] = convert(row[name])
        return rows


def _shape(cursor: apsw.Cursor) -> Shape | None:
    """Return the columns of a result and how those that are not plain are read; None when it is empty."""
    try:
        names = [str(column[0]) for column in cursor.get_description()]
    except apsw.ExecutionCompleteError:
        return None
    return names, [(name, _CONVERSIONS[name]) for name in names if name in _CONVERSIONS]


def _or(value: int | None, default: int) -> int:
    # A number beyond 64 bits comes from a caller's typing error: it means "beyond all".
    return default if value is None else max(_FIRST, min(value, _LAST))


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_ROWS))
