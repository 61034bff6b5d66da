"""Rows of the read model as the documents people see: names for numbers, decimal text for integers."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from daemon.trading.books import mark_price
from daemon.trading.money import MONEY_SCALE
from daemon.trading.strategy import Strategy
from schemas.decimals import decimal_text, full_text
from schemas.events import (
    AssetClass,
    BreakerState,
    InstrumentDefined,
    Liquidity,
    OrderType,
    Side,
    TimeInForce,
    TradingState,
)

Row = Mapping[str, Any]
Document = dict[str, Any]

AVERAGE_DECIMALS = 4
"""An average price is given with so many decimals more than the instrument's prices, cut behind."""
PERCENT_DECIMALS = 4
"""Of a trail in percent, which is stored in millionths of the price."""

_SIDES = {int(side): side.name.lower() for side in Side}
_TYPES = {int(kind): kind.name.lower() for kind in OrderType}
_TIMES = {int(time): time.name.lower() for time in TimeInForce}
_LIQUIDITY = {int(kind): kind.name.lower() for kind in Liquidity}
_BREAKERS = {int(state): state.name.lower() for state in BreakerState}
_STATES = {int(state): state.name.lower() for state in TradingState}


def money(value: int) -> str:
    """Return money of 18 decimals as decimal text with at least two decimals."""
    return decimal_text(value, MONEY_SCALE, decimals=2)


def instrument(defined: InstrumentDefined) -> Document:
    """Return an instrument with its steps as decimal text."""
    document: Document = msgspec.structs.asdict(defined)
    del document["version"]
    document["defined_ns"] = document.pop("ts_ns")
    document["asset_class"] = AssetClass(defined.asset_class).name.lower()
    document["tick_size"] = full_text(defined.tick_size, defined.price_scale)
    document["lot_size"] = full_text(defined.lot_size, defined.quantity_scale)
    return document


def _optional(value: int | None, scale: int) -> str | None:
    return None if value is None else full_text(value, scale)


def price(row: Row) -> Document:
    """Return the last trade and the standing quote of an instrument."""
    prices, quantities = row["price_scale"], row["quantity_scale"]
    return {
        "instrument_id": row["instrument_id"],
        "symbol": row["symbol"],
        "last": _optional(row["last_price"], prices),
        "last_quantity": _optional(row["last_quantity"], quantities),
        "last_ns": row["trade_ns"],
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
        "price": full_text(row["price"], defined.price_scale),
        "quantity": full_text(row["quantity"], defined.quantity_scale),
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
        "open": full_text(row["open"], scale),
        "high": full_text(row["high"], scale),
        "low": full_text(row["low"], scale),
        "close": full_text(row["close"], scale),
        "volume": full_text(row["volume"], defined.quantity_scale),
        "count": row["count"],
    }


def average_price(value: int, quantity: int, scale: int) -> str | None:
    """Return `value / quantity` as a price; value is a sum of price times quantity, both scaled."""
    if quantity == 0:
        return None
    cut = abs(value) * 10**AVERAGE_DECIMALS // abs(quantity)
    return decimal_text(cut, scale + AVERAGE_DECIMALS, decimals=scale)


def order(row: Row, defined: InstrumentDefined | None, *, venue: str) -> Document:
    """Return an order; one of an instrument we do not know (it was denied) has its quantity unscaled.

    `venue` is where an order would have been sent that was not.
    """
    prices = defined.price_scale if defined else 0
    quantities = defined.quantity_scale if defined else 0
    filled = row["filled_quantity"]
    return {
        "order_id": row["order_id"],
        "client_order_id": row["client_order_id"],
        "client_id": row["client_id"],
        "instrument_id": row["instrument_id"],
        "symbol": defined.symbol if defined else None,
        "market": defined.venue if defined else None,
        "venue": row["venue"] or venue,
        "side": _SIDES[row["side"]],
        "type": _TYPES[row["order_type"]],
        "quantity": full_text(row["quantity"], quantities),
        "price": _optional(row["price"], prices),
        "stop_price": _optional(row["stop_price"], prices),
        "trail_amount": _optional(row["trail_amount"], prices),
        "trail_percent": _optional(row["trail_ppm"], PERCENT_DECIMALS),
        "trigger_price": _optional(row["trigger_price"], prices),
        "time_in_force": _TIMES[row["time_in_force"]],
        "expire_ns": row["expire_ns"],
        "parent_id": row["parent_id"],
        "oco_group": row["oco_group"],
        "post_only": bool(row["post_only"]),
        "reduce_only": bool(row["reduce_only"]),
        "status": row["status"].lower(),
        "filled_quantity": full_text(filled, quantities),
        "average_price": average_price(row["filled_value"], filled, prices),
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
        "price": full_text(row["price"], defined.price_scale),
        "quantity": full_text(row["quantity"], defined.quantity_scale),
        "fee": decimal_text(row["fee"], row["fee_scale"], decimals=2),
        "fee_currency": row["fee_currency"],
        "liquidity": _LIQUIDITY[row["liquidity"]],
        "realised": money(row["realised"]),
        "ts_ns": row["ts_ns"],
    }


def _at_market(held: Row) -> tuple[int | None, int]:
    """Return the price a position is valued at (None: none is known) and the profit at that price."""
    quantity = held["quantity"]
    mark = mark_price(held["last_price"], held["bid_price"], held["ask_price"], quantity=quantity)
    if mark is None or quantity == 0:
        return mark, 0
    decimals = MONEY_SCALE - held["price_scale"] - held["quantity_scale"]
    return mark, mark * quantity * held["multiplier"] * 10**decimals - held["cost_basis"]


def position(held: Row) -> Document:
    """Return a position at market; without any price it counts at cost."""
    quantity = held["quantity"]
    prices, quantities = held["price_scale"], held["quantity_scale"]
    cost = held["cost_basis"] // (10 ** (MONEY_SCALE - prices - quantities) * held["multiplier"])
    mark, unrealised = _at_market(held)
    return {
        "instrument_id": held["instrument_id"],
        "symbol": held["symbol"],
        "venue": held["venue"],
        "currency": held["quote_currency"],
        "quantity": full_text(quantity, quantities),
        "average_price": average_price(cost, quantity, prices),
        "market_price": _optional(mark, prices),
        "cost_basis": money(held["cost_basis"]),
        "unrealised": money(unrealised),
        "realised": money(held["realised"]),
        "updated_ns": held["updated_ns"],
    }


def account(rows: Iterable[Row], held: Iterable[Row]) -> Document:
    """Return cash and equity by currency; the main currency is that of the largest deposit."""
    cost: Counter[str] = Counter()
    realised: Counter[str] = Counter()
    unrealised: Counter[str] = Counter()
    for row in held:
        currency = row["quote_currency"]
        realised[currency] += row["realised"]
        cost[currency] += row["cost_basis"]
        unrealised[currency] += _at_market(row)[1]
    balances, largest, main = [], -1, None
    for row in rows:
        currency = row["currency"]
        if row["deposits"] > largest:
            largest, main = row["deposits"], currency
        balances.append(
            {
                "currency": currency,
                "cash": money(row["cash"]),
                "deposits": money(row["deposits"]),
                "realised": money(realised[currency]),
                "unrealised": money(unrealised[currency]),
                "fees": money(row["fees"]),
                "equity": money(row["cash"] + cost[currency] + unrealised[currency]),
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


def instrument_state(row: Row, defined: InstrumentDefined | None) -> Document:
    """Return the state of one instrument that may not be traded as the trading state allows."""
    return {
        "instrument_id": row["instrument_id"],
        "symbol": defined.symbol if defined else None,
        "venue": defined.venue if defined else None,
        **trading(row),
    }


def strategy(
    row: Row, instruments: Mapping[int, InstrumentDefined], share_ppm: Mapping[str, int]
) -> Document:
    """Return a strategy that runs, with its share of the equity, or one that ran and why it stopped."""
    share = share_ppm.get(row["strategy_id"]) if row["running"] else None
    ids = msgspec.json.decode(row["instrument_ids"], type=list[int])
    names = [f"{instruments[i].symbol}@{instruments[i].venue}" if i in instruments else str(i) for i in ids]
    return {
        "strategy_id": row["strategy_id"],
        "kind": row["kind"],
        "parameters": msgspec.json.decode(row["parameters"]),
        "instruments": names,
        "running": bool(row["running"]),
        "share": None if share is None else decimal_text(share, 6),
        "reason": row["reason"],
        "started_ns": row["started_ns"],
        "stopped_ns": row["stopped_ns"],
    }


def strategy_kind(kind: type[Strategy]) -> Document:
    """Return a kind of strategy and its parameters; `doc` is the first paragraph of its own words."""
    paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return {
        "kind": kind.kind,
        "doc": " ".join(paragraph.split()),
        "parameters": [
            {
                "name": parameter.name,
                "type": "decimal" if parameter.decimal else parameter.type.__name__,
                "doc": parameter.doc,
                "default": parameter.default,
                "minimum": parameter.minimum,
                "maximum": parameter.maximum,
                "choices": list(parameter.choices),
            }
            for parameter in kind.parameters
        ],
    }


def breaker(row: Row) -> Document:
    """Return a circuit breaker."""
    return {
        "breaker": row["breaker"],
        "state": _BREAKERS[row["state"]],
        "failures": row["failures"],
        "reason": row["reason"],
        "since_ns": row["ts_ns"],
        "seq": row["seq"],
    }


def event(row: Row) -> Document:
    """Return an event of the history as text."""
    return {
        "seq": row["seq"],
        "ts_ns": row["ts_ns"],
        "name": row["name"],
        "order_id": row["order_id"],
        "instrument_id": row["instrument_id"],
        "text": row["text"],
    }
