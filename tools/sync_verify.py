"""`taped sync verify`: compares journal and database and names the first difference. Changes neither."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from tools.output import UsageError, print_json, progress
from tools.sync_target import add_data, add_database, dsn_of, settings_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "verify",
        help="compare journal and database, and name the first difference",
        description="Compare counts and hashes of all that was shipped, range by range; the database hashes "
        "its own rows. Exit code 1 where they differ. Also beside a running daemon.",
    )
    add_data(parser)
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="SEQ", help="first event (1)")
    parser.add_argument("--to", dest="last", type=int, metavar="SEQ", help="last event (the last shipped)")
    add_database(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare; return 1 when something differs."""
    if arguments.last is not None and arguments.last < arguments.first:
        raise UsageError(f"--from {arguments.first} --to {arguments.last}: ends before it begins")
    settings = settings_of(arguments)
    dsn = dsn_of(settings)
    # Imported here, when it is sure that asyncpg is there.
    from daemon.sync.secret import place_of  # noqa: PLC0415
    from daemon.sync.verify import compare  # noqa: PLC0415

    started = time.perf_counter()
    with progress("Comparing", total=None, unit="events", show=not arguments.json) as advance:
        found = asyncio.run(
            compare(dsn, settings.data / "journal", arguments.first, arguments.last, progress=advance)
        )
    seconds = time.perf_counter() - started
    document: dict[str, Any] = {
        "passed": found.passed,
        "database": place_of(dsn),
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "events": found.events,
        "rows": dict(found.rows),
        "sha256": found.sha256,
        "strangers": found.strangers,
        "difference": None if found.difference is None else found.difference._asdict(),
        "seconds": round(seconds, 3),
    }
    if arguments.json:
        print_json(document)
    else:
        _print(document)
    return 0 if found.passed else 1


def _print(found: dict[str, Any]) -> None:
    rate = found["events"] / max(found["seconds"], 1e-9)
    print(
        f"events {found['first_seq']:,} to {found['last_seq']:,} compared with {found['database']}: "
        f"{found['events']:,} equal ({rate:,.0f}/s)"
    )
    for table, rows in found["rows"].items():
        print(f"  {table:14} {rows:>12,} rows")
    difference = found["difference"]
    if difference is not None:
        print(
            f"DIFFERENT at seq {difference['seq']:,}: {difference['table']}.{difference['field']} is "
            f"{difference['journal']} in the journal, {difference['database']} in the database"
        )
    if found["strangers"]:
        print(f"DIFFERENT: {found['strangers']:,} rows that no event of the journal explains")
    print("passed" if found["passed"] else "FAILED")
