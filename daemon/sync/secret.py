"""How to reach the database, secrets included: read when it is needed, never logged, never a setting."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from daemon.sync.errors import SyncError

VARIABLE = "TAPED_SYNC_DSN"
CREDENTIAL = "taped_sync-dsn"
"""The file `sync-dsn` of the folder that the unit loads under the name `taped`."""
MAX_BYTES = 10_000
_FORM = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full"
_CHECKED = ("verify-ca", "verify-full")
_HERE = ("localhost", "127.0.0.1", "::1")
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


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


def options_of(dsn: str) -> dict[str, str]:
    """Return what a connection URI says behind its question mark."""
    return dict(parse_qsl(urlsplit(dsn).query))


def host_of(dsn: str) -> str:
    """Return the host of a connection URI, a folder where it is a socket's; empty where it names none."""
    return urlsplit(dsn).hostname or options_of(dsn).get("host", "")


def place_of(dsn: str) -> str:
    """Return host, port and database of a connection URI, without user and password, to be shown."""
    parts, options = urlsplit(dsn), options_of(dsn)
    database = parts.path.lstrip("/") or options.get("dbname", "")
    return f"{host_of(dsn) or 'localhost'}:{parts.port or options.get('port', 5432)}/{database}"


def is_open_to_listeners(dsn: str) -> bool:
    """Whether the line leaves this machine without proof of who is at its other end."""
    hosts = [host for host in host_of(dsn).split(",") if host and not host.startswith("/")]
    return any(host not in _HERE for host in hosts) and options_of(dsn).get("sslmode") not in _CHECKED


def check_files(dsn: str) -> None:
    """Refuse a connection URI that names a file which cannot be read.

    Raises:
        SyncError: with the file's name, which the error of the connection lacks.
    """
    for key, value in options_of(dsn).items():
        if key not in _FILES:
            continue
        try:
            with Path(value).open("rb"):
                pass
        except OSError as error:
            raise SyncError(f"{key}={value}: {error.strerror}") from error


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
    """Return the URI; nothing of it may stand in an error.

    A password with a bare `/`, `?` or `#` ends the part that names the host, so that some of it would be
    taken for database or options, and be shown. The `@` behind it, which is then in their place, tells.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("postgresql", "postgres") and parts.port is not False
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        good = False
    if not good or "\n" in text or "://" not in text or "#" in text or "@" in parts.path + parts.query:
        raise SyncError(
            f"{source}: is not a connection URI",
            hint=f"expected {_FORM}, with @ : / ? # % of a password as %40 %3A %2F %3F %23 %25",
        )
    return text
