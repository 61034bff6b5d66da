"""Market events of a journal as rows, a batch at a time, with the definitions in force at each event.

Holds one definition for each instrument and nothing of the past.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from replay.export.tables import DECIMALS
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.events import Bar, BarSide, InstrumentDefined, Quote, Side, Trade

Row = tuple[Any, ...]
AGGRESSORS = {side: side.name.lower() for side in Side}
BAR_SIDES = {side: side.name.lower() for side in BarSide}
_INT64 = 1 << 63
_PRICED = frozenset({Trade, Quote, Bar})
_NO_QUOTE = (None, None, None, None)
_NO_TRADE = (None, None, None, None, None)


class ExportError(TapedError):
    """An export cannot be made as asked for."""


class Terms(NamedTuple):
    """What a row needs of its instrument: factors take its scaled integers to 18 decimals."""

    symbol: str
    venue: str
    price_factor: int
    quantity_factor: int

    @classmethod
    def of(cls, defined: InstrumentDefined) -> Terms:
        """Return the terms of a definition."""
        return cls(
            defined.symbol,
            defined.venue,
            10 ** (DECIMALS - defined.price_scale),
            10 ** (DECIMALS - defined.quantity_scale),
        )


class Span(NamedTuple):
    """Which events are wanted: by sequence number and by the venue's time, ends included; None: open."""

    first_seq: int = 1
    last_seq: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def has(self, ts_ns: int) -> bool:
        """Return whether a time lies in it."""
        return (self.from_ns is None or ts_ns >= self.from_ns) and (self.to_ns is None or ts_ns <= self.to_ns)


class Market:
    """The instruments of a journal while it is read.

    Args:
        wanted: `SYMBOL` or `SYMBOL@VENUE`; none means all.
        span: times that are wanted; numbers are the caller's affair.
        find: gives the definition of an instrument that the events do not define, or None.

    Attributes:
        definitions: of the instruments that were met and wanted, by id.
    """

    def __init__(
        self, wanted: Sequence[str], span: Span, find: Callable[[int], InstrumentDefined | None]
    ) -> None:
        self.definitions: dict[int, InstrumentDefined] = {}
        self._wanted = tuple(wanted)
        self._span = span
        self._timed = span.from_ns is not None or span.to_ns is not None
        self._find = find
        self._terms: dict[int, Terms | None] = {}

    def define(self, defined: InstrumentDefined) -> None:
        """Take a definition; it holds for the rows from here on."""
        name = f"{defined.symbol}@{defined.venue}"
        if self._wanted and name not in self._wanted and defined.symbol not in self._wanted:
            self._terms[defined.instrument_id] = None
            return
        self.definitions[defined.instrument_id] = defined
        self._terms[defined.instrument_id] = Terms.of(defined)

    def select(self, first_seq: int, events: Sequence[AnyEvent]) -> list[tuple[int, Any, Terms]]:
        """Return the ticks and bars that are wanted, numbered and with their instrument's terms.

        Events must come in order, and definitions between them go to `define` first: a caller cuts
        there.

        Raises:
            ExportError: nothing defines the instrument of an event.
        """
        terms_of, timed, span = self._terms, self._timed, self._span
        selected: list[tuple[int, Any, Terms]] = []
        for seq, event in enumerate(events, first_seq):
            if type(event) in _PRICED:
                instrument_id = event.instrument_id  # type: ignore[union-attr]
                if instrument_id not in terms_of:
                    self._look_up(instrument_id, seq)
                terms = terms_of[instrument_id]
                if terms is not None and not (timed and not span.has(event.ts_ns)):
                    selected.append((seq, event, terms))
        return selected

    def _look_up(self, instrument_id: int, seq: int) -> None:
        defined = self._find(instrument_id)
        if defined is None:
            raise ExportError(f"seq {seq}: nothing before it defines instrument {instrument_id}")
        self.define(defined)

    def missing(self) -> list[str]:
        """Return what was asked for and never met."""
        met = {item.symbol for item in self.definitions.values()}
        met |= {f"{item.symbol}@{item.venue}" for item in self.definitions.values()}
        return [name for name in self._wanted if name not in met]


Selected = Iterable[tuple[int, Any, Terms]]


def trade_rows(selected: Selected) -> list[Row]:
    """Return the rows of the table `trades`."""
    return [
        (seq, e.ts_ns, e.received_ns, terms.symbol, terms.venue, *_trade(e, terms), e.conditions, e.exchange)
        for seq, e, terms in selected
        if type(e) is Trade
    ]


def quote_rows(selected: Selected) -> list[Row]:
    """Return the rows of the table `quotes`."""
    return [
        (seq, e.ts_ns, e.received_ns, terms.symbol, terms.venue, *_quote(e, terms), e.conditions, e.exchange)
        for seq, e, terms in selected
        if type(e) is Quote
    ]


def tick_rows(selected: Selected) -> list[Row]:
    """Return the rows of the table `ticks`."""
    rows: list[Row] = []
    for seq, e, terms in selected:
        head = (seq, e.ts_ns, e.received_ns, terms.symbol, terms.venue)
        if type(e) is Trade:
            rows.append((*head, "trade", *_trade(e, terms), *_NO_QUOTE, e.conditions, e.exchange))
        elif type(e) is Quote:
            rows.append((*head, "quote", *_NO_TRADE, *_quote(e, terms), e.conditions, e.exchange))
    return rows


def received_bar_rows(selected: Selected) -> list[Row]:
    """Return the rows of the table `bars_received`."""
    return [
        (
            seq, e.ts_ns, e.received_ns, terms.symbol, terms.venue, e.interval_ns, BAR_SIDES[e.side],
            *(price * terms.price_factor for price in (e.open, e.high, e.low, e.close)),
            None if e.volume is None else e.volume * terms.quantity_factor,
        )
        for seq, e, terms in selected
        if type(e) is Bar
    ]  # fmt: skip


def instrument_rows(definitions: Iterable[InstrumentDefined]) -> list[Row]:
    """Return the rows of the table `instruments`."""
    return [
        (
            item.instrument_id, item.ts_ns, item.symbol, item.venue, item.asset_class.name.lower(),
            item.base_currency, item.quote_currency, item.price_scale, item.quantity_scale,
            item.tick_size, item.lot_size, item.multiplier, item.session_zone,
        )
        for item in definitions
    ]  # fmt: skip


def _trade(event: Trade, terms: Terms) -> Row:
    trade_id = event.trade_id
    number = type(trade_id) is int and -_INT64 <= trade_id < _INT64
    return (
        event.price * terms.price_factor,
        event.quantity * terms.quantity_factor,
        AGGRESSORS[event.aggressor],
        trade_id if number else None,
        None if number or trade_id is None else str(trade_id),
    )


def _quote(event: Quote, terms: Terms) -> Row:
    prices, quantities = terms.price_factor, terms.quantity_factor
    bid, bid_quantity = event.bid_price, event.bid_quantity
    ask, ask_quantity = event.ask_price, event.ask_quantity
    return (
        None if bid is None else bid * prices,
        None if bid_quantity is None else bid_quantity * quantities,
        None if ask is None else ask * prices,
        None if ask_quantity is None else ask_quantity * quantities,
    )
