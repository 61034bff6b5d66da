"""A venue behind real HTTP that misbehaves on purpose, and a client for it.

Before or after it carries a request out, the server may wait, answer 503, or tear the connection down;
its reports come late, twice and out of turn. It counts how often each order was sent to it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import replace

import aiohttp
import msgspec
from aiohttp import web

from daemon.breaker import OutsideError
from daemon.venue.live import VenueFill, VenueOrder, VenueRefusedError, VenueStatus
from schemas.events import Liquidity, Side

FAULTS = ("late", "slow", "503", "503 done", "reset", "reset done")
"""Carried out after the client gave up; answered after that; refused; carried out and refused; torn."""


class FaultVenue:
    """The server, and the truth: what it has is what must be in the books in the end."""

    def __init__(self, chance: random.Random, *, rate: float, answer_s: float) -> None:
        self.chance = chance
        self.rate = rate
        self.answer_s = answer_s
        self.orders: dict[str, VenueOrder] = {}
        self.fills: list[VenueFill] = []
        self.sends: Counter[str] = Counter()
        self.sides: dict[str, Side] = {}
        self.reports: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.reported = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/orders", self._around(self._submit))
        app.router.add_delete("/orders/{id}", self._around(self._cancel))
        app.router.add_put("/orders/{id}", self._around(self._replace))
        app.router.add_get("/orders/{id}", self._around(self._find))
        app.router.add_get("/orders", self._around(self._open_orders))
        app.router.add_get("/fills", self._around(self._fills_since))
        app.router.add_get("/reports", self._reports)
        return app

    def _around(self, carry_out):
        async def answer(request):
            body = await request.read()
            if request.method == "POST":
                self.sends[msgspec.json.decode(body)["client_order_id"]] += 1
            fault = self.chance.choice(FAULTS) if self.chance.random() < self.rate else "none"
            self.counts[fault] += 1
            if fault == "late":
                # The client has gone by then, and the server ends a request with it.
                asyncio.get_running_loop().call_later(self.answer_s * 1.5, carry_out, request, body)
                await asyncio.sleep(self.answer_s * 2)
            if fault == "503":
                return web.Response(status=503)
            if fault == "reset":
                request.transport.abort()
                return web.Response()
            result = carry_out(request, body)
            if fault == "slow":
                await asyncio.sleep(self.answer_s * 1.5)
            if fault == "503 done":
                return web.Response(status=503)
            if fault == "reset done":
                request.transport.abort()
            return result

        return answer

    def trade(self) -> None:
        """Let something happen by itself to one working order."""
        working = [order for order in self.orders.values() if not order.is_over]
        if not working:
            return
        order = self.chance.choice(working)
        left = order.quantity - order.filled_quantity
        match self.chance.randrange(8):
            case 0:
                self._change(order, status=VenueStatus.EXPIRED, reason="its time is over")
            case 1:
                self._change(order, status=VenueStatus.CANCELED, reason="by the venue")
            case _:
                self._fill(order, self.chance.randint(1, left))

    def _fill(self, order: VenueOrder, quantity: int) -> None:
        fill = VenueFill(
            client_order_id=order.client_order_id,
            venue_trade_id=f"T{len(self.fills) + 1}",
            instrument_id=1,
            side=self.sides[order.client_order_id],
            price=order.price,
            quantity=quantity,
            fee=1,
            fee_scale=2,
            fee_currency="USDT",
            liquidity=Liquidity.MAKER,
            ts_ns=time.time_ns(),
        )
        self.fills.append(fill)
        filled = order.filled_quantity + quantity
        status = VenueStatus.FILLED if filled == order.quantity else VenueStatus.WORKING
        self._tell(("fill", fill))
        self._change(order, filled_quantity=filled, status=status)

    def _change(self, order: VenueOrder, **changes) -> VenueOrder:
        order = self.orders[order.client_order_id] = replace(order, ts_ns=time.time_ns(), **changes)
        self._tell(("order", order))
        return order

    def _tell(self, report) -> None:
        """Put a report to the others: late, twice or before an earlier one."""
        raw = msgspec.json.encode(report)
        for _ in range(1 + (self.chance.random() < self.rate)):
            place = len(self.reports)
            if self.chance.random() < self.rate:
                place = max(0, place - self.chance.randint(1, 4))
            if self.chance.random() < self.rate / 2:
                continue  # Lost: only who asks hears of it.
            self.reports.insert(place, raw)
        self.reported.set()

    def _submit(self, request, body):
        wanted = msgspec.json.decode(body)
        client_order_id = wanted["client_order_id"]
        if client_order_id in self.orders:
            return web.json_response({"reason": "that id was used"}, status=409)
        if wanted["quantity"] % 7 == 0:
            return web.json_response({"reason": "no multiples of seven"}, status=422)
        self.sides[client_order_id] = Side(wanted["side"])
        order = VenueOrder(
            client_order_id=client_order_id,
            venue_order_id=f"V{len(self.orders) + 1}",
            instrument_id=1,
            status=VenueStatus.WORKING,
            quantity=wanted["quantity"],
            filled_quantity=0,
            price=wanted["price"],
            stop_price=None,
            ts_ns=time.time_ns(),
        )
        self.orders[client_order_id] = order
        self._tell(("order", order))
        return _json(order)

    def _cancel(self, request, body):
        order = self.orders.get(request.match_info["id"])
        if order is None or order.is_over:
            return web.json_response({"reason": "it is over"}, status=409)
        return _json(self._change(order, status=VenueStatus.CANCELED, reason="requested"))

    def _replace(self, request, body):
        order, wanted = self.orders.get(request.match_info["id"]), msgspec.json.decode(body)
        if order is None or order.is_over or wanted["quantity"] <= order.filled_quantity:
            return web.json_response({"reason": "too late"}, status=409)
        return _json(self._change(order, quantity=wanted["quantity"], price=wanted["price"]))

    def _find(self, request, body):
        order = self.orders.get(request.match_info["id"])
        return web.json_response({}, status=404) if order is None else _json(order)

    def _open_orders(self, request, body):
        return _json([order for order in self.orders.values() if not order.is_over])

    def _fills_since(self, request, body):
        since_ns = int(request.query["since_ns"])
        return _json([fill for fill in self.fills if fill.ts_ns >= since_ns])

    async def _reports(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        sent = int(request.query["after"])
        while True:
            self.reported.clear()
            while sent < len(self.reports):
                await response.write(self.reports[sent] + b"\n")
                sent += 1
                if self.chance.random() < self.rate / 10:
                    request.transport.abort()
                    return response
            await self.reported.wait()


def _json(value):
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


class HttpVenue:
    """The client side, as an implementation for a real venue would be: each call one request."""

    name = "http"

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession()
        self._heard = 0

    async def close(self) -> None:
        await self._session.close()

    async def _request(self, method, path, *, kind, **options):
        try:
            async with self._session.request(method, f"{self._url}{path}", **options) as answer:
                body = await answer.read()
        except aiohttp.ClientError as error:
            raise OutsideError(f"{type(error).__name__}: {error}") from error
        if answer.status >= 500:
            raise OutsideError(f"answered {answer.status}")
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise VenueRefusedError(msgspec.json.decode(body)["reason"])
        return msgspec.json.decode(body, type=kind)

    async def submit(self, order):
        wanted = {
            "client_order_id": order.client_order_id,
            "side": int(order.request.side),
            "quantity": order.quantity,
            "price": order.price,
        }
        return await self._request("POST", "/orders", kind=VenueOrder, json=wanted)

    async def cancel(self, client_order_id):
        found = await self._request("DELETE", f"/orders/{client_order_id}", kind=VenueOrder)
        if found is None:
            raise VenueRefusedError("not known")
        return found

    async def replace(self, client_order_id, *, quantity, price, stop_price):
        wanted = {"quantity": quantity, "price": price}
        return await self._request("PUT", f"/orders/{client_order_id}", kind=VenueOrder, json=wanted)

    async def find(self, client_order_id):
        return await self._request("GET", f"/orders/{client_order_id}", kind=VenueOrder)

    async def open_orders(self):
        return await self._request("GET", "/orders", kind=list[VenueOrder])

    async def fills_since(self, since_ns):
        return await self._request("GET", "/fills", kind=list[VenueFill], params={"since_ns": str(since_ns)})

    async def balances(self):
        return None

    async def watch(self):
        try:
            async with self._session.get(
                f"{self._url}/reports", params={"after": str(self._heard)}, timeout=aiohttp.ClientTimeout()
            ) as answer:
                async for line in answer.content:
                    self._heard += 1
                    kind, _ = msgspec.json.decode(line)
                    record = VenueFill if kind == "fill" else VenueOrder
                    yield msgspec.json.decode(line, type=tuple[str, record])[1]
        except aiohttp.ClientError as error:
            raise OutsideError(f"{type(error).__name__}: {error}") from error
