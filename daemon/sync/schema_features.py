"""What TimescaleDB adds to the tables: chunks, columns, retention, bars; planned purely, applied in one go.

A plan is the difference between what a database has and what it should have, as statements in order. A
plan for a database that has everything is empty, so planning again is harmless; a plan for one that has
nothing is what `taped sync init --print` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple

import msgspec

from daemon.sync.schema import Connection
from daemon.sync.schema_bars import KINDS, SIZES, decimal, keeping, plain
from daemon.sync.schema_server import Edition

DAY, WEEK, MONTH = "1 day", "1 week", "4 weeks"
TICKS = ("trades", "quotes")


class Chunked(NamedTuple):
    """How one table is cut into chunks, and those into columns.

    Attributes:
        table: its name.
        chunk: the time one chunk holds.
        segment_by: rows that agree in these columns are compressed together.
    """

    table: str
    chunk: str
    segment_by: str


CHUNKED = (
    Chunked("trades", DAY, "journal, instrument_id"),
    Chunked("quotes", DAY, "journal, instrument_id"),
    Chunked("bars_received", MONTH, "journal, instrument_id"),
    Chunked("order_events", WEEK, "journal"),
    Chunked("fills", WEEK, "journal, instrument_id"),
    Chunked("positions", MONTH, "journal, instrument_id"),
    Chunked("equity", MONTH, "journal, currency"),
    Chunked("sensors", WEEK, "journal"),
    Chunked("clock_ticks", WEEK, "journal"),
    Chunked("events", WEEK, "journal"),
)


class Features(msgspec.Struct, frozen=True):
    """What the settings ask for.

    Attributes:
        columnstore_days: chunks older than so many days become columns; 0 leaves them rows.
        keep_tick_days: trades and quotes older than so many days are removed from the database, their
            bars stay; 0 keeps all.
    """

    columnstore_days: int = 7
    keep_tick_days: int = 0


class State(msgspec.Struct, frozen=True):
    """What schema `taped` of a database has already.

    Attributes:
        chunked: tables in chunks, and whether they may become columns.
        bars: views of bars, and whether TimescaleDB keeps them.
        columnstore, retention: days of the policies, by table.
        refreshed: reach of the refresh policies in days, by view; None: back to the first tick.
    """

    chunked: Mapping[str, bool] = {}
    bars: Mapping[str, bool] = {}
    columnstore: Mapping[str, float] = {}
    retention: Mapping[str, float] = {}
    refreshed: Mapping[str, float | None] = {}


class Change(NamedTuple):
    """One statement, and what it does."""

    what: str
    sql: str


def plan(edition: Edition, features: Features, state: State) -> list[Change]:
    """Return what makes the database what it should be."""
    changes: list[Change] = []
    if edition is not Edition.PLAIN:
        changes += (_chunks(table) for table in CHUNKED if table.table not in state.chunked)
    if edition is Edition.COMMUNITY:
        for table in CHUNKED:
            changes += _columns(table, features, state)
    changes += _bars(edition, state)
    if edition is Edition.COMMUNITY:
        changes += _retention(features, state)
        changes += _refreshes(features, state)
    return changes


def _chunks(table: Chunked) -> Change:
    return Change(
        f"{table.table}: chunks of {table.chunk}",
        f"SELECT create_hypertable('taped.{table.table}', by_range('ts', interval '{table.chunk}'),"
        " create_default_indexes => false, migrate_data => true)",
    )


def _columns(table: Chunked, features: Features, state: State) -> Iterator[Change]:
    name, days = table.table, features.columnstore_days
    if not state.chunked.get(name):
        yield Change(
            f"{name}: columnstore by {table.segment_by}",
            f"ALTER TABLE taped.{name} SET (timescaledb.enable_columnstore,"
            f" timescaledb.segmentby = '{table.segment_by}', timescaledb.orderby = 'ts DESC, seq DESC')",
        )
    found = state.columnstore.get(name)
    if found is not None and found != days:
        yield Change(
            f"{name}: no longer columns after {found:g} days",
            f"CALL remove_columnstore_policy('taped.{name}')",
        )
    if days and found != days:
        yield Change(
            f"{name}: columns after {days} days",
            f"CALL add_columnstore_policy('taped.{name}', after => interval '{days} days')",
        )


def _bars(edition: Edition, state: State) -> Iterator[Change]:
    kept = edition is Edition.COMMUNITY
    for kind in KINDS:
        names = {size: f"{kind.prefix}_{size.suffix}" for size in SIZES}
        # What TimescaleDB keeps already stays, even where its licence is gone: the rows in it are good.
        missing = [size for size, name in names.items() if state.bars.get(name) not in (kept, True)]
        for size in reversed(missing):
            if names[size] in state.bars:
                name = names[size]
                yield Change(
                    f"{name}: no longer computed on reading", f"DROP VIEW taped.{name}_decimal, taped.{name}"
                )
        for size in missing:
            how = "kept up to date" if kept else "computed on reading"
            yield Change(f"{names[size]}: {how}", (keeping if kept else plain)(kind, size))
            yield Change(f"{names[size]}_decimal: the same in decimal numbers", decimal(kind, size))


def _retention(features: Features, state: State) -> Iterator[Change]:
    days = features.keep_tick_days
    for table in TICKS:
        found = state.retention.get(table)
        if found is not None and found != days:
            yield Change(
                f"{table}: no longer removed after {found:g} days",
                f"SELECT remove_retention_policy('taped.{table}')",
            )
        if days and found != days:
            yield Change(
                f"{table}: removed after {days} days",
                f"SELECT add_retention_policy('taped.{table}', drop_after => interval '{days} days')",
            )


def _refreshes(features: Features, state: State) -> Iterator[Change]:
    # A refresh of a time whose ticks are removed would remove its bars as well.
    reach_hours = features.keep_tick_days * 24 - 12 if features.keep_tick_days else None
    for kind in KINDS:
        for size in SIZES:
            name, hours = f"{kind.prefix}_{size.suffix}", None if size.below else reach_hours
            if name in state.refreshed:
                if state.refreshed[name] == (None if hours is None else hours / 24):
                    continue
                yield Change(
                    f"{name}: another reach of its refresh",
                    f"SELECT remove_continuous_aggregate_policy('taped.{name}')",
                )
            reach = "NULL" if hours is None else f"interval '{hours} hours'"
            yield Change(
                f"{name}: refreshed every {size.schedule}",
                f"SELECT add_continuous_aggregate_policy('taped.{name}', start_offset => {reach},"
                f" end_offset => interval '{size.interval}',"
                f" schedule_interval => interval '{size.schedule}')",
            )


async def state_of(connection: Connection, edition: Edition) -> State:
    """Return what the database has."""
    views = await connection.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'taped'")
    bars = {f"{kind.prefix}_{size.suffix}" for kind in KINDS for size in SIZES}
    bars &= {row["viewname"] for row in views}
    if edition is Edition.PLAIN:
        return State(bars=dict.fromkeys(bars, False))
    kept = {row["view_name"] for row in await connection.fetch(_KEPT)}
    chunked = await connection.fetch(_CHUNKED)
    jobs = await connection.fetch(_JOBS)
    return State(
        chunked={row["name"]: row["columns"] for row in chunked},
        bars={name: name in kept for name in bars},
        columnstore={row["name"]: _days(row["after"]) for row in jobs if row["after"] is not None},
        retention={row["name"]: _days(row["drop"]) for row in jobs if row["drop"] is not None},
        refreshed={
            row["name"]: None if row["start"] is None else _days(row["start"])
            for row in jobs
            if row["proc"] == "policy_refresh_continuous_aggregate"
        },
    )


def _days(interval: timedelta) -> float:
    return interval / timedelta(days=1)


_KEPT = "SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'taped'"
_CHUNKED = """
SELECT hypertable_name AS name, compression_enabled AS columns
FROM timescaledb_information.hypertables WHERE hypertable_schema = 'taped'
"""
_JOBS = """
SELECT hypertable_name AS name, proc_name AS proc, (config ->> 'compress_after')::interval AS after,
       (config ->> 'drop_after')::interval AS drop, (config ->> 'start_offset')::interval AS start
FROM timescaledb_information.jobs WHERE hypertable_schema = 'taped'
"""
