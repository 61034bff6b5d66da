"""Addresses and their parameters; each route reads its query strictly and hands on to what knows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiohttp import hdrs, web

from daemon.api.health import Checkup, HealthStatus
from daemon.api.live import Live
from daemon.api.metrics import CONTENT_TYPE, Metrics
from daemon.api.openapi import document as openapi_document
from daemon.api.orders import Orders, find_instrument, read_json_body
from daemon.api.ports import Engine
from daemon.api.problems import Problem
from daemon.api.reads import Reads
from daemon.api.security import Guard
from daemon.readmodel.bars import INTERVALS
from schemas.events import BarSide, InstrumentDefined

STATIC = Path(__file__).parent / "static"
CHART_LIBRARY = STATIC / "vendor" / "lightweight-charts.mjs"
MAX_ROWS = 1000
MAX_INTEGER = 2**63 - 1
SIDES = {side.name.lower(): side for side in BarSide}

_encode = msgspec.json.encode


class Route(NamedTuple):
    """One address, as it is registered and as the OpenAPI document must tell it."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


def _json(document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=_encode(document), status=status, content_type="application/json", headers=headers
    )


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
    ) -> None:
        self._engine = engine
        self._checkup = checkup
        self._reads = reads
        self._orders = orders
        self._metrics = metrics
        self._live = live
        self._guard = guard
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
            Route("GET", f"{api}/orders/{{order_id}}", self._order_get),
            Route("DELETE", f"{api}/orders/{{order_id}}", self._order_delete),
            Route("GET", f"{api}/positions", self._positions),
            Route("GET", f"{api}/account", self._account),
            Route("GET", "/ws", self._live.connect),
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
        return _json(health.document(), status=503 if health.status is HealthStatus.FAILED else 200)

    async def _metrics_text(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _openapi_json(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        _parameters(request)
        health = self._checkup().document()
        return _json(
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
        _parameters(request)
        return _json({"instruments": self._reads.instruments()})

    async def _bars(self, request: web.Request) -> web.Response:
        query = _parameters(
            request, "instrument", "venue", "interval", "side", "from_ns", "to_ns", "limit", "cursor"
        )
        defined = self._instrument(query)
        limit = _integer(query, "limit", default=500, most=MAX_ROWS)
        cursor = _optional_integer(query, "cursor")
        from_ns, to_ns = _optional_integer(query, "from_ns"), _optional_integer(query, "to_ns")
        forward = from_ns is not None
        bars = self._reads.bars(
            defined,
            interval=_choice(query, "interval", INTERVALS, default="1min"),
            side=SIDES[_choice(query, "side", SIDES, default="trade")],
            from_ns=cursor if forward and cursor else from_ns,
            to_ns=to_ns if forward or cursor is None else cursor,
            limit=limit,
        )
        following = None
        if len(bars) == limit:
            following = str(bars[-1]["start_ns"] + 1 if forward else bars[0]["start_ns"])
        return _json({"instrument_id": defined.instrument_id, "bars": bars, "next": following})

    async def _ticks(self, request: web.Request) -> web.Response:
        query = _parameters(request, "instrument", "venue", "kind", "limit", "cursor")
        defined = self._instrument(query)
        limit = _integer(query, "limit", default=100, most=MAX_ROWS)
        kind = _choice(query, "kind", ("trade", "quote"), default="trade")
        ticks = self._reads.ticks(defined, kind=kind, before=_optional_integer(query, "cursor"), limit=limit)
        cursor = str(ticks[-1]["seq"]) if len(ticks) == limit else None
        return _json({"instrument_id": defined.instrument_id, "kind": kind, "ticks": ticks, "next": cursor})

    async def _order_list(self, request: web.Request) -> web.Response:
        query = _parameters(request, "open", "instrument", "venue", "limit", "cursor")
        limit = _integer(query, "limit", default=100, most=MAX_ROWS)
        orders = self._reads.orders(
            is_open={"true": True, "false": None}[_choice(query, "open", ("true", "false"), default="false")],
            instrument_id=self._instrument(query).instrument_id if "instrument" in query else None,
            before=_optional_integer(query, "cursor"),
            limit=limit,
        )
        cursor = str(orders[-1]["order_id"]) if len(orders) == limit else None
        return _json({"orders": orders, "next": cursor})

    async def _order_post(self, request: web.Request) -> web.Response:
        body = await read_json_body(request)
        status, order = await self._orders.submit(body, self._guard.identify(request))
        return _json(order, status=status, headers={"Location": f"/api/v1/orders/{order['order_id']}"})

    async def _order_get(self, request: web.Request) -> web.Response:
        _parameters(request)
        order_id = _order_id(request)
        order = await self._orders.find(order_id)
        if order is None:
            raise Problem(404, f"there is no order {order_id}", code="no-such-order")
        return _json(order)

    async def _order_delete(self, request: web.Request) -> web.Response:
        return _json(await self._orders.cancel(_order_id(request), self._guard.identify(request)), status=202)

    async def _positions(self, request: web.Request) -> web.Response:
        _parameters(request)
        return _json({"positions": self._reads.positions()})

    async def _account(self, request: web.Request) -> web.Response:
        _parameters(request)
        return _json(self._reads.account())

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


def _parameters(request: web.Request, *known: str) -> Mapping[str, str]:
    query = request.query
    for name in query:
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise Problem(
                400, f"the parameter {name[:64]} is not known here; known: {allowed}", code="parameter"
            )
        if len(query.getall(name)) > 1:
            raise Problem(400, f"the parameter {name} was given twice", code="parameter")
    return query


def _optional_integer(query: Mapping[str, str], name: str) -> int | None:
    return _integer(query, name, default=0, most=MAX_INTEGER) if name in query else None


def _integer(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= most):  # noqa: PLR2004
        raise Problem(400, f"{name} must be an integer from 1 to {most}, not {text[:40]!r}", code="parameter")
    return int(text)


def _choice(query: Mapping[str, str], name: str, allowed: Any, *, default: str) -> str:
    text = query.get(name, default)
    if text not in allowed:
        raise Problem(400, f"{name} must be one of {', '.join(allowed)}, not {text[:40]!r}", code="parameter")
    return text


def _order_id(request: web.Request) -> int:
    text = request.match_info["order_id"]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_INTEGER):  # noqa: PLR2004
        raise Problem(404, "an order id is a number", code="no-such-order")
    return int(text)
