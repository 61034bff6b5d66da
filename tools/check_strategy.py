"""`taped replay check-strategy`: whether a strategy's backtest can be believed."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from replay.strategy_checks import CUTS, Check, check_strategy
from replay.strategy_runs import MAX_EVENTS
from tools.backtest import describe_strategies
from tools.event_text import time_text
from tools.optimise import kind_of
from tools.output import print_json, print_table
from tools.spec_flags import add_spec_flags, between, spec_of

MAX_CUTS = 1_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "check-strategy",
        help="find out whether a strategy looks ahead, or needs more past than it says",
        description="Runs a strategy in ways that must decide alike: with the future hidden, in other"
        " processes, with less of the past. Names the first event where they do not.",
        epilog=describe_strategies(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_flags(parser)
    parser.add_argument(
        "--cuts",
        type=between(0, MAX_CUTS),
        default=CUTS,
        metavar="N",
        help="times to cut the future off (%(default)s)",
    )
    parser.add_argument(
        "--settle",
        type=between(0, MAX_EVENTS),
        metavar="TICKS",
        help="after so many ticks a later beginning may make no difference; half of them if left out",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check; 1 when a check was not passed."""
    spec = spec_of(arguments)
    kind_of(spec)
    checks = check_strategy(spec, cuts=arguments.cuts, settle=arguments.settle)
    failed = any(check.passed is False for check in checks)
    if arguments.json:
        print_json({"passed": not failed, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    return 1 if failed else 0


def _print(checks: list[Check]) -> None:
    words = {True: "passed", False: "FAILED", None: "nothing to check"}
    print_table(
        ["check", "result", "first difference"],
        [[c.name, words[c.passed], time_text(c.ts_ns)] for c in checks],
    )
    print()
    for check in checks:
        print(f"{check.name}: {check.says}")
