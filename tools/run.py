"""`taped run`: the daemon in the foreground, as systemd starts it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config import Configuration, load
from daemon.logs import Logs
from tools.output import print_json

if TYPE_CHECKING:
    from daemon.app import Daemon

log = logging.getLogger(__name__)

NO_CASH = (
    "the paper account has no cash, so orders that buy will be denied by CASH;"
    " `taped account deposit USDT 100000` gives it some now, the setting account.cash"
    ' at the next start: cash = { USDT = "100000" } under [account] in the file of settings,'
    " or TAPED_ACCOUNT__CASH=USDT=100000 in the environment"
)


def _tell_ready(url: str, data: Path) -> None:
    print(f"taped runs at {url} (data in {data}; Ctrl-C stops it)")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "run",
        help="run the daemon",
        description="Run the daemon until SIGTERM or Ctrl-C; orders are drained first.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file (TAPED_CONFIG)")
    add_flags(parser)
    parser.set_defaults(run=run)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `run` and `demo` share."""
    parser.add_argument("--data", type=Path, metavar="DATA", help="data folder")
    parser.add_argument("--host", help="address the API listens on (127.0.0.1)")
    parser.add_argument("--port", type=int, help="port of the API (8080; 0 takes any free one)")
    parser.add_argument(
        "--log-level", choices=["debug", "info", "warning", "error"], help="least level logged"
    )
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="stop after this time")
    parser.add_argument("--json", action="store_true", help="log JSON and print the address as JSON")


def flags_of(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the flags that were given, by key of the setting."""
    return {
        "data": arguments.data,
        "api.host": arguments.host,
        "api.port": arguments.port,
        "log.level": arguments.log_level,
        "log.format": "json" if arguments.json else None,
    }


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop; 1 after a failure."""
    file = arguments.config
    if file is None and "TAPED_CONFIG" in os.environ:
        file = Path(os.environ["TAPED_CONFIG"])
    return start(load(file, os.environ, flags_of(arguments)), arguments)


def start(
    configuration: Configuration,
    arguments: argparse.Namespace,
    *,
    tell_ready: Callable[[str, Path], None] | None = None,
) -> int:
    """Start logging and the daemon, and say where it listens.

    Args:
        configuration: checked settings.
        arguments: those of `add_flags`.
        tell_ready: prints address and data folder for people; the usual line when None.
    """
    # Imported here: aiohttp and apsw take 0.3 s, and a wrong configuration is told without them.
    from daemon.app import run_daemon  # noqa: PLC0415

    def ready(daemon: Daemon) -> None:
        if arguments.json:
            print_json({"url": daemon.url, "data": str(daemon.settings.data), "pid": os.getpid()})
        else:
            (tell_ready or _tell_ready)(daemon.url, daemon.settings.data)
        sys.stdout.flush()
        if daemon.settings.venue.kind == "paper" and not any(daemon.engine.core.account.cash.values()):
            log.warning("%s", NO_CASH)

    with Logs(configuration.settings.log):
        return run_daemon(configuration, ready=ready, for_seconds=arguments.seconds)
