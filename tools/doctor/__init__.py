"""`taped doctor`: looks at the machine, the system and the data folder, and says what to do about it."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from daemon.config import load
from daemon.settings import Settings
from schemas.errors import TapedError
from tools.doctor import beyond, board, records, storage, system
from tools.doctor.finding import Check, Finding, State, unknown
from tools.doctor.machine import SYSTEM_CONFIG, Machine
from tools.output import print_error, print_json

SECTIONS: tuple[tuple[str, tuple[Check, ...]], ...] = (
    ("data", records.CHECKS),
    ("drive", storage.CHECKS),
    ("board", board.CHECKS),
    ("system", system.CHECKS),
    ("beyond", beyond.CHECKS),
)
_MARKS = {State.OK: "ok", State.WARNING: "warning", State.FAILURE: "FAILURE", State.UNKNOWN: "unknown"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="look at the machine and the data folder, and say what to do",
        description="Looks at the machine, the system and the data folder, and says of each thing how it is,"
        " what to do and why it matters. Changes nothing without --fix. Exit code 1: something is wrong.",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"TOML file (TAPED_CONFIG, else {SYSTEM_CONFIG} if it is there)",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder, instead of the settings'")
    parser.add_argument("--explain", action="store_true", help="say of everything why it matters")
    parser.add_argument(
        "--fix", action="store_true", help="better what can be bettered safely; asks before each"
    )
    parser.add_argument("--yes", action="store_true", help="with --fix: do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found; 1 when something is wrong."""
    machine = _machine(arguments)
    found = examine(machine)
    if arguments.json:
        print_json({"findings": [_document(section, check, it) for section, check, it in found]})
    else:
        _print(found, explain=arguments.explain)
    if arguments.fix and _fix(found, yes=arguments.yes):
        found = examine(machine)
    return 1 if any(finding.state is State.FAILURE for _, _, finding in found) else 0


Found = list[tuple[str, Check, Finding]]


def examine(machine: Machine) -> Found:
    """Look at everything; nothing that is absent or odd ends it."""
    return [(section, check, _look(check, machine)) for section, checks in SECTIONS for check in checks]


def _look(check: Check, machine: Machine) -> Finding:
    try:
        return check.look(machine)
    except Exception as error:  # noqa: BLE001  # One thing that cannot be looked at hides no other.
        return unknown(f"it could not be looked at: {type(error).__name__}: {error}")


def _machine(arguments: argparse.Namespace) -> Machine:
    config = arguments.config
    if config is None and "TAPED_CONFIG" in os.environ:
        config = Path(os.environ["TAPED_CONFIG"])
    if config is None and SYSTEM_CONFIG.exists():
        config = SYSTEM_CONFIG
    flags = {} if arguments.data is None else {"data": arguments.data}
    try:
        return Machine(load(config, os.environ, flags).settings, config)
    except TapedError as error:
        data = {} if arguments.data is None else {"data": arguments.data}
        return Machine(Settings(**data), config, str(error))


def _document(section: str, check: Check, finding: Finding) -> dict[str, Any]:
    return {
        "section": section,
        "check": check.name,
        "state": finding.state.value,
        "seen": finding.seen,
        "advice": finding.advice,
        "reason": check.reason,
        "fix": None if finding.fix is None else finding.fix.shown,
    }


def _print(found: Found, *, explain: bool) -> None:
    width = max(len(check.name) for _, check, _ in found)
    last = ""
    for section, check, finding in found:
        if section != last:
            print(f"{'' if not last else chr(10)}{section}")
            last = section
        print(f"  {_MARKS.get(finding.state, '-'):<8} {check.name:<{width}}  {finding.seen}")
        wrong = finding.state in (State.WARNING, State.FAILURE)
        indent = " " * (width + 13)
        if finding.advice:
            print(f"{indent}do: {finding.advice}")
        if wrong or explain:
            print(f"{indent}why: {check.reason}")
    counts = Counter(finding.state for _, _, finding in found)
    print(f"\n{', '.join(f'{counts[state]} {state.value}' for state in State if counts[state])}")


def _fix(found: Found, *, yes: bool) -> bool:
    """Apply the safe remedies, each shown before; return whether anything was done."""
    done = False
    for check, fix in [(check, finding.fix) for _, check, finding in found if finding.fix is not None]:
        print(f"\nfix {check.name}: {fix.shown}", file=sys.stderr)
        if not yes and not _agreed():
            continue
        try:
            fix.apply()
        except OSError as error:
            print_error(TapedError(f"{check.name}: {error}", hint="run it with sudo"))
        else:
            done = True
    return done


def _agreed() -> bool:
    try:
        return input("do it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def checks() -> Iterable[Check]:
    """Return every check, in the order in which they are shown."""
    return (check for _, group in SECTIONS for check in group)
