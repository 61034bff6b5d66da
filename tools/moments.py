"""Places in a journal as they are typed: sequence numbers and times."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime

from daemon.journal.reader import JournalReader
from replay.at import seq_of

EXPECTED = "a sequence number, or a time such as 2026-11-24T12:00 (UTC where no zone is given)"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class AtNs(int):
    """A time in nanoseconds, to be told from a sequence number."""

    __slots__ = ()


def moment(text: str) -> int:
    """Return a sequence number, or an `AtNs`; for argument parsers."""
    if text.isascii() and text.isdigit():
        return int(text)
    at = _time(text)
    if at is None:
        raise argparse.ArgumentTypeError(f"{text!r}, expected {EXPECTED}")
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    whole = at - datetime(1970, 1, 1, tzinfo=UTC)
    return AtNs((whole.days * 86_400 + whole.seconds) * 10**9 + whole.microseconds * 1_000)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if _DATE.match(text) else None
    except ValueError:
        return None


def seq_of_moment(journal: JournalReader, at: int) -> int:
    """Return the event that a moment is: the last one of a time."""
    return seq_of(journal, at) if isinstance(at, AtNs) else at
