"""Rows of the read model as the documents people see: names for numbers, decimal text for integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from daemon.api.decimals import to_short_text, to_text
from daemon.trading.books import mark_price
from daemon.trading.money import MONEY_SCALE
from daemon.trading.portfolio import Position
from schemas.events import (
    AssetClass,
    InstrumentDefined,
    Liquidity,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
)

Row = Mapping[str, Any]
Document = dict[str, Any]
Instruments = Mapping[int, InstrumentDefined]

AVERAGE_DECIMALS = 4
"""An average price is given with so many decimals more than the instrument's prices, cut behind."""

_SIDES = {int(side): side.name.lower() for side in Side}
_TYPES = {int(kind): kind.name.lower() for kind in OrderType}
_TIMES = {int(time): time.name.lower() for time in TimeInForce}
_LIQUIDITY = {int(kind): kind.name.lower() for kind in Liquidity}
_STATES = {int(state): state.name.lower() for state in TradingState}


def money(value: int | str) -> str:
    """Return money of 18 decimals as decimal text with at least two decimals."""
    return to_short_text(int(value), MONEY_SCALE, decimals=2)


def instrument(defined: InstrumentDefined) -> Document:
    """Return an instrument with its steps as decimal text."""
    document: Document = msgspec.structs.asdict(defined)
    del document["version"]
    document["defined_ns"] = document.pop("ts_ns")
    document["asset_class"] = AssetClass(defined.asset_class).name.lower()
    document["tick_size"] = to_text(defined.tick_size, defined.price_scale)
    document["lot_size"] = to_text(defined.lot_size, defined.quantity_scale)
    return document


def _optional(value: int | None, scale: int) -> str | None:
    return None if value is None else to_text(value, scale)


def price(row: Row, defined: InstrumentDefined) -> Document:
    """Return the last trade and the standing quote of an instrument."""
    prices, quantities = defined.price_scale, defined.quantity_scale
    return {
        "instrument_id": defined.instrument_id,
        "symbol": defined.symbol,
        "last": _optional(row["last_price"], prices),
        "last_quantity": _optional(row["last_quantity"], quantities),
        "last_ns": row["last_ns"],
        "bid": _optional(row["bid_price"], prices),
        "bid_quantity": _optional(row["bid_quantity"], quantities),
        "ask": _optional(row["ask_price"], prices),
        "ask_quantity": _optional(row["ask_quantity"], quantities),
        "quote_ns": row["quote_ns"],
    }


def trade(row: Row, defined: InstrumentDefined) -> Document:
    """Return a trade of the market."""
    return {
        "seq": row["seq"],
        "ts_ns": row["ts_ns"],
        "received_ns": row["received_ns"],
        "price": to_text(row["price"], defined.price_scale),
        "quantity": to_text(row["quantity"], defined.quantity_scale),
        "aggressor": _SIDES[row["aggressor"]],
        "trade_id": row["trade_id"],
        "conditions": row["conditions"],
        "exchange": row["exchange"],
    }


def quote(row: Row, defined: InstrumentDefined) -> Document:
    """Return a quote; a side that was not told is null."""
    prices, quantities = defined.price_scale, defined.quantity_scale
    return {
        "seq": row["seq"],
        "ts_ns": row["ts_ns"],
        "received_ns": row["received_ns"],
        "bid": _optional(row["bid_price"], prices),
        "bid_quantity": _optional(row["bid_quantity"], quantities),
        "ask": _optional(row["ask_price"], prices),
        "ask_quantity": _optional(row["ask_quantity"], quantities),
        "conditions": row["conditions"],
        "exchange": row["exchange"],
    }


def bar(row: Row, defined: InstrumentDefined) -> Document:
    """Return a bar by its start."""
    scale = defined.price_scale
    return {
        "start_ns": row["start_ns"],
        "open": to_text(row["open"], scale),
        "high": to_text(row["high"], scale),
        "low": to_text(row["low"], scale),
        "close": to_text(row["close"], scale),
        "volume": to_text(int(row["volume"]), defined.quantity_scale),
        "count": row["count"],
    }


def average_price(value: int, quantity: int, defined: InstrumentDefined) -> str | None:
    """Return `value / quantity` as a price; value is a sum of price times quantity, both scaled."""
    if quantity == 0:
        return None
    scale = defined.price_scale
    cut = abs(value) * 10**AVERAGE_DECIMALS // abs(quantity)
    return to_short_text(cut, scale + AVERAGE_DECIMALS, decimals=scale)


def order(row: Row, defined: InstrumentDefined | None) -> Document:
    """Return an order; one of an instrument we do not know (it was denied) has its quantity unscaled."""
    prices = defined.price_scale if defined else 0
    quantities = defined.quantity_scale if defined else 0
    filled = row["filled_quantity"]
    return {
        "order_id": row["order_id"],
        "client_order_id": row["client_order_id"],
        "client_id": row["client_id"],
        "instrument_id": row["instrument_id"],
        "symbol": defined.symbol if defined else None,
        "venue": row["venue"] or (defined.venue if defined else None),
        "side": _SIDES[row["side"]],
        "type": _TYPES[row["order_type"]],
        "quantity": to_text(row["quantity"], quantities),
        "price": _optional(row["price"], prices),
        "time_in_force": _TIMES[row["time_in_force"]],
        "post_only": bool(row["post_only"]),
        "reduce_only": bool(row["reduce_only"]),
        "status": row["status"],
        "filled_quantity": to_text(filled, quantities),
        "average_price": average_price(int(row["filled_value"]), filled, defined) if defined else None,
        "rule": row["rule"],
        "reason": row["reason"],
        "source": row["source"],
        "strategy_id": row["strategy_id"],
        "tag": row["tag"],
        "created_ns": row["requested_ns"],
        "updated_ns": row["updated_ns"],
    }


def fill(row: Row, defined: InstrumentDefined) -> Document:
    """Return a fill."""
    return {
        "seq": row["seq"],
        "order_id": row["order_id"],
        "venue_trade_id": row["venue_trade_id"],
        "instrument_id": row["instrument_id"],
        "symbol": defined.symbol,
        "side": _SIDES[row["side"]],
        "price": to_text(row["price"], defined.price_scale),
        "quantity": to_text(row["quantity"], defined.quantity_scale),
        "fee": to_short_text(row["fee"], row["fee_scale"], decimals=2),
        "fee_currency": row["fee_currency"],
        "liquidity": _LIQUIDITY[row["liquidity"]],
        "realized": money(row["realized"]),
        "ts_ns": row["ts_ns"],
    }


def _unrealized(held: Row, prices: Row | None, defined: InstrumentDefined) -> tuple[int | None, int]:
    """Return the price a position is valued at (None: not known) and the profit at that price."""
    if prices is None or held["quantity"] == 0:
        return None, 0
    last, bid, ask = prices["last_price"], prices["bid_price"], prices["ask_price"]
    mark = mark_price(last, bid, ask, quantity=held["quantity"])
    if mark is None:
        return None, 0
    return mark, Position(held["quantity"], int(held["cost_basis"])).unrealised(defined, mark)


def position(held: Row, prices: Row | None, defined: InstrumentDefined) -> Document:
    """Return a position at market; without any price it counts at cost."""
    quantity = held["quantity"]
    decimals = MONEY_SCALE - defined.price_scale - defined.quantity_scale
    value = int(held["cost_basis"]) // (10**decimals * defined.multiplier)
    mark, unrealized = _unrealized(held, prices, defined)
    return {
        "instrument_id": defined.instrument_id,
        "symbol": defined.symbol,
        "venue": defined.venue,
        "currency": defined.quote_currency,
        "quantity": to_text(quantity, defined.quantity_scale),
        "average_price": average_price(value, quantity, defined),
        "market_price": _optional(mark, defined.price_scale),
        "cost_basis": money(held["cost_basis"]),
        "unrealized": money(unrealized),
        "realized": money(held["realized"]),
        "fees": money(held["fees"]),
        "updated_ns": held["updated_ns"],
    }


def account(
    rows: Iterable[Row], held: Iterable[Row], prices: Mapping[int, Row], instruments: Instruments
) -> Document:
    """Return cash and equity by currency; the main one is that of the largest deposits, then by name."""
    cost: dict[str, int] = {}
    unrealized: dict[str, int] = {}
    for row in held:
        defined = instruments.get(row["instrument_id"])
        if defined is None:
            continue
        currency = defined.quote_currency
        _, gain = _unrealized(row, prices.get(defined.instrument_id), defined)
        cost[currency] = cost.get(currency, 0) + int(row["cost_basis"])
        unrealized[currency] = unrealized.get(currency, 0) + gain
    balances, largest, main = [], -1, None
    for row in rows:
        currency = row["currency"]
        gain = unrealized.get(currency, 0)
        if int(row["deposits"]) > largest:
            largest, main = int(row["deposits"]), currency
        balances.append(
            {
                "currency": currency,
                "cash": money(row["cash"]),
                "deposits": money(row["deposits"]),
                "realized": money(row["realized"]),
                "unrealized": money(gain),
                "fees": money(row["fees"]),
                "equity": money(int(row["cash"]) + cost.get(currency, 0) + gain),
            }
        )
    return {"main_currency": main, "balances": balances}


def trading(row: Row | None) -> Document:
    """Return the trading state; before any change it is active."""
    if row is None:
        return {"state": "active", "reason": "", "source": "", "since_ns": None, "seq": 0}
    return {
        "state": _STATES[row["state"]],
        "reason": row["reason"],
        "source": row["source"],
        "since_ns": row["ts_ns"],
        "seq": row["seq"],
    }
