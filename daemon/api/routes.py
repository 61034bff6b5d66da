"""Addresses and their parameters; each route reads its query strictly and hands on to what knows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
from aiohttp import hdrs, web

from daemon.api.bodies import read_json_body
from daemon.api.health import Checkup, HealthStatus
from daemon.api.live import Live
from daemon.api.metrics import CONTENT_TYPE, Metrics
from daemon.api.openapi import document as openapi_document
from daemon.api.orders import Orders, find_instrument
from daemon.api.parameters import MAX_INTEGER, MAX_ROWS, choice, integer, optional_integer, parameters
from daemon.api.ports import Engine
from daemon.api.problems import Problem
from daemon.api.reads import Reads
from daemon.api.responses import Route, json_response
from daemon.api.security import Guard
from daemon.readmodel.bars import INTERVALS
from schemas.events import BarSide, InstrumentDefined

STATIC = Path(__file__).parent / "static"
CHART_LIBRARY = STATIC / "vendor" / "lightweight-charts.mjs"
SIDES = {side.name.lower(): side for side in BarSide}

_encode = msgspec.json.encode


class Routes:
    """All addresses of the daemon."""

    def __init__(
        self,
        engine: Engine,
        checkup: Checkup,
        reads: Reads,
        orders: Orders,
        metrics: Metrics,
        live: Live,
        guard: Guard,
        more: Sequence[Route],
    ) -> None:
        self._engine = engine
        self._checkup = checkup
        self._reads = reads
        self._orders = orders
        self._metrics = metrics
        self._live = live
        self._guard = guard
        self._more = more
        self._started_ns = time.time_ns()
        self._openapi = _encode(openapi_document())
        self._page = _page()

    def table(self) -> list[Route]:
        """Return every address that answers with data."""
        api = "/api/v1"
        return [
            Route("GET", "/health", self._health),
            Route("GET", "/metrics", self._metrics_text),
            Route("GET", f"{api}/openapi.json", self._openapi_json),
            Route("GET", f"{api}/status", self._status),
            Route("GET", f"{api}/instruments", self._instruments),
            Route("GET", f"{api}/bars", self._bars),
            Route("GET", f"{api}/ticks", self._ticks),
            Route("GET", f"{api}/orders", self._order_list),
            Route("POST", f"{api}/orders", self._order_post),
            Route("POST", f"{api}/orders/oco", self._order_group),
            Route("GET", f"{api}/orders/{{order_id}}", self._order_get),
            Route("PATCH", f"{api}/orders/{{order_id}}", self._order_patch),
            Route("DELETE", f"{api}/orders/{{order_id}}", self._order_delete),
            Route("GET", f"{api}/positions", self._positions),
            Route("GET", f"{api}/account", self._account),
            Route("GET", "/ws", self._live.connect),
            *self._more,
        ]

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the addresses, the page and its files."""
        for route in self.table():
            # WebSockets have no HEAD; every other GET does, as HTTP wants.
            if route.method == hdrs.METH_GET:
                router.add_get(route.path, route.handler, allow_head=route.path != "/ws")
            else:
                router.add_route(route.method, route.path, route.handler)
        router.add_get("/", self._dashboard)
        router.add_static("/static/", STATIC, follow_symlinks=False)

    async def _dashboard(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=self._page, content_type="text/html", charset="utf-8", headers={"Cache-Control": "no-cache"}
        )

    async def _health(self, _request: web.Request) -> web.Response:
        health = self._checkup()
        return json_response(health.document(), status=503 if health.status is HealthStatus.FAILED else 200)

    async def _metrics_text(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi_json(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        parameters(request)
        health = self._checkup().document()
        return json_response(
            {
                "version": version("taped"),
                "journal_id": self._engine.journal_id,
                "started_ns": self._started_ns,
                "health": health.pop("status"),
                **health,
                "trading": self._reads.trading(),
                "instruments": len(self._engine.core.instruments),
                "orders_working": len(self._engine.core.orders.working),
            }
        )

    async def _instruments(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"instruments": self._reads.instruments()})

    async def _bars(self, request: web.Request) -> web.Response:
        query = parameters(
            request, "instrument", "venue", "interval", "side", "from_ns", "to_ns", "limit", "cursor"
        )
        defined = self._instrument(query)
        limit = integer(query, "limit", default=500, most=MAX_ROWS)
        cursor = optional_integer(query, "cursor")
        from_ns, to_ns = optional_integer(query, "from_ns"), optional_integer(query, "to_ns")
        forward = from_ns is not None
        bars = self._reads.bars(
            defined,
            interval=choice(query, "interval", INTERVALS, default="1min"),
            side=SIDES[choice(query, "side", SIDES, default="trade")],
            from_ns=cursor if forward and cursor else from_ns,
            to_ns=to_ns if forward or cursor is None else cursor,
            limit=limit,
        )
        following = None
        if len(bars) == limit:
            following = str(bars[-1]["start_ns"] + 1 if forward else bars[0]["start_ns"])
        return json_response({"instrument_id": defined.instrument_id, "bars": bars, "next": following})

    async def _ticks(self, request: web.Request) -> web.Response:
        query = parameters(request, "instrument", "venue", "kind", "limit", "cursor")
        defined = self._instrument(query)
        limit = integer(query, "limit", default=100, most=MAX_ROWS)
        kind = choice(query, "kind", ("trade", "quote"), default="trade")
        ticks = self._reads.ticks(defined, kind=kind, before=optional_integer(query, "cursor"), limit=limit)
        cursor = str(ticks[-1]["seq"]) if len(ticks) == limit else None
        return json_response(
            {"instrument_id": defined.instrument_id, "kind": kind, "ticks": ticks, "next": cursor}
        )

    async def _order_list(self, request: web.Request) -> web.Response:
        query = parameters(request, "open", "instrument", "venue", "limit", "cursor")
        limit = integer(query, "limit", default=100, most=MAX_ROWS)
        orders = self._reads.orders(
            is_open={"true": True, "false": None}[choice(query, "open", ("true", "false"), default="false")],
            instrument_id=self._instrument(query).instrument_id if "instrument" in query else None,
            before=optional_integer(query, "cursor"),
            limit=limit,
        )
        cursor = str(orders[-1]["order_id"]) if len(orders) == limit else None
        return json_response({"orders": orders, "next": cursor})

    async def _order_post(self, request: web.Request) -> web.Response:
        body = await read_json_body(request)
        status, order = await self._orders.submit(body, self._guard.identify(request))
        return json_response(
            order, status=status, headers={"Location": f"/api/v1/orders/{order['order_id']}"}
        )

    async def _order_group(self, request: web.Request) -> web.Response:
        body = await read_json_body(request)
        status, group = await self._orders.submit_group(body, self._guard.identify(request))
        return json_response(group, status=status)

    async def _order_get(self, request: web.Request) -> web.Response:
        parameters(request)
        order_id = _order_id(request)
        order = await self._orders.find(order_id)
        if order is None:
            raise Problem(404, f"there is no order {order_id}", code="no-such-order")
        return json_response(order)

    async def _order_patch(self, request: web.Request) -> web.Response:
        body = await read_json_body(request)
        status, document = await self._orders.replace(_order_id(request), body, self._guard.identify(request))
        return json_response(document, status=status)

    async def _order_delete(self, request: web.Request) -> web.Response:
        return json_response(
            await self._orders.cancel(_order_id(request), self._guard.identify(request)), status=202
        )

    async def _positions(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"positions": self._reads.positions()})

    async def _account(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response(self._reads.account())

    def _instrument(self, query: Mapping[str, str]) -> InstrumentDefined:
        name = query.get("instrument")
        if name is None:
            raise Problem(
                400, "the parameter instrument is missing: a symbol or an instrument_id", code="parameter"
            )
        return find_instrument(self._engine, name, query.get("venue"))


def _page() -> bytes:
    """Return the dashboard, told whether the chart library was installed beside it."""
    page = (STATIC / "index.html").read_bytes()
    if CHART_LIBRARY.is_file():
        page = page.replace(b'data-charts="own"', b'data-charts="library"', 1)
    return page


def _order_id(request: web.Request) -> int:
    text = request.match_info["order_id"]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_INTEGER):  # noqa: PLR2004
        raise Problem(404, "an order id is a number", code="no-such-order")
    return int(text)
