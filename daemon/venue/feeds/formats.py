"""Which format a file is in, and its ticks, a block at a time.

Puts sources, parsers and the registry together. What becomes of the events is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from daemon.venue.feeds import binance, coinbase, histdata, kraken, kraken_history, taped_tables, vendors
from daemon.venue.feeds.columns import PRESETS, ColumnMap, ColumnsParser, parse_mapping, preset_of
from daemon.venue.feeds.instruments import VENUE_DEFAULTS, InstrumentDefaults, InstrumentRegistry
from daemon.venue.feeds.lean import LeanFile, LeanParser, lean_defaults, lean_file, lean_symbol
from daemon.venue.feeds.parsing import LineParser, Listings, MessageParser, Tally
from daemon.venue.feeds.recordings import RawLines, SessionJson, SessionText
from daemon.venue.feeds.sources import Source, SourceError
from daemon.venue.feeds.table_files import TableFile, is_table_file
from daemon.venue.feeds.taped_tables import Definitions, beside
from daemon.venue.feeds.vendor_rows import ByVenue, OtherLines, VendorFile, VendorLines
from schemas.errors import TapedError
from schemas.events import Event

FORMATS = (
    "binance-raw",
    "binance-usdm-raw",
    "session-binance",
    "session-coinbase",
    "session-kraken",
    "lean-equity",
    "lean-forex",
    "lean-future",
    *vendors.FORMATS,
    "csv",
)
_RAW = re.compile(rb"\d{16}(\d{3})? \{")
_SESSION = re.compile(rb"\d{9,10}\.\d+: |configuration: |\S+ <-> \d")
_USDM_MARKS = (b'"pu":', b'"X":"', b'"e":"bookTicker"')
_VENUE_MARKS = (
    ("binance", (b"binance.com", b'{"stream":', b'"BINANCE"')),
    ("coinbase", (b"coinbase.com", b'\\"channel\\":', b'"COINBASE"')),
    ("kraken", (b"kraken.com", b'"systemStatus"', b'"KRAKEN"')),
)
_TERMS = ("price_scale", "quantity_scale", "base_currency", "quote_currency", "multiplier")
"""What the operator may say of new instruments."""
_LEAN_MEMBER = re.compile(
    r"(?:^|/)(\d{8})_([A-Za-z0-9.]+)_(?:(trade|quote)_tick|tick_(trade|quote))", re.IGNORECASE
)


class FormatError(TapedError):
    """The format of a file cannot be told, or what it leaves open was not given."""


class OptionError(FormatError):
    """What a file leaves open was not given, or what was given does not fit the file."""


class ReadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of a file; None: told from the file.

    `columns` is a mapping as `parse_mapping` reads it.
    """

    format: str | None = None
    symbol: str | None = None
    venue: str | None = None
    price_scale: int | None = None
    quantity_scale: int | None = None
    base_currency: str | None = None
    quote_currency: str | None = None
    multiplier: int | None = None
    columns: str | None = None

    def over(self, defaults: InstrumentDefaults) -> InstrumentDefaults:
        """Return the defaults with what was given in their place."""
        given = {field: value for field in _TERMS if (value := getattr(self, field)) is not None}
        return msgspec.structs.replace(defaults, **given)


class TickFile:
    """A file of recorded ticks, opened.

    Args:
        path: plain, gzip, zip, Parquet or Arrow.
        registry: where symbols get their ids.
        options: what the operator says of it.

    Attributes:
        format: one of `FORMATS`.
        tally: what was skipped and rejected so far.
        source: for progress: `source.position` of `source.total_bytes`.
        reading: all that decides, beside the content, which ticks come out: given, told from the file, or
            usual. Equal readings of equal content give equal ticks.

    Raises:
        FormatError: the format cannot be told.
        OptionError: symbol, venue or columns are missing.
        ColumnError: the columns cannot be used with this file.
        SourceError: the file cannot be read.
    """

    def __init__(self, path: Path, registry: InstrumentRegistry, options: ReadOptions | None = None) -> None:
        self.path = path
        self.tally = Tally()
        self._registry = registry
        self._options = options or ReadOptions()
        self.reading: dict[str, str | int] = {}
        self.source = _open(path)
        try:
            self._member, self._head = self.source.head()
            self.format = self._detect()
            self._new_parser = self._parser_maker()
            # Made once in advance: what is missing shows before the first event is written.
            self._first = self._new_parser(self._member)
            if isinstance(self._first, ColumnsParser) and len(self._head) > 1:
                self._first.find_columns(self._head[0])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.source.__exit__()

    def batches(self) -> Iterator[list[Event]]:
        """Yield the file's events in order, some thousands at a time.

        A file that is cut or damaged ends with a rejection that says so.
        """
        member, parser, line = self._member, self._first, 0
        try:
            for block in self.source.blocks(self.tally):
                if block.member != member:
                    member, parser = block.member, self._new_parser(block.member)
                events: list[Event] = []
                line = block.first_line + len(block.lines)
                parser.parse_lines(block.lines, block.first_line, events)
                if events:
                    yield events
        except SourceError as error:
            self.tally.reject(line, error.problem, member)

    def _detect(self) -> str:
        if self._options.format is not None:
            if self._options.format not in FORMATS:
                raise FormatError(f"format {self._options.format!r}", hint=f"known: {', '.join(FORMATS)}")
            return self._options.format
        if self._options.columns is not None:
            return "csv"
        lean = lean_file(str(self.path.absolute()))
        if lean is not None:
            lean_defaults(lean, multiplier=self._options.multiplier)
            return f"lean-{lean.asset}"
        first = next((line for line in self._head if line.strip()), b"")
        recorded = self._recorded(first)
        if recorded is not None:
            return recorded
        vendor = vendors.recognise(*self._told())
        if vendor is not None:
            return vendor.format
        if preset_of(first) is not None:
            return "csv"
        like = kraken_history.describe(*self._told())
        raise FormatError(
            f"{self.path}: its format cannot be told from its name and first lines",
            hint=f"if it is Kraken's, give --format {like.format}"
            if like is not None
            else f"give --format (known: {', '.join(FORMATS)}) or, for CSV, --columns",
        )

    def _recorded(self, first: bytes) -> str | None:
        """Return the format of a recording of messages, or None."""
        text = b"\n".join(self._head)
        if _RAW.match(first):
            return "binance-usdm-raw" if any(mark in text for mark in _USDM_MARKS) else "binance-raw"
        if first.startswith(b'{"t":"header"') or _SESSION.match(first):
            for venue, marks in _VENUE_MARKS:
                if any(mark in text for mark in marks):
                    return f"session-{venue}"
        return None

    def _told(self) -> tuple[str, str, str]:
        """Return what tells a vendor's file: its path, the member's name, the first line."""
        first = next((line for line in self._head if line.strip()), b"")
        text = first.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").strip("\r")
        return self.path.absolute().as_posix(), self._member, text

    def _parser_maker(self) -> Callable[[str], LineParser]:
        if self.format == "csv":
            return self._csv_parsers()
        if self.format.startswith("lean-"):
            return self._lean_parsers(self._lean_file())
        if self.format in vendors.FORMATS:
            return self._vendor_parsers()
        messages = self._message_parser()
        outer = RawLines if self.format.endswith("-raw") else self._session()
        return lambda member: outer(messages, self.tally, member)

    def _session(self) -> type[SessionText | SessionJson]:
        first = next((line for line in self._head if line.strip()), b"")
        return SessionJson if first.startswith(b"{") else SessionText

    def _message_parser(self) -> MessageParser:
        kind = self.format.removesuffix("-raw").removeprefix("session-")
        venue = self._options.venue or kind
        defaults = self._options.over(VENUE_DEFAULTS[kind])
        symbol = self._options.symbol
        self._note_reading(venue, defaults, symbol=symbol)
        if kind == coinbase.VENUE:
            return coinbase.CoinbaseParser(
                self._registry, self.tally, venue=venue, defaults=defaults, symbol=symbol
            )
        if kind == kraken.VENUE:
            return kraken.KrakenParser(
                self._registry, self.tally, venue=venue, defaults=defaults, symbol=symbol
            )
        return binance.BinanceParser(
            self._registry,
            self.tally,
            venue=venue,
            futures=kind == binance.USDM,
            defaults=defaults,
            symbol=symbol,
        )

    def _note_reading(self, venue: str, defaults: InstrumentDefaults, **more: str | None) -> None:
        found: dict[str, str | int | None] = {
            "format": self.format,
            "venue": venue,
            **{name: getattr(defaults, name) for name in _TERMS},
            **more,
        }
        self.reading = {name: value for name, value in found.items() if value is not None}

    def _lean_parsers(self, file: LeanFile) -> Callable[[str], LineParser]:
        symbol = self._options.symbol
        venue = self._options.venue or file.market
        defaults = self._options.over(lean_defaults(file, multiplier=self._options.multiplier))
        usual = file.symbol.upper() + ("-YYYYMM" if file.asset == "future" else "")
        self._note_reading(
            venue, defaults, symbol=symbol or usual, market=file.market, day=str(file.day), kind=file.kind
        )
        listings = Listings(self._registry, venue, defaults)
        return lambda member: LeanParser(
            file, listings, symbol or lean_symbol(file, member), self.tally, member
        )

    def _lean_file(self) -> LeanFile:
        found = lean_file(str(self.path.absolute()))
        if found is not None:
            return found
        inside = _LEAN_MEMBER.search(self._member or self.path.name)
        if inside is None or self._options.venue is None:
            raise OptionError(
                f"{self.path} lies outside LEAN's folders",
                hint="give --venue (usa, fxcm, comex, ...) and the name YYYYMMDD_SYMBOL_tick_KIND.csv inside",
            )
        try:
            day = datetime.strptime(inside[1], "%Y%m%d").date()  # noqa: DTZ007 - a calendar day of the exchange
        except ValueError:
            raise FormatError(f"{self.path}: {inside[1]} in the name inside is not a day") from None
        kind = (inside[3] or inside[4]).lower()
        return LeanFile(
            self.format.removeprefix("lean-"), self._options.venue, "tick", inside[2].lower(), day, kind
        )

    def _vendor_parsers(self) -> Callable[[str], LineParser]:
        path, member, first = self._told()
        file = vendors.describe(self.format, path, member, first)
        if file is None:
            raise FormatError(f"{self.path}: its name and first line are not those of {self.format}")
        if self.format in vendors.NAMED_BY_ROWS:
            return self._parsers_by_venue(file, first)
        venue = self._options.venue or file.venue
        if not venue:
            raise OptionError(
                f"{self.path}: nothing says which market of Binance these are of",
                hint="give --venue binance or --venue binance-usdm",
            )
        defaults = self._options.over(vendors.defaults_of(file, venue))
        symbol = self._options.symbol
        if not (symbol or file.symbol):
            raise OptionError(f"{self.path}: its name does not tell the symbol", hint="give --symbol")
        self._note_reading(venue, defaults, symbol=symbol or file.symbol)

        def parser(inside: str) -> LineParser:
            # Each member may be of a symbol of its own, and begins with ids of its own.
            of = file if inside == member else vendors.describe(self.format, path, inside, first)
            if of is None or not (symbol or of.symbol):
                return OtherLines(self.tally, inside)
            listing = Listings(self._registry, venue, defaults).get(symbol or of.symbol)
            return VendorLines(
                vendors.rows_of(of, listing),
                width=of.width,
                tally=self.tally,
                source=inside,
                separator=";" if self.format == histdata.BARS else ",",
            )

        return parser

    def _parsers_by_venue(self, file: VendorFile, header: str) -> Callable[[str], LineParser]:
        venue, symbol = self._options.venue, self._options.symbol
        known = self._definitions() if file.format in taped_tables.FORMATS else None
        usual = self._options.over(vendors.defaults_of(file, venue or ""))
        self._note_reading(
            venue or "as told", usual, symbol=symbol, instruments=None if known is None else known.sha256
        )

        def listings(name: str) -> Listings:
            defaults = self._options.over(vendors.defaults_of(file, name))
            if known is None:
                return Listings(self._registry, name, defaults, symbol)
            return Listings(self._registry, name, defaults, symbol, partial(known.get, venue=name))

        def parser(inside: str) -> LineParser:
            rows = vendors.rows_by_venue(file, ByVenue(listings, venue), header)
            return VendorLines(rows, width=file.width, tally=self.tally, source=inside)

        return parser

    def _definitions(self) -> Definitions | None:
        """Return the table of instruments beside this one, where there is one."""
        path = beside(self.path)
        if path is None:
            return None
        with _open(path) as source:
            tally = Tally()
            lines = (line for block in source.blocks(tally) for line in block.lines)
            return Definitions(lines, str(path))

    def _csv_parsers(self) -> Callable[[str], LineParser]:
        mapping = self._csv_mapping()
        venue = self._options.venue or mapping.venue
        if not venue:
            raise OptionError(
                f"{self.path}: nothing says which venue these ticks are of", hint="give --venue"
            )
        symbol = self._options.symbol
        defaults = self._options.over(VENUE_DEFAULTS.get(venue, InstrumentDefaults()))
        columns = ",".join(sorted(f"{field}={column}" for field, column in mapping.columns.items()))
        only = ",".join(sorted(f"{column}={value}" for column, value in mapping.only.items()))
        self._note_reading(venue, defaults, symbol=symbol, columns=columns, only=only or None)

        def parser(member: str) -> LineParser:
            # Ids begin anew with each member, so its listings do.
            listings = Listings(self._registry, venue, defaults, symbol)
            return ColumnsParser(mapping, listings, self.tally, symbol=symbol, source=member)

        return parser

    def _csv_mapping(self) -> ColumnMap:
        if self._options.columns is not None:
            return parse_mapping(self._options.columns)
        preset = preset_of(self._head[0]) if self._head else None
        if preset is None:
            raise OptionError(f"{self.path}: a CSV header that is not known", hint="give --columns")
        return PRESETS[preset][1]


def _open(path: Path) -> Source | TableFile:
    return TableFile(path) if is_table_file(path) else Source(path)
