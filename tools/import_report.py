"""What an import did: counts while it runs, then the summary for people and for programs."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from daemon.venue.feeds.formats import TickFile
from schemas.events import MARKET_EVENTS, Event, OperatorCommand
from tools.output import print_json, print_table
from tools.wording import counted, listed

MAX_REPORTED = 1_000
MAX_GROUPS = 20
_NOUNS = {
    "Trade": "trade",
    "Quote": "quote",
    "Bar": "bar",
    "InstrumentDefined": "instrument",
    "FeedGap": "feed gap",
    "FeedStatus": "feed report",
}
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.:TZ-]*")
"""What differs between rejections of one cause: quoted text, numbers, times."""


class Report:
    """What an import did, over all files."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.marks = 0
        self.skipped: Counter[str] = Counter()
        self.rejected: list[dict[str, Any]] = []
        self.rejected_count = 0
        self.files: list[dict[str, Any]] = []
        self.first_seq: int | None = None
        self.last_seq: int | None = None

    def wrote(self, first_seq: int, events: list[Event]) -> None:
        """Take note of a durable batch."""
        if self.first_seq is None:
            self.first_seq = first_seq
        self.last_seq = first_seq + len(events) - 1
        counts = Counter(map(type, events))
        self.events.update({kind.__name__: counts[kind] for kind in MARKET_EVENTS if kind in counts})
        self.marks += counts[OperatorCommand]

    def finished(self, file: TickFile, sha256: str, *, resumed: int, recorded: bool) -> None:
        """Take note of a file's end."""
        tally = file.tally
        self.skipped.update(tally.skipped)
        self.rejected_count += tally.rejected_count
        for line, reason, member in tally.rejections[: MAX_REPORTED - len(self.rejected)]:
            row: dict[str, Any] = {"line": line, "reason": reason, "file": str(file.path)}
            self.rejected.append({**row, "member": member} if member else row)
        self.files.append(
            {
                "file": str(file.path),
                "format": file.format,
                "sha256": sha256,
                "rejected_count": tally.rejected_count,
                "resumed_after": resumed,
                "recorded": recorded,
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the `--json` summary."""
        return {
            "events": dict(self.events),
            "rejected": self.rejected,
            "rejected_count": self.rejected_count,
            "skipped": dict(self.skipped),
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "files": self.files,
        }


def show(report: Report, *, as_json: bool) -> None:
    """Print the summary."""
    if as_json:
        print_json(report.as_dict())
        return
    if report.skipped:
        print_table(("skipped", "count"), [(kind, f"{count:,}") for kind, count in report.skipped.items()])
        print()
    if report.rejected_count:
        _show_rejected(report)
        print()
    for file in report.files:
        if not file["recorded"]:
            print(f"{file['file']}: no tick in it was accepted, so it does not count as imported")
    if report.first_seq is None or report.last_seq is None:
        print("the journal is as it was")
        return
    counts = ", ".join(counted(count, _NOUNS[name]) for name, count in _in_order(report.events))
    marks = counted(report.marks, "import mark")
    print(f"{counts or 'no new ticks'}; seq {report.first_seq:,} to {report.last_seq:,} ({marks})")


def _in_order(events: Counter[str]) -> list[tuple[str, int]]:
    return [(name, events[name]) for name in _NOUNS if events[name]]


def _show_rejected(report: Report) -> None:
    """Print what was rejected, lines of one cause together, with the words of the first."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in report.rejected:
        key = (row["file"], row.get("member", ""), _VALUES.sub("*", row["reason"]))
        groups.setdefault(key, []).append(row)
    print(f"{counted(report.rejected_count, 'line')} rejected:")
    for (file, member, _), rows in list(groups.items())[:MAX_GROUPS]:
        place = f"{file}, {member}" if member else file
        print(f"  {place}, {listed([row['line'] for row in rows], 'line')}: {rows[0]['reason']}")
    if len(groups) > MAX_GROUPS:
        print(f"  and {counted(len(groups) - MAX_GROUPS, 'other cause')} (--json lists them)")
    if report.rejected_count > len(report.rejected):
        print(f"  and {counted(report.rejected_count - len(report.rejected), 'line')} that were only counted")
