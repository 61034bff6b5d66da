"""The OpenAPI 3.1 document of all routes; written by hand, compared with the routes by a test."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from daemon.readmodel.bars import INTERVALS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_ID: Schema = {"type": "integer", "minimum": 0}
_NS: Schema = {"type": "integer", "description": "nanoseconds since 1970 UTC"}
_DECIMAL: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["60000.50"]}
_FLAG: Schema = {"type": "boolean"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _choice(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _record(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_CURSOR = _or_null({"type": "string", "description": "the cursor of the next page; null on the last"})
_SIDE = _choice("buy", "sell")
_DISK = _choice("ok", "spare_used", "shed_ticks", "refuse_risk")
_STATUS = _choice(
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

SCHEMAS: dict[str, Schema] = {
    "Problem": _record(type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT, instance=_TEXT),
    "Health": _record(
        status=_choice("ok", "degraded", "failed"),
        reasons=_list(_TEXT),
        durable_seq=_ID,
        applied_seq=_ID,
        lag=_ID,
        archive=_choice("off", "idle", "working", "failed"),
        disk=_DISK,
        disk_free_bytes=_ID,
    ),
    "Trading": _record(
        state=_choice("active", "reducing", "halted"),
        reason=_TEXT,
        source=_TEXT,
        since_ns=_or_null(_NS),
        seq=_ID,
    ),
    "Status": _record(
        version=_TEXT,
        journal_id=_TEXT,
        started_ns=_NS,
        health=_choice("ok", "degraded", "failed"),
        reasons=_list(_TEXT),
        durable_seq=_ID,
        applied_seq=_ID,
        lag=_ID,
        archive=_choice("off", "idle", "working", "failed"),
        disk=_DISK,
        disk_free_bytes=_ID,
        trading=_ref("Trading"),
        instruments=_ID,
        orders_working=_ID,
    ),
    "Instrument": _record(
        instrument_id=_ID,
        symbol=_TEXT,
        venue=_TEXT,
        asset_class=_choice("crypto", "equity", "forex", "future"),
        base_currency=_TEXT,
        quote_currency=_TEXT,
        price_scale=_ID,
        quantity_scale=_ID,
        tick_size=_DECIMAL,
        lot_size=_DECIMAL,
        multiplier=_ID,
        session_zone=_TEXT,
        defined_ns=_NS,
    ),
    "Bar": _record(
        start_ns=_NS,
        open=_DECIMAL,
        high=_DECIMAL,
        low=_DECIMAL,
        close=_DECIMAL,
        volume=_DECIMAL,
        count=_ID,
    ),
    "Trade": _record(
        seq=_ID,
        ts_ns=_NS,
        received_ns=_NS,
        price=_DECIMAL,
        quantity=_DECIMAL,
        aggressor=_choice("buy", "sell", "none"),
        trade_id={"type": ["integer", "string", "null"]},
        conditions=_ID,
        exchange=_TEXT,
    ),
    "Quote": _record(
        seq=_ID,
        ts_ns=_NS,
        received_ns=_NS,
        bid=_or_null(_DECIMAL),
        bid_quantity=_or_null(_DECIMAL),
        ask=_or_null(_DECIMAL),
        ask_quantity=_or_null(_DECIMAL),
        conditions=_ID,
        exchange=_TEXT,
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
            "type": _choice("market", "limit"),
            "quantity": _DECIMAL,
            "price": {**_DECIMAL, "description": "of a limit order"},
            "time_in_force": {**_choice("gtc", "ioc", "fok"), "default": "gtc"},
            "post_only": {**_FLAG, "default": False},
            "reduce_only": {**_FLAG, "default": False},
            "client_id": {
                "type": "string",
                "pattern": "^[A-Za-z0-9._:-]{1,64}$",
                "description": "makes the request idempotent: the same id gives the same order",
            },
            "tag": {"type": "string", "maxLength": 128},
        },
    },
    "Order": _record(
        order_id=_ID,
        client_order_id=_or_null(_TEXT),
        client_id=_or_null(_TEXT),
        instrument_id=_ID,
        symbol=_or_null(_TEXT),
        market=_or_null({"type": "string", "description": "the instrument's venue: whose prices it has"}),
        venue={"type": "string", "description": "where the order was sent, or would have been if not denied"},
        side=_SIDE,
        type=_choice("market", "limit", "stop", "stop_limit", "trailing_stop"),
        quantity=_DECIMAL,
        price=_or_null(_DECIMAL),
        time_in_force=_choice("gtc", "day", "ioc", "fok", "gtd"),
        post_only=_FLAG,
        reduce_only=_FLAG,
        status=_STATUS,
        filled_quantity=_DECIMAL,
        average_price=_or_null(_DECIMAL),
        rule=_or_null({"type": "string", "description": "code of the rule that denied the order"}),
        reason=_or_null(_TEXT),
        source=_TEXT,
        strategy_id=_or_null(_TEXT),
        tag=_TEXT,
        created_ns=_NS,
        updated_ns=_NS,
    ),
    "Cancel": _record(order_id=_ID, status=_choice("pending_cancel")),
    "Position": _record(
        instrument_id=_ID,
        symbol=_TEXT,
        venue=_TEXT,
        currency=_TEXT,
        quantity=_DECIMAL,
        average_price=_or_null(_DECIMAL),
        market_price=_or_null(_DECIMAL),
        cost_basis=_DECIMAL,
        unrealised=_DECIMAL,
        realised=_DECIMAL,
        updated_ns=_NS,
    ),
    "Balance": _record(
        currency=_TEXT,
        cash=_DECIMAL,
        deposits=_DECIMAL,
        realised=_DECIMAL,
        unrealised=_DECIMAL,
        fees=_DECIMAL,
        equity=_DECIMAL,
    ),
    "Account": _record(main_currency=_or_null(_TEXT), balances=_list(_ref("Balance"))),
    "Instruments": _record(instruments=_list(_ref("Instrument"))),
    "Bars": _record(instrument_id=_ID, bars=_list(_ref("Bar")), next=_CURSOR),
    "Ticks": _record(
        instrument_id=_ID,
        kind=_choice("trade", "quote"),
        ticks={"anyOf": [_list(_ref("Trade")), _list(_ref("Quote"))]},
        next=_CURSOR,
    ),
    "Orders": _record(orders=_list(_ref("Order")), next=_CURSOR),
    "Positions": _record(positions=_list(_ref("Position"))),
}


def _parameter(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


_INSTRUMENT = _parameter("instrument", _TEXT, "symbol or instrument_id", required=True)
_VENUE = _parameter("venue", _TEXT, "where the symbol is traded, if at several")
_LIMIT = _parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1000}, "rows of a page")
_NEXT = _parameter("cursor", _TEXT, "`next` of the page before")
_ORDER_ID: Schema = {"name": "order_id", "in": "path", "required": True, "schema": _ID}


def _answer(description: str, schema: Schema | None = None, media: str = "application/json") -> Schema:
    return {"description": description, "content": {media: {"schema": schema or _TEXT}}}


def _operation(
    name: str,
    summary: str,
    answers: dict[str, Schema],
    *,
    parameters: tuple[Schema, ...] = (),
    body: Schema | None = None,
    changes: bool = False,
) -> Schema:
    problem = _answer("a problem (RFC 9457)", _ref("Problem"), "application/problem+json")
    operation: Schema = {
        "operationId": name,
        "summary": summary,
        "responses": {**answers, "default": problem},
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if changes:
        operation["security"] = [{"token": []}]
    return operation


def _operations() -> dict[str, dict[str, Schema]]:
    orders = "/api/v1/orders"
    return {
        "/health": {
            "get": _operation(
                "health",
                "Whether the daemon is well",
                {"200": _answer("ok or degraded", _ref("Health")), "503": _answer("failed", _ref("Health"))},
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics", "Figures for Prometheus", {"200": _answer("figures", None, "text/plain")}
            )
        },
        "/ws": {
            "get": _operation(
                "live",
                "WebSocket: a snapshot, then what changed, five times a second at most",
                {"101": {"description": "the connection is a WebSocket now"}},
            )
        },
        "/api/v1/openapi.json": {
            "get": _operation(
                "openapi", "This document", {"200": _answer("the document", {"type": "object"})}
            )
        },
        "/api/v1/status": {"get": _get("status", "The daemon at a glance", "Status")},
        "/api/v1/instruments": {"get": _get("instruments", "Instruments and their steps", "Instruments")},
        "/api/v1/bars": {
            "get": _get(
                "bars", "Bars in order of time: from from_ns on, else the last ones", "Bars", _BAR_QUERY
            )
        },
        "/api/v1/ticks": {"get": _get("ticks", "Trades or quotes, newest first", "Ticks", _TICK_QUERY)},
        "/api/v1/positions": {"get": _get("positions", "Positions at market", "Positions")},
        "/api/v1/account": {"get": _get("account", "Cash and equity by currency", "Account")},
        orders: {
            "get": _get("listOrders", "Orders, newest first", "Orders", _ORDER_QUERY),
            "post": _submit(),
        },
        f"{orders}/{{order_id}}": {
            "get": _get("getOrder", "One order", "Order", (_ORDER_ID,)),
            "delete": _operation(
                "cancelOrder",
                "Ask for the order's end; it is over when the venue says so",
                {"202": _answer("the wish is durable", _ref("Cancel"))},
                parameters=(_ORDER_ID,),
                changes=True,
            ),
        },
    }


_BAR_QUERY = (
    _INSTRUMENT,
    _VENUE,
    _parameter("interval", {**_choice(*INTERVALS), "default": "1min"}, "length of a bar"),
    _parameter("side", {**_choice("trade", "bid", "ask"), "default": "trade"}, "what the bars are made of"),
    _parameter("from_ns", _NS, "earliest start"),
    _parameter("to_ns", _NS, "starts lie before this"),
    _LIMIT,
    _NEXT,
)
_TICK_QUERY = (
    _INSTRUMENT,
    _VENUE,
    _parameter("kind", {**_choice("trade", "quote"), "default": "trade"}, "which ticks"),
    _LIMIT,
    _NEXT,
)
_ORDER_QUERY = (
    _parameter("open", {**_choice("true", "false"), "default": "false"}, "only orders that are not over"),
    {**_INSTRUMENT, "required": False},
    _VENUE,
    _LIMIT,
    _NEXT,
)


def _get(name: str, summary: str, schema: str, parameters: tuple[Schema, ...] = ()) -> Schema:
    return _operation(name, summary, {"200": _answer(summary, _ref(schema))}, parameters=parameters)


def _submit() -> Schema:
    return _operation(
        "submitOrder",
        "Place an order; answers when it is durable",
        {
            "201": _answer("the order is durable and on its way to the venue", _ref("Order")),
            "200": _answer("this client_id placed it before", _ref("Order")),
            "409": _answer(
                "the client_id was used for another order", _ref("Problem"), "application/problem+json"
            ),
            "422": {
                "description": "denied by a rule (an Order, recorded), or not a possible order (a Problem)",
                "content": {
                    "application/json": {"schema": _ref("Order")},
                    "application/problem+json": {"schema": _ref("Problem")},
                },
            },
        },
        body=_ref("OrderRequest"),
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
        "paths": _operations(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
