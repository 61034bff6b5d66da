"""What the rows of vendors' files share: cells to numbers, trades, quotes and bars; the loop over lines.

A vendor's own module says where things stand in its rows; checks that hold for any vendor are here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from daemon.venue.feeds.csv_cells import split_cells
from daemon.venue.feeds.parsing import (
    MAX_ID,
    MAX_TIME_NS,
    MIN_TIME_NS,
    PARSE_ERRORS,
    Listing,
    Listings,
    RejectedError,
    Tally,
    reason_of,
)
from schemas.errors import TapedError
from schemas.events import Bar, BarSide, Event, Quote, Side, Trade

MAX_INTERVAL_NS = 32 * 86_400 * 1_000_000_000
"""Bars of a month are the longest there are."""
_EPOCH_UNITS = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
"""Digits of a time since 1970 -> nanoseconds of its unit."""
_NUMBER = re.compile(r"[0-9]{1,18}")
_TEXT = re.compile(r"[\x21-\x7e]{1,64}")


class VendorError(TapedError):
    """A vendor's file that is not read, or does not tell what it is of."""


class VendorFile(NamedTuple):
    """What the name of a file, and its first lines, tell.

    Attributes:
        format: one of the formats of `daemon.venue.feeds.vendors`.
        symbol: of all rows; empty where the rows tell it.
        venue: where the file tells it, else empty.
        interval_ns: length of its bars, 0 where the rows tell it or there are none.
        width: cells of a row.
    """

    format: str
    symbol: str = ""
    venue: str = ""
    interval_ns: int = 0
    width: int = 0


class RowParser(Protocol):
    """Reads the rows of one kind of file."""

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """Append the events of one row.

        Raises:
            RejectedError: the row is damaged; nothing was appended.
            DecimalError: the same.
        """
        ...


class VendorLines:
    """Lines of one member of a vendor's file; a header in front is passed over.

    Args:
        rows: reads the rows.
        width: cells of a row.
        tally: where rejections go.
        source: name of the member for rejections.
        separator: between cells.
        is_header: whether the first line is one.
    """

    def __init__(
        self,
        rows: RowParser,
        *,
        width: int,
        tally: Tally,
        source: str = "",
        separator: str = ",",
        is_header: Callable[[str], bool] = lambda line: line[:1].isalpha(),
    ) -> None:
        self.tally = tally
        self._rows = rows
        self._width = width
        self._source = source
        self._separator = separator
        self._is_header = is_header

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """See `LineParser.parse_lines`."""
        row, width, separator = self._rows.row, self._width, self._separator
        for number, line in enumerate(lines, first_line):
            try:
                text = line.decode()
                if number == 1 and self._is_header(text.removeprefix("\ufeff")):
                    continue
                if not text.strip():
                    self.tally.skip("blank line")
                    continue
                cells = text.split(separator) if '"' not in text else split_cells(text, separator)
                if len(cells) != width:
                    raise RejectedError(f"{len(cells)} columns, expected {width}")
                row(cells, out)
            except PARSE_ERRORS as error:
                self.tally.reject(number, reason_of(error), self._source)


class OtherLines:
    """Lines of a member that is not of the kind that the first one is: rejected, once.

    Args:
        tally: where that is told.
        source: name of the member.
    """

    def __init__(self, tally: Tally, source: str) -> None:
        self.tally = tally
        self._source = source
        self._told = False

    def parse_lines(self, lines: Sequence[bytes], first_line: int, _out: list[Event]) -> None:
        """See `LineParser.parse_lines`."""
        if not self._told:
            self._told = True
            self.tally.reject(first_line, "the name of this file does not tell what it is of", self._source)
        self.tally.skip("line of a file of another kind", len(lines))


def epoch_ns(text: str, *, digits: Sequence[int] = (13, 16)) -> int:
    """Return the nanoseconds of a time since 1970 whose unit its length tells.

    Args:
        text: the time.
        digits: lengths that are allowed: 10 for s, 13 for ms, 16 for µs, 19 for ns.

    Raises:
        RejectedError: it is not one.
    """
    if len(text) in digits and _NUMBER.fullmatch(text):
        return checked_ns(int(text) * _EPOCH_UNITS[len(text)], text)
    raise RejectedError(f"{text[:48]!r} is not a time of {' or '.join(map(str, digits))} digits")


def checked_ns(ns: int, text: str) -> int:
    """Return a time if it lies in our days.

    Raises:
        RejectedError: it does not.
    """
    if MIN_TIME_NS <= ns <= MAX_TIME_NS:
        return ns
    raise RejectedError(f"time {text[:48]} lies outside 1990 to 2100")


def number(text: str, what: str) -> int:
    """Return a cell of plain digits.

    Raises:
        RejectedError: it is none.
    """
    if _NUMBER.fullmatch(text):
        return int(text)
    raise RejectedError(f"{what} {text[:48]!r} is not a number")


def trade_id_of(text: str) -> int | str | None:
    """Return a vendor's trade id: a number where it is one, none where the cell is empty.

    Raises:
        RejectedError: it is longer than 64 characters, or not printable.
    """
    if not text:
        return None
    # With zeros in front it would not come back as it was.
    if _NUMBER.fullmatch(text) and (text == "0" or text[0] != "0"):
        return int(text)
    if _TEXT.fullmatch(text):
        return text
    raise RejectedError(f"trade id {text[:72]!r} is not printable text of up to 64 characters")


def put_trade(  # noqa: PLR0913 - what a trade is made of
    listing: Listing,
    out: list[Event],
    *,
    ts_ns: int,
    price: str,
    quantity: str,
    received_ns: int | None = None,
    aggressor: Side = Side.NONE,
    trade_id: int | str | None = None,
    gapless: bool = False,
) -> None:
    """Append a trade; a number that its id leaves out is told as a gap where ids are `gapless`.

    Raises:
        RejectedError: price or quantity is zero, or the id was seen or goes back.
        DecimalError: a number is none.
    """
    scaled_price, scaled_quantity = listing.prices[price], listing.quantities[quantity]
    if not scaled_price or not scaled_quantity:
        raise RejectedError(f"price {price} and quantity {quantity} of a trade must be above zero")
    numbered = gapless and isinstance(trade_id, int) and trade_id <= MAX_ID
    if numbered:
        assert isinstance(trade_id, int)
        listing.check_order(trade_id)
    instrument_id = listing.instrument_id or listing.define(out, ts_ns)
    if numbered:
        assert isinstance(trade_id, int)
        gap = listing.gap_before(trade_id, ts_ns)
        if gap is not None:
            out.append(gap)
        listing.follow(trade_id, ts_ns)
    out.append(
        Trade(
            ts_ns=ts_ns,
            received_ns=ts_ns if received_ns is None else received_ns,
            instrument_id=instrument_id,
            price=scaled_price,
            quantity=scaled_quantity,
            aggressor=aggressor,
            trade_id=trade_id,
        )
    )


def put_quote(
    listing: Listing,
    out: list[Event],
    *,
    ts_ns: int,
    bid: tuple[str, str],
    ask: tuple[str, str],
    received_ns: int | None = None,
) -> None:
    """Append a quote; each side is `(price, quantity)`, empty where it was not told.

    Raises:
        RejectedError: no side has a price, or a price is zero.
        DecimalError: a number is none.
    """
    bid_price, ask_price = (listing.prices[price] if price else None for price, _ in (bid, ask))
    if (bid_price is None and ask_price is None) or 0 in (bid_price, ask_price):
        raise RejectedError("a quote needs a bid or an ask above zero")
    bid_quantity, ask_quantity = (
        listing.quantities[quantity] if price and quantity else None for price, quantity in (bid, ask)
    )
    out.append(
        Quote(
            ts_ns=ts_ns,
            received_ns=ts_ns if received_ns is None else received_ns,
            instrument_id=listing.instrument_id or listing.define(out, ts_ns),
            bid_price=bid_price,
            bid_quantity=bid_quantity,
            ask_price=ask_price,
            ask_quantity=ask_quantity,
        )
    )


def put_bar(
    listing: Listing,
    out: list[Event],
    *,
    start_ns: int,
    interval_ns: int,
    prices: Sequence[str],
    volume: str | None,
    side: BarSide = BarSide.TRADE,
) -> None:
    """Append a bar of `prices` (open, high, low, close), known to us when it ends.

    Raises:
        RejectedError: the interval is none, or the prices are none of a bar.
        DecimalError: a number is none.
    """
    if not 0 < interval_ns <= MAX_INTERVAL_NS:
        raise RejectedError(f"a bar of {interval_ns} ns")
    opened, high, low, close = (listing.prices[price] for price in prices)
    if not 0 < low <= min(opened, close) <= max(opened, close) <= high:
        raise RejectedError(
            f"open {prices[0]}, high {prices[1]}, low {prices[2]}, close {prices[3]}: no bar has them"
        )
    traded = None if volume is None else listing.quantities[volume]
    end_ns = start_ns + interval_ns
    out.append(
        Bar(
            ts_ns=end_ns,
            received_ns=end_ns,
            instrument_id=listing.instrument_id or listing.define(out, end_ns),
            interval_ns=interval_ns,
            side=side,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=traded,
        )
    )


class ByVenue:
    """Listings of files whose rows name their venue."""

    MAX_VENUES = 256

    def __init__(self, make: Callable[[str], Listings], only: str | None) -> None:
        self._make = make
        self._only = only
        self._venues: dict[str, Listings] = {}

    def get(self, venue: str, symbol: str) -> Listing:
        """Return the listing of a row's instrument.

        Raises:
            RejectedError: the venue is no name, or one too many.
            InstrumentError: the symbol cannot be an instrument.
        """
        name = self._only or venue
        found = self._venues.get(name)
        if found is None:
            if not _TEXT.fullmatch(name) or len(self._venues) >= self.MAX_VENUES:
                raise RejectedError(f"{name[:72]!r} is not a venue")
            found = self._venues[name] = self._make(name)
        return found.get(symbol)
