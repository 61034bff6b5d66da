"""`taped replay parity DATA`: whether today's code decides what was decided. Exit code 1 when it does not."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from daemon.config import code_hash, load
from daemon.journal.reader import JournalReader
from daemon.journal.written import DAY_NS
from daemon.user_strategies import load_kinds
from replay.parity import ParityResult, check_parity
from replay.parity_difference import Difference, DifferenceKind
from replay.parity_runs import Run
from tools import client
from tools.output import UsageError, print_json, print_table, progress
from tools.parity_report import report
from tools.points import HELP, Point, point
from tools.wording import counted

_SHORT = 12


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "parity",
        help="make all decisions again from the recorded inputs and compare them",
        description="Makes all decisions again from the recorded inputs, and compares them byte by byte with"
        " those that were recorded. Writes nothing; a daemon may be running. Exit code 1 when any differs.",
    )
    parser.add_argument(
        "data", type=Path, nargs="?", metavar="DATA", help="data folder (default: as the configuration says)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the daemon's TOML file: data, strategies, address"
    )
    parser.add_argument("--from", dest="first", type=point, default=Point(), metavar="SEQ|TIME", help=HELP)
    parser.add_argument(
        "--to",
        dest="last",
        type=point,
        default=Point(),
        metavar="SEQ|TIME",
        help="the same; what it names is included",
    )
    parser.add_argument(
        "--strategies-folder", type=Path, metavar="DIR", help="folder of strategies of your own"
    )
    parser.add_argument("--last-day", action="store_true", help="what was written in the last 24 hours")
    parser.add_argument(
        "--report",
        action="store_true",
        help="tell the daemon that runs on it: an event, a metric, /health and the LEDs say so then",
    )
    parser.add_argument(
        "--url", help="address of that daemon (default: of the configuration, else TAPED_URL)"
    )
    parser.add_argument("--token-file", type=Path, help="file with its token (default: DATA/admin.token)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare; return 1 when a decision differs."""
    _configure(arguments)
    kinds = load_kinds(arguments.strategies_folder)
    first_seq, end = _range(JournalReader(arguments.data / "journal"), arguments)
    total = max(0, end - first_seq + 1)
    with progress("Parity", total=total, unit="events", show=not arguments.json) as bar:
        done = first_seq - 1

        def tell(seq: int) -> None:
            nonlocal done
            bar(seq - done)
            done = seq

        result = check_parity(
            arguments.data,
            code_hash=code_hash(kinds.sources),
            first_seq=first_seq,
            last_seq=end,
            kinds=kinds.classes,
            progress=tell,
        )
    if arguments.json:
        print_json(as_json(result))
    else:
        _print(result)
    if arguments.report:
        seq = report(client.from_arguments(arguments, token_needed=True), result)
        print(f"taped: reported, seq {seq:,}", file=sys.stderr)
    return 0 if result.passed else 1


def _configure(arguments: argparse.Namespace) -> None:
    """Take from the daemon's configuration what was not given."""
    if arguments.last_day and (arguments.first, arguments.last) != (Point(), Point()):
        raise UsageError("--last-day names the range already", hint="leave --from and --to out")
    if arguments.last_day:
        arguments.first = Point(ns=time.time_ns() - DAY_NS)
    if arguments.data is None and arguments.config is None:
        raise UsageError("DATA is missing", hint="name a data folder, or the daemon's --config FILE")
    if arguments.config is None:
        return
    settings = load(arguments.config, os.environ).settings
    arguments.data = arguments.data or settings.data
    arguments.strategies_folder = arguments.strategies_folder or settings.strategies_folder
    arguments.url = arguments.url or client.url_of(settings.api.host, str(settings.api.port))


def _range(journal: JournalReader, arguments: argparse.Namespace) -> tuple[int, int]:
    """Return the first and the last event asked for."""
    first, last = arguments.first.begin_in(journal), arguments.last.end_in(journal)
    if last < first and arguments.last != Point():
        raise UsageError(f"--to (seq {last:,}) lies before --from (seq {first:,})")
    return max(first, journal.first_seq), last


def as_json(result: ParityResult) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    return {
        "passed": result.passed,
        "journal_id": result.journal_id,
        "code_hash": result.code_hash,
        "origin": result.origin,
        "first_seq": result.first_seq,
        "last_seq": result.last_seq,
        "events": result.events,
        "decisions": result.decisions,
        "events_per_second": round(result.events_per_second),
        "runs": [msgspec.to_builtins(run) for run in result.runs],
        "difference": msgspec.to_builtins(result.difference),
    }


def _print(result: ParityResult) -> None:
    rate = f"{result.seconds:.2f} s ({result.events_per_second:,.0f}/s)"
    print(f"seq {result.first_seq:,} to {result.last_seq:,} from {result.origin}: {rate}")
    rows = [
        [
            f"{run.first_seq:,}",
            f"{run.last_seq:,}",
            _code(run, result.code_hash),
            f"{run.starts:,}",
            f"{run.decisions:,}",
            f"{run.unchecked:,}",
            "equal" if run.difference is None else "DIFFERENT",
        ]
        for run in result.runs
    ]
    print_table(["from", "to", "code", "starts", "decisions", "unchecked", "result"], rows)
    for run in result.runs:
        _print_notes(run)
    if result.passed:
        print(f"passed: {counted(result.decisions, 'decision')} made again, equal to the byte")
    else:
        print("FAILED")


def _code(run: Run, ours: str) -> str:
    if not run.code_hash:
        return "-"
    return f"{run.code_hash:.{_SHORT}}{'' if run.code_hash == ours else ' (other)'}"


def _print_notes(run: Run) -> None:
    if run.unchecked:
        print(f"seq {run.first_seq:,} on: {counted(run.unchecked, 'event')} unchecked: {run.why_unchecked}")
    if run.lost:
        print(f"seq {run.first_seq:,} on: {counted(run.lost, 'decision')} went with the end of a process")
    if run.difference is not None:
        for line in difference_lines(run.difference):
            print(line)
        if run.difference.recorded_type == "StrategyStarted":
            print("  is it one of your own? name its folder: --strategies-folder DIR, or --config FILE")


def difference_lines(found: Difference) -> list[str]:
    """Return a difference as lines for people."""
    where = f"seq {found.seq:,}"
    cause = f"in answer to {found.cause_type} {found.cause_seq:,}" if found.cause_seq else "without an input"
    by = f" ({found.decided_by})" if found.decided_by else ""
    match found.kind:
        case DifferenceKind.EXTRA:
            return [
                f"{where}: {found.recorded_type}{by} is recorded, this code decides nothing there",
                f"  recorded {_told(found.recorded)}",
            ]
        case DifferenceKind.MISSING:
            instead = found.recorded_type or "the end"
            return [
                f"{where}: this code decides {found.made_type}{by} {cause}, recorded is {instead}",
                f"  made     {_told(found.made)}",
            ]
        case DifferenceKind.ALTERED if found.field:
            return [
                f"{where}: {found.made_type}{by} {cause}: {found.field} differs",
                f"  recorded {found.recorded_value!r}",
                f"  made     {found.made_value!r}",
            ]
        case DifferenceKind.ALTERED:
            return [
                f"{where}: {found.recorded_type} is recorded, this code makes {found.made_type}{by} {cause}",
                f"  recorded {_told(found.recorded)}",
                f"  made     {_told(found.made)}",
            ]


def _told(fields: dict[str, Any] | None) -> str:
    return " ".join(f"{name}={value}" for name, value in (fields or {}).items() if name != "version")
