"""`taped sync stats`: how big the database is, what its columnstore saves, and whether its jobs get on."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from daemon.sync.secret import place_of
from tools.output import print_json, table_lines
from tools.sync_target import add_database, dsn_of, settings_of

if TYPE_CHECKING:
    from daemon.sync.schema_stats import JobStats, Stats, TableStats

_MEBIBYTE = 1 << 20
_COLUMNS = ("table", "rows, about", "MiB", "chunks", "columnar", "as rows MiB", "now MiB", "smaller")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "stats",
        help="how big the database is, and what compression saves",
        description="Show rows and bytes of each table, how much of it TimescaleDB has made columns of and"
        " what that saves, and its jobs. Ends with 1 where a job failed the last time it ran.",
    )
    add_database(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the figures; 1 where a job of the database fails."""
    dsn = dsn_of(settings_of(arguments))
    stats = asyncio.run(_stats(dsn))
    if arguments.json:
        print_json({"database": place_of(dsn), **document(stats)})
    else:
        for line in lines_of(stats, place_of(dsn)):
            print(line)
    return 1 if any(map(_fails, stats.jobs)) else 0


def lines_of(stats: Stats, place: str) -> Iterator[str]:
    """Yield what people read."""
    yield f"{stats.server.name} at {place}: {stats.database_bytes / _MEBIBYTE:,.1f} MiB in all"
    yield ""
    yield from table_lines(_COLUMNS, [_row(table) for table in stats.tables])
    if stats.jobs:
        yield ""
        yield from table_lines(
            ("job", "of", "last run", "last success", "failures"), [*map(_job, stats.jobs)]
        )
    for job in filter(_fails, stats.jobs):
        yield f"warning: {job.job} of {job.table} failed: {job.error or 'the server keeps no reason'}"
    if warning := stats.server.warning():
        yield f"warning: {warning}"


def document(stats: Stats) -> dict[str, Any]:
    """Return what programs read."""
    return {
        "server": stats.server.name,
        "edition": stats.server.edition,
        "database_bytes": stats.database_bytes,
        "tables": [
            {**{name: getattr(table, name) for name in table.__struct_fields__}, "ratio": table.ratio}
            for table in stats.tables
        ],
        "jobs": stats.jobs,
    }


def _row(table: TableStats) -> tuple[object, ...]:
    columnar = bool(table.after_bytes)
    return (
        table.table,
        None if table.rows is None else f"{table.rows:,}",
        _mebibytes(table.total_bytes),
        table.chunks,
        table.columnar,
        _mebibytes(table.before_bytes) if columnar else None,
        _mebibytes(table.after_bytes) if columnar else None,
        None if table.ratio is None else f"{table.ratio:.1f}",
    )


def _mebibytes(count: int) -> str:
    return f"{count / _MEBIBYTE:,.1f}"


def _job(job: JobStats) -> tuple[object, ...]:
    success = job.last_success and job.last_success.isoformat(timespec="seconds")
    return (job.job, job.table, job.last_status, success, job.failures)


def _fails(job: JobStats) -> bool:
    return job.last_status == "Failed"


async def _stats(dsn: str) -> Stats:
    from daemon.sync.schema import check  # noqa: PLC0415
    from daemon.sync.schema_setup import connected  # noqa: PLC0415  # asyncpg may be absent.
    from daemon.sync.schema_stats import stats_of  # noqa: PLC0415
    from daemon.sync.shipper import translated  # noqa: PLC0415

    async with connected(dsn) as connection:
        with translated():
            await check(connection)
            return await stats_of(connection)
