"""`taped sync status`: how far the journal is in the database, as both and the daemon say."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from schemas.errors import TapedError
from tools import client
from tools.event_text import time_text
from tools.output import print_json
from tools.sync_target import add_data, add_database, dsn_of, settings_of


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "status",
        help="how far the journal is in the database",
        description="Ask database, journal and, where one runs, the daemon how far the journal is shipped. "
        "Exit code 1 when the database cannot be asked, or the daemon cannot ship.",
    )
    add_data(parser)
    parser.add_argument("--url", help="address of the daemon (default: that of the settings)")
    add_database(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what each of them says."""
    settings = settings_of(arguments)
    dsn = dsn_of(settings)
    # Imported here, when it is sure that asyncpg is there.
    from daemon.journal.reader import JournalReader  # noqa: PLC0415
    from daemon.sync.errors import DatabaseAwayError, SyncError  # noqa: PLC0415
    from daemon.sync.secret import place_of  # noqa: PLC0415
    from daemon.sync.shipper import read_watermark  # noqa: PLC0415

    reader = JournalReader(settings.data / "journal")
    last_seq = reader.last_seq
    found: dict[str, Any] = {"journal_id": reader.journal_id, "last_seq": last_seq, "database": place_of(dsn)}
    try:
        mark = asyncio.run(read_watermark(dsn, reader.journal_id))
        seq = 0 if mark is None else mark.seq
        found.update(shipped_seq=seq, lag_events=max(0, last_seq - seq), problem=None)
        found["shipped_ns"] = None if mark is None else mark.ts_ns
    except (DatabaseAwayError, SyncError, TapedError) as error:
        found.update(shipped_seq=None, lag_events=None, shipped_ns=None, problem=str(error))
    url = arguments.url or client.url_of(settings.api.host, settings.api.port or client.DEFAULT_PORT)
    found["daemon"] = _daemon(url, reader.journal_id)
    if arguments.json:
        print_json(found)
    else:
        _print(found)
    daemon = found["daemon"]
    return int(found["problem"] is not None or (daemon is not None and daemon["state"] in _CANNOT))


_CANNOT = ("away", "refused")


def _daemon(url: str, journal_id: str) -> dict[str, Any] | None:
    """Return what a daemon says of its sync; None where none runs on this journal."""
    daemon = client.Client(url)
    try:
        status = daemon.get("/api/v1/status").document
        if status["journal_id"] != journal_id:
            return None
        breakers = daemon.get("/api/v1/breakers").document["breakers"]
    except TapedError:
        return None
    states = {row["breaker"]: row["state"] for row in breakers}
    return {**status["sync"], "breaker": states.get("timescale")}


def _print(found: dict[str, Any]) -> None:
    print(f"journal   {found['journal_id']}, up to seq {found['last_seq']:,}")
    if found["problem"] is None:
        at = "" if found["shipped_ns"] is None else f", an event of {time_text(found['shipped_ns'])}"
        print(f"database  {found['database']}, up to seq {found['shipped_seq']:,}{at}")
        print(f"behind    {found['lag_events']:,} events")
    else:
        print(f"database  {found['database']}: {found['problem']}")
    daemon = found["daemon"]
    if daemon is None:
        print("daemon    none that can be asked runs on this journal")
        return
    print(
        f"daemon    {daemon['state']}, breaker {daemon['breaker'] or 'closed'}, {daemon['events']:,} events"
        f" shipped since its start, {daemon['events_per_second']:,}/s in the last round"
    )
    if daemon["reason"]:
        print(f"          {daemon['reason']}")
