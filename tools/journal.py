"""`taped journal`: looks into a journal, also while a daemon writes it. What changes one is elsewhere."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.listing import beginning, lengths, list_journal
from daemon.journal.lock import holder
from daemon.journal.reader import JournalReader, open_segment, seal_of
from daemon.journal.segment import SegmentName
from daemon.journal.verify import Verification, verify
from daemon.journal.written import DAY_NS, Written, written
from daemon.readmodel.watermark import projected_seq
from tools import independent, journal_archive, journal_repair, journal_slice, journal_tail
from tools.beginning import begin_at
from tools.event_text import print_events, time_text, wanted_types
from tools.output import UsageError, print_json, print_table, progress

MAX_DAYS = 14
"""Days that `stat` shows people; JSON has all."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "journal",
        help="look into a journal, check it, cut it, mend it",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    stat = actions.add_parser("stat", help="segments, sequence numbers, and bytes written per day")
    stat.set_defaults(run=_stat)
    check = actions.add_parser("verify", help="read every byte and check every checksum, link and hash")
    check.add_argument(
        "--independent", action="store_true", help="also read with a second reader and compare event by event"
    )
    check.set_defaults(run=_verify)
    dump = actions.add_parser("dump", help="print events, one a line")
    dump.add_argument(
        "--from", dest="first", type=int, default=1, metavar="SEQ", help="first event (the oldest)"
    )
    dump.add_argument("--to", dest="last", type=int, metavar="SEQ", help="last event (the newest)")
    dump.add_argument("--type", action="append", metavar="NAME", help="only events of this type; repeatable")
    dump.set_defaults(run=_dump)
    for action in (stat, check, dump):
        action.add_argument("data", type=Path, metavar="DATA", help="data folder")
        action.add_argument("--json", action="store_true", help="print JSON")
    for module in (journal_tail, journal_slice, journal_repair, journal_archive):
        module.add(actions)


def _stat(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.data / "journal"
    reader = JournalReader(directory)
    rows = [_segment_row(directory, name) for name in list_journal(directory)]
    base = beginning(directory)
    days = written(directory)
    last_seq = reader.last_seq
    if not rows[-1]["sealed"]:
        rows[-1]["last_seq"] = last_seq
    summary = {
        "journal_id": reader.journal_id,
        "created_ns": reader.created_ns,
        "first_seq": rows[0]["first_seq"],
        "last_seq": last_seq,
        "bytes": sum(row["bytes"] for row in rows),
        "base_state_bytes": None if base is None else base.path.stat().st_size,
        "held_by_pid": holder(directory),
        "segments": rows,
        "days": [_day_row(day, found) for day, found in days.items()],
    }
    if arguments.json:
        print_json(summary)
        return 0
    print(f"journal {reader.journal_id}, made {time_text(reader.created_ns)}")
    held = f"held by process {summary['held_by_pid']}" if summary["held_by_pid"] else "held by nobody"
    print(f"events {summary['first_seq']:,} to {last_seq:,} in {len(rows)} segments, {held}")
    if base is not None:
        print(
            f"what came before is told by a base state of {summary['base_state_bytes']:,} bytes, "
            f"{base.path.name}"
        )
    columns = [
        "segment",
        "first_seq",
        "last_seq",
        "bytes",
        "sealed",
        "archived",
        "first_append",
        "last_append",
    ]
    print_table(columns, [[_cell(row, column) for column in columns] for row in rows])
    print("\nwritten to the disk, by day (UTC); zeros are filled ahead of need, their figure is an estimate")
    shown = summary["days"][-MAX_DAYS:]
    print_table(
        list(shown[0]),
        [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row.values()] for row in shown],
    )
    return 0


def _day_row(day: int, found: Written) -> dict[str, Any]:
    text = time_text(day * DAY_NS) or ""
    return {
        "day": text[:10],
        "frame_bytes": found.frame_bytes,
        "zero_bytes": found.zero_bytes,
        "bytes": found.bytes,
    }


def _segment_row(directory: Path, name: SegmentName) -> dict[str, Any]:
    with open_segment(directory, name) as reader:
        seal, length, archived = seal_of(reader), reader.file_bytes, isinstance(reader, ArchiveReader)
    row: dict[str, Any] = {
        "segment": name.number,
        "first_seq": name.first_seq,
        "bytes": length,
        "sealed": seal is not None,
        "archived": archived,
        "last_seq": None,
        "first_append_ns": None,
        "last_append_ns": None,
    }
    if seal is not None:
        row["last_seq"] = seal.next_seq - 1
        row["first_append_ns"] = seal.first_append_ns or None
        row["last_append_ns"] = seal.last_append_ns or None
    return row


def _cell(row: dict[str, Any], column: str) -> object:
    if column.endswith("_append"):
        return time_text(row[f"{column}_ns"])
    value = row[column]
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _verify(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.data / "journal"
    # Asked first: while a daemon runs, the read model goes on behind what is verified here.
    projected = projected_seq(arguments.data)
    total = sum(lengths(list_journal(directory)))
    started = time.perf_counter()
    with progress("Verifying", total=total, unit="bytes", show=not arguments.json) as advance:
        found = verify(directory, advance, processes=_processes(directory))
    if arguments.independent:
        found.problems += [f"independent reader: {problem}" for problem in independent.compare(directory)]
    if projected > found.last_seq:
        found.problems.append(
            f"readmodel.db holds events up to seq {projected:,}, the journal ends at {found.last_seq:,}: "
            "acknowledged events are missing"
        )
    seconds = time.perf_counter() - started
    if arguments.json:
        print_json(_verification(found, seconds))
    else:
        # The end of a journal that is written may be a frame on its way to the disk.
        _print_verification(found, seconds, live=holder(directory) is not None)
    return 0 if found.passed else 1


def _processes(directory: Path) -> int:
    """Return how many cores to check with: all of them, or half beside a daemon that needs them."""
    cores = len(os.sched_getaffinity(0))
    return cores if holder(directory) is None else max(1, cores // 2)


def _verification(found: Verification, seconds: float) -> dict[str, Any]:
    return {
        "passed": found.passed,
        "journal_id": found.journal_id,
        "segments": found.segments,
        "sealed": found.sealed,
        "frames": found.frames,
        "events": found.types,
        "first_seq": found.first_seq,
        "last_seq": found.last_seq,
        "bytes": found.bytes,
        "seconds": round(seconds, 3),
        "torn_bytes_at": found.torn_bytes_at,
        "gaps": [
            {"lost_from": gap.lost_from, "next_seq": gap.next_seq, "reason": gap.reason} for gap in found.gaps
        ],
        "problems": found.problems,
    }


def _print_verification(found: Verification, seconds: float, *, live: bool) -> None:
    rate = found.bytes / max(seconds, 1e-9) / 1e6
    print(
        f"journal {found.journal_id}: {found.events:,} events ({found.first_seq:,} to {found.last_seq:,}) in "
        f"{found.frames:,} frames of {found.segments} segments, {found.sealed} sealed; {rate:,.0f} MB/s"
    )
    if found.torn_bytes_at and not live:
        print(
            f"torn tail at {found.torn_bytes_at}: taken as never acknowledged; "
            "the next start cuts it and keeps a copy"
        )
    for gap in found.gaps:
        print(f"gap: events {gap.lost_from:,} to {gap.next_seq - 1:,} were given up ({gap.reason})")
    for problem in found.problems:
        print(f"DAMAGED {problem}")
    if found.passed:
        print("passed")
    else:
        print(
            f"FAILED, problems: {len(found.problems)}; restore a backup, "
            "or see with `taped journal repair` what going on without one would cost"
        )


def _dump(arguments: argparse.Namespace) -> int:
    wanted = wanted_types(arguments.type)
    if arguments.last is not None and arguments.last < arguments.first:
        raise UsageError(f"--from {arguments.first} --to {arguments.last}: ends before it begins")
    reader = JournalReader(arguments.data / "journal")
    first = begin_at(reader, arguments.first)
    if arguments.last is not None and arguments.last < first:
        raise UsageError(f"--to {arguments.last}: lies before the journal's first event, {first}")
    for batch in reader.batches(first, arguments.last):
        print_events(batch, wanted, as_json=arguments.json)
    return 0
