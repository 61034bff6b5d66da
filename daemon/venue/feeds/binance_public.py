"""Binance's public archive (data.binance.vision): trades, aggregate trades, klines and book tickers.

Columns as listed at https://github.com/binance/binance-public-data, by place; a header line is there or not.
Times are milliseconds, in spot files from 2025 on microseconds. The name tells the symbol
(`BTCUSDT-trades-2024-08-08.zip`), the number of columns, a header or the folder the market. COIN-M
contracts are not read: they are worth a fixed sum of the quote currency, which no multiplier says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from daemon.venue.feeds.parsing import Listing, RejectedError
from daemon.venue.feeds.vendor_rows import (
    RowParser,
    VendorError,
    VendorFile,
    epoch_ns,
    number,
    put_bar,
    put_quote,
    put_trade,
)
from schemas.events import Event, Side

SPOT, USDM = "binance", "binance-usdm"
_NAME = re.compile(
    r"([A-Z0-9_]{2,40})-(trades|aggTrades|bookTicker|(?:[0-9]{1,2}(?:s|m|h|d|w|mo)))-"
    r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?\.(?:csv|zip|csv\.gz)"
)
_INVERSE = re.compile(r"[A-Z0-9]+USD_(?:PERP|[0-9]{6})")
_KINDS = {"trades": "binance-trades", "aggTrades": "binance-aggtrades", "bookTicker": "binance-bookticker"}
_WIDTHS = {
    "binance-trades": {7: SPOT, 6: USDM},
    "binance-aggtrades": {8: SPOT, 7: USDM},
    "binance-bookticker": {7: USDM},
    "binance-klines": {12: ""},
}
"""Format -> cells of a row -> market; klines look alike everywhere."""
FORMATS = tuple(_WIDTHS)
_HEADERS = {
    "id,price,qty,": "binance-trades",
    "agg_trade_id,price,": "binance-aggtrades",
    "update_id,best_bid_price,": "binance-bookticker",
    "open_time,open,high,low,close,volume,close_time,": "binance-klines",
}
_NO_PRICES = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
_MAKER = {"true": Side.SELL, "false": Side.BUY}
"""Whether the buyer was the maker -> side of the taker."""


def recognise(path: str, member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None for what is not of the archive.

    Raises:
        VendorError: a file of the archive that is not read.
    """
    name = member.rpartition("/")[2] or path.rpartition("/")[2]
    named = _NAME.fullmatch(name)
    by_header = next((kind for start, kind in _HEADERS.items() if first_line.startswith(start)), None)
    if named is None and by_header is None:
        return None
    kind = by_header or _KINDS.get(named[2] if named else "", "binance-klines")
    symbol = named[1] if named else ""
    width = first_line.count(",") + 1
    if width not in _WIDTHS[kind]:
        return None
    if any(part in path for part in _NO_PRICES):
        raise VendorError(f"{path}: mark, index and premium prices are no prices of trades, and are not read")
    if _INVERSE.fullmatch(symbol) or "/cm/" in path:
        raise VendorError(f"{path}: COIN-M contracts are inverse, and are not read")
    return VendorFile(kind, symbol, _market(path, kind, width, headed=by_header is not None), width=width)


def _market(path: str, kind: str, width: int, *, headed: bool) -> str:
    by_width = _WIDTHS[kind][width]
    if by_width:
        return by_width
    if "/spot/" in path:
        return SPOT
    # Files of spot klines have no header; those of futures had none either in former years.
    return USDM if headed or "/um/" in path else ""


class TradeRows:
    """`id, price, quantity, quote quantity, time, buyer is maker`, and whether it was the best price."""

    _TIME, _MAKER_AT = 4, 5

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        aggressor = _MAKER.get(cells[self._MAKER_AT].lower())
        if aggressor is None:
            raise RejectedError(f"buyer is maker {cells[self._MAKER_AT][:48]!r}, expected true or false")
        put_trade(
            self._listing,
            out,
            ts_ns=epoch_ns(cells[self._TIME]),
            price=cells[1],
            quantity=cells[2],
            aggressor=aggressor,
            trade_id=number(cells[0], "trade id"),
            gapless=True,
        )


class AggregateRows(TradeRows):
    """`id, price, quantity, first trade, last trade, time, buyer is maker`, and the best price."""

    _TIME, _MAKER_AT = 5, 6


class BookRows:
    """`update id, bid, quantity, ask, quantity, transaction time, event time`; the transaction counts."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        put_quote(
            self._listing,
            out,
            ts_ns=epoch_ns(cells[5]),
            bid=(cells[1], cells[2]),
            ask=(cells[3], cells[4]),
        )


class KlineRows:
    """`open time, open, high, low, close, volume, close time, ...`; the close time is still in it."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        start_ns, last_ns = epoch_ns(cells[0]), epoch_ns(cells[6])
        unit_ns = 1_000_000 if len(cells[0]) == len("1735689600000") else 1_000
        put_bar(
            self._listing,
            out,
            start_ns=start_ns,
            interval_ns=last_ns - start_ns + unit_ns,
            prices=cells[1:5],
            volume=cells[5],
        )


ROWS: Mapping[str, Callable[[Listing], RowParser]] = {
    "binance-trades": TradeRows,
    "binance-aggtrades": AggregateRows,
    "binance-bookticker": BookRows,
    "binance-klines": KlineRows,
}
