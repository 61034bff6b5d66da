"""`taped bench`: measures this machine, each figure beside a raw limit or a peer in the same run.

Machines are noisy and differ; the ratios are what to compare. Nothing outside 127.0.0.1 is touched,
every run is bounded in time, and the scratch folder is removed at the end.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from tools.bench.report import Result, machine, print_results
from tools.output import UsageError, print_json


class Suite(NamedTuple):
    """A group of figures, the module whose `measure` takes them, and others that take more."""

    module: str
    help: str
    more: tuple[str, ...] = ()


SUITES = {
    "journal": Suite("tools.bench.journal", "durable events a second, beside a bare loop and SQLite"),
    "pipeline": Suite("tools.bench.pipeline", "Binance messages to durable, decided and projected"),
    "replay": Suite(
        "tools.bench.replay",
        "a strategy over a recorded journal, a look into the past, a search on all cores",
        more=("tools.bench.replay_at", "tools.bench.optimise"),
    ),
    "api": Suite("tools.bench.api", "HTTP latency while 20,000 events/s are ingested"),
    "sync": Suite("tools.bench.sync", "the journal to PostgreSQL, also beside a busy daemon"),
    "backup": Suite("tools.bench.backup", "a gigabyte of segments backed up, beside cp"),
    "start": Suite("tools.bench.start", "a start with ten million events of history"),
    "memory": Suite("tools.bench.memory", "resident memory of the demo after a minute"),
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "bench", help="measure this machine: journal, pipeline, replay, api", description=__doc__
    )
    lines = "; ".join(f"{name}: {suite.help}" for name, suite in SUITES.items())
    parser.add_argument("suite", choices=[*SUITES, "all"], help=lines)
    parser.add_argument(
        "--scratch",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where test files go: the disk to measure (.)",
    )
    parser.add_argument(
        "--market-data",
        type=Path,
        metavar="DIR",
        help="recorded market data; generated without it",
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, for a first look")
    parser.add_argument(
        "--peers",
        action="store_true",
        help="replay: run NautilusTrader and backtrader too, installed into your cache folder",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.peers and arguments.suite not in ("replay", "all"):
        raise UsageError(f"--peers: the suite {arguments.suite} has none", hint="taped bench replay --peers")
    names: Sequence[str] = list(SUITES) if arguments.suite == "all" else [arguments.suite]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="taped-bench-", dir=arguments.scratch) as folder:
        for name in names:
            measure: Callable[..., list[Result]] = import_module(SUITES[name].module).measure
            scratch = Path(folder) / name
            scratch.mkdir()
            options = {"peers": True} if arguments.peers and name == "replay" else {}
            found = measure(scratch, market_data=arguments.market_data, quick=arguments.quick, **options)
            for more in SUITES[name].more:
                found += import_module(more).measure(
                    scratch, market_data=arguments.market_data, quick=arguments.quick
                )
            results += found
            if not arguments.json:
                print_results(found)
    if arguments.json:
        print_json({"machine": machine(arguments.scratch), "results": results})
    else:
        about = machine(arguments.scratch)
        print("`2.00 x NAME`: twice the figure of NAME, taken in turn with ours in this run")
        print(
            f"{about['processor']}, {about['cores']} cores, Python {about['python']}, {about['file_system']}"
        )
    return 0
