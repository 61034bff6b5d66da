"""Positions and equity for the database: what the read model makes of the events, row by row.

Neither is an event. A position is told after each fill that counted, by the fills of the read model and
the profit they realised there; equity once a minute, as it stood at the minute's end, which is known when
a later minute began. Both depend on the events alone, not on when they are shipped. Their cursors are
their own newest rows in the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from decimal import Context, Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import apsw

from daemon.readmodel.database import named_errors, open_reader
from daemon.readmodel.money_text import from_text
from daemon.sync.differences import Difference
from daemon.trading.money import MONEY_SCALE, notional
from schemas.events import InstrumentDefined

PORTION = 2_000
"""Rows in one statement."""

MAX_ROWS = 20_000
"""Rows of a table in one transaction: the read model's log cannot be merged while it is read."""

POSITIONS = (
    "seq", "ts", "ts_ns", "instrument_id", "quantity", "cost_basis", "realised", "cost_basis_fifo",
    "realised_fifo",
)  # fmt: skip
EQUITY = (
    "seq", "ts", "ts_ns", "currency", "cash", "market_value", "equity", "gross", "initial", "maintenance",
)  # fmt: skip

_EXACT = Context(prec=1_000)
"""Decimal's own context would round what has more than 28 digits."""

_FILLS = """
SELECT seq, ts_ns, instrument_id, side, price, quantity, realised, realised_fifo
FROM fills WHERE seq > ? AND seq <= ? ORDER BY seq
"""
_MINUTES = """
SELECT seq, minute_ns, currency, cash, market_value, equity, gross, initial, maintenance
FROM equity WHERE minute_ns > ? AND seq <= ? AND minute_ns < (SELECT max(minute_ns) FROM equity)
ORDER BY minute_ns, currency
"""


class Held(NamedTuple):
    """A position as the fills so far have left it: an integer quantity, and money at 18 decimals."""

    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0
    realised_fifo: int = 0


class Derived:
    """The read model of a data folder, as the source of rows.

    Args:
        data: the data folder.
        journal_id: the journal that is shipped.

    Attributes:
        is_there: whether there is a read model of this journal.

    Raises:
        ReadModelError: it cannot be read.
    """

    def __init__(self, data: Path, journal_id: str) -> None:
        self._path = data / "readmodel.db"
        self._connection: apsw.Connection | None = None
        if self._path.exists():
            connection = self._connection = open_reader(self._path)
            if _meta(connection, "journal_id") != journal_id:
                self.close()
        self.is_there = self._connection is not None

    def close(self) -> None:
        """Let the file go."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def positions(
        self, after_seq: int, last_seq: int, held: dict[int, Held] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each fill that counted, in the order of `POSITIONS`.

        Args:
            after_seq: where the rows begin, without it.
            last_seq: where they end.
            held: what was held after `after_seq`; changed.
        """
        if self._connection is None:
            return
        held = {} if held is None else held
        instruments = _instruments(self._connection)
        with named_errors(self._path, "read"):
            for seq, ts_ns, key, side, price, quantity, *realised in self._connection.execute(
                _FILLS, (after_seq, last_seq)
            ):
                instrument = instruments[key]
                average, fifo = map(from_text, realised)
                before = held.get(key, Held())
                now = held[key] = Held(
                    before.quantity + side * quantity,
                    before.cost_basis + notional(instrument, price, side * quantity) + average,
                    before.realised + average,
                    before.realised_fifo + fifo,
                )
                yield (seq, ts_ns, ts_ns, key, *decimals(now, instrument.quantity_scale))

    def equity(self, after_ns: int, last_seq: int) -> Iterator[tuple[Any, ...]]:
        """Yield a row for each currency and minute that is over, in the order of `EQUITY`.

        Args:
            after_ns: the last minute that is not wanted.
            last_seq: up to where the events are shipped.
        """
        if self._connection is None:
            return
        with named_errors(self._path, "read"):
            for seq, minute_ns, currency, *sums in self._connection.execute(_MINUTES, (after_ns, last_seq)):
                yield (seq, minute_ns, minute_ns, currency, *map(Decimal, sums))

    def first_minute_ns(self) -> int:
        """Return the first minute of equity that is kept; 0 where there is none."""
        if self._connection is None:
            return 0
        return int(self._connection.execute("SELECT coalesce(min(minute_ns), 0) FROM equity").get)

    def quantity_scales(self) -> dict[int, int]:
        """Return the decimals of each instrument's quantities."""
        if self._connection is None:
            return {}
        return {key: each.quantity_scale for key, each in _instruments(self._connection).items()}


def decimals(held: Held, quantity_scale: int) -> tuple[Decimal, ...]:
    """Return quantity, cost basis and realised profit at average cost, then the latter two by lots."""
    fifo = held.cost_basis + held.realised_fifo - held.realised
    money = (held.cost_basis, held.realised, fifo, held.realised_fifo)
    return (_decimal(held.quantity, quantity_scale), *(_decimal(value, MONEY_SCALE) for value in money))


def _decimal(value: int, scale: int) -> Decimal:
    return Decimal(value).scaleb(-scale, _EXACT)


def _integer(value: Decimal, scale: int) -> int:
    return int(value.scaleb(scale, _EXACT))


async def ship_derived(connection: Any, data: Path, journal_id: str) -> int:
    """Ship rows that the database lacks of what is shipped already, at most `MAX_ROWS` of a table.

    Returns:
        How many of them; none when nothing is left.

    Raises:
        ReadModelError: the read model cannot be read.
    """
    source = Derived(data, journal_id)
    try:
        if not source.is_there:
            return 0
        journal, rows = UUID(journal_id), 0
        async with connection.transaction():
            # Whoever else ships this journal waits here, and finds these rows then.
            last_seq = await connection.fetchval(
                "SELECT seq FROM taped.watermarks WHERE journal = $1 FOR UPDATE", journal
            )
            after_seq, held = await _held(connection, journal, source.quantity_scales())
            rows += await _insert(
                connection, "positions", POSITIONS, journal, source.positions(after_seq, last_seq, held)
            )
            after_ns = await connection.fetchval(
                "SELECT coalesce(max(ts_ns), -1) FROM taped.equity WHERE journal = $1", journal
            )
            rows += await _insert(connection, "equity", EQUITY, journal, source.equity(after_ns, last_seq))
        return rows
    finally:
        source.close()


async def _held(connection: Any, journal: UUID, scales: dict[int, int]) -> tuple[int, dict[int, Held]]:
    """Return the last fill whose position is there, and what is held of each instrument."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (instrument_id) instrument_id, seq, quantity, cost_basis, realised, realised_fifo"
        " FROM taped.positions WHERE journal = $1 ORDER BY instrument_id, seq DESC",
        journal,
    )
    held = {
        row[0]: Held(
            _integer(row[2], scales.get(row[0], 0)), *(_integer(value, MONEY_SCALE) for value in row[3:])
        )
        for row in rows
    }
    return max((row[1] for row in rows), default=0), held


async def _insert(
    connection: Any, table: str, columns: tuple[str, ...], journal: UUID, rows: Iterator[tuple[Any, ...]]
) -> int:
    places = ", ".join(
        "to_timestamp(0) + $3 * interval '1 microsecond'" if name == "ts" else f"${n}"
        for n, name in enumerate(columns, 2)
    )
    statement = (
        f"INSERT INTO taped.{table} (journal, {', '.join(columns)})"  # noqa: S608  # names of our own
        f" VALUES ($1, {places}) ON CONFLICT DO NOTHING"
    )
    count, rows = 0, islice(rows, MAX_ROWS)
    while portion := list(islice(rows, PORTION)):
        await connection.executemany(
            statement, [(journal, row[0], row[1] // 1000, *row[2:]) for row in portion]
        )
        count += len(portion)
    return count


async def first_derived_difference(
    connection: Any, data: Path, journal: UUID, counts: Counter[str]
) -> Difference | None:
    """Compare positions and equity with the read model, as far as they are shipped.

    Args:
        connection: of asyncpg.
        data: the data folder.
        journal: the journal that is compared.
        counts: rows by table; those of these two are added.

    Returns:
        The first difference, or None.

    Raises:
        ReadModelError: the read model cannot be read.
    """
    source = Derived(data, journal.hex)
    try:
        if not source.is_there:
            return None
        last_seq = await connection.fetchval(
            "SELECT coalesce(max(seq), 0) FROM taped.positions WHERE journal = $1", journal
        )
        first_ns, last_ns = (
            source.first_minute_ns(),
            await connection.fetchval(
                "SELECT coalesce(max(ts_ns), -1) FROM taped.equity WHERE journal = $1", journal
            ),
        )
        minutes = (row for row in source.equity(first_ns - 1, 2**63 - 1) if row[1] <= last_ns)
        for table, columns, ours, order, least in (
            ("positions", POSITIONS, source.positions(0, last_seq), "seq", -(2**63)),
            ("equity", EQUITY, minutes, 'ts_ns, currency COLLATE "C"', first_ns),
        ):
            async with connection.transaction():
                theirs = connection.cursor(
                    f"SELECT {', '.join(columns)} FROM taped.{table}"  # noqa: S608  # names of our own
                    f" WHERE journal = $1 AND ts_ns >= $2 ORDER BY {order}",
                    journal, least, prefetch=PORTION,
                )  # fmt: skip
                found = await _compared(table, columns, ours, aiter(theirs), counts)
            if found is not None:
                return found
        return None
    finally:
        source.close()


async def _compared(
    table: str,
    columns: tuple[str, ...],
    ours: Iterator[tuple[Any, ...]],
    theirs: AsyncIterator[Any],
    counts: Counter[str],
) -> Difference | None:
    while True:
        mine, other = next(ours, None), await anext(theirs, None)
        if mine is None and other is None:
            return None
        if mine is None or other is None:
            there: Any = mine or other
            told = ("there", "missing") if other is None else ("missing", "there")
            return Difference(there[0], table, "row", *told)
        for name, one, two in zip(columns, mine, other, strict=True):
            if name != "ts" and one != two:
                return Difference(mine[0], table, name, str(one), str(two))
        counts[table] += 1


def _meta(connection: apsw.Connection, name: str) -> Any:
    return connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).get


def _instruments(connection: apsw.Connection) -> dict[int, InstrumentDefined]:
    names = InstrumentDefined.__struct_fields__[2:]
    rows: Iterator[Any] = connection.execute(f"SELECT {', '.join(names)} FROM instruments")  # noqa: S608
    return {row[0]: InstrumentDefined(ts_ns=0, **dict(zip(names, row, strict=True))) for row in rows}
