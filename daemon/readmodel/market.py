"""Projects market data: tick rows, last trade, last quote, bars. Knows nothing of orders.

Ticks that the vendor doubts are rows and part of bars, but not the last trade or quote, since
positions are valued at these, and the core leaves doubted ticks out of its books.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import apsw

from daemon.readmodel.bars import DAY, INTERVALS, MINUTE, SECOND, Runs, roll
from daemon.readmodel.database import storable
from daemon.readmodel.rows import RowWriter
from daemon.trading.books import mark_price
from schemas.events import SUSPICIOUS, Bar, BarSide, Quote

DAYS_OF_BARS = {SECOND: 7, MINUTE: 400}

Numbered = list[tuple[int, Any]]
"""Sequence number and event."""

_INSERT_BAR = """
INSERT INTO bars (interval_ns, instrument_id, side, start_ns, open, high, low, close, volume, count)
"""
_UPSERT_BAR = """
ON CONFLICT DO UPDATE SET
    high = max(high, excluded.high), low = min(low, excluded.low), close = excluded.close,
    count = count + excluded.count,
    volume = CASE WHEN typeof(volume + excluded.volume) = 'integer' THEN volume + excluded.volume
                  ELSE taped_add(volume, excluded.volume) END
"""


class MarketProjection:
    """Collects market events in memory; `flush` writes them.

    What must be known of earlier events (the standing quote) is read from the tables at the start.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._trades: list[Any] = []
        self._quotes: list[Any] = []
        self._bars_received: list[Any] = []
        self._runs = (Runs(BarSide.TRADE), Runs(BarSide.BID), Runs(BarSide.ASK))
        self._last_trade: dict[int, tuple[Any, ...]] = {
            row[0]: row for row in connection.execute("SELECT * FROM last_trade")
        }
        self._last_quote: dict[int, list[Any]] = {
            row[0]: list(row) for row in connection.execute("SELECT * FROM last_quote")
        }
        self._changed_trades: set[int] = set()
        self._changed_quotes: set[int] = set()
        self._write_trades = RowWriter(connection, "INSERT INTO trades", 10)
        self._write_quotes = RowWriter(connection, "INSERT INTO quotes", 10)
        self._write_bars_received = RowWriter(connection, "INSERT INTO bars_received", 10, most=32)
        self._write_last_trade = RowWriter(connection, "INSERT OR REPLACE INTO last_trade", 7, most=32)
        self._write_last_quote = RowWriter(connection, "INSERT OR REPLACE INTO last_quote", 10, most=32)
        self._write_bars = {
            interval: RowWriter(connection, _INSERT_BAR, 9, constant=interval, tail=_UPSERT_BAR, most=128)
            for interval in INTERVALS.values()
        }

    def trades(self, numbered: Numbered, *, rows: bool = True) -> None:
        """Take trades; without `rows` no tick row is kept."""
        if rows:
            extend = self._trades.extend
            for seq, event in numbered:
                extend((
                    seq, event.instrument_id, event.ts_ns, event.received_ns, event.price, event.quantity,
                    event.aggressor, event.trade_id, event.conditions, event.exchange,
                ))  # fmt: skip
        self._runs[0].add([(e.instrument_id, e.ts_ns, e.price, e.quantity) for _, e in numbered])
        last = {e.instrument_id: (seq, e) for seq, e in numbered if not e.conditions & SUSPICIOUS}
        for instrument_id, (seq, event) in last.items():
            self._changed_trades.add(instrument_id)
            self._last_trade[instrument_id] = (
                instrument_id, seq, event.ts_ns, event.received_ns, event.price, event.quantity,
                event.aggressor,
            )  # fmt: skip

    def quotes(self, numbered: Numbered, *, rows: bool = True) -> None:
        """Take quotes; without `rows` no tick row is kept."""
        if rows:
            extend = self._quotes.extend
            for seq, event in numbered:
                extend((
                    seq, event.instrument_id, event.ts_ns, event.received_ns, event.bid_price,
                    event.bid_quantity, event.ask_price, event.ask_quantity, event.conditions, event.exchange,
                ))  # fmt: skip
        bids = [(e.instrument_id, e.ts_ns, e.bid_price, 0) for _, e in numbered if e.bid_price is not None]
        asks = [(e.instrument_id, e.ts_ns, e.ask_price, 0) for _, e in numbered if e.ask_price is not None]
        self._runs[1].add(bids)
        self._runs[2].add(asks)
        # The last to tell each side stands; a dict keeps the last of each instrument.
        sound = [(seq, e) for seq, e in numbered if not e.conditions & SUSPICIOUS]
        last_bid = {e.instrument_id: (seq, e) for seq, e in sound if e.bid_price is not None}
        last_ask = {e.instrument_id: (seq, e) for seq, e in sound if e.ask_price is not None}
        for instrument_id, (seq, event) in last_bid.items():
            self._standing(instrument_id, seq, event)[4:7] = event.bid_price, event.bid_quantity, seq
        for instrument_id, (seq, event) in last_ask.items():
            self._standing(instrument_id, seq, event)[7:10] = event.ask_price, event.ask_quantity, seq

    def _standing(self, instrument_id: int, seq: int, event: Quote) -> list[Any]:
        self._changed_quotes.add(instrument_id)
        standing = self._last_quote.get(instrument_id)
        if standing is None:
            standing = self._last_quote[instrument_id] = [instrument_id, 0, 0, 0, *([None] * 6)]
        if seq > standing[1]:
            standing[1:4] = seq, event.ts_ns, event.received_ns
        return standing

    def bar(self, seq: int, event: Bar) -> None:
        """Take a finished bar from outside."""
        self._bars_received += (
            seq, event.instrument_id, event.interval_ns, event.side, event.ts_ns - event.interval_ns,
            event.open, event.high, event.low, event.close, event.volume,
        )  # fmt: skip

    def mark(self, instrument_id: int, quantity: int) -> int | None:
        """Return the price a holding of that sign is valued at after the last event taken."""
        trade = self._last_trade.get(instrument_id)
        quote = self._last_quote.get(instrument_id)
        bid, ask = (quote[4], quote[7]) if quote is not None else (None, None)
        return mark_price(None if trade is None else trade[4], bid, ask, quantity=quantity)

    def forget(self, instrument_id: int) -> None:
        """Drop an instrument's market data: its scales changed, so the numbers mean something else."""
        self.flush()
        self._last_trade.pop(instrument_id, None)
        self._last_quote.pop(instrument_id, None)
        for table in ("trades", "quotes", "bars_received", "bars", "last_trade", "last_quote"):
            self._connection.execute(f"DELETE FROM {table} WHERE instrument_id = ?", (instrument_id,))  # noqa: S608

    def flush(self, *, careful: bool = False) -> None:
        """Write what was collected; `careful` looks for volumes beyond 64 bits."""
        self._write_trades.write(self._trades)
        self._write_quotes.write(self._quotes)
        self._write_bars_received.write(self._bars_received)
        self._trades, self._quotes, self._bars_received = [], [], []
        if self._changed_trades:
            last = (self._last_trade[key] for key in sorted(self._changed_trades))
            self._write_last_trade.write(list(chain.from_iterable(last)))
            self._changed_trades.clear()
        if self._changed_quotes:
            standing = (self._last_quote[key] for key in sorted(self._changed_quotes))
            self._write_last_quote.write(list(chain.from_iterable(standing)))
            self._changed_quotes.clear()
        self._flush_bars(careful=careful)

    def _flush_bars(self, *, careful: bool) -> None:
        sides = [side.take() for side in self._runs]
        for interval in INTERVALS.values():
            if interval != SECOND:
                sides = [roll(runs, interval) for runs in sides]
            flat = list(chain.from_iterable(chain.from_iterable(sides)))
            if careful:
                flat[7::9] = map(storable, flat[7::9])
            self._write_bars[interval].write(flat)

    def prune(self, seq: int, keep_ticks: int) -> None:
        """Delete what has fallen out of the limits at this sequence number; call it after `flush`."""
        execute = self._connection.execute
        self.prune_ticks(seq, keep_ticks)
        for interval, days in DAYS_OF_BARS.items():
            for instrument_id, ts_ns, sides in self._latest():
                execute(
                    "DELETE FROM bars WHERE instrument_id = ? AND interval_ns = ? AND side IN (?, ?)"
                    " AND start_ns < ?",
                    (instrument_id, interval, *sides, ts_ns - ts_ns % DAY - days * DAY),
                )

    def prune_ticks(self, seq: int, keep_ticks: int) -> None:
        """Delete the rows of ticks that have fallen out of the limit."""
        for table in ("trades", "quotes", "bars_received"):
            self._connection.execute(f"DELETE FROM {table} WHERE seq <= ?", (seq - keep_ticks,))  # noqa: S608

    def _latest(self) -> list[tuple[int, int, tuple[BarSide, BarSide]]]:
        trades = [(key, row[2], (BarSide.TRADE, BarSide.TRADE)) for key, row in self._last_trade.items()]
        quotes = [(key, row[2], (BarSide.BID, BarSide.ASK)) for key, row in self._last_quote.items()]
        return trades + quotes
