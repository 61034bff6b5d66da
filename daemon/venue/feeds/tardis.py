"""Tardis.dev's downloadable CSV: trades, and quotes (also called book_ticker).

Columns: https://docs.tardis.dev/downloadable-csv-files. Times are microseconds; `local_timestamp` is when
Tardis received the message, and becomes `received_ns`. The rows name exchange and symbol.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from daemon.venue.feeds.parsing import RejectedError, check_clocks
from daemon.venue.feeds.vendor_rows import ByVenue, VendorFile, epoch_ns, put_quote, put_trade, trade_id_of
from schemas.events import Event, Side

TRADES, QUOTES = "tardis-trades", "tardis-quotes"
FORMATS = (TRADES, QUOTES)
_HEADERS = {
    "exchange,symbol,timestamp,local_timestamp,id,side,price,amount": TRADES,
    "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount": QUOTES,
}
WIDTH = 8
_SIDES = {"buy": Side.BUY, "sell": Side.SELL, "unknown": Side.NONE, "": Side.NONE}
_EXPONENT = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?e[+-]?[0-9]{1,2}")


def recognise(_path: str, _member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None."""
    kind = _HEADERS.get(first_line)
    return None if kind is None else VendorFile(kind, width=WIDTH)


def plain(text: str) -> str:
    """Return a number without the exponent that small ones have: 0.0000001 for 1e-7."""
    return format(Decimal(text), "f") if _EXPONENT.fullmatch(text) else text


class _Rows:
    def __init__(self, listings: ByVenue) -> None:
        self._listings = listings

    @staticmethod
    def _times(cells: Sequence[str]) -> tuple[int, int]:
        ts_ns, received_ns = epoch_ns(cells[2], digits=(16,)), epoch_ns(cells[3], digits=(16,))
        check_clocks(received_ns, ts_ns)
        return ts_ns, received_ns


class TradeRows(_Rows):
    """`exchange, symbol, timestamp, local_timestamp, id, side, price, amount`; the side is the taker's."""

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        ts_ns, received_ns = self._times(cells)
        aggressor = _SIDES.get(cells[5])
        if aggressor is None:
            raise RejectedError(f"side {cells[5][:48]!r}, expected buy, sell or unknown")
        put_trade(
            self._listings.get(cells[0], cells[1]),
            out,
            ts_ns=ts_ns,
            received_ns=received_ns,
            price=plain(cells[6]),
            quantity=plain(cells[7]),
            aggressor=aggressor,
            trade_id=trade_id_of(cells[4]),
        )


class QuoteRows(_Rows):
    """`..., ask_amount, ask_price, bid_price, bid_amount`; a side that is empty was not there."""

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        ts_ns, received_ns = self._times(cells)
        put_quote(
            self._listings.get(cells[0], cells[1]),
            out,
            ts_ns=ts_ns,
            received_ns=received_ns,
            bid=(plain(cells[6]), plain(cells[7])),
            ask=(plain(cells[5]), plain(cells[4])),
        )
