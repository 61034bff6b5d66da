"""Places in a journal as people write them: a sequence number, a time, or a day."""

from __future__ import annotations

import argparse
import re
from typing import NamedTuple

from daemon.journal.reader import JournalReader
from daemon.venue.feeds.clock_text import NS, IsoTimes
from daemon.venue.feeds.parsing import RejectedError
from replay.at import seq_of

HELP = (
    "a sequence number, or a time such as 2024-08-08, 2024-08-08T23:54 or 2024-08-08T23:54:14.5+02:00"
    " (UTC where no zone is given)"
)
MAX_SEQ = 2**63 - 1
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(\.\d{1,9})?)?)?(?:Z|([+-])(\d\d):(\d\d))?", re.ASCII
)
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


class Point(NamedTuple):
    """One of both: an event by its number, or a time; `length_ns` is how much time the text covers."""

    seq: int | None = None
    ns: int | None = None
    length_ns: int = 1

    @property
    def end_ns(self) -> int | None:
        """The last nanosecond that the text covers: of a day its end."""
        return None if self.ns is None else self.ns + self.length_ns - 1

    def begin_in(self, journal: JournalReader) -> int:
        """Return the first event that is not before it; 1 where it names nothing."""
        return (self.seq or 1) if self.ns is None else seq_of(journal, self.ns - 1) + 1

    def end_in(self, journal: JournalReader) -> int:
        """Return the last event that it covers; the journal's last where it names nothing, or one beyond."""
        last_seq = journal.last_seq
        if self.end_ns is not None:
            return seq_of(journal, self.end_ns)
        return last_seq if self.seq is None else min(self.seq, last_seq)

    def behind_in(self, journal: JournalReader) -> int:
        """Return the event behind which it lies: of a time, the last one that it does not come before."""
        if self.ns is not None:
            return seq_of(journal, self.ns)
        assert self.seq is not None
        return self.seq


def point(text: str) -> Point:
    """Read a place, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return _read(text, least=1)


def past_point(text: str) -> Point:
    """Read a place to look back at, for argparse: 0 is that before all events.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    return _read(text, least=0)


def _read(text: str, *, least: int) -> Point:
    if text.isascii() and text.isdigit():
        if len(text) > len(str(MAX_SEQ)) or not least <= int(text) <= MAX_SEQ:
            raise argparse.ArgumentTypeError(f"{text}, expected {least} to {MAX_SEQ} or a time")
        return Point(seq=int(text))
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}, expected {HELP}")
    day, minute, second, fraction, sign, zone_hours, zone_minutes = found.groups()
    length_s = _DAY_S if minute is None else _MINUTE_S if second is None else 1
    try:
        ns = IsoTimes().parse(f"{day}T{minute or '00:00'}:{second or '00'}{fraction or ''}Z")
    except RejectedError:
        raise argparse.ArgumentTypeError(f"{text!r}: no such time; expected {HELP}") from None
    ahead_s = int(zone_hours or 0) * _HOUR_S + int(zone_minutes or 0) * _MINUTE_S
    ns -= (-ahead_s if sign == "-" else ahead_s) * NS
    return Point(ns=ns, length_ns=length_s * NS if fraction is None else 1)
