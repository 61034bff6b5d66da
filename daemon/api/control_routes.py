"""Addresses of what is commanded: trading, strategies, limits, payments; and the history of events."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from daemon.api.bodies import read_json_body
from daemon.api.control import Control
from daemon.api.parameters import MAX_ROWS, integer, optional_integer, parameters
from daemon.api.problems import Problem
from daemon.api.reads import Reads
from daemon.api.responses import Route, json_response
from daemon.api.security import Guard

TRADING_ACTS = ("halt", "reduce", "resume", "kill")
INSTRUMENT_ACTS = ("halt", "resume")
PAYMENTS = ("deposit", "withdraw")
MAX_WORDS = 200


class ControlRoutes:
    """Reads strictly what was asked, and hands on to what commands or knows."""

    def __init__(self, control: Control, reads: Reads, guard: Guard) -> None:
        self._control = control
        self._reads = reads
        self._guard = guard

    def table(self) -> list[Route]:
        """Return the addresses."""
        api = "/api/v1"
        return [
            Route("GET", f"{api}/trading", self._trading),
            Route("POST", f"{api}/trading/{{act}}", self._trading_set),
            Route("POST", f"{api}/instruments/{{instrument}}/{{act}}", self._instrument_set),
            Route("GET", f"{api}/strategies", self._strategies),
            Route("POST", f"{api}/strategies", self._strategy_start),
            Route("GET", f"{api}/strategies/kinds", self._kinds),
            Route("PATCH", f"{api}/strategies/{{strategy_id}}", self._strategy_change),
            Route("DELETE", f"{api}/strategies/{{strategy_id}}", self._strategy_stop),
            Route("GET", f"{api}/risk", self._risk),
            Route("PATCH", f"{api}/risk", self._risk_set),
            Route("POST", f"{api}/risk/reset", self._risk_reset),
            Route("GET", f"{api}/breakers", self._breakers),
            Route("POST", f"{api}/account/{{act}}", self._pay),
            Route("GET", f"{api}/events", self._events),
        ]

    async def _trading(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response(self._reads.trading_states())

    async def _trading_set(self, request: web.Request) -> web.Response:
        act = _act(request, TRADING_ACTS)
        body, identity = await read_json_body(request), self._guard.identify(request)
        return json_response(await self._control.set_trading(act, body, identity))

    async def _instrument_set(self, request: web.Request) -> web.Response:
        act, name = _act(request, INSTRUMENT_ACTS), request.match_info["instrument"]
        body, identity = await read_json_body(request), self._guard.identify(request)
        return json_response(await self._control.set_instrument(act, name, body, identity))

    async def _strategies(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"strategies": self._reads.strategies()})

    async def _kinds(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"kinds": self._reads.strategy_kinds()})

    async def _strategy_start(self, request: web.Request) -> web.Response:
        body, identity = await read_json_body(request), self._guard.identify(request)
        strategy_id = await self._control.start(body, identity)
        return json_response(self._running(strategy_id), status=201)

    async def _strategy_change(self, request: web.Request) -> web.Response:
        strategy_id = request.match_info["strategy_id"]
        body, identity = await read_json_body(request), self._guard.identify(request)
        await self._control.change(strategy_id, body, identity)
        return json_response(self._running(strategy_id))

    async def _strategy_stop(self, request: web.Request) -> web.Response:
        strategy_id = request.match_info["strategy_id"]
        await self._control.stop(strategy_id, self._guard.identify(request))
        return json_response({"strategy_id": strategy_id, "running": False}, status=202)

    def _running(self, strategy_id: str) -> dict[str, Any]:
        document = self._reads.running_strategy(strategy_id)
        if document is None:
            raise Problem(409, f"strategy {strategy_id[:64]} stopped at once; see its reason", code="refused")
        return document

    async def _risk(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response(self._reads.risk())

    async def _risk_set(self, request: web.Request) -> web.Response:
        body, identity = await read_json_body(request), self._guard.identify(request)
        await self._control.set_limits(body, identity)
        return json_response(self._reads.risk())

    async def _risk_reset(self, request: web.Request) -> web.Response:
        parameters(request)
        await self._control.reset_risk(self._guard.identify(request))
        return json_response(self._reads.risk())

    async def _breakers(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"breakers": self._reads.breakers()})

    async def _pay(self, request: web.Request) -> web.Response:
        act = _act(request, PAYMENTS)
        body, identity = await read_json_body(request), self._guard.identify(request)
        await self._control.pay(act, body, identity)
        return json_response({"booked": act})

    async def _events(self, request: web.Request) -> web.Response:
        query = parameters(request, "text", "order_id", "limit", "cursor")
        text = query.get("text")
        if text is not None and len(text) > MAX_WORDS:
            raise Problem(400, f"text is longer than {MAX_WORDS} characters", code="parameter")
        limit = integer(query, "limit", default=100, most=MAX_ROWS)
        events = self._reads.events(
            text=text,
            order_id=optional_integer(query, "order_id"),
            before=optional_integer(query, "cursor"),
            limit=limit,
        )
        cursor = str(events[-1]["seq"]) if len(events) == limit else None
        return json_response({"events": events, "next": cursor})


def _act(request: web.Request, known: tuple[str, ...]) -> str:
    parameters(request)
    act = request.match_info["act"]
    if act not in known:
        raise Problem(404, f"{act[:64]} cannot be done here; known: {', '.join(known)}", code="no-such-act")
    return act
