"""Which journal the commands of `taped sync` mean, and which database: arguments they share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from daemon.config import load
from daemon.settings import Settings
from daemon.sync.secret import read_dsn
from schemas.errors import TapedError


def add_database(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where the database is."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings of the daemon (TAPED_CONFIG)")
    parser.add_argument(
        "--dsn-file",
        type=Path,
        metavar="FILE",
        help="file of mode 0600 with postgresql://USER:PASSWORD@HOST/DATABASE; else that of the settings, "
        "systemd's credential, or TAPED_SYNC_DSN",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says which journal."""
    parser.add_argument(
        "data", type=Path, metavar="DATA", nargs="?", help="data folder; else that of the settings"
    )


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the daemon's settings, with what the arguments say."""
    file = arguments.config
    if file is None and "TAPED_CONFIG" in os.environ:
        file = Path(os.environ["TAPED_CONFIG"])
    flags = {"data": getattr(arguments, "data", None), "sync.dsn_file": arguments.dsn_file}
    return load(file, os.environ, flags).settings


def dsn_of(settings: Settings) -> str:
    """Return how to reach the database.

    Raises:
        SyncError: nothing says it.
        TapedError: asyncpg is not installed.
    """
    try:
        import asyncpg  # noqa: F401, PLC0415  # Only to tell what is missing, before anything else is done.
    except ImportError as error:
        raise TapedError(
            "the package asyncpg is not installed", hint="in a clone, pip install '.[timescale]' brings it"
        ) from error
    return read_dsn(settings.sync.dsn_file)
