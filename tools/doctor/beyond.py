"""What lies beyond the machine: the database that the journal is shipped to, and backups."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from pathlib import Path

from daemon.backup_state import AHEAD_S, read_state
from daemon.settings import Settings
from daemon.sync.errors import SyncError
from daemon.sync.secret import place_of, read_dsn
from tools.doctor.finding import Check, Finding, absent, failure, ok, unknown, warning
from tools.doctor.machine import Machine

SYSTEM_DSN = Path("etc/taped/credentials/sync-dsn")
CONNECT_TIMEOUT_S = 5.0
_HOUR_NS = 3_600_000_000_000


def database(machine: Machine) -> Finding:
    """Tell whether the database answers, and what it is."""
    if not machine.settings.sync.enabled:
        return absent("sync.enabled is false: the journal stays on this machine")
    if importlib.util.find_spec("asyncpg") is None:
        return failure("the package asyncpg is not installed", "in a clone: pip install '.[timescale]'")
    try:
        dsn = read_dsn(_dsn_file(machine))
    except SyncError as error:
        return failure(error.message, error.hint or "see `taped sync --help`")
    try:
        return ok(f"{place_of(dsn)}: {asyncio.run(_ask(dsn))}")
    except Exception as error:  # noqa: BLE001  # Whatever the server or its client says, it does not answer.
        # The text of a client's error may name the user, never the password.
        return failure(
            f"{place_of(dsn)}: {type(error).__name__}: {error}",
            "see `taped sync status`, and the server's log",
        )


def _dsn_file(machine: Machine) -> Path | None:
    """Return where the settings or the unit have the connection; None lets the environment tell."""
    file = machine.settings.sync.dsn_file
    credential = machine.root / SYSTEM_DSN
    return credential if file is None and credential.exists() else file


async def _ask(dsn: str) -> str:
    import asyncpg  # noqa: PLC0415  # An extra.

    from daemon.sync.schema_server import probe  # noqa: PLC0415

    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    try:
        return (await probe(connection)).name
    finally:
        await connection.close()


def backup(machine: Machine) -> Finding:
    """Tell how old the last backup is that was proven good."""
    settings = machine.settings.backup
    if not settings.target:
        return warning("setting backup.target is empty: there are no backups", _set_target(machine.settings))
    state = read_state(machine.data)
    if state is None:
        return unknown(
            f"{machine.data}/backup.json cannot be read by this user, or is damaged", "run it with sudo"
        )
    if state.good is None:
        return failure(f"none was proven good yet; target {settings.target}", "taped backup create")
    hours = (time.time_ns() - state.good.made_ns) / _HOUR_NS
    if hours < -AHEAD_S / 3600:
        return failure(
            f"the last good one, {state.good.name}, is from the future: the clock was wrong",
            "set the clock right, then `taped backup create`",
        )
    seen = f"{state.good.name}, {hours:,.1f} hours old, up to seq {state.good.last_seq:,}"
    if hours > settings.max_age_hours:
        problem = f": {state.attempt.problem}" if state.attempt and state.attempt.problem else ""
        return failure(f"{seen}{problem}", "see `systemctl status taped-backup`, then `taped backup create`")
    return ok(seen)


def _set_target(settings: Settings) -> str:
    return f"set backup.target to a folder on another drive than {settings.data}, a USB disk or another host"


CHECKS = (
    Check("database", "What it has confirmed outlives this machine, and may be let go here.", database),
    Check("backup", "A drive dies without a warning; a backup counts once it was restored.", backup),
)
