"""`taped sync once`: ships what the journal holds and the database does not, and ends."""

from __future__ import annotations

import argparse
import asyncio
import time

from tools.output import print_json, progress
from tools.sync_target import add_data, add_database, dsn_of, settings_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "once",
        help="ship what the database lacks, and end",
        description="Ship all durable events that the database lacks, each exactly once. Also beside a "
        "running daemon, and for a journal that no daemon runs on.",
    )
    add_data(parser)
    add_database(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ship; an error ends it where it stands, and the next run goes on from there."""
    settings = settings_of(arguments)
    dsn = dsn_of(settings)
    # Imported here, when it is sure that asyncpg is there.
    from daemon.sync.run import Target, ship_all  # noqa: PLC0415
    from daemon.sync.secret import place_of  # noqa: PLC0415

    target = Target(dsn, settings.sync.name, settings.sync.batch_events)
    started = time.perf_counter()
    with progress("Shipping", total=None, unit="events", show=not arguments.json) as advance:
        events = asyncio.run(
            ship_all(settings.data / "journal", target, progress=lambda packet: advance(packet.events))
        )
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json({"events": events, "seconds": round(seconds, 3), "database": place_of(dsn)})
    else:
        print(f"{events:,} events shipped to {place_of(dsn)} in {seconds:.1f} s ({events / seconds:,.0f}/s)")
    return 0
