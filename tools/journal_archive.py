"""`taped journal archive` and `taped journal retain`: what becomes small, and what goes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from daemon.journal.archive import Archived, archive_journal
from daemon.journal.listing import lengths
from daemon.journal.retention import Going, Policy, RetentionPlan, plan_retention
from daemon.journal.segment import list_segments
from daemon.shorten import limits_of, shorten
from daemon.user_strategies import load_kinds
from tools.output import UsageError, print_json, print_table, progress
from tools.wording import counted

_DAY_NS = 86_400 * 10**9
_MAX_DAYS = 36_500
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both actions to `taped journal`."""
    archive = actions.add_parser(
        "archive",
        help="compress finished segments",
        description="Compress finished segments, oldest first. Each is proven to be readable to the byte "
        "before its original goes. A daemon may be running.",
    )
    archive.add_argument(
        "--keep", type=int, default=1, metavar="N", help="newest segments that stay as they are (1)"
    )
    archive.set_defaults(run=run_archive)
    retain = actions.add_parser(
        "retain",
        help="show, or remove, archived segments that are too old or too much",
        description="Show which archived segments are beyond the limits. Nothing is removed without --apply, "
        "and nothing that the read model lacks or TimescaleDB has not confirmed. What the events came to "
        "(orders, positions, cash, bars) is kept in a base state that the journal begins with.",
    )
    retain.add_argument("--max-age", type=float, metavar="DAYS", help="keep events of so many days")
    retain.add_argument("--max-bytes", type=_bytes, metavar="N", help="keep so much: 500M, 20G")
    retain.add_argument(
        "--confirmed", type=int, metavar="SEQ", help="the last event TimescaleDB confirmed, where sync is on"
    )
    retain.add_argument(
        "--strategies-folder", type=Path, metavar="DIR", help="folder of strategies of your own that ran"
    )
    retain.add_argument("--apply", action="store_true", help="remove them")
    retain.set_defaults(run=run_retain)
    for action in (archive, retain):
        action.add_argument("data", type=Path, metavar="DATA", help="data folder")
        action.add_argument("--json", action="store_true", help="print JSON")


def _bytes(text: str) -> int:
    unit = text[-1:].upper() if text[-1:].isalpha() else ""
    digits = text[: len(text) - len(unit)]
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit()):
        raise argparse.ArgumentTypeError(f"{text}: not a number of bytes such as 500M or 20G")
    return int(digits) * _UNITS[unit]


def run_archive(arguments: argparse.Namespace) -> int:
    """Archive what is finished and say how small it became."""
    if arguments.keep < 1:
        raise UsageError(f"--keep {arguments.keep}: the newest segment always stays as it is")
    directory: Path = arguments.data / "journal"
    total = sum(lengths(list_segments(directory)[: -arguments.keep]))
    started = time.perf_counter()
    with progress("Archiving", total=total, unit="bytes", show=not arguments.json) as advance:
        made = archive_journal(
            directory, keep=arguments.keep, done=lambda archived: advance(archived.segment_bytes)
        )
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json({"seconds": round(seconds, 3), "archived": [_archived(item) for item in made]})
        return 0
    if not made:
        print("nothing to archive: no finished segment but the newest")
        return 0
    print_table(
        ["segment", "events", "bytes", "archive_bytes", "bytes_per_event"],
        [[*_archived(item).values(), f"{item.archive_bytes / max(1, item.events):.2f}"] for item in made],
    )
    before, after = sum(item.segment_bytes for item in made), sum(item.archive_bytes for item in made)
    print(f"{before:,} bytes became {after:,} ({after / before:.1%}) in {seconds:.1f} s; each was proven")
    return 0


def _archived(item: Archived) -> dict[str, Any]:
    return {
        "segment": item.name.number,
        "events": item.events,
        "bytes": item.segment_bytes,
        "archive_bytes": item.archive_bytes,
    }


def run_retain(arguments: argparse.Namespace) -> int:
    """Show what the limits let go of; remove it when told to."""
    if arguments.max_age is None and arguments.max_bytes is None:
        raise UsageError("no limit given", hint="--max-age DAYS or --max-bytes N")
    if arguments.max_age is not None and not 0 <= arguments.max_age <= _MAX_DAYS:
        raise UsageError(f"--max-age {arguments.max_age}: not from 0 to {_MAX_DAYS} days")
    max_age_ns = None if arguments.max_age is None else int(arguments.max_age * _DAY_NS)
    policy, now_ns = Policy(max_age_ns, arguments.max_bytes), time.time_ns()
    limits = limits_of(arguments.data, arguments.confirmed)
    plan = plan_retention(arguments.data / "journal", policy, limits, now_ns=now_ns)
    if arguments.apply:
        with progress("Shortening", total=plan.freed_bytes, unit="bytes", show=not arguments.json) as advance:
            shorten(
                arguments.data,
                policy,
                limits,
                now_ns=now_ns,
                done=lambda done: advance(done.freed_bytes),
                kinds=load_kinds(arguments.strategies_folder).classes,
            )
    if arguments.json:
        print_json(_plan(plan, applied=arguments.apply))
    else:
        _print_plan(plan, applied=arguments.apply)
    return 0


def _plan(plan: RetentionPlan, *, applied: bool) -> dict[str, Any]:
    return {
        "applied": applied,
        "going": [_going(item) for item in plan.going],
        "freed_bytes": plan.freed_bytes,
        "total_bytes": plan.total_bytes,
        "begins_at_seq": plan.first.first_seq,
        "kept_because": plan.kept_because,
    }


def _going(item: Going) -> dict[str, Any]:
    return {"segment": item.name.number, **item._asdict(), "name": item.name.path.name}


def _print_plan(plan: RetentionPlan, *, applied: bool) -> None:
    if plan.going:
        print_table(
            ["segment", "first_seq", "last_seq", "bytes", "why"],
            [[item.name.number, item.first_seq, item.last_seq, item.bytes, item.why] for item in plan.going],
        )
    went = "went" if applied else "would go"
    begins = "begins" if applied or not plan.going else "would begin"
    print(
        f"{counted(len(plan.going), 'segment')} {went}, {plan.freed_bytes:,} of {plan.total_bytes:,} bytes; "
        f"the journal {begins} at seq {plan.first.first_seq:,}"
    )
    if plan.kept_because:
        print(plan.kept_because)
    if plan.going and not applied:
        print("nothing was removed: --apply does it")
