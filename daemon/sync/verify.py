"""Compares journal and database by ranges of sequence numbers, and finds the first difference.

The database hashes its own rows, so that few bytes cross the line, and memory holds one range. Rows that
the journal explains are looked for where their time says, rows it does not explain are counted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from daemon.journal.reader import Batch, JournalReader
from daemon.sync import schema
from daemon.sync.canonical import field_sql, field_texts, row_sql, row_text
from daemon.sync.copy_format import MISFITS, encode_row
from daemon.sync.derived import first_derived_difference
from daemon.sync.differences import Difference
from daemon.sync.errors import SyncError
from daemon.sync.rows import RowMaker, misfit
from daemon.sync.shipper import connect, translated
from daemon.sync.tables import TABLES, Table
from schemas.codec import AnyEvent
from schemas.events import InstrumentDefined

RANGE_EVENTS = 20_000
FEW = 256
"""Events of a range that are compared one by one."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Comparison:
    """What was compared, and what was found.

    Attributes:
        first_seq: the first event that was compared.
        last_seq: the last one.
        events: how many.
        rows: of them, by table.
        sha256: of all that was compared; the same for the same events, wherever they are.
        difference: the first one, or None.
        strangers: rows of that range, or behind the watermark, that no event of the journal explains.
    """

    first_seq: int
    last_seq: int
    events: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    sha256: str = ""
    difference: Difference | None = None
    strangers: int = 0

    @property
    def passed(self) -> bool:
        """Whether both are the same."""
        return self.difference is None and not self.strangers


class _Row(NamedTuple):
    seq: int
    ts_us: int
    table: Table
    values: tuple[Any, ...]


async def compare(
    dsn: str,
    directory: Path,
    first_seq: int = 1,
    last_seq: int | None = None,
    *,
    progress: Callable[[int], object] = lambda _: None,
) -> Comparison:
    """Connect, and compare as `Verifier.compare` does.

    Raises:
        DatabaseAwayError: the database does not answer.
        SyncError: it refuses us, or does not know this journal.
        JournalError: the journal cannot be read.
    """
    with translated():
        connection = await connect(dsn)
        try:
            await schema.check(connection)
            return await Verifier(connection, directory).compare(first_seq, last_seq, progress=progress)
        finally:
            connection.terminate()


class Verifier:
    """Compares one journal with one database.

    Args:
        connection: of asyncpg.
        directory: the folder with the segments.
    """

    def __init__(self, connection: Any, directory: Path) -> None:
        self._connection = connection
        self._reader = JournalReader(directory)
        self._journal = UUID(self._reader.journal_id)

    async def compare(
        self,
        first_seq: int = 1,
        last_seq: int | None = None,
        *,
        progress: Callable[[int], object] = lambda _: None,
    ) -> Comparison:
        """Compare the events from `first_seq` to `last_seq`, as far as they are shipped and still there.

        Raises:
            SyncError: the database does not know this journal.
            JournalError: the journal cannot be read.
        """
        mark = await self._connection.fetchval(
            "SELECT seq FROM taped.watermarks WHERE journal = $1", self._journal
        )
        if mark is None:
            raise SyncError(
                f"the database does not know journal {self._journal.hex}", hint="ship it: `taped sync once`"
            )
        first = max(first_seq, self._reader.first_seq, 1)
        last = mark if last_seq is None else min(mark, last_seq)
        found = Comparison(first, last)
        if first > last:
            return found
        digest = hashlib.sha256()
        for rows in self._ranges(first, last):
            digest.update(await self._range(rows, found))
            if found.difference is not None:
                return found
            progress(len(rows))
        found.sha256 = digest.hexdigest()
        found.strangers = await self._strangers(found, mark)
        if found.difference is None:
            found.difference = await first_derived_difference(
                self._connection, self._reader.directory.parent, self._journal, found.rows
            )
        return found

    def _ranges(self, first: int, last: int) -> Iterator[list[_Row]]:
        maker, rows = RowMaker(), list[_Row]()
        for batch in self._before(first):
            _define_all(maker, batch)
        for batch in self._reader.batches(first, last):
            for seq, event in enumerate(batch.events, batch.first_seq):
                rows.append(_row(maker, seq, event))
            if len(rows) >= RANGE_EVENTS:
                yield rows
                rows = []
        if rows:
            yield rows

    def _before(self, first: int) -> Iterator[Batch]:
        """Yield the events before the range, for the instruments they define."""
        if first > self._reader.first_seq:
            yield from self._reader.batches(self._reader.first_seq, first - 1)

    async def _range(self, rows: list[_Row], found: Comparison) -> bytes:
        digest = hashlib.sha256()
        for table in TABLES:
            of_table = [row for row in rows if row.table == table]
            if not of_table:
                continue
            ours = _hash(of_table)
            theirs = await self._hashed(table, of_table)
            if theirs != ours:
                found.difference = await self._first_difference(table, of_table)
                return b""
            found.rows[table.name] += len(of_table)
            digest.update(table.name.encode() + ours[1].encode())
        found.events += len(rows)
        return digest.digest()

    async def _hashed(self, table: Table, rows: list[_Row]) -> tuple[int, str]:
        text = f"string_agg({row_sql(table)}, E'\\n' ORDER BY seq)"
        row = await self._connection.fetchrow(
            f"SELECT count(*), encode(sha256(convert_to(coalesce({text}, ''), 'UTF8')), 'hex')"  # noqa: S608
            f" FROM taped.{table.name} {_WHERE}",
            *self._bounds(rows),
        )
        return int(row[0]), str(row[1])

    def _bounds(self, rows: list[_Row]) -> tuple[Any, ...]:
        times = [row.ts_us for row in rows]
        return self._journal, rows[0].seq, rows[-1].seq, _time(min(times)), _time(max(times))

    async def _first_difference(self, table: Table, rows: list[_Row]) -> Difference:
        """Halve the range until it is small enough to look at each row."""
        while len(rows) > FEW:
            half = rows[: len(rows) // 2]
            differs = await self._hashed(table, half) != _hash(half)
            rows = half if differs else rows[len(rows) // 2 :]
        records = await self._connection.fetch(
            f"SELECT seq, {', '.join(field_sql(table))} FROM taped.{table.name} {_WHERE} ORDER BY seq",  # noqa: S608
            *self._bounds(rows),
        )
        theirs = {record[0]: list(record)[1:] for record in records}
        ours = {row.seq: field_texts(table.kinds, row.values) for row in rows}
        for seq in sorted(ours.keys() | theirs.keys()):
            if seq not in theirs:
                return Difference(seq, table.name, "row", "there", "missing")
            if seq not in ours:
                return Difference(seq, table.name, "row", "missing", "there")
            for name, mine, other in zip(table.columns, ours[seq], theirs[seq], strict=True):
                if mine != other:
                    return Difference(seq, table.name, name, mine, other)
        raise SyncError(f"{table.name} changed while it was compared", hint="compare again")

    async def _strangers(self, found: Comparison, mark: int) -> int:
        """Count rows that nothing explains: too many in the range, or any behind the watermark."""
        strangers = 0
        for table in TABLES:
            within, behind = await self._connection.fetchrow(
                "SELECT count(*) FILTER (WHERE seq <= $3), count(*) FILTER (WHERE seq > $4)"  # noqa: S608
                f" FROM taped.{table.name} WHERE journal = $1 AND seq >= $2",
                self._journal, found.first_seq, found.last_seq, mark,
            )  # fmt: skip
            strangers += within - found.rows[table.name] + behind
        return strangers


_WHERE = "WHERE journal = $1 AND seq BETWEEN $2 AND $3 AND ts BETWEEN $4 AND $5"


def _hash(rows: Sequence[_Row]) -> tuple[int, str]:
    text = "\n".join([row_text(row.table.kinds, row.values) for row in rows])
    return len(rows), hashlib.sha256(text.encode()).hexdigest()


def _row(maker: RowMaker, seq: int, event: AnyEvent) -> _Row:
    """Return the row as it is shipped, also where a number does not fit its column."""
    table, values = maker.row(seq, event)
    try:
        encode_row(table.kinds, values)
    except MISFITS:
        table, values = misfit(seq, event)
    if isinstance(event, InstrumentDefined):
        maker.define(seq, event)
    return _Row(seq, values[1] // 1000, table, values)


def _define_all(maker: RowMaker, batch: Batch) -> None:
    if InstrumentDefined in set[type](map(type, batch.events)):
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, InstrumentDefined):
                maker.define(seq, event)


def _time(ts_us: int) -> datetime:
    return _EPOCH + ts_us * _MICROSECOND
