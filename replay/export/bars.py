"""Bars made of a journal's ticks, exact whatever order the ticks come in, with bounded memory.

Collects in a scratch SQLite file: recordings of one day may be imported after those of the next, so no
bar is finished before the last tick was read. The limits of the read model's bars do not hold here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw

from daemon.readmodel.bars import INTERVALS, SECOND, Run, Runs, roll
from replay.export.market import BAR_SIDES, Row, Terms
from schemas.events import BarSide, Quote, Trade

_NAMES = {length: name for name, length in INTERVALS.items()}
_SCHEMA = """
CREATE TABLE bars (
    part INTEGER, interval_ns INTEGER, side INTEGER, start_ns INTEGER,
    open INTEGER, high INTEGER, low INTEGER, close INTEGER, volume ANY, count INTEGER,
    PRIMARY KEY (part, interval_ns, side, start_ns)
) STRICT, WITHOUT ROWID
"""
_UPSERT = """
INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    high = max(high, excluded.high), low = min(low, excluded.low), close = excluded.close,
    count = count + excluded.count, volume = exact_sum(volume, excluded.volume)
"""
_LARGEST = 2**63 - 1


class BarMaker:
    """Collects bars of some lengths.

    Args:
        path: scratch file that is not there yet; the caller removes it.
        intervals: names of `daemon.readmodel.bars.INTERVALS`.
    """

    def __init__(self, path: Path, intervals: Sequence[str]) -> None:
        self._lengths = sorted(INTERVALS[name] for name in intervals)
        self._runs = (Runs(BarSide.TRADE), Runs(BarSide.BID), Runs(BarSide.ASK))
        self._parts: list[Terms] = []
        self._numbers: dict[Terms, int] = {}
        self._connection = apsw.Connection(str(path))
        # Nothing here outlives the process, so nothing needs to survive a crash.
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("PRAGMA cache_size = -16000")
        self._connection.create_scalar_function("exact_sum", _exact_sum, 2, deterministic=True)
        self._connection.execute(_SCHEMA)

    def close(self) -> None:
        """Let the scratch file go."""
        self._connection.close()

    def take(self, selected: Sequence[tuple[int, Any, Terms]]) -> None:
        """Take ticks in order of arrival."""
        trades: list[tuple[int, int, int, int]] = []
        bids: list[tuple[int, int, int, int]] = []
        asks: list[tuple[int, int, int, int]] = []
        for _, event, terms in selected:
            if type(event) is Trade:
                trades.append((self._number(terms), event.ts_ns, event.price, event.quantity))
            elif type(event) is Quote:
                number = self._number(terms)
                if event.bid_price is not None:
                    bids.append((number, event.ts_ns, event.bid_price, 0))
                if event.ask_price is not None:
                    asks.append((number, event.ts_ns, event.ask_price, 0))
        for runs, ticks in zip(self._runs, (trades, bids, asks), strict=True):
            runs.add(ticks)
        self._write([runs.take() for runs in self._runs])

    def _number(self, terms: Terms) -> int:
        # By terms, not by instrument: one whose scales change goes on under another number.
        number = self._numbers.get(terms)
        if number is None:
            number = self._numbers[terms] = len(self._parts)
            self._parts.append(terms)
        return number

    def _write(self, sides: list[list[Run]]) -> None:
        with self._connection:
            for length in self._lengths:
                for runs in sides:
                    longer = runs if length == SECOND else roll(runs, length)
                    self._connection.executemany(
                        _UPSERT, [(run[0], length, *run[1:7], _storable(run[7]), run[8]) for run in longer]
                    )

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the table `bars`: by instrument, length and side, then in order of time."""
        query = "SELECT * FROM bars ORDER BY part, interval_ns, side, start_ns"
        for part, length, side, start_ns, *prices, volume, count in self._connection.execute(query):
            terms = self._parts[part]
            yield (
                terms.symbol, terms.venue, _NAMES[length], BAR_SIDES[BarSide(side)], start_ns,
                *(price * terms.price_factor for price in prices),
                int(volume) * terms.quantity_factor if side == BarSide.TRADE else None,
                count,
            )  # fmt: skip


def _exact_sum(*values: Any) -> int | str:
    return _storable(sum(map(int, values)))


def _storable(value: int) -> int | str:
    """Return a volume as SQLite holds it without loss: text beyond 64 bits."""
    return value if -_LARGEST <= value <= _LARGEST else str(value)
