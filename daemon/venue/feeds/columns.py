"""Plain CSV with a column mapping to trades and quotes, with presets for known headers.

A mapping names, for each part of a tick, the column it stands in: by its header, or by its number
from 1 where the file has no header. Times may carry a unit: `ts=TransactionTime@us`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from daemon.venue.feeds.clock_text import IsoTimes
from daemon.venue.feeds.csv_cells import split_cells
from daemon.venue.feeds.parsing import (
    MAX_TIME_NS,
    MIN_TIME_NS,
    PARSE_ERRORS,
    Listing,
    Listings,
    RejectedError,
    Tally,
    check_clocks,
    reason_of,
)
from schemas.decimals import scaled
from schemas.errors import TapedError
from schemas.events import Event, Quote, Side, Trade

FIELDS = (
    "ts", "received", "symbol", "price", "quantity", "side", "buyer_is_maker", "trade_id",
    "bid", "bid_quantity", "ask", "ask_quantity", "exchange",
)  # fmt: skip
_TIMES = ("ts", "received")
_UNITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Unit of a time column -> decimals to nanoseconds."""
_UNIT_OF_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_SIDES = {"buy": Side.BUY, "b": Side.BUY, "sell": Side.SELL, "s": Side.SELL, "": Side.NONE, "none": Side.NONE}
_MAKER = {"1": Side.SELL, "true": Side.SELL, "0": Side.BUY, "false": Side.BUY}
"""Whether the buyer was the maker -> side of the taker."""
_MAX_ID_DIGITS = 18
_MAX_TEXT = 64


class ColumnError(TapedError):
    """A column mapping cannot be used with this file."""


class ColumnMap(NamedTuple):
    """Where the parts of a tick stand.

    Attributes:
        columns: part -> header text or 1-based number, with `@unit` for a time.
        venue: of the ticks, or empty: the caller says.
        only: header -> value that a row must hold there to be a tick; others are skipped.
    """

    columns: Mapping[str, str]
    venue: str = ""
    only: Mapping[str, str] = {}


_TRADE_STREAM_HEADER = (
    "TimestampOfReceive,Stream,EventType,EventTime,TransactionTime,Symbol,TradeId,Price,Quantity,"
    "IsBuyerMarketMaker,MUnknownParameter"
)
PRESETS: Mapping[str, tuple[str, ColumnMap]] = {
    "binance-trade-stream": (
        _TRADE_STREAM_HEADER,
        ColumnMap(
            {
                "ts": "TransactionTime@us",
                "received": "TimestampOfReceive@us",
                "symbol": "Symbol",
                "trade_id": "TradeId",
                "price": "Price",
                "quantity": "Quantity",
                "buyer_is_maker": "IsBuyerMarketMaker",
            },
            venue="binance",
            only={"EventType": "trade"},
        ),
    ),
}
"""Name -> (header line, mapping)."""


def preset_of(header: bytes) -> str | None:
    """Return the preset whose header line this is."""
    text = header.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip()
    return next((name for name, (line, _) in PRESETS.items() if line == text), None)


def parse_mapping(text: str) -> ColumnMap:
    """Read `ts=time@ms,price=p,quantity=q`.

    Raises:
        ColumnError: it does not say where time and price stand, or names an unknown part or unit.
    """
    columns: dict[str, str] = {}
    for item in text.split(","):
        field, _, column = item.strip().partition("=")
        if field not in FIELDS or not column or field in columns:
            raise ColumnError(
                f"column mapping {item.strip()!r}", hint=f"PART=COLUMN; parts: {', '.join(FIELDS)}"
            )
        name, _, unit = column.rpartition("@")
        if name and field in _TIMES and unit not in (*_UNITS, "iso"):
            raise ColumnError(f"unknown unit of time {unit!r}", hint=f"known: {', '.join(_UNITS)}, iso")
        columns[field] = column
    if "ts" not in columns or not ("price" in columns or "bid" in columns or "ask" in columns):
        raise ColumnError("the column mapping names no ts, or none of price, bid, ask")
    if "price" in columns and "quantity" not in columns:
        raise ColumnError("the column mapping names a price but no quantity")
    return ColumnMap(columns)


class ColumnsParser:
    """Lines of a CSV file.

    Args:
        mapping: where the parts of a tick stand.
        listings: of the venue.
        tally: where rejections go.
        symbol: of all rows, where no column holds it.
        source: name of the member for rejections.
    """

    def __init__(
        self, mapping: ColumnMap, listings: Listings, tally: Tally, *, symbol: str | None, source: str = ""
    ) -> None:
        self.tally = tally
        self._mapping = mapping
        self._listings = listings
        self._symbol = symbol
        self._source = source
        self._times = IsoTimes()
        self._begun = False
        self._width = 0
        self._at: dict[str, int] = {}
        self._only: list[tuple[int, str]] = []
        self._units: dict[str, str] = {}
        self._has_header = not all(_is_number(_column_and_unit(*item)[0]) for item in mapping.columns.items())
        if symbol is None and "symbol" not in mapping.columns:
            raise ColumnError(
                "no column holds the symbol", hint="give --symbol, or symbol=COLUMN in --columns"
            )

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """See `LineParser.parse_lines`; the first line is the header where columns have names.

        Raises:
            ColumnError: the header lacks a column of the mapping.
        """
        for number, line in enumerate(lines, first_line):
            if not self._begun:
                self._begun = True
                self.find_columns(line)
                if self._has_header:
                    continue
            try:
                self._parse_line(line, out)
            except PARSE_ERRORS as error:
                self.tally.reject(number, reason_of(error), self._source)

    def find_columns(self, line: bytes) -> None:
        """Find where things stand by the file's first line; it is parsed all the same.

        Raises:
            ColumnError: the line lacks a column of the mapping, or is no text.
        """
        try:
            names = _split(line.removeprefix(b"\xef\xbb\xbf"))
        except PARSE_ERRORS as error:
            raise ColumnError(f"the first line: {reason_of(error)}") from error
        self._width = len(names)
        for field, column in self._mapping.columns.items():
            name, unit = _column_and_unit(field, column)
            if unit:
                self._units[field] = unit
            place = self._place(name, names)
            if not 0 <= place < self._width:
                raise ColumnError(
                    f"no column {name!r} for {field}", hint=f"there are: {', '.join(names)[:300]}"
                )
            self._at[field] = place
        self._only = [(names.index(name), value) for name, value in self._mapping.only.items()]

    def _place(self, name: str, names: list[str]) -> int:
        if not self._has_header:
            return int(name) - 1
        return names.index(name) if name in names else -1

    def _parse_line(self, line: bytes, out: list[Event]) -> None:
        if not line.strip():
            self.tally.skip("blank line")
            return
        row = _split(line)
        if len(row) != self._width:
            raise RejectedError(f"{len(row)} columns, expected {self._width}")
        for place, value in self._only:
            if row[place] != value:
                self.tally.skip(f"{row[place]} row")
                return
        fields = {field: row[place] for field, place in self._at.items()}
        ts_ns = self._time("ts", fields["ts"])
        received_ns = self._time("received", fields["received"]) if "received" in fields else ts_ns
        check_clocks(received_ns, ts_ns)
        listing = self._listings.get(fields.get("symbol", self._symbol or ""))
        if "price" in fields:
            self._trade(listing, fields, ts_ns, received_ns, out)
        else:
            self._quote(listing, fields, ts_ns, received_ns, out)

    def _time(self, field: str, text: str) -> int:
        unit = self._units.get(field)
        if unit is None:
            unit = _UNIT_OF_DIGITS.get(len(text.partition(".")[0])) if text[:5].isdigit() else "iso"
        if unit == "iso":
            return self._times.parse(text if text.endswith("Z") else f"{text.removesuffix('+00:00')}Z")
        if unit is None:
            raise RejectedError(f"{field} {text[:48]!r} is not a time in s, ms, µs, ns or ISO 8601")
        ns = scaled(text, _UNITS[unit])
        if not MIN_TIME_NS <= ns <= MAX_TIME_NS:
            raise RejectedError(f"{field} {text[:48]} {unit} lies outside 1990 to 2100{_other_unit(text)}")
        return ns

    def _trade(
        self, listing: Listing, fields: dict[str, str], ts_ns: int, received_ns: int, out: list[Event]
    ) -> None:
        price, quantity = listing.prices[fields["price"]], listing.quantities[fields["quantity"]]
        if not price or not quantity:
            raise RejectedError(
                f"price {fields['price']} and quantity {fields['quantity']} must be above zero"
            )
        aggressor = _aggressor(fields)
        id_text = fields.get("trade_id") or None
        if len(id_text or "") > _MAX_TEXT or len(fields.get("exchange", "")) > _MAX_TEXT:
            raise RejectedError(f"trade id or exchange longer than {_MAX_TEXT} characters")
        trade_id = int(id_text) if id_text is not None and _is_number(id_text) else id_text
        if isinstance(trade_id, int):
            listing.check_order(trade_id)
        instrument_id = listing.instrument_id or listing.define(out, ts_ns)
        if isinstance(trade_id, int):
            listing.follow(trade_id, ts_ns)
        out.append(
            Trade(
                ts_ns=ts_ns,
                received_ns=received_ns,
                instrument_id=instrument_id,
                price=price,
                quantity=quantity,
                aggressor=aggressor,
                trade_id=trade_id,
                exchange=fields.get("exchange", ""),
            )
        )

    def _quote(
        self, listing: Listing, fields: dict[str, str], ts_ns: int, received_ns: int, out: list[Event]
    ) -> None:
        prices = [listing.prices[fields[side]] if fields.get(side) else None for side in ("bid", "ask")]
        quantities = [
            listing.quantities[fields[side]] if fields.get(side) else None
            for side in ("bid_quantity", "ask_quantity")
        ]
        if prices == [None, None] or 0 in prices:
            raise RejectedError("a quote needs a bid or an ask above zero")
        out.append(
            Quote(
                ts_ns=ts_ns,
                received_ns=received_ns,
                instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                bid_price=prices[0],
                bid_quantity=None if prices[0] is None else quantities[0],
                ask_price=prices[1],
                ask_quantity=None if prices[1] is None else quantities[1],
                exchange=fields.get("exchange", ""),
            )
        )


def _aggressor(fields: dict[str, str]) -> Side:
    for field, meanings in (("side", _SIDES), ("buyer_is_maker", _MAKER)):
        if field in fields:
            side = meanings.get(fields[field].lower())
            if side is None:
                raise RejectedError(f"{field} {fields[field][:48]!r}, expected one of {', '.join(meanings)}")
            return side
    return Side.NONE


def _other_unit(text: str) -> str:
    """Return a question that names the unit in which the number would be a time of our days."""
    whole = text.partition(".")[0]
    if len(whole) > _MAX_ID_DIGITS + 1 or not whole.isdigit():
        return ""
    fitting = [u for u, scale in _UNITS.items() if MIN_TIME_NS <= int(whole) * 10**scale <= MAX_TIME_NS]
    return f"; is it @{fitting[0]}?" if fitting else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS


def _column_and_unit(field: str, column: str) -> tuple[str, str]:
    name, mark, unit = column.rpartition("@")
    return (name, unit) if mark and field in _TIMES else (column, "")


def _split(line: bytes) -> list[str]:
    return split_cells(line.decode().rstrip("\r"))
