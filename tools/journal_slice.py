"""`taped journal slice`: cuts a range of events into a data folder of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.journal.slice import cut_slice
from daemon.start import definitions
from tools.beginning import begin_at
from tools.output import UsageError, print_json, progress
from tools.wording import counted


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to `taped journal`."""
    parser = actions.add_parser(
        "slice",
        help="cut a range into a new journal, to look into elsewhere",
        description="Cut a range of events into a new data folder. The definitions of instruments and "
        "calendars that were in force come with it; events keep their numbers; orders and positions from "
        "before do not come.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="new data folder")
    parser.add_argument("--from", dest="first", type=int, required=True, metavar="SEQ", help="first event")
    parser.add_argument("--to", dest="last", type=int, required=True, metavar="SEQ", help="last event")
    parser.add_argument(
        "--redact", action="store_true", help="replace names of operators, clients' ids and tokens"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Cut and say what was cut."""
    if arguments.last < arguments.first or arguments.first < 1:
        raise UsageError(f"--from {arguments.first} --to {arguments.last}: no such range")
    directory = arguments.data / "journal"
    reader = JournalReader(directory)
    first, last = begin_at(reader, arguments.first), min(arguments.last, reader.last_seq)
    if arguments.last < first:
        raise UsageError(f"--to {arguments.last}: lies before the journal's first event, {first}")
    total = last - reader.first_seq + 1
    if arguments.redact:
        total += max(0, last - first + 1)
    with progress("Cutting", total=total, unit="events", show=not arguments.json) as advance:
        done = cut_slice(
            directory,
            arguments.out / "journal",
            first,
            arguments.last,
            redact=arguments.redact,
            before=definitions(directory),
            advance=advance,
        )
    if arguments.json:
        print_json({"out": str(arguments.out), **done._asdict()})
    else:
        print(
            f"{counted(done.events, 'event')} ({done.first_seq:,} to {done.last_seq:,}) and "
            f"{counted(done.definitions, 'definition')} from before in {arguments.out}, "
            f"journal {done.journal_id}"
        )
    return 0
