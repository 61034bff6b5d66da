"""Places in a journal as people write them: a sequence number, a time, or a day."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from daemon.venue.feeds.clock_text import IsoTimes
from daemon.venue.feeds.parsing import RejectedError

HELP = "a sequence number, or a time in UTC such as 2024-08-08, 2024-08-08T23:54 or 2024-08-08T23:54:14.5Z"
MAX_SEQ = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MINUTE_FORM, _SECOND_FORM = "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"


class Point(NamedTuple):
    """One of both: an event by its number, or a time; `length_ns` is how much time the text covers."""

    seq: int | None = None
    ns: int | None = None
    length_ns: int = 1

    @property
    def end_ns(self) -> int | None:
        """The last nanosecond that the text covers: of a day its end."""
        return None if self.ns is None else self.ns + self.length_ns - 1


def point(text: str) -> Point:
    """Read a place, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if text.isascii() and text.isdigit():
        if len(text) > len(str(MAX_SEQ)) or not 1 <= int(text) <= MAX_SEQ:
            raise argparse.ArgumentTypeError(f"{text}, expected 1 to {MAX_SEQ} or a time")
        return Point(seq=int(text))
    return _time(text.strip().replace(" ", "T").removesuffix("+00:00").removesuffix("Z"))


def _time(text: str) -> Point:
    for form, length_s in (("%Y-%m-%d", 86_400), (_MINUTE_FORM, 60), (_SECOND_FORM, 1)):
        try:
            moment = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return Point(ns=(moment - _EPOCH) // _MICROSECOND * 1_000, length_ns=length_s * 1_000_000_000)
    try:
        return Point(ns=IsoTimes().parse(f"{text}Z"))
    except RejectedError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a sequence number nor a time in UTC") from None
