"""`taped journal tail`: prints events as they become durable, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from daemon.journal.reader import Batch, JournalReader
from daemon.journal.tail import JournalTail, follow
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import EVENT_TYPES
from tools.output import UsageError


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
    names = {record.__name__ for record in EVENT_TYPES}
    wanted = set(arguments.type or ())
    if wanted - names:
        raise UsageError(
            f"--type {', '.join(sorted(wanted - names))}: no such event",
            hint=f"one of {', '.join(sorted(names))}",
        )
    directory = arguments.data / "journal"
    first = JournalReader(directory).last_seq + 1 if arguments.first is None else arguments.first
    tail = JournalTail(directory, first)
    try:
        for batch in follow(tail):
            _print(batch, wanted, as_json=arguments.json)
    except KeyboardInterrupt:
        pass
    finally:
        tail.close()
    return 0


def _print(batch: Batch, wanted: set[str], *, as_json: bool) -> None:
    lines = [
        line_of(seq, event, as_json=as_json)
        for seq, event in enumerate(batch.events, batch.first_seq)
        if not wanted or type(event).__name__ in wanted
    ]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def line_of(seq: int, event: AnyEvent, *, as_json: bool) -> str:
    """Return an event as one line, for people or as JSON."""
    if isinstance(event, UnknownEvent):
        name, fields = "Unknown", {"fields": event.fields}
    else:
        name = type(event).__name__
        fields = {key: _plain(value) for key, value in msgspec.structs.asdict(event).items()}
    if as_json:
        return msgspec.json.encode({"seq": seq, "type": name, **fields}).decode()
    text = " ".join(f"{key}={value}" for key, value in fields.items() if key not in {"version", "ts_ns"})
    return f"{seq} {event.ts_ns} {name} {text}"


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value
