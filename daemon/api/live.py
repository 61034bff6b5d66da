"""WebSocket /ws: a snapshot for each client, then what changed, a few times a second, the same for all.

Updates are conflated: a client hears the last state of a row, not each of its changes. A client that
does not read is dropped with a reason; nothing is ever buffered for it without bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from daemon.api.health import Checkup
from daemon.api.metrics import Metrics
from daemon.api.ports import Engine, Machine, Projection
from daemon.api.problems import unavailable
from daemon.api.reads import PriceRows, Reads
from daemon.journal.reader import Batch
from schemas.errors import TapedError
from schemas.events import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRejected,
    OrderReleased,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderTriggered,
    OrderUnknown,
    ReplaceDenied,
    ReplaceRejected,
    ReplaceRequested,
)

log = logging.getLogger(__name__)

UPDATE_SECONDS = 0.2
MAX_UPDATES_BEHIND = 8
"""A client that has not taken so many updates is dropped."""

SNAPSHOT_ORDERS = 100
SNAPSHOT_FILLS = 60
MAX_CHANGED_ORDERS = 200
"""Orders in one update; when more change between two updates, the newest are told."""

HEARTBEAT_UPDATES = 5
CLOSE_SECONDS = 1.0
MAX_MESSAGE_BYTES = 4096

_OF_ORDERS = frozenset(
    {
        CancelRejected,
        CancelRequested,
        OrderAccepted,
        OrderCanceled,
        OrderDenied,
        OrderExpired,
        OrderFilled,
        OrderHeld,
        OrderRejected,
        OrderReleased,
        OrderReplaced,
        OrderSubmitted,
        OrderTriggered,
        OrderUnknown,
        ReplaceDenied,
        ReplaceRejected,
        ReplaceRequested,
    }
)

_encode = msgspec.json.encode


class _Client:
    """One connection and the few updates it may be behind."""

    def __init__(self, socket: web.WebSocketResponse, limit: int) -> None:
        self.socket = socket
        self.queue: asyncio.Queue[str] = asyncio.Queue(limit)
        self.too_slow = asyncio.Event()

    async def send_all(self) -> None:
        while True:
            await self.socket.send_str(await self.queue.get())


class Live:
    """All WebSocket clients of the daemon."""

    def __init__(
        self,
        engine: Engine,
        projection: Projection,
        reads: Reads,
        metrics: Metrics,
        checkup: Checkup,
        *,
        max_clients: int,
        machine: Machine | None = None,
    ) -> None:
        self._engine = engine
        self._projection = projection
        self._reads = reads
        self._metrics = metrics
        self._checkup = checkup
        self._max_clients = max_clients
        self._machine = machine
        self._clients: set[_Client] = set()
        self._changed: dict[int, int] = {}  # Order to the seq of its last event.
        self._last_fill = 0
        self._told: dict[str, bytes] = {}
        self._told_prices: PriceRows = {}
        self._quiet = 0

    def on_batch(self, batch: Batch) -> None:
        """Note which orders changed; does nothing for a batch of ticks."""
        types = self._metrics.batch_types
        if not self._clients or (_OF_ORDERS.isdisjoint(types) and OrderRequested not in types):
            return
        changed = self._changed
        for seq, event in enumerate(batch.events, batch.first_seq):
            kind = type(event)
            if kind is OrderRequested:
                changed[seq] = seq
            elif kind in _OF_ORDERS:
                changed[event.order_id] = seq  # type: ignore[union-attr]
        for order_id in sorted(changed)[:-MAX_CHANGED_ORDERS]:
            del changed[order_id]

    async def run(self) -> None:
        """Send updates until cancelled."""
        while True:
            await asyncio.sleep(UPDATE_SECONDS)
            if not self._clients:
                self._told.clear()
                self._told_prices = {}
                continue
            try:
                self._broadcast()
            except TapedError as error:
                # The next update tries again; /health tells what is wrong with the read model.
                log.warning("no update for the WebSocket clients: %s", error)

    def _broadcast(self) -> None:
        update = self._update()
        self._quiet = 0 if update else self._quiet + 1
        if not update and self._quiet < HEARTBEAT_UPDATES:
            return
        self._quiet = 0
        text = _encode({"type": "update", **self._progress(), **update}).decode()
        for client in self._clients:
            try:
                client.queue.put_nowait(text)
            except asyncio.QueueFull:
                client.too_slow.set()

    def _progress(self) -> dict[str, Any]:
        health = self._checkup()
        return {
            "seq": health.durable_seq,
            "applied_seq": health.applied_seq,
            "reasons": health.reasons,
            "sync": {"state": health.sync["state"], "lag_events": health.sync["lag_events"]},
        }

    def _update(self) -> dict[str, Any]:
        reads = self._reads
        update: dict[str, Any] = {}
        rows = reads.price_rows()
        prices = [reads.price(row) for key, row in rows.items() if self._told_prices.get(key) != row]
        self._told_prices = rows
        if prices:
            update["prices"] = prices
        for name, read in self._parts().items():
            document = read()
            body = _encode(document)
            if self._told.get(name) != body:
                self._told[name] = body
                update[name] = document
        self._add_orders(update)
        return update

    def _parts(self) -> dict[str, Callable[[], Any]]:
        reads, machine = self._reads, self._machine
        parts: dict[str, Callable[[], Any]] = {
            "instruments": reads.instruments,
            "positions": reads.positions,
            "account": reads.account,
            "trading": reads.trading,
        }
        if machine is not None:
            parts["hardware"] = machine.document
        return parts

    def _add_orders(self, update: dict[str, Any]) -> None:
        applied = self._projection.applied_seq
        ready = sorted(order_id for order_id, seq in self._changed.items() if seq <= applied)
        if not ready:
            return
        for order_id in ready:
            del self._changed[order_id]
        orders = (self._reads.order(order_id) for order_id in ready)
        update["orders"] = [order for order in orders if order is not None]
        fills = [fill for fill in self._reads.fills(SNAPSHOT_FILLS) if fill["seq"] > self._last_fill]
        if fills:
            self._last_fill = fills[-1]["seq"]
            update["fills"] = fills

    def _snapshot(self) -> str:
        reads = self._reads
        rows = reads.price_rows()
        snapshot = {
            "type": "snapshot",
            "version": version("taped"),
            "journal_id": self._engine.journal_id,
            **self._progress(),
            **{name: read() for name, read in self._parts().items()},
            "prices": [reads.price(row) for row in rows.values()],
            "orders": self._latest_orders(),
            "fills": reads.fills(SNAPSHOT_FILLS),
        }
        return _encode(snapshot).decode()

    def _latest_orders(self) -> list[dict[str, Any]]:
        """Return the latest orders and the latest of those that work, however old, oldest first."""
        found = {
            order["order_id"]: order
            for is_open in (None, True)
            for order in self._reads.orders(
                is_open=is_open, instrument_id=None, before=None, limit=SNAPSHOT_ORDERS
            )
        }
        return [order for _, order in sorted(found.items())]

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves or is dropped."""
        if self._engine.stopping or len(self._clients) >= self._max_clients:
            reason = (
                "taped is stopping" if self._engine.stopping else "as many clients as allowed are connected"
            )
            raise unavailable(reason)
        socket = web.WebSocketResponse(
            timeout=CLOSE_SECONDS, heartbeat=20.0, max_msg_size=MAX_MESSAGE_BYTES, compress=False
        )
        await socket.prepare(request)
        client = _Client(socket, MAX_UPDATES_BEHIND)
        client.queue.put_nowait(self._snapshot())
        self._clients.add(client)
        self._metrics.websockets = len(self._clients)
        tasks = [
            asyncio.ensure_future(work)
            for work in (client.send_all(), _until_left(socket), client.too_slow.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._clients.discard(client)
            self._metrics.websockets = len(self._clients)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if client.too_slow.is_set():
            await self._drop(request, socket)
        return socket

    async def _drop(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._metrics.websockets_dropped += 1
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await socket.close(
                    code=WSCloseCode.TRY_AGAIN_LATER,
                    message=f"too slow: {MAX_UPDATES_BEHIND} updates behind".encode(),
                )
        if request.transport is not None:
            request.transport.abort()

    async def close(self) -> None:
        """Send every client away because the daemon stops."""
        sockets = [client.socket for client in self._clients]
        await asyncio.gather(
            *(socket.close(code=WSCloseCode.GOING_AWAY, message=b"taped is stopping") for socket in sockets),
            return_exceptions=True,
        )


async def _until_left(socket: web.WebSocketResponse) -> None:
    """Read, because pings and the close frame arrive that way; what clients say is not acted upon."""
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
