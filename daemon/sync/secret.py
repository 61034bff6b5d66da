"""How to reach the database, secrets included: read when it is needed, never logged, never a setting."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from daemon.sync.errors import SyncError

VARIABLE = "TAPED_SYNC_DSN"
CREDENTIAL = "taped_sync-dsn"
"""The file `sync-dsn` of the folder that the unit loads under the name `taped`."""
MAX_BYTES = 10_000
_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full"
_CHECKED = ("verify-ca", "verify-full")


def read_dsn(file: Path | None, env: Mapping[str, str] = os.environ) -> str:
    """Return how to reach the database: from the file, systemd's credential or the environment.

    Raises:
        SyncError: there is none, others may read it, or it is not a connection URI.
    """
    credentials = env.get("CREDENTIALS_DIRECTORY")
    credential = None if credentials is None else Path(credentials) / CREDENTIAL
    if file is not None:
        return _checked(_read(file), str(file))
    if credential is not None and credential.exists():
        return _checked(_read(credential), f"credential {CREDENTIAL}")
    if env.get(VARIABLE):
        return _checked(env[VARIABLE], VARIABLE)
    raise SyncError(
        "nothing says where the database is",
        hint=f"put {_FORM} into a file of mode 0600 and name it with sync.dsn_file, "
        f"or give systemd's credential {CREDENTIAL}, or set {VARIABLE}",
    )


def place_of(dsn: str) -> str:
    """Return host, port and database of a connection URI, without user and password, to be shown."""
    parts = urlsplit(dsn)
    host = parts.hostname or "localhost"
    return f"{host}:{parts.port or 5432}{parts.path}"


def is_open_to_listeners(dsn: str) -> bool:
    """Whether the line leaves this machine without proof of who is at its other end."""
    parts = urlsplit(dsn)
    mode = parse_qs(parts.query).get("sslmode", [""])[0]
    return parts.hostname not in (None, "localhost", "127.0.0.1", "::1") and mode not in _CHECKED


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(MAX_BYTES)
    except OSError as error:
        raise SyncError(f"{file}: {error.strerror}", hint=f"it should hold {_FORM}") from error
    if mode & (stat.S_IRWXO | stat.S_IWGRP | stat.S_IRGRP):
        raise SyncError(f"{file}: others than its owner may read it", hint=f"chmod 600 {file}")
    return content.decode("utf-8", "replace").strip()


def _checked(text: str, source: str) -> str:
    """Return the URI; nothing of it may stand in an error."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("postgresql", "postgres") and parts.port is not False
    except ValueError:
        good = False
    if not good or "\n" in text:
        raise SyncError(f"{source}: is not a connection URI", hint=f"expected {_FORM}")
    return text
