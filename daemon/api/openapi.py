"""The OpenAPI 3.1 document of all routes; written by hand, compared with the routes by a test."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from daemon.api import openapi_control as control
from daemon.api import openapi_hardware as hardware
from daemon.api import openapi_parity as parity
from daemon.api.openapi_parts import (
    CURSOR,
    DECIMAL,
    FLAG,
    ID,
    LIMIT,
    NEXT,
    NS,
    TEXT,
    Schema,
    answer,
    get,
    list_of,
    one_of,
    operation,
    or_null,
    query_parameter,
    record,
    ref,
)
from daemon.readmodel.bars import INTERVALS
from daemon.trading.links import MAX_LINKED

_SIDE = one_of("buy", "sell")
_AGES = {
    "type": "object",
    "description": "seconds since the last round of loop, journal and thermal control",
    "additionalProperties": {"type": "number"},
}
_DISK = one_of("ok", "spare_used", "shed_ticks", "refuse_risk")
_STATUS = one_of(
    "requested",
    "held",
    "released",
    "submitted",
    "accepted",
    "triggered",
    "partially_filled",
    "pending_cancel",
    "pending_replace",
    "unknown",
    "denied",
    "rejected",
    "filled",
    "canceled",
    "expired",
)

_ORDER: dict[str, Schema] = {
    "order_id": ID,
    "client_order_id": or_null(TEXT),
    "client_id": or_null(TEXT),
    "instrument_id": ID,
    "symbol": or_null(TEXT),
    "market": or_null({"type": "string", "description": "the instrument's venue: whose prices it has"}),
    "venue": {"type": "string", "description": "where the order was sent, or would have been if not denied"},
    "side": _SIDE,
    "type": one_of("market", "limit", "stop", "stop_limit", "trailing_stop"),
    "quantity": DECIMAL,
    "price": or_null(DECIMAL),
    "stop_price": or_null(DECIMAL),
    "trail_amount": or_null(DECIMAL),
    "trail_percent": or_null(DECIMAL),
    "trigger_price": or_null({**DECIMAL, "description": "the price that reached its stop"}),
    "time_in_force": one_of("gtc", "day", "ioc", "fok", "gtd"),
    "expire_ns": or_null(NS),
    "parent_id": or_null({**ID, "description": "the order whose fill releases this one"}),
    "oco_group": or_null({**ID, "description": "orders of one group take each other's place"}),
    "post_only": FLAG,
    "reduce_only": FLAG,
    "status": _STATUS,
    "filled_quantity": DECIMAL,
    "average_price": or_null(DECIMAL),
    "rule": or_null({"type": "string", "description": "code of the rule that denied the order"}),
    "reason": or_null(TEXT),
    "source": TEXT,
    "strategy_id": or_null(TEXT),
    "tag": TEXT,
    "created_ns": NS,
    "updated_ns": NS,
}

_SYNC = record(
    state=one_of("off", "starting", "idle", "working", "away", "refused"),
    reason=or_null(TEXT),
    confirmed_seq=or_null(ID),
    lag_events=or_null(ID),
    lag_seconds=or_null({"type": "number"}),
    events=ID,
    events_per_second=ID,
)
_BACKUP = record(state=one_of("off", "ok", "old", "failed"), age_s=or_null(ID), last_seq=or_null(ID))

SCHEMAS: dict[str, Schema] = {
    "Problem": record(type=TEXT, title=TEXT, status={"type": "integer"}, detail=TEXT, instance=TEXT),
    "Health": record(
        status=one_of("ok", "degraded", "failed"),
        reasons=list_of(TEXT),
        durable_seq=ID,
        applied_seq=ID,
        lag=ID,
        disk=_DISK,
        disk_free_bytes=ID,
        progress=_AGES,
        sync=_SYNC,
        backup=_BACKUP,
        archive=one_of("off", "idle", "working", "failed"),
        retention=one_of("off", "idle", "working", "held", "failed"),
    ),
    "Trading": record(
        state=one_of("active", "reducing", "halted"),
        reason=TEXT,
        source=TEXT,
        since_ns=or_null(NS),
        seq=ID,
    ),
    "Status": record(
        version=TEXT,
        journal_id=TEXT,
        started_ns=NS,
        health=one_of("ok", "degraded", "failed"),
        reasons=list_of(TEXT),
        durable_seq=ID,
        applied_seq=ID,
        lag=ID,
        disk=_DISK,
        disk_free_bytes=ID,
        progress=_AGES,
        sync=_SYNC,
        backup=_BACKUP,
        archive=one_of("off", "idle", "working", "failed"),
        retention=one_of("off", "idle", "working", "held", "failed"),
        trading=ref("Trading"),
        instruments=ID,
        orders_working=ID,
    ),
    "Instrument": record(
        instrument_id=ID,
        symbol=TEXT,
        venue=TEXT,
        asset_class=one_of("crypto", "equity", "forex", "future"),
        base_currency=TEXT,
        quote_currency=TEXT,
        price_scale=ID,
        quantity_scale=ID,
        tick_size=DECIMAL,
        lot_size=DECIMAL,
        multiplier=ID,
        session_zone=TEXT,
        defined_ns=NS,
    ),
    "Bar": record(
        start_ns=NS,
        open=DECIMAL,
        high=DECIMAL,
        low=DECIMAL,
        close=DECIMAL,
        volume=DECIMAL,
        count=ID,
    ),
    "Trade": record(
        seq=ID,
        ts_ns=NS,
        received_ns=NS,
        price=DECIMAL,
        quantity=DECIMAL,
        aggressor=one_of("buy", "sell", "none"),
        trade_id={"type": ["integer", "string", "null"]},
        conditions=ID,
        exchange=TEXT,
    ),
    "Quote": record(
        seq=ID,
        ts_ns=NS,
        received_ns=NS,
        bid=or_null(DECIMAL),
        bid_quantity=or_null(DECIMAL),
        ask=or_null(DECIMAL),
        ask_quantity=or_null(DECIMAL),
        conditions=ID,
        exchange=TEXT,
    ),
    "OrderRequest": {
        "type": "object",
        "additionalProperties": False,
        "required": ["instrument", "side", "type", "quantity"],
        "properties": {
            "instrument": {"type": ["string", "integer"], "description": "symbol or instrument_id"},
            "venue": {
                "type": "string",
                "description": "the instrument's, needed where a symbol is traded at several",
            },
            "side": _SIDE,
            "type": one_of("market", "limit", "stop", "stop_limit", "trailing_stop"),
            "quantity": DECIMAL,
            "price": {**DECIMAL, "description": "of a limit or stop_limit order"},
            "stop_price": {**DECIMAL, "description": "of a stop or stop_limit order; where a trail begins"},
            "trail_amount": {**DECIMAL, "description": "of a trailing_stop, in units of the price"},
            "trail_percent": {**DECIMAL, "description": "of a trailing_stop, instead of trail_amount"},
            "time_in_force": {**one_of("gtc", "day", "ioc", "fok", "gtd"), "default": "gtc"},
            "expire_ns": {**NS, "description": "when a gtd order ends, nanoseconds since 1970 UTC"},
            "post_only": {**FLAG, "default": False},
            "reduce_only": {**FLAG, "default": False},
            "client_id": {
                "type": "string",
                "pattern": "^[A-Za-z0-9._:-]{1,64}$",
                "description": "makes the request idempotent: the same id gives the same order",
            },
            "tag": {"type": "string", "maxLength": 128},
            "take_profit": {**ref("TakeProfit"), "description": "closes with profit what this order opened"},
            "stop_loss": {**ref("StopLoss"), "description": "closes at a loss what this order opened"},
        },
    },
    "TakeProfit": {
        "type": "object",
        "additionalProperties": False,
        "required": ["price"],
        "properties": {"price": DECIMAL},
    },
    "StopLoss": {
        "type": "object",
        "additionalProperties": False,
        "description": "a stop, with a price a stop-limit, with a trail a trailing stop",
        "properties": {
            "stop_price": DECIMAL,
            "price": DECIMAL,
            "trail_amount": DECIMAL,
            "trail_percent": DECIMAL,
        },
    },
    "OcoRequest": {
        "type": "object",
        "additionalProperties": False,
        "required": ["orders"],
        "properties": {
            "orders": {**list_of(ref("OrderRequest")), "minItems": 2, "maxItems": MAX_LINKED},
        },
    },
    "Oco": record(oco_group=ID, orders=list_of(ref("Order"))),
    "Order": record(**_ORDER),
    "PlacedOrder": record(**_ORDER, children=list_of(ref("Order"))),
    "ReplaceRequest": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {"quantity": DECIMAL, "price": DECIMAL, "stop_price": DECIMAL},
    },
    "Replace": record(
        order_id=ID,
        status=one_of("pending_replace", "denied"),
        rule=or_null(TEXT),
        reason=or_null(TEXT),
    ),
    "Cancel": record(order_id=ID, status=one_of("pending_cancel")),
    "Position": record(
        instrument_id=ID,
        symbol=TEXT,
        venue=TEXT,
        currency=TEXT,
        quantity=DECIMAL,
        average_price=or_null(DECIMAL),
        market_price=or_null(DECIMAL),
        cost_basis=DECIMAL,
        unrealised=DECIMAL,
        realised=DECIMAL,
        updated_ns=NS,
    ),
    "Balance": record(
        currency=TEXT,
        cash=DECIMAL,
        deposits=DECIMAL,
        realised=DECIMAL,
        unrealised=DECIMAL,
        fees=DECIMAL,
        equity=DECIMAL,
    ),
    "Account": record(main_currency=or_null(TEXT), balances=list_of(ref("Balance"))),
    "Instruments": record(instruments=list_of(ref("Instrument"))),
    "Bars": record(instrument_id=ID, bars=list_of(ref("Bar")), next=CURSOR),
    "Ticks": record(
        instrument_id=ID,
        kind=one_of("trade", "quote"),
        ticks={"anyOf": [list_of(ref("Trade")), list_of(ref("Quote"))]},
        next=CURSOR,
    ),
    "Orders": record(orders=list_of(ref("Order")), next=CURSOR),
    "Positions": record(positions=list_of(ref("Position"))),
}


_INSTRUMENT = query_parameter("instrument", TEXT, "symbol or instrument_id", required=True)
_VENUE = query_parameter("venue", TEXT, "where the symbol is traded, if at several")
ORDER_ID: Schema = {"name": "order_id", "in": "path", "required": True, "schema": ID}


def _operations() -> dict[str, dict[str, Schema]]:
    orders = "/api/v1/orders"
    return {
        "/health": {
            "get": operation(
                "health",
                "Whether the daemon is well",
                {"200": answer("ok or degraded", ref("Health")), "503": answer("failed", ref("Health"))},
            )
        },
        "/metrics": {
            "get": operation(
                "metrics", "Figures for Prometheus", {"200": answer("figures", None, "text/plain")}
            )
        },
        "/ws": {
            "get": operation(
                "live",
                "WebSocket: a snapshot, then what changed, five times a second at most",
                {"101": {"description": "the connection is a WebSocket now"}},
            )
        },
        "/api/v1/openapi.json": {
            "get": operation("openapi", "This document", {"200": answer("the document", {"type": "object"})})
        },
        "/api/v1/status": {"get": get("status", "The daemon at a glance", "Status")},
        "/api/v1/instruments": {"get": get("instruments", "Instruments and their steps", "Instruments")},
        "/api/v1/bars": {
            "get": get(
                "bars", "Bars in order of time: from from_ns on, else the last ones", "Bars", _BAR_QUERY
            )
        },
        "/api/v1/ticks": {"get": get("ticks", "Trades or quotes, newest first", "Ticks", _TICK_QUERY)},
        "/api/v1/positions": {"get": get("positions", "Positions at market", "Positions")},
        "/api/v1/account": {"get": get("account", "Cash and equity by currency", "Account")},
        orders: {
            "get": get("listOrders", "Orders, newest first", "Orders", _ORDER_QUERY),
            "post": _submit(),
        },
        f"{orders}/oco": {
            "post": operation(
                "submitGroup",
                "Place orders that take each other's place: what one fills, the others no longer have to",
                {
                    "201": answer("the orders are durable and on their way to the venue", ref("Oco")),
                    "422": answer("denied by a rule", ref("Oco")),
                },
                body=ref("OcoRequest"),
                changes=True,
            )
        },
        f"{orders}/{{order_id}}": {
            "get": get("getOrder", "One order", "Order", (ORDER_ID,)),
            "patch": operation(
                "replaceOrder",
                "Ask for other terms; they hold when the venue says so",
                {
                    "202": answer("the wish is durable", ref("Replace")),
                    "422": answer("denied by a rule: the order goes on as before", ref("Replace")),
                },
                parameters=(ORDER_ID,),
                body=ref("ReplaceRequest"),
                changes=True,
            ),
            "delete": operation(
                "cancelOrder",
                "Ask for the order's end; it is over when the venue says so",
                {"202": answer("the wish is durable", ref("Cancel"))},
                parameters=(ORDER_ID,),
                changes=True,
            ),
        },
    }


_BAR_QUERY = (
    _INSTRUMENT,
    _VENUE,
    query_parameter("interval", {**one_of(*INTERVALS), "default": "1min"}, "length of a bar"),
    query_parameter(
        "side", {**one_of("trade", "bid", "ask"), "default": "trade"}, "what the bars are made of"
    ),
    query_parameter("from_ns", NS, "earliest start"),
    query_parameter("to_ns", NS, "starts lie before this"),
    LIMIT,
    NEXT,
)
_TICK_QUERY = (
    _INSTRUMENT,
    _VENUE,
    query_parameter("kind", {**one_of("trade", "quote"), "default": "trade"}, "which ticks"),
    LIMIT,
    NEXT,
)
_ORDER_QUERY = (
    query_parameter("open", {**one_of("true", "false"), "default": "false"}, "only orders that are not over"),
    {**_INSTRUMENT, "required": False},
    _VENUE,
    LIMIT,
    NEXT,
)


def _submit() -> Schema:
    return operation(
        "submitOrder",
        "Place an order, and the ones that close what it opens; answers when they are durable",
        {
            "201": answer("the order is durable and on its way to the venue", ref("PlacedOrder")),
            "200": answer("this client_id placed it before", ref("PlacedOrder")),
            "409": answer(
                "the client_id was used for another order", ref("Problem"), "application/problem+json"
            ),
            "422": {
                "description": "denied by a rule (an Order, recorded), or not a possible order (a Problem)",
                "content": {
                    "application/json": {"schema": ref("PlacedOrder")},
                    "application/problem+json": {"schema": ref("Problem")},
                },
            },
        },
        body=ref("OrderRequest"),
        changes=True,
    )


def document() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "taped",
            "version": version("taped"),
            "description": (
                "Prices, quantities and money are decimal text, times are nanoseconds since 1970 UTC, seq is"
                " an event's number in the journal. Errors are problem documents (RFC 9457)."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": {**_operations(), **control.operations(), **hardware.operations(), **parity.operations()},
        "components": {
            "schemas": {**SCHEMAS, **control.SCHEMAS, **hardware.SCHEMAS, **parity.SCHEMAS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
