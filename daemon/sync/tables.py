"""The tables that events are shipped to, as `schemas/timescale.sql` makes them: names, columns, types.

The column `journal` is left out everywhere: it is the same for all rows that one daemon ships, and is
put in by the statement that moves them.
"""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """A table of schema taped: its columns, in the order in which rows are written."""

    name: str
    columns: tuple[str, ...]
    kinds: tuple[str, ...]


def _table(name: str, columns: str) -> Table:
    pairs = [column.split() for column in columns.split(",")]
    return Table(name, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


_EVENT = "seq bigint, ts timestamptz, ts_ns bigint, "
_SCALES = "price_scale smallint, quantity_scale smallint"

TRADES = _table(
    "trades",
    _EVENT + "received_ns bigint, price bigint, quantity bigint, conditions bigint, instrument_id integer, "
    f"aggressor smallint, {_SCALES}, trade_id text, exchange text",
)
QUOTES = _table(
    "quotes",
    _EVENT + "received_ns bigint, bid_price bigint, bid_quantity bigint, ask_price bigint, "
    f"ask_quantity bigint, conditions bigint, instrument_id integer, {_SCALES}, exchange text",
)
BARS_RECEIVED = _table(
    "bars_received",
    _EVENT + "received_ns bigint, interval_ns bigint, open bigint, high bigint, low bigint, close bigint, "
    f"volume bigint, instrument_id integer, side smallint, {_SCALES}",
)
ORDER_EVENTS = _table(
    "order_events",
    _EVENT + "order_id bigint, quantity bigint, price bigint, stop_price bigint, type_id smallint, "
    f"instrument_id integer, {_SCALES}, side smallint, order_type smallint, time_in_force smallint, "
    "name text, source text, strategy_id text, client_id text, client_order_id text, venue text, "
    "venue_order_id text, rule text, reason text, body jsonb",
)
FILLS = _table(
    "fills",
    _EVENT + "received_ns bigint, order_id bigint, price bigint, quantity bigint, fee bigint, "
    f"instrument_id integer, side smallint, {_SCALES}, fee_scale smallint, liquidity smallint, "
    "fee_currency text, venue_trade_id text",
)
SENSORS = _table("sensors", _EVENT + "readings jsonb")
CLOCK_TICKS = _table("clock_ticks", _EVENT + "synchronized boolean")
EVENTS = _table("events", _EVENT + "type_id integer, instrument_id integer, name text, body jsonb")

INSTRUMENTS = _table(
    "instruments",
    "instrument_id integer, symbol text, venue text, asset_class smallint, base_currency text, "
    "quote_currency text, price_scale smallint, quantity_scale smallint, tick_size bigint, lot_size bigint, "
    "multiplier bigint, session_zone text, defined_seq bigint, defined_ns bigint",
)
"""Each instrument as it was defined last; made beside the rows of events."""

TABLES = (TRADES, QUOTES, BARS_RECEIVED, ORDER_EVENTS, FILLS, SENSORS, CLOCK_TICKS, EVENTS)
"""All of them: each event becomes one row of one of these."""
