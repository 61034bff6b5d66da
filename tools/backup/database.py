"""A dump of the database that the journal is shipped to, made by `pg_dump`, where that is wanted and answers.

The database is made of the journal, and can be filled from it again; a dump keeps what the journal here
has let go of. One that cannot be made is told, and makes no backup fail.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daemon.settings import Settings
from daemon.sync.errors import SyncError
from daemon.sync.secret import host_of, options_of, place_of, read_dsn
from tools.backup.errors import BackupError

PLACE = "database/taped.dump"
SCHEMA = "taped"
TIMEOUT_S = 3600.0
_CONNECT_S = "10"
_PASSED = {
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


def dump_database(settings: Settings, into: Path) -> Path:
    """Dump the database into a file and return it.

    TimescaleDB keeps the rows of its tables in a schema of its own, which a dump of one schema would
    leave out: there, the whole database is dumped.

    Raises:
        BackupError: the settings say no database, pg_dump is absent, or it fails.
    """
    program, psql = shutil.which("pg_dump"), shutil.which("psql")
    if program is None or psql is None:
        raise BackupError("pg_dump and psql are not installed", hint="apt install postgresql-client")
    try:
        dsn = read_dsn(settings.sync.dsn_file)
    except SyncError as error:
        raise BackupError(error.message, hint=error.hint) from error
    environment = _environment(dsn)
    asked = "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'"
    whole = _run([psql, "-XAtqc", asked], environment, dsn).strip() != "0"
    file = into / "taped.dump"
    words = [program, "--format=custom", "--compress=0", "--no-password", f"--file={file}"]
    _run(words if whole else [*words, f"--schema={SCHEMA}"], environment, dsn)
    return file


def _environment(dsn: str) -> dict[str, str]:
    """Return the connection as libpq reads it from the environment: arguments are seen by everybody."""
    parts = urlsplit(dsn)
    named = {
        "PGHOST": host_of(dsn),
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    options = {_PASSED[key]: value for key, value in options_of(dsn).items() if key in _PASSED}
    # What stands before the question mark counts first, as for the daemon.
    found = options | {key: value for key, value in named.items() if value}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "PGCONNECT_TIMEOUT": _CONNECT_S, **found}


def _run(words: list[str], environment: dict[str, str], dsn: str) -> str:
    name = Path(words[0]).name
    try:
        done = subprocess.run(  # noqa: S603  # Fixed words, no shell.
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackupError(f"{name}: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise BackupError(f"{place_of(dsn)}: {name}: {said[-1][:500]}")
    return done.stdout.decode(errors="replace")
