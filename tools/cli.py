"""The `taped` command: finds the module of the command asked for, runs it, turns errors into exit codes.

Exit codes: 0 fine, 1 a problem was found, 2 wrong usage, 130 interrupted. Only the module of the
command asked for is imported, so that `taped status` starts fast.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NamedTuple

from schemas.errors import TapedError
from tools.output import UsageError, print_error

FINE = 0
PROBLEM = 1
WRONG_USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class Command(NamedTuple):
    """One line of `taped --help`, and the module with its `add` and `run`."""

    module: str
    help: str


class Group(NamedTuple):
    """Commands under one word."""

    commands: Mapping[str, Command]
    help: str


COMMANDS: Mapping[str, Command | Group] = {
    "run": Command("tools.run", "run the daemon"),
    "demo": Command("tools.run_demo", "run a daemon with simulated markets and strategies, to look at"),
    "import": Command("tools.import_data", "bring recorded market data into a journal"),
    "journal": Command("tools.journal", "look into a journal, check it, cut it, mend it"),
    "replay": Group(
        {
            "backtest": Command("tools.backtest", "run a strategy over a recorded journal"),
            "at": Command("tools.at", "show orders, positions, account as they were at a past moment"),
            "fork": Command("tools.fork", "go on from a past moment with other limits, and compare"),
            "parity": Command("tools.parity", "make all decisions again from the inputs and compare them"),
            "export": Command("tools.export", "write tables for pandas, polars and DuckDB"),
            "optimise": Command("tools.optimise", "search a strategy's parameters, on all cores"),
            "montecarlo": Command(
                "tools.montecarlo", "tell the odds of ruin and gain from a backtest's trades"
            ),
            "check-strategy": Command(
                "tools.check_strategy", "find out whether a strategy looks ahead, or needs more of the past"
            ),
            "runs": Command("tools.runs", "backtests that were run: list, show, compare, repeat, forget"),
            "rebuild": Command("tools.rebuild", "drop the read model and make it again from the journal"),
        },
        "play a journal back: backtest, parity, export, optimise, rebuild",
    ),
    "sync": Group(
        {
            "init": Command("tools.sync_init", "make a database ready, or bring it up to date"),
            "once": Command("tools.sync_once", "ship what the database lacks, and end"),
            "status": Command("tools.sync_status", "how far the journal is in the database"),
            "verify": Command("tools.sync_verify", "compare journal and database, name the first difference"),
            "stats": Command("tools.sync_stats", "how big the database is, and what compression saves"),
            "tune": Command("tools.sync_tune", "settings for PostgreSQL on a Raspberry Pi"),
        },
        "the journal in PostgreSQL or TimescaleDB",
    ),
    "hardware": Group(
        {
            "status": Command("tools.hardware_status", "show sensors, fan, LEDs and button"),
            "test": Command("tools.hardware_test", "cycle LEDs, fan and button, and ask what was seen"),
            "simulate": Command(
                "tools.hardware_simulate", "show the board in a terminal, without any hardware"
            ),
            "failsafe": Command(
                "tools.hardware_failsafe", "set the fan to full speed and light the error LEDs"
            ),
        },
        "fan, LEDs, button and sensors: status, test, simulate, failsafe",
    ),
    "doctor": Command("tools.doctor", "look at the machine and the data folder, and say what to do"),
    "status": Command("tools.status", "ask a running daemon how it is"),
    "trading": Command("tools.trading", "halt, reduce, resume and kill trading on a running daemon"),
    "order": Command("tools.order", "submit, replace, cancel and list orders on a running daemon"),
    "strategy": Command("tools.strategy", "list, start, change and stop strategies on a running daemon"),
    "account": Command(
        "tools.account", "show the account of a running daemon, book deposits and withdrawals"
    ),
    "risk": Command("tools.risk", "show and set the limits of risk on a running daemon"),
    "breaker": Command("tools.breaker", "list a running daemon's circuit breakers"),
    "backup": Command("tools.backup.command", "make, list, prove, restore and let go of backups"),
    "bench": Command("tools.bench", "measure this machine: journal, pipeline, replay, api"),
    "check-config": Command("tools.check_config", "show every setting and where its value came from"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = build_parser(words).parse_args(words)
        code = int(arguments.run(arguments))
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else PROBLEM
    except TapedError as error:
        print_error(error, as_json="--json" in words)
        return WRONG_USAGE if isinstance(error, UsageError) else PROBLEM
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted; the flush at exit must not complain a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None:
            raise
        print_error(TapedError(f"{os.fsdecode(error.filename)}: {error.strerror}"), as_json="--json" in words)
        return PROBLEM
    return code


def build_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser that knows all commands by name, and that of `words` in full."""
    parser = argparse.ArgumentParser(
        prog="taped",
        description="Tapes every tick and order, trades from the tape, plays it back.",
        epilog="Exit codes: 0 fine, 1 a problem was found, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"taped {version('taped')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_commands(commands, COMMANDS, [word for word in words if not word.startswith("-")])
    return parser


def _add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    table: Mapping[str, Command | Group] | Mapping[str, Command],
    words: Sequence[str],
) -> None:
    for name, entry in table.items():
        if not words or words[0] != name:
            commands.add_parser(name, help=entry.help)
        elif isinstance(entry, Group):
            group = commands.add_parser(name, help=entry.help, description=f"{entry.help}.")
            members = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
            _add_commands(members, entry.commands, words[1:])
        else:
            import_module(entry.module).add(commands)


if __name__ == "__main__":
    raise SystemExit(main())
