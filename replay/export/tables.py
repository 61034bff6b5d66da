"""What an export holds: its tables, their columns, and what each column is. Knows no file format.

Prices, quantities and money travel as integers at 18 decimals until a sink writes them: each scale that
an instrument can have fits into that without loss.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

DECIMALS = 18
"""Of every price, quantity and amount of money in an export."""


class Kind(Enum):
    """What a column holds; how that looks in a format is its sink's affair."""

    INTEGER = "64-bit integer"
    DECIMAL = "decimal with 18 places"
    TIME = "nanoseconds since 1970 UTC"
    TEXT = "text"
    FLAG = "true or false"
    NUMBER = "double"


class Column(NamedTuple):
    """One column; `doc` says what it means beyond its name."""

    name: str
    kind: Kind
    doc: str


class Table(NamedTuple):
    """One table of an export, a file of its own."""

    name: str
    doc: str
    columns: tuple[Column, ...]


_SEQ = Column("seq", Kind.INTEGER, "sequence number of the event in the journal")
_TS = Column("ts", Kind.TIME, "the venue's time")
_RECEIVED = Column("received", Kind.TIME, "our time")
_SYMBOL = Column("symbol", Kind.TEXT, "of the instrument")
_VENUE = Column("venue", Kind.TEXT, "of the instrument")
_CONDITIONS = Column(
    "conditions", Kind.INTEGER, "the vendor's flags; bit 32 is set when the vendor doubts it"
)
_EXCHANGE = Column("exchange", Kind.TEXT, "where it happened, as the vendor says")
_TRADE = (
    Column("price", Kind.DECIMAL, "of the trade"),
    Column("quantity", Kind.DECIMAL, "of the trade"),
    Column("aggressor", Kind.TEXT, "side of the taker: buy, sell, none"),
    Column("trade_id", Kind.INTEGER, "the venue's id, where it is a number"),
    Column("trade_id_text", Kind.TEXT, "the venue's id, where it is none"),
)
_QUOTE = tuple(
    Column(f"{side}_{what}", Kind.DECIMAL, f"{what} of the {side}; empty where it was not told")
    for side in ("bid", "ask")
    for what in ("price", "quantity")
)
_SIDE_OF_BAR = Column("side", Kind.TEXT, "what it is made of: trade, bid, ask, mid")
_PRICES = tuple(
    Column(name, Kind.DECIMAL, doc)
    for name, doc in (
        ("open", "first price"),
        ("high", "highest price"),
        ("low", "lowest price"),
        ("close", "last price"),
    )
)
_SCALES = tuple(
    Column(name, Kind.INTEGER, doc)
    for name, doc in (
        ("price_scale", "decimals that a price can have"),
        ("quantity_scale", "decimals that a quantity can have"),
        ("tick_size", "step of prices, in units of the last decimal"),
        ("lot_size", "step of quantities, in units of the last decimal"),
        ("multiplier", "value of one price unit of one contract"),
    )
)

TRADES = Table(
    "trades", "trades on the market", (_SEQ, _TS, _RECEIVED, _SYMBOL, _VENUE, *_TRADE, _CONDITIONS, _EXCHANGE)
)
QUOTES = Table(
    "quotes", "top of book", (_SEQ, _TS, _RECEIVED, _SYMBOL, _VENUE, *_QUOTE, _CONDITIONS, _EXCHANGE)
)
TICKS = Table(
    "ticks",
    "trades and quotes together, in order of arrival; can be imported",
    (
        _SEQ, _TS, _RECEIVED, _SYMBOL, _VENUE, Column("kind", Kind.TEXT, "trade or quote"),
        *_TRADE, *_QUOTE, _CONDITIONS, _EXCHANGE,
    ),
)  # fmt: skip
BARS = Table(
    "bars",
    "bars made from all ticks of the range by the venue's time, whether doubted or not",
    (
        _SYMBOL,
        _VENUE,
        Column("interval", Kind.TEXT, "1s, 1min, 1h or 1day, aligned to UTC"),
        _SIDE_OF_BAR,
        Column("start", Kind.TIME, "where it begins"),
        *_PRICES,
        Column("volume", Kind.DECIMAL, "traded; empty for bid and ask"),
        Column("count", Kind.INTEGER, "ticks in it"),
    ),
)
BARS_RECEIVED = Table(
    "bars_received",
    "finished bars that came from outside",
    (
        _SEQ,
        Column("ts", Kind.TIME, "where it ends"),
        _RECEIVED,
        _SYMBOL,
        _VENUE,
        Column("interval_ns", Kind.INTEGER, "length in nanoseconds"),
        _SIDE_OF_BAR,
        *_PRICES,
        Column("volume", Kind.DECIMAL, "traded; empty where it was not told"),
    ),
)
ORDERS = Table(
    "orders",
    "orders that were requested in the range, as they are now",
    (
        Column("order_id", Kind.INTEGER, "seq of its request"),
        Column("requested", Kind.TIME, "when it was asked for"),
        Column("submitted", Kind.TIME, "when it left"),
        Column("accepted", Kind.TIME, "when the venue took it"),
        Column("closed", Kind.TIME, "when it ended"),
        _SYMBOL,
        _VENUE,
        Column("side", Kind.TEXT, "buy or sell"),
        Column("type", Kind.TEXT, "market, limit, stop, stop_limit, trailing_stop"),
        Column("quantity", Kind.DECIMAL, "in force, as the venue has it"),
        Column("price", Kind.DECIMAL, "in force"),
        Column("stop_price", Kind.DECIMAL, "in force"),
        Column("requested_quantity", Kind.DECIMAL, "as asked for at first"),
        Column("requested_price", Kind.DECIMAL, "as asked for at first"),
        Column("time_in_force", Kind.TEXT, "gtc, day, ioc, fok, gtd"),
        Column("post_only", Kind.FLAG, "never takes"),
        Column("reduce_only", Kind.FLAG, "never opens"),
        Column("status", Kind.TEXT, "filled, canceled, ..."),
        Column("filled_quantity", Kind.DECIMAL, "so far"),
        Column("average_price", Kind.NUMBER, "of its fills, rounded to a double"),
        Column("strategy_id", Kind.TEXT, "that asked for it"),
        Column("source", Kind.TEXT, "who asked for it"),
        Column("tag", Kind.TEXT, "free text of who asked"),
        Column("client_id", Kind.TEXT, "the caller's id"),
        Column("client_order_id", Kind.TEXT, "the id the venue knows"),
        Column("venue_order_id", Kind.TEXT, "the venue's id"),
        Column("parent_id", Kind.INTEGER, "the order whose fill releases it"),
        Column("oco_group", Kind.INTEGER, "orders that take each other's place"),
        Column("rule", Kind.TEXT, "the risk rule that denied it"),
        Column("reason", Kind.TEXT, "why it was denied, rejected, canceled or expired"),
    ),
)
FILLS = Table(
    "fills",
    "fills of our orders",
    (
        _SEQ,
        _TS,
        _RECEIVED,
        Column("order_id", Kind.INTEGER, "the order"),
        _SYMBOL,
        _VENUE,
        Column("side", Kind.TEXT, "buy or sell"),
        Column("price", Kind.DECIMAL, "of the fill"),
        Column("quantity", Kind.DECIMAL, "of the fill"),
        Column("fee", Kind.DECIMAL, "paid; negative when received"),
        Column("fee_currency", Kind.TEXT, "of the fee"),
        Column("liquidity", Kind.TEXT, "maker or taker"),
        Column("realised", Kind.DECIMAL, "profit at average cost, before the fee, in the quote currency"),
        Column("realised_fifo", Kind.DECIMAL, "the same, first in first out"),
        Column("strategy_id", Kind.TEXT, "whose order it was"),
        Column("venue_trade_id", Kind.TEXT, "the venue's id"),
    ),
)
EQUITY = Table(
    "equity",
    "what the account was worth, once a minute and after each fill of it",
    (
        Column("minute", Kind.TIME, "the minute"),
        _SEQ,
        Column("currency", Kind.TEXT, "of the amounts"),
        Column("cash", Kind.DECIMAL, "in this currency"),
        Column("market_value", Kind.DECIMAL, "of the positions, net"),
        Column("equity", Kind.DECIMAL, "cash and positions"),
        Column("gross", Kind.DECIMAL, "value of the positions without signs"),
    ),
)
INSTRUMENTS = Table(
    "instruments",
    "every instrument of the range, as it was defined last",
    (
        Column("instrument_id", Kind.INTEGER, "in this journal"),
        Column("defined", Kind.TIME, "when it was defined"),
        _SYMBOL,
        _VENUE,
        Column("asset_class", Kind.TEXT, "crypto, equity, forex, future"),
        Column("base_currency", Kind.TEXT, "what is traded"),
        Column("quote_currency", Kind.TEXT, "what it is paid in"),
        *_SCALES,
        Column("session_zone", Kind.TEXT, "of the exchange's trading day"),
    ),
)

TABLES = {
    table.name: table
    for table in (TICKS, TRADES, QUOTES, BARS, BARS_RECEIVED, ORDERS, FILLS, EQUITY, INSTRUMENTS)
}
"""By name, in the order in which they are told."""


_CURRENCY = Column("currency", Kind.TEXT, "of the amounts")
RUN_FILLS = Table(
    "fills",
    "fills of the run's orders",
    (
        _TS,
        Column("order_id", Kind.INTEGER, "the order, in the run's own numbers"),
        _SYMBOL,
        _VENUE,
        Column("side", Kind.TEXT, "buy or sell"),
        Column("price", Kind.DECIMAL, "of the fill"),
        Column("quantity", Kind.DECIMAL, "of the fill"),
        Column("fee", Kind.DECIMAL, "paid; negative when received"),
        Column("fee_currency", Kind.TEXT, "of the fee"),
        Column("liquidity", Kind.TEXT, "maker or taker"),
        Column("strategy_id", Kind.TEXT, "whose order it was"),
        Column("tag", Kind.TEXT, "of the order"),
    ),
)
RUN_EQUITY = Table(
    "equity",
    "what the account of the run was worth, on a grid that widens with its length",
    (
        Column("ts", Kind.TIME, "when"),
        _CURRENCY,
        Column("equity", Kind.DECIMAL, "cash and positions"),
        Column("flow", Kind.DECIMAL, "paid in since the row before"),
        Column("gross", Kind.DECIMAL, "value of the positions without signs"),
        Column("net", Kind.DECIMAL, "the same with signs"),
    ),
)
RUN_TRIPS = Table(
    "trips",
    "round trips of the run, those that ended and those that were open",
    (
        Column("strategy_id", Kind.TEXT, "whose"),
        Column("instrument", Kind.TEXT, "SYMBOL@VENUE"),
        Column("tag", Kind.TEXT, "of the order that opened it"),
        Column("side", Kind.TEXT, "buy when it was long, sell when it was short"),
        Column("opened", Kind.TIME, "time of the first fill"),
        Column("closed", Kind.TIME, "time of the last fill; empty while it is open"),
        _CURRENCY,
        Column("profit", Kind.DECIMAL, "before fees; of an open one, at the mark"),
        Column("fees", Kind.DECIMAL, "paid"),
        Column("slippage", Kind.DECIMAL, "what fills cost more than the middle of the market"),
        Column("adverse", Kind.DECIMAL, "the lowest the profit was on the way"),
        Column("favourable", Kind.DECIMAL, "the highest"),
    ),
)
RUN_TABLES = {table.name: table for table in (RUN_FILLS, RUN_EQUITY, RUN_TRIPS)}
"""Of a backtest run, by name."""
