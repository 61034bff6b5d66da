"""What a database holds, in figures: rows, bytes, chunks, what columns save, how its jobs go. Only reads."""

from __future__ import annotations

from datetime import datetime

import msgspec

from daemon.sync.schema import Connection
from daemon.sync.schema_features import CHUNKED
from daemon.sync.schema_server import Edition, Server, probe


class TableStats(msgspec.Struct, frozen=True):
    """One table.

    Attributes:
        rows: estimated from what the server gathered last; None where it has gathered nothing yet.
        total_bytes: of rows, columns and indexes on disk.
        chunks, columnar: chunks, and how many of them are columns; None where there are no chunks.
        before_bytes, after_bytes: of those that are columns: as rows, and now.
    """

    table: str
    rows: int | None
    total_bytes: int
    chunks: int | None = None
    columnar: int | None = None
    before_bytes: int = 0
    after_bytes: int = 0

    @property
    def ratio(self) -> float | None:
        """How many times smaller columns are than the rows they were; None where there are none."""
        return self.before_bytes / self.after_bytes if self.after_bytes else None


class JobStats(msgspec.Struct, frozen=True):
    """One of the jobs that TimescaleDB does by itself: compress, refresh, remove."""

    job: str
    table: str
    last_status: str | None
    last_success: datetime | None
    failures: int
    error: str | None


class Stats(msgspec.Struct, frozen=True):
    """All of it."""

    server: Server
    database_bytes: int
    tables: list[TableStats]
    jobs: list[JobStats]


async def stats_of(connection: Connection) -> Stats:
    """Return the figures of a database whose schema is there."""
    server = await probe(connection)
    database_bytes = await connection.fetchval("SELECT pg_database_size(current_database())")
    chunked = set()
    if server.edition is not Edition.PLAIN:
        chunked = {row["hypertable_name"] for row in await connection.fetch(_CHUNKED)}
    tables = []
    for table in CHUNKED:
        name = table.table
        if name not in chunked:
            tables.append(await _plain(connection, name))
        else:
            tables.append(await _in_chunks(connection, name, server.edition))
    jobs = await _jobs(connection) if server.edition is Edition.COMMUNITY else []
    return Stats(server, database_bytes, tables, jobs)


async def _plain(connection: Connection, name: str) -> TableStats:
    (row,) = await connection.fetch(
        "SELECT reltuples::bigint AS rows, pg_total_relation_size(oid) AS bytes FROM pg_class"
        " WHERE oid = $1::text::regclass",
        f"taped.{name}",
    )
    return TableStats(name, row["rows"] if row["rows"] >= 0 else None, row["bytes"])


async def _in_chunks(connection: Connection, name: str, edition: Edition) -> TableStats:
    (row,) = await connection.fetch(_SIZES, f"taped.{name}", name)
    columnar = before = after = 0
    if edition is Edition.COMMUNITY:
        found = await connection.fetch(_COLUMNS, f"taped.{name}")
        columnar, before, after = tuple(found[0]) if found else (0, 0, 0)
    # Chunks that nobody has analysed yet count as none.
    rows = row["rows"] or (None if row["chunks"] else 0)
    return TableStats(name, rows, row["bytes"] or 0, row["chunks"], columnar, before, after)


async def _jobs(connection: Connection) -> list[JobStats]:
    return [JobStats(**dict(row)) for row in await connection.fetch(_JOBS)]


_CHUNKED = """
SELECT hypertable_name FROM timescaledb_information.hypertables WHERE hypertable_schema = 'taped'
"""
_SIZES = """
SELECT approximate_row_count($1::text::regclass) AS rows, hypertable_size($1::text::regclass) AS bytes,
       (SELECT count(*) FROM timescaledb_information.chunks
        WHERE hypertable_schema = 'taped' AND hypertable_name = $2) AS chunks
"""
_COLUMNS = """
SELECT coalesce(number_compressed_chunks, 0), coalesce(before_compression_total_bytes, 0)::bigint,
       coalesce(after_compression_total_bytes, 0)::bigint
FROM hypertable_columnstore_stats($1::text::regclass)
"""
_JOBS = """
SELECT CASE j.proc_name WHEN 'policy_compression' THEN 'columns' WHEN 'policy_retention' THEN 'remove'
                        WHEN 'policy_refresh_continuous_aggregate' THEN 'refresh' ELSE j.proc_name END AS job,
       j.hypertable_name AS "table", s.last_run_status AS last_status,
       CASE WHEN isfinite(s.last_successful_finish) THEN s.last_successful_finish END AS last_success,
       coalesce(s.total_failures, 0) AS failures,
       (SELECT e.err_message FROM timescaledb_information.job_errors e
        WHERE e.job_id = j.job_id ORDER BY e.finish_time DESC LIMIT 1) AS error
FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.job_stats s USING (job_id)
WHERE j.hypertable_schema = 'taped' ORDER BY job, "table"
"""
