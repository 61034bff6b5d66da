"""HistData.com's generic ASCII files: ticks and bars of one minute, both of quotes.

Format: https://www.histdata.com/f-a-q/data-files-detailed-specification/

    ticks   20120201 000003660,1.306600,1.306770,0                       time with ms, bid, ask, volume
    bars    20120201 000000;1.306600;1.306600;1.306560;1.306560;0        start, O, H, L, C of the bid, volume

Times are Eastern Standard Time all year, without daylight saving (UTC-5). The volume is always 0: none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from daemon.venue.feeds.parsing import Listing, RejectedError
from daemon.venue.feeds.vendor_rows import VendorFile, checked_ns, put_bar, put_quote
from schemas.events import BarSide, Event

VENUE = "histdata"
TICKS, BARS = "histdata-ticks", "histdata-bars"
FORMATS = (TICKS, BARS)
ZONE = "Etc/GMT+5"
_NAME = re.compile(r"(?:DAT|HISTDATA_COM)_ASCII_([A-Z0-9]{4,12})_(?:M1|T)", re.IGNORECASE)
_TICK = re.compile(r"[0-9]{8} [0-9]{9},[0-9.]+,[0-9.]+,[0-9.]+")
_BAR = re.compile(r"[0-9]{8} [0-9]{6}(?:;[0-9.]+){5}")
_TIME = re.compile(r"([0-9]{8}) ([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{3})?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEHIND_UTC_S = 5 * 3_600
_MINUTE_NS = 60_000_000_000
_MEMO_DAYS = 64


def recognise(path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None."""
    kind = TICKS if _TICK.fullmatch(first_line) else BARS if _BAR.fullmatch(first_line) else None
    if kind is None:
        return None
    named = _NAME.search(member) or _NAME.search(path.rpartition("/")[2])
    symbol = "" if named is None else named[1].upper()
    if kind == BARS:
        return VendorFile(kind, symbol, VENUE, _MINUTE_NS, width=6)
    return VendorFile(kind, symbol, VENUE, width=4)


class Clock:
    """Times of the files; remembers the days it saw last."""

    def __init__(self) -> None:
        self._days: dict[str, int] = {}

    def ns(self, text: str) -> int:
        """Return the nanoseconds of `20120201 000003660`.

        Raises:
            RejectedError: it is no time.
        """
        found = _TIME.fullmatch(text)
        if found is None:
            raise RejectedError(f"{text[:48]!r} is not a time as 20120201 000003660")
        day, hours, minutes, seconds, milliseconds = found.groups()
        if int(hours) > 23 or int(minutes) > 59 or int(seconds) > 59:  # noqa: PLR2004 - of a clock
            raise RejectedError(f"{text[:48]!r} is no time of a day")
        midnight = self._days.get(day)
        if midnight is None:
            midnight = self._remember(day)
        second = midnight + int(hours) * 3_600 + int(minutes) * 60 + int(seconds) + _BEHIND_UTC_S
        return checked_ns(second * 1_000_000_000 + int(milliseconds or 0) * 1_000_000, text)

    def _remember(self, day: str) -> int:
        try:
            moment = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            raise RejectedError(f"{day} is no day") from None
        if len(self._days) >= _MEMO_DAYS:
            self._days.clear()
        self._days[day] = (moment - _EPOCH) // timedelta(seconds=1)
        return self._days[day]


class TickRows:
    """`time, bid, ask, volume`."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._clock = Clock()

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        put_quote(self._listing, out, ts_ns=self._clock.ns(cells[0]), bid=(cells[1], ""), ask=(cells[2], ""))


class BarRows:
    """`start; open; high; low; close; volume` of the bid."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._clock = Clock()

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        put_bar(
            self._listing,
            out,
            start_ns=self._clock.ns(cells[0]),
            interval_ns=_MINUTE_NS,
            prices=cells[1:5],
            volume=None,
            side=BarSide.BID,
        )
