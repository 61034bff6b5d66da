"""Kraken's downloadable history: time and sales (`XBTUSD.csv`) and OHLCVT (`XBTUSD_60.csv`).

Formats: https://support.kraken.com/articles/360047543791 (time, price, volume) and
https://support.kraken.com/articles/360047124832 (time, open, high, low, close, volume, trades; minutes in
the name). No header; times are seconds, with a fraction in newer files. Pairs get the names that the
feed has for them: XBT/USD.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from daemon.venue.feeds.parsing import Listing
from daemon.venue.feeds.vendor_rows import VendorFile, checked_ns, put_bar, put_trade
from schemas.decimals import scaled
from schemas.events import Event

VENUE = "kraken"
TRADES, OHLCVT = "kraken-trades", "kraken-ohlcvt"
FORMATS = (TRADES, OHLCVT)
_WIDTHS = {TRADES: 3, OHLCVT: 7}
_NAME = re.compile(r"([A-Z0-9.]{5,20})(?:_([0-9]{1,5}))?\.(?:csv|csv\.gz)")
_TRADE = re.compile(r"[0-9]{10}(?:\.[0-9]+)?,[0-9.]+,[0-9.]+")
_BAR = re.compile(r"[0-9]{10}(?:,[0-9.]+){5},[0-9]+")
_KRAKEN_ONLY = re.compile(r"XBT|XDG")
_QUOTES = (
    "PYUSD", "USDT", "USDC", "USDQ", "USDR", "EURT", "EURQ", "EURR", "USD", "EUR", "GBP", "JPY", "CAD", "AUD",
    "CHF", "AED", "XBT", "ETH", "DAI", "DOT",
)  # fmt: skip
"""Currencies that pairs end in, longer names before those that they end in themselves."""
_MINUTE_NS = 60_000_000_000


def recognise(path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None.

    Other vendors have files of the same three columns, so Kraken must be named: by a folder or file, or
    by a currency that only Kraken writes so.
    """
    found = describe(path, member, first_line)
    named = "kraken" in f"{path}/{member}".lower()
    if found is None or not (named or _KRAKEN_ONLY.search(found.symbol)):
        return None
    return found


def describe(path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file would be if it were Kraken's, or None."""
    named = _NAME.fullmatch(member.rpartition("/")[2] or path.rpartition("/")[2])
    symbol = "" if named is None else pair(named[1])
    if _TRADE.fullmatch(first_line) and (named is None or named[2] is None):
        return VendorFile(TRADES, symbol, VENUE, width=_WIDTHS[TRADES])
    if named is not None and named[2] and int(named[2]) and _BAR.fullmatch(first_line):
        return VendorFile(OHLCVT, symbol, VENUE, int(named[2]) * _MINUTE_NS, _WIDTHS[OHLCVT])
    return None


def pair(name: str) -> str:
    """Return `XBT/USD` for `XBTUSD`; the name itself where nothing shows where it is to be cut."""
    for quote in _QUOTES:
        if name.endswith(quote) and name != quote:
            return f"{name.removesuffix(quote)}/{quote}"
    return name


class TradeRows:
    """`time, price, volume`; the side is not told."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        put_trade(
            self._listing,
            out,
            ts_ns=checked_ns(scaled(cells[0], 9), cells[0]),
            price=cells[1],
            quantity=cells[2],
        )


class BarRows:
    """`time, open, high, low, close, volume, trades`; the time is the start."""

    def __init__(self, listing: Listing, interval_ns: int) -> None:
        self._listing = listing
        self._interval_ns = interval_ns

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        put_bar(
            self._listing,
            out,
            start_ns=checked_ns(scaled(cells[0], 9), cells[0]),
            interval_ns=self._interval_ns,
            prices=cells[1:5],
            volume=cells[5],
        )
