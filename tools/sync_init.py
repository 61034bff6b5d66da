"""`taped sync init`: makes a database ready for the sync, or brings it up to date, and says what it did."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from daemon.settings import SyncSettings
from daemon.sync.schema import STEPS, Applied
from daemon.sync.schema_features import Features, State, plan
from daemon.sync.schema_server import Edition
from daemon.sync.secret import place_of
from tools.output import UsageError, print_json
from tools.sync_target import add_database, dsn_of, settings_of

if TYPE_CHECKING:
    from daemon.sync.schema_setup import Ready

_EDITIONS = {"plain": Edition.PLAIN, "apache": Edition.APACHE, "community": Edition.COMMUNITY}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "init",
        help="make a database ready, or bring it up to date",
        description="Make schema taped in a database, or bring it to this version, with what TimescaleDB adds"
        " where it is there. What is there already is left alone; no row is ever dropped.",
    )
    add_database(parser)
    parser.add_argument("--print", action="store_true", help="print the SQL of a new database, no more")
    parser.add_argument(
        "--edition",
        choices=tuple(_EDITIONS),
        help="with --print: for TimescaleDB's Community (default) or Apache edition, or plain PostgreSQL",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Make it ready; calling it twice is harmless."""
    if arguments.edition and not arguments.print:
        raise UsageError("--edition belongs to --print: a database says itself which edition it has")
    settings = settings_of(arguments)
    features = features_of(settings.sync)
    if arguments.print:
        print(sql_of(_EDITIONS[arguments.edition or "community"], features))
        return 0
    dsn = dsn_of(settings)
    ready = asyncio.run(_set_up(dsn, features))
    if arguments.json:
        print_json({"database": place_of(dsn), "server": ready.server.name, **_document(ready)})
    else:
        for line in lines_of(ready, place_of(dsn)):
            print(line)
    return 0


def features_of(settings: SyncSettings) -> Features:
    """Return what the settings ask of TimescaleDB."""
    return Features(settings.columnstore_days, settings.keep_tick_days)


def sql_of(edition: Edition, features: Features) -> str:
    """Return the script that makes an empty database what `taped sync init` would."""
    parts = [] if edition is Edition.PLAIN else ["CREATE EXTENSION IF NOT EXISTS timescaledb;"]
    parts.append("BEGIN;")
    for step in STEPS:
        parts += [step.sql(), f"{step.record()};"]
    for change in plan(edition, features, State()):
        parts.append(f"-- {change.what}\n{change.sql};")
    return "\n\n".join([*parts, "COMMIT;"])


def lines_of(ready: Ready, place: str) -> Iterator[str]:
    """Yield what people read."""
    yield f"{ready.server.name} at {place}"
    yield _version_line(ready.applied)
    yield from _gathered(ready.changes)
    if not ready.changes and ready.applied.before == ready.applied.after:
        yield "nothing was to be done"
    for warning in ready.warnings:
        yield f"warning: {warning}"


def _version_line(applied: Applied) -> str:
    if applied.before == applied.after:
        return f"schema taped: version {applied.after}"
    if applied.before == 0:
        return f"schema taped: made, version {applied.after}"
    return f"schema taped: version {applied.before} became {applied.after}"


def _gathered(changes: Iterable[str]) -> list[str]:
    """Return one line a table or view, with all that was done to it."""
    done: dict[str, list[str]] = {}
    for change in changes:
        name, _, what = change.partition(": ")
        done.setdefault(name, []).append(what)
    return [f"{name}: {', '.join(whats)}" for name, whats in done.items()]


def _document(ready: Ready) -> dict[str, object]:
    return {
        "edition": ready.server.edition,
        "schema": {"before": ready.applied.before, "after": ready.applied.after},
        "changes": ready.changes,
        "warnings": ready.warnings,
    }


async def _set_up(dsn: str, features: Features) -> Ready:
    from daemon.sync.schema_setup import connected, set_up  # noqa: PLC0415  # asyncpg may be absent.

    async with connected(dsn) as connection:
        return await set_up(connection, features)
