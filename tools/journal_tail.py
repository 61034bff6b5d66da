"""`taped journal tail`: prints events as they become durable, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.journal.tail import JournalTail, follow
from tools.beginning import begin_at
from tools.event_text import print_events, wanted_types


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to `taped journal`."""
    parser = actions.add_parser("tail", help="print events as they come, until Ctrl-C")
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder")
    parser.add_argument(
        "--from", dest="first", type=int, metavar="SEQ", help="first event (the next to come)"
    )
    parser.add_argument(
        "--type", action="append", metavar="NAME", help="only events of this type; repeatable"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one event a line")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print until interrupted; 0 then."""
    wanted = wanted_types(arguments.type)
    directory = arguments.data / "journal"
    reader = JournalReader(directory)
    first = reader.last_seq + 1 if arguments.first is None else begin_at(reader, arguments.first)
    tail = JournalTail(directory, first)
    try:
        for batch in follow(tail):
            print_events(batch, wanted, as_json=arguments.json)
            sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    finally:
        tail.close()
    return 0
