"""Puts packets into the database: each in one transaction with the watermark, so that each counts once.

    COPY into a staging table of this connection      rows, without the journal's id
    INSERT ... SELECT                                 a row that is there already: all is undone, see below
    UPDATE watermarks ... WHERE seq = <what it was>   no row changed: somebody else was here, all is undone
    COMMIT

Rows can be there already only when somebody moved the watermark back. So the rows are inserted plainly
first, and only after a conflict once more with ON CONFLICT DO NOTHING, which leaves those that are there
as they are. To ask for that from the start doubles what a row costs the server: 2.9 us instead of 1.5.

The watermark in the database is the truth about what was shipped: after any failure, also one that
lost the answer to COMMIT, it is read anew.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from daemon.readmodel.database import ReadModelError
from daemon.sync import schema
from daemon.sync.copy_format import HEADER, TRAILER
from daemon.sync.derived import ship_derived
from daemon.sync.errors import DatabaseAwayError, OvertakenError, SyncError
from daemon.sync.packets import Packet
from daemon.sync.rows import Scales
from daemon.sync.secret import check_files
from daemon.sync.tables import INSTRUMENTS, Table

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 60.0

_SESSION = {
    "application_name": "taped",
    # What is confirmed may be let go of here, so it must outlive a crash there.
    "synchronous_commit": "on",
    # A database's own limit is for people's questions; no packet would ever get through a short one.
    "statement_timeout": f"{COMMAND_SECONDS:.0f}s",
    "timezone": "UTC",
}

_WATERMARK = "SELECT first_seq, seq, ts_ns FROM taped.watermarks WHERE journal = $1"
_REDEFINE = "ON CONFLICT (journal, instrument_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in INSTRUMENTS.columns
)
_RETRY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Step(StrEnum):
    """Where a transaction may be cut; the tests cut it at each."""

    BEFORE_COPY = "before the COPY"
    AFTER_COPY = "after the COPY"
    AFTER_INSERT = "after the INSERT"
    AFTER_WATERMARK = "after the watermark"
    AFTER_COMMIT = "after the COMMIT"


class Watermark(NamedTuple):
    """How far a journal is shipped, as the database has it."""

    first_seq: int
    seq: int
    ts_ns: int | None


class Shipper:
    """One connection to the database, for one journal.

    Args:
        connection: of asyncpg, to a database whose schema is there.
        journal_id: 32 hexadecimal digits.
        at: called at each step of a transaction.

    Attributes:
        watermark: as it was read, and as this connection has moved it since.
        scales: of the instruments that were shipped.
        duplicates: rows that were there already.
    """

    def __init__(
        self, connection: Any, journal_id: str, *, at: Callable[[Step], object] = lambda _: None
    ) -> None:
        self._connection = connection
        self._journal = UUID(journal_id)
        self._at = at
        self._staged: set[Table] = set()
        self.watermark = Watermark(1, 0, None)
        self.scales: dict[int, Scales] = {}
        self.duplicates = 0
        self._meets_rows = False

    @classmethod
    async def connect(
        cls,
        dsn: str,
        journal_id: str,
        *,
        name: str = "",
        first_seq: int = 1,
        at: Callable[[Step], object] = lambda _: None,
    ) -> Shipper:
        """Connect, and begin the journal's watermark where the database does not know the journal.

        Args:
            dsn: where the database is, with its secrets.
            journal_id: 32 hexadecimal digits.
            name: of this machine, for people.
            first_seq: the first event the journal still has.
            at: called at each step of a transaction.

        Raises:
            DatabaseAwayError: it does not answer.
            SyncError: it refuses us, or its schema is not ours.
        """
        with translated():
            connection = await connect(dsn)
        shipper = cls(connection, journal_id, at=at)
        try:
            with translated():
                await schema.check(connection)
                await shipper._begin(name, first_seq)
        except BaseException:
            connection.terminate()
            raise
        return shipper

    async def _begin(self, name: str, first_seq: int) -> None:
        await self._connection.execute(
            "INSERT INTO taped.watermarks (journal, name, first_seq, seq) VALUES ($1, $2, $3, $3::bigint - 1)"
            " ON CONFLICT (journal) DO UPDATE SET name = excluded.name"
            " WHERE taped.watermarks.name <> excluded.name",
            self._journal, name, first_seq,
        )  # fmt: skip
        await self.reload()

    async def reload(self) -> None:
        """Read watermark and instruments anew."""
        row = await self._connection.fetchrow(_WATERMARK, self._journal)
        self.watermark = Watermark(*row)
        rows = await self._connection.fetch(
            "SELECT instrument_id, price_scale, quantity_scale FROM taped.instruments WHERE journal = $1",
            self._journal,
        )
        self.scales = {instrument_id: Scales(price, quantity) for instrument_id, price, quantity in rows}

    async def ship(self, packet: Packet) -> None:
        """Put a packet into the database, whole or not at all.

        Raises:
            OvertakenError: the watermark is not where the packet begins.
            DatabaseAwayError: the line or the server failed; whether the packet is there, the watermark
                tells after a new connection.
            SyncError: the database refused a row.
        """
        with translated():
            await self._stage([*packet.chunks, INSTRUMENTS] if packet.instruments else packet.chunks)
            self._at(Step.BEFORE_COPY)
            try:
                await self._transact(packet, careful=self._meets_rows)
            except asyncpg.UniqueViolationError:
                await self._transact(packet, careful=True)
            self._at(Step.AFTER_COMMIT)
        self.watermark = self.watermark._replace(seq=packet.last_seq, ts_ns=packet.ts_ns)

    async def _stage(self, tables: Iterable[Table]) -> None:
        """Make the staging tables that are missing; outside a transaction, so that none undoes it."""
        for table in tables:
            if table not in self._staged:
                columns = ", ".join(map(" ".join, zip(table.columns, table.kinds, strict=True)))
                await self._connection.execute(
                    f"CREATE TEMPORARY TABLE staged_{table.name} ({columns}) ON COMMIT DELETE ROWS"
                )
                self._staged.add(table)

    async def _transact(self, packet: Packet, *, careful: bool) -> None:
        async with self._connection.transaction():
            moved = await self._put(packet, careful=careful)
        self.duplicates += packet.events - moved
        # Where some were there, more may be; where none were, the journal has come to its new part.
        self._meets_rows = moved < packet.events

    async def _put(self, packet: Packet, *, careful: bool) -> int:
        """Put rows and watermark in place; return how many rows were not there before."""
        count = 0
        for table, chunks in packet.chunks.items():
            await self._copy(table, chunks)
            self._at(Step.AFTER_COPY)
            count += await self._move(table, "ON CONFLICT DO NOTHING" if careful else "")
            self._at(Step.AFTER_INSERT)
        if packet.instruments:
            await self._copy(INSTRUMENTS, list(packet.instruments.values()))
            await self._move(INSTRUMENTS, _REDEFINE)
        for gap in packet.gaps:
            await self._connection.execute(
                "INSERT INTO taped.gaps VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                self._journal, gap.first_seq, gap.next_seq, gap.reason,
            )  # fmt: skip
        moved = await self._connection.execute(
            "UPDATE taped.watermarks SET seq = $1, ts_ns = $2, updated_at = now()"
            " WHERE journal = $3 AND seq = $4",
            packet.last_seq, packet.ts_ns, self._journal, packet.after_seq,
        )  # fmt: skip
        if moved != "UPDATE 1":
            raise OvertakenError(
                f"the watermark of journal {self._journal.hex} is not at seq {packet.after_seq:,} any more",
                hint="somebody else ships this journal too; what they shipped counts, nothing is there twice",
            )
        self._at(Step.AFTER_WATERMARK)
        return count

    async def _copy(self, table: Table, chunks: list[bytes]) -> None:
        await self._connection.copy_to_table(
            f"staged_{table.name}", source=_stream(chunks), columns=table.columns, format="binary"
        )

    async def _move(self, table: Table, conflict: str) -> int:
        """Move what was copied into the table itself; return how many rows that were."""
        columns = ", ".join(table.columns)
        moved = await self._connection.execute(
            f"INSERT INTO taped.{table.name} (journal, {columns})"  # noqa: S608  # names of our own
            f" SELECT $1, {columns} FROM staged_{table.name} {conflict}",
            self._journal,
        )
        return int(moved.rpartition(" ")[2])

    async def ship_derived(self, data: Path) -> int:
        """Ship positions and equity up to the watermark, some at a time; return how many rows.

        A read model that cannot be read is told of elsewhere, and its rows come when it can.

        Raises:
            DatabaseAwayError: the line or the server failed.
            SyncError: the database refused a row.
        """
        with translated(), suppress(ReadModelError):
            return await ship_derived(self._connection, data, self._journal.hex)
        return 0

    async def close(self) -> None:
        """Say goodbye to the server; a line that is gone is let go."""
        try:
            await self._connection.close(timeout=1.0)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.terminate()

    def terminate(self) -> None:
        """Let the line go at once."""
        self._connection.terminate()


async def connect(dsn: str) -> Any:
    """Return a connection of asyncpg; what goes wrong on the line is not translated.

    Raises:
        SyncError: the connection URI asks for what cannot be.
    """
    check_files(dsn)
    try:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=_SESSION,
        )
    except asyncpg.ClientConfigurationError as error:
        raise SyncError(f"the connection URI asks for what cannot be: {_said(error)}") from error
    except ssl.SSLCertVerificationError:
        raise
    except ValueError as error:
        # What asyncpg says of it may quote any part of the URI.
        raise SyncError("the connection URI cannot be understood") from error


async def read_watermark(dsn: str, journal_id: str) -> Watermark | None:
    """Return how far a journal is shipped; None where the database does not know it.

    Raises:
        DatabaseAwayError: the database does not answer.
        SyncError: it refuses us, or its schema is not ours.
    """
    with translated():
        connection = await connect(dsn)
        try:
            await schema.check(connection)
            row = await connection.fetchrow(_WATERMARK, UUID(journal_id))
        finally:
            connection.terminate()
    return None if row is None else Watermark(*row)


async def _stream(chunks: list[bytes]) -> AsyncIterator[bytes]:
    yield HEADER
    for chunk in chunks:
        yield chunk
    yield TRAILER


@contextmanager
def translated() -> Iterator[None]:
    """Tell failures that pass from those that somebody must look at; neither names a secret."""
    try:
        yield
    except _RETRY as error:
        raise DatabaseAwayError(f"the database went away: {_said(error)}") from error
    except asyncpg.PostgresError as error:
        raise SyncError(f"the database refused: {_said(error)}", hint=error.hint or "") from error
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise DatabaseAwayError(f"no way to the database: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
