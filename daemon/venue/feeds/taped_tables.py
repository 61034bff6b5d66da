"""Tables that `taped replay export` wrote, read back to the events they were made of.

`ticks` holds trades and quotes in their order; `trades`, `quotes` and `bars_received` hold one kind. The
definitions of new instruments come from the table `instruments` beside the file, where it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from daemon.venue.feeds.clock_text import IsoTimes
from daemon.venue.feeds.csv_cells import split_cells
from daemon.venue.feeds.instruments import InstrumentDefaults
from daemon.venue.feeds.parsing import MAX_ID, Listing, RejectedError
from daemon.venue.feeds.vendor_rows import ByVenue, VendorError, VendorFile, checked_ns, number
from schemas.events import AssetClass, Bar, BarSide, Event, Quote, Side, Trade

TICKS, BARS = "taped-ticks", "taped-bars"
FORMATS = (TICKS, BARS)
INSTRUMENTS = "instruments"
_HEAD = ("seq", "ts", "received", "symbol", "venue")
_TRADE = ("price", "quantity", "aggressor", "trade_id", "trade_id_text")
_QUOTE = ("bid_price", "bid_quantity", "ask_price", "ask_quantity")
_TAIL = ("conditions", "exchange")
_BAR = ("interval_ns", "side", "open", "high", "low", "close", "volume")
_TABLES = {
    (*_HEAD, "kind", *_TRADE, *_QUOTE, *_TAIL): TICKS,
    (*_HEAD, *_TRADE, *_TAIL): TICKS,
    (*_HEAD, *_QUOTE, *_TAIL): TICKS,
    (*_HEAD, *_BAR): BARS,
}
_TERMS = ("price_scale", "quantity_scale", "tick_size", "lot_size", "multiplier")
_DEFINED = (
    "instrument_id", "defined", "symbol", "venue", "asset_class", "base_currency", "quote_currency", *_TERMS,
    "session_zone",
)  # fmt: skip
_AGGRESSORS = {side.name.lower(): side for side in Side}
_BAR_SIDES = {side.name.lower(): side for side in BarSide}
_CLASSES = {kind.name.lower(): kind for kind in AssetClass}
MAX_INSTRUMENT_LINES = 100_001
_Named = TypeVar("_Named")


def recognise(_path: str, _member: str, first_line: str) -> VendorFile | None:
    """Return what a file is, or None."""
    columns = tuple(first_line.split(","))
    kind = _TABLES.get(columns)
    return None if kind is None else VendorFile(kind, width=len(columns))


def beside(path: Path) -> Path | None:
    """Return the table of instruments that belongs to a table, or None."""
    found = path.with_name(f"{INSTRUMENTS}{path.suffix}")
    return found if found.is_file() else None


class Definitions:
    """The table of instruments beside another one.

    Args:
        lines: of the table, its header first.
        name: of the file, for errors.

    Attributes:
        sha256: of its content.

    Raises:
        VendorError: it is none.
    """

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        digest = hashlib.sha256()
        self._defaults: dict[tuple[str, str], InstrumentDefaults] = {}
        for place, line in enumerate(lines):
            digest.update(line + b"\n")
            try:
                cells = split_cells(line.decode())
                if place:
                    self._add(dict(zip(_DEFINED, cells, strict=True)))
            except (RejectedError, ValueError, KeyError) as error:
                raise _no_definitions(name, place, str(error)) from error
            if not place and tuple(cells) != _DEFINED:
                raise _no_definitions(name, place, "its columns are others")
            if place >= MAX_INSTRUMENT_LINES:
                raise _no_definitions(name, place, f"over {MAX_INSTRUMENT_LINES - 1} instruments")
        self.sha256 = digest.hexdigest()

    def _add(self, row: Mapping[str, str]) -> None:
        self._defaults[row["symbol"], row["venue"]] = InstrumentDefaults(
            asset_class=_CLASSES[row["asset_class"]],
            base_currency=row["base_currency"],
            quote_currency=row["quote_currency"],
            session_zone=row["session_zone"],
            **{name: number(row[name], name) for name in _TERMS},
        )

    def get(self, symbol: str, venue: str) -> InstrumentDefaults | None:
        """Return what an instrument was defined with."""
        return self._defaults.get((symbol, venue))


def _no_definitions(name: str, place: int, reason: str) -> VendorError:
    return VendorError(
        f"{name}, line {place + 1}: no table of instruments as taped writes it: {reason}",
        hint="move it away, and say with flags what it would tell",
    )


class TableRows:
    """Rows of a table of ticks or received bars.

    Args:
        header: the first line.
        listings: by venue.
    """

    def __init__(self, header: str, listings: ByVenue) -> None:
        self._columns = tuple(header.split(","))
        self._listings = listings
        self._times = IsoTimes()
        self._kind = "" if "kind" in self._columns else "trade" if "aggressor" in self._columns else "quote"

    def row(self, cells: Sequence[str], out: list[Event]) -> None:
        """See `RowParser.row`."""
        row = dict(zip(self._columns, cells, strict=True))
        ts_ns = checked_ns(self._times.parse(row["ts"]), row["ts"])
        received_ns = checked_ns(self._times.parse(row["received"]), row["received"])
        listing = self._listings.get(row["venue"], row["symbol"])
        if "interval_ns" in row:
            self._bar(listing, row, ts_ns, received_ns, out)
            return
        kind = self._kind or row["kind"]
        if kind == "trade":
            self._trade(listing, row, ts_ns, received_ns, out)
        elif kind == "quote":
            self._quote(listing, row, ts_ns, received_ns, out)
        else:
            raise RejectedError(f"kind {kind[:48]!r}, expected trade or quote")

    @staticmethod
    def _trade(
        listing: Listing, row: Mapping[str, str], ts_ns: int, received_ns: int, out: list[Event]
    ) -> None:
        price, quantity = listing.prices[row["price"]], listing.quantities[row["quantity"]]
        aggressor = _named(_AGGRESSORS, row["aggressor"], "aggressor")
        trade_id = _trade_id(row)
        conditions = number(row["conditions"], "conditions")
        out.append(
            Trade(
                ts_ns=ts_ns,
                received_ns=received_ns,
                instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                price=price,
                quantity=quantity,
                aggressor=aggressor,
                trade_id=trade_id,
                conditions=conditions,
                exchange=row["exchange"],
            )
        )

    @staticmethod
    def _quote(
        listing: Listing, row: Mapping[str, str], ts_ns: int, received_ns: int, out: list[Event]
    ) -> None:
        prices, quantities = listing.prices, listing.quantities
        bid, bid_quantity, ask, ask_quantity = (row[name] for name in _QUOTE)
        sides = (
            prices[bid] if bid else None,
            quantities[bid_quantity] if bid_quantity else None,
            prices[ask] if ask else None,
            quantities[ask_quantity] if ask_quantity else None,
        )
        conditions = number(row["conditions"], "conditions")
        out.append(
            Quote(
                ts_ns=ts_ns,
                received_ns=received_ns,
                instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                bid_price=sides[0],
                bid_quantity=sides[1],
                ask_price=sides[2],
                ask_quantity=sides[3],
                conditions=conditions,
                exchange=row["exchange"],
            )
        )

    @staticmethod
    def _bar(
        listing: Listing, row: Mapping[str, str], ts_ns: int, received_ns: int, out: list[Event]
    ) -> None:
        interval_ns = number(row["interval_ns"], "interval_ns")
        side = _named(_BAR_SIDES, row["side"], "side")
        opened, high, low, close = (listing.prices[row[name]] for name in ("open", "high", "low", "close"))
        volume = listing.quantities[row["volume"]] if row["volume"] else None
        out.append(
            Bar(
                ts_ns=ts_ns,
                received_ns=received_ns,
                instrument_id=listing.instrument_id or listing.define(out, ts_ns),
                interval_ns=interval_ns,
                side=side,
                open=opened,
                high=high,
                low=low,
                close=close,
                volume=volume,
            )
        )


def _trade_id(row: Mapping[str, str]) -> int | str | None:
    """Return the id from the column that holds it."""
    digits = row["trade_id"]
    if not digits:
        return row["trade_id_text"] or None
    # Nineteen digits are those of the largest 64-bit integer.
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAX_ID)) and int(digits) <= MAX_ID:
        return int(digits)
    raise RejectedError(f"trade_id {digits[:48]!r} is not a number of 64 bits")


def _named(names: Mapping[str, _Named], text: str, what: str) -> _Named:
    found = names.get(text)
    if found is None:
        raise RejectedError(f"{what} {text[:48]!r}, expected one of {', '.join(names)}")
    return found
