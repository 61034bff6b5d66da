"""OpenAPI descriptions of what is commanded: trading, strategies, limits, payments; and of the history."""

from __future__ import annotations

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

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_VALUES: Schema = {"type": "object", "additionalProperties": _SCALAR}
_STATE = one_of("active", "reducing", "halted")
_STATE_FIELDS = {"state": _STATE, "reason": TEXT, "source": TEXT, "since_ns": or_null(NS), "seq": ID}
_NAMED = {"instrument_id": ID, "symbol": or_null(TEXT), "venue": or_null(TEXT)}
_REASON: Schema = {"type": "string", "minLength": 1, "maxLength": 128}


def _asked(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


SCHEMAS: dict[str, Schema] = {
    "Reason": _asked(("reason",), reason=_REASON),
    "Kill": _asked(("reason",), reason=_REASON, flatten={**FLAG, "default": False}),
    "InstrumentState": record(**_NAMED, **_STATE_FIELDS),
    "TradingStates": record(**_STATE_FIELDS, instruments=list_of(ref("InstrumentState"))),
    "TradingChange": {
        **record(**_STATE_FIELDS),
        "description": "a kill tells in cancels and orders how many orders it asked to end and sent",
    },
    "StrategyStart": _asked(
        ("strategy_id", "kind", "instruments"),
        strategy_id=TEXT,
        kind=TEXT,
        instruments={**list_of(TEXT), "description": "symbols, or SYMBOL@VENUE"},
        parameters=_VALUES,
    ),
    "StrategyChange": _asked(("parameters",), parameters=_VALUES),
    "Strategy": record(
        strategy_id=TEXT,
        kind=TEXT,
        parameters=_VALUES,
        instruments=list_of(TEXT),
        running=FLAG,
        share=or_null(
            {**DECIMAL, "description": "part of the equity it sizes with, where that is shared out"}
        ),
        reason=or_null({"type": "string", "description": "why it stopped"}),
        started_ns=NS,
        stopped_ns=or_null(NS),
    ),
    "Strategies": record(strategies=list_of(ref("Strategy"))),
    "StrategyStopped": record(strategy_id=TEXT, running=FLAG),
    "StrategyKind": record(
        kind=TEXT,
        doc=TEXT,
        parameters=list_of(
            record(
                name=TEXT,
                type=one_of("int", "bool", "str", "decimal"),
                doc=TEXT,
                default=_SCALAR,
                minimum=_SCALAR,
                maximum=_SCALAR,
                choices=list_of(TEXT),
            )
        ),
    ),
    "StrategyKinds": record(kinds=list_of(ref("StrategyKind"))),
    "LimitsChange": _asked(
        ("limits",), limits={**_VALUES, "description": "by name; null takes a limit away"}
    ),
    "Risk": record(
        currency=or_null(TEXT),
        limits=list_of(
            record(
                name=TEXT,
                value=_SCALAR,
                configured=_SCALAR,
                set_by=one_of("operator", "configuration"),
                expected=TEXT,
            )
        ),
        known={
            "type": "object",
            "additionalProperties": TEXT,
            "description": "every limit there is, and what it may be",
        },
        equity=or_null(
            record(
                equity=or_null(DECIMAL),
                peak=or_null(DECIMAL),
                drawdown_percent=or_null(DECIMAL),
                day_began_with=or_null(DECIMAL),
                broken=list_of(TEXT),
            )
        ),
        pauses=list_of(
            record(
                instrument_id=or_null(ID),
                symbol=or_null(TEXT),
                strategy_id=or_null(TEXT),
                until_ns=NS,
                rule=TEXT,
                reason=TEXT,
            )
        ),
    ),
    "Breaker": record(
        breaker=TEXT,
        state=one_of("closed", "open", "half_open"),
        failures=ID,
        reason=TEXT,
        since_ns=NS,
        seq=ID,
    ),
    "Breakers": record(breakers=list_of(ref("Breaker"))),
    "Payment": _asked(("currency", "amount"), currency=TEXT, amount=DECIMAL),
    "Booked": record(booked=one_of("deposit", "withdraw")),
    "Event": record(seq=ID, ts_ns=NS, name=TEXT, order_id=or_null(ID), instrument_id=or_null(ID), text=TEXT),
    "Events": record(events=list_of(ref("Event")), next=CURSOR),
}


def _in_path(name: str, schema: Schema = TEXT) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _change(
    name: str,
    summary: str,
    result: str,
    *path: Schema,
    body: str | None = None,
    status: str = "200",
) -> Schema:
    answers = {
        status: answer("durable", ref(result)),
        "409": answer("the core refused; why is journaled", ref("Problem"), "application/problem+json"),
    }
    return operation(name, summary, answers, parameters=path, body=ref(body) if body else None, changes=True)


def operations() -> dict[str, dict[str, Schema]]:
    """Return the operations by address."""
    api = "/api/v1"
    strategy = _in_path("strategy_id")
    return {
        f"{api}/trading": {"get": get("trading", "What trading is allowed", "TradingStates")},
        f"{api}/trading/{{act}}": {
            "post": _change(
                "setTrading",
                "Halt, reduce, resume, or kill: halt, cancel every order, and with flatten close every"
                " position",
                "TradingChange",
                _in_path("act", one_of("halt", "reduce", "resume", "kill")),
                body="Kill",
            )
        },
        f"{api}/instruments/{{instrument}}/{{act}}": {
            "post": _change(
                "setInstrument",
                "Halt or resume one instrument: a symbol, or SYMBOL@VENUE",
                "InstrumentState",
                _in_path("instrument"),
                _in_path("act", one_of("halt", "resume")),
                body="Reason",
            )
        },
        f"{api}/strategies": {
            "get": get("strategies", "Strategies that run or ran", "Strategies"),
            "post": _change(
                "startStrategy", "Start a strategy", "Strategy", body="StrategyStart", status="201"
            ),
        },
        f"{api}/strategies/kinds": {
            "get": get("strategyKinds", "What can be started, with which parameters", "StrategyKinds")
        },
        f"{api}/strategies/{{strategy_id}}": {
            "patch": _change(
                "changeStrategy",
                "Give a running strategy other parameters; those not named stay",
                "Strategy",
                strategy,
                body="StrategyChange",
            ),
            "delete": _change(
                "stopStrategy",
                "Stop a strategy and cancel its orders",
                "StrategyStopped",
                strategy,
                status="202",
            ),
        },
        f"{api}/risk": {
            "get": get("risk", "Limits in force, what they are judged by, and pauses", "Risk"),
            "patch": _change("setLimits", "Change limits; admins only", "Risk", body="LimitsChange"),
        },
        f"{api}/risk/reset": {
            "post": _change(
                "resetRisk",
                "Begin anew: equity now is the peak and the day's, no loss is remembered, no pause holds;"
                " admins only",
                "Risk",
            )
        },
        f"{api}/breakers": {"get": get("breakers", "Circuit breakers around outside calls", "Breakers")},
        f"{api}/account/{{act}}": {
            "post": _change(
                "pay",
                "Book a deposit or a withdrawal; admins only",
                "Booked",
                _in_path("act", one_of("deposit", "withdraw")),
                body="Payment",
            )
        },
        f"{api}/events": {
            "get": get("events", "Every event but ticks, newest first", "Events", _EVENT_QUERY)
        },
    }


_EVENT_QUERY = (
    query_parameter("text", TEXT, "words that must all occur"),
    query_parameter("order_id", ID, "only events of this order"),
    LIMIT,
    NEXT,
)
