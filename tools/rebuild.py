"""`taped replay rebuild DATA`: makes the read model anew from the journal and compares it with the former."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from replay.rebuild import Former, RebuildResult, rebuild
from tools.output import UsageError, print_json, progress

_MIN_KEEP_TICKS = 1000


def add(commands: argparse._SubParsersAction[Any]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "rebuild",
        help="drop the read model and make it again from the journal",
        description="Makes readmodel.db anew from the journal and says whether the former one had the same "
        "content. Exit code 1 when it had not.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder (holds journal/)")
    parser.add_argument("--check", action="store_true", help="only compare; leave the read model as it is")
    parser.add_argument(
        "--accept-loss",
        action="store_true",
        help="also replace a read model that holds events which the journal has lost",
    )
    parser.add_argument(
        "--keep-ticks",
        type=int,
        metavar="N",
        help="keep tick rows of the last N events (default: as the former read model)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rebuild; return 1 when the former read model had other content, or could not be read.

    Raises:
        UsageError: a limit below 1,000 ticks.
        TapedError: the journal or SQLite failed, or a daemon is running.
    """
    keep_ticks = arguments.keep_ticks
    if keep_ticks is not None and keep_ticks < _MIN_KEEP_TICKS:
        raise UsageError(f"--keep-ticks {keep_ticks}: expected {_MIN_KEEP_TICKS} or more")
    with progress("Rebuilding", total=None, unit="events", show=not arguments.json) as advance:
        done = 0

        def tell(seq: int, _last_seq: int) -> None:
            nonlocal done
            advance(seq - done)
            done = seq

        result = rebuild(
            arguments.data,
            tell,
            keep_ticks=keep_ticks,
            replace=not arguments.check,
            accept_loss=arguments.accept_loss,
        )
    if arguments.json:
        print_json(_plain(result, replaced=not arguments.check))
    else:
        for line in _lines(result, replaced=not arguments.check):
            print(line)
    return 0 if is_fine(result) else 1


def is_fine(result: RebuildResult) -> bool:
    """Return whether nothing speaks against the former read model."""
    broken = result.former is not None and result.former.problem is not None
    return result.equal is not False and not broken


def _plain(result: RebuildResult, *, replaced: bool) -> dict[str, Any]:
    former = result.former
    return {
        "hash": result.hash,
        "applied_seq": result.applied_seq,
        "events_per_second": round(result.events_per_second),
        "replaced": replaced,
        "former": None
        if former is None
        else {"hash": former.hash, "applied_seq": former.applied_seq, "problem": former.problem},
        "equal": result.equal,
        "begins_at": result.begins_at,
        "lacking": result.lacking,
    }


def _lines(result: RebuildResult, *, replaced: bool) -> list[str]:
    rate = f"{result.events_per_second:,.0f} events/s"
    done = "rebuilt and put in place" if replaced else "rebuilt to compare, not put in place"
    begins = f"the journal begins at seq {result.begins_at:,}; what came before is from its base state"
    return [
        *([begins] if result.begins_at > 1 else []),
        *([f"lacks {result.lacking}"] if result.lacking else []),
        f"new     {result.hash}  seq {result.applied_seq:,}  ({rate})",
        _former_line(result.former),
        f"{_verdict(result)}; {done}",
    ]


def _former_line(former: Former | None) -> str:
    if former is None:
        return "former  none"
    if former.hash is None:
        return f"former  cannot be read: {former.problem}"
    return f"former  {former.hash}  seq {former.applied_seq:,}"


def _verdict(result: RebuildResult) -> str:
    if result.equal is not None:
        return "equal content" if result.equal else "DIFFERENT content at the same seq"
    if result.former is None or result.former.hash is None:
        return "nothing to compare with"
    if result.lacking is not None:
        return "not comparable: not all could be made again"
    return "not comparable: other seq or other limits"
