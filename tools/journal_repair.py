"""`taped journal repair`: tells what a damaged journal has lost, and goes on without it when told to."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from daemon.journal.errors import JournalLockedError
from daemon.journal.listing import all_segments
from daemon.journal.lock import holder
from daemon.journal.repair import Plan, apply_repair, plan_repair
from daemon.readmodel.watermark import projected_seq
from daemon.restored import seen_seq
from tools.output import UsageError, print_json, progress
from tools.wording import counted

MAX_SHOWN = 20


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to `taped journal`."""
    parser = actions.add_parser(
        "repair",
        help="tell what a damaged journal has lost; with --accept-loss go on without it",
        description="Tell what a damaged journal has lost. With --accept-loss: keep copies of the damaged "
        "files in quarantine, keep every whole frame, write GAP frames for the rest, and halt trading.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder; no daemon may run on it")
    parser.add_argument("--accept-loss", action="store_true", help="repair, after asking")
    parser.add_argument("--yes", action="store_true", help="do not ask (for scripts)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain, then repair if it was accepted; 1 while the journal is damaged."""
    directory = arguments.data / "journal"
    total = sum(name.path.stat().st_size for name in all_segments(directory))
    pid = holder(directory)
    if pid is not None:
        raise JournalLockedError(directory, pid or None)
    asks = arguments.accept_loss and not arguments.yes
    if asks and (arguments.json or not sys.stdin.isatty()):
        raise UsageError(
            "--accept-loss asks before it changes anything", hint="add --yes where nobody can answer"
        )
    projected = projected_seq(arguments.data)
    watermark = max(projected, seen_seq(arguments.data))
    with progress("Reading", total=total, unit="bytes", show=not arguments.json) as advance:
        plan = plan_repair(directory, watermark=watermark, advance=advance)
    accepted = plan.needed and arguments.accept_loss
    if not arguments.json:
        _explain(directory, plan, projected)
    if accepted and asks:
        accepted = _answer() == "lost"
    if accepted:
        segments = len(plan.rewritten)
        with progress("Writing", total=segments, unit="segments", show=not arguments.json) as advance:
            apply_repair(directory, watermark=watermark, advance=advance)
    if arguments.json:
        print_json(_document(plan, repaired=accepted))
    elif accepted:
        print("repaired; trading is halted until `trading.resume`. Check with `taped journal verify`")
    elif plan.needed:
        print("nothing was changed" + ("" if arguments.accept_loss else "; --accept-loss repairs"))
    return 0 if accepted or not plan.needed else 1


def _answer() -> str:
    try:
        return input("Accept this loss? Type 'lost' to go on: ").strip()
    except EOFError:
        print()
        return ""


def _explain(directory: Path, plan: Plan, projected: int) -> None:
    if not plan.needed:
        print("nothing to repair")
        return
    for loss in plan.losses[:MAX_SHOWN]:
        what = (
            f"events {loss.lost_from:,} to {loss.next_seq - 1:,} are lost"
            if loss.events
            else "no event is lost"
        )
        print(f"{loss.segment}, bytes {loss.from_byte:,} to {loss.to_byte:,}: {loss.reason}; {what}")
    if len(plan.losses) > MAX_SHOWN:
        print(f"... and {counted(len(plan.losses) - MAX_SHOWN, 'more place')}")
    print(f"lost for ever without a backup: {counted(plan.lost_events, 'event')}")
    print(
        f"to be written anew: {counted(len(plan.rewritten), 'segment')}, about {plan.written_bytes:,} bytes; "
        f"{shutil.disk_usage(directory).free:,} are free"
    )
    print(
        f"to be copied to quarantine before: {counted(len(plan.damaged), 'damaged file')}, "
        f"{plan.quarantine_bytes:,} bytes"
    )
    if projected and plan.lost_events:
        print(f"the read model was made with events up to {projected:,}: keep a copy of readmodel.db")


def _document(plan: Plan, *, repaired: bool) -> dict[str, Any]:
    return {
        "needed": plan.needed,
        "repaired": repaired,
        "lost_events": plan.lost_events,
        "written_bytes": plan.written_bytes,
        "losses": [loss._asdict() for loss in plan.losses],
        "damaged": [path.name for path in plan.damaged],
        "rewritten": plan.rewritten,
    }
