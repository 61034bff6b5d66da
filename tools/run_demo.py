"""`taped demo`: a daemon on embedded defaults with a simulated market and strategies, to look at."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import socket
import sys
import tempfile
from pathlib import Path

from daemon.config import Configuration, load
from daemon.settings import StrategySettings
from tools import run as run_command

_DEFAULTS: dict[str, object] = {
    "feed.kind": "simulated",
    "feed.rate": 200.0,
    "journal.segment_mib": 8,
    "journal.quiet_linger_ms": 100,
    "account.cash": {"USDT": "100000"},
    "venue.maker_fee_ppm": 20,
    "venue.taker_fee_ppm": 20,
    "log.level": "warning",
}
_STRATEGIES = {
    name: StrategySettings(
        kind="ma_cross",
        instruments=(symbol,),
        parameters={"fast": slow * 3 // 10, "slow": slow, "quantity": quantity, "source": "quote"},
    )
    for name, symbol, slow, quantity in (
        ("btc-cross", "BTC-USDT", 300, "0.5"),
        ("eth-cross", "ETH-USDT", 300, "4"),
        ("sol-cross", "SOL-USDT", 90, "5"),
    )
}
"""Chosen by trial: at 200 events a second all of them have traded after some ten seconds, and hold what they
bought long enough, at low fees, that the equity follows the prices instead of falling by fees alone."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "demo",
        help="run a daemon with simulated markets and strategies, to look at",
        description="Run a daemon with simulated markets and three moving-average strategies on paper. "
        "Without --data everything is in a temporary folder that goes with the demo. It prints"
        " what another shell needs to talk to it.",
    )
    parser.add_argument("--rate", type=float, help="simulated events a second (200)")
    parser.add_argument("--seed", type=int, help="seed of the market (1)")
    run_command.add_flags(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop; 1 after a failure."""
    if arguments.data is not None:
        return _start(arguments, arguments.data)
    with tempfile.TemporaryDirectory(prefix="taped-demo-", ignore_cleanup_errors=True) as folder:
        return _start(arguments, Path(folder))


def _start(arguments: argparse.Namespace, data: Path) -> int:
    return run_command.start(_configuration(arguments, data), arguments, tell_ready=_tell_ready)


def _tell_ready(url: str, data: Path) -> None:
    token = data.resolve() / "admin.token"
    words = (f"TAPED_URL={shlex.quote(url)}", f"TAPED_TOKEN_FILE={shlex.quote(str(token))}")
    print(f"taped demo runs at {url} (Ctrl-C stops it); to talk to it from another shell, paste there:")
    print(f"  export {' '.join(words)}")


def _configuration(arguments: argparse.Namespace, data: Path) -> Configuration:
    given = {key: value for key, value in run_command.flags_of(arguments).items() if value is not None}
    flags = {**_DEFAULTS, **given, "data": data}
    if arguments.rate is not None:
        flags["feed.rate"] = arguments.rate
    if arguments.seed is not None:
        flags["feed.seed"] = arguments.seed
    configuration = load(None, os.environ, flags)
    api = configuration.settings.api
    if arguments.port is None and not _is_free(api.host, api.port):
        print(f"taped: port {api.port} is in use, taking another", file=sys.stderr)
        configuration = load(None, os.environ, {**flags, "api.port": 0})
    settings = dataclasses.replace(configuration.settings, strategies=_STRATEGIES)
    return configuration._replace(settings=settings)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
