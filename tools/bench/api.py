"""Latency of the API over one connection while a daemon ingests 20,000 events a second."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import TapedError
from tools.bench.process import Running, demo
from tools.bench.report import Result, percentile

RATE = 20_000
_ORDER = {"instrument": "BTC-USDT", "side": "buy", "type": "limit", "quantity": "0.001", "price": "100"}


class Connection:
    """One kept-alive HTTP/1.1 connection: no more work per request than a send and a receive."""

    def __init__(self, running: Running) -> None:
        token = (running.data / "admin.token").read_text(encoding="ascii").strip()
        self._head = f"Host: {running.host}:{running.port}\r\nAuthorization: Bearer {token}\r\n"
        self._socket = socket.create_connection((running.host, running.port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request; return status and JSON."""
        status, content = self._exchange(method, path, b"" if body is None else msgspec.json.encode(body))
        return status, msgspec.json.decode(content)

    def _exchange(self, method: str, path: str, content: bytes) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(content)}\r\n"
        if content:
            head += "Content-Type: application/json\r\n"
        self._socket.sendall(head.encode() + b"\r\n" + content)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        answer, _, content = data.partition(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(content) < length:
            content += self._receive()
        return int(answer.split()[1]), content

    def metric(self, name: str) -> float:
        """Return a figure of /metrics that has no labels."""
        content = self._exchange("GET", "/metrics", b"")[1]
        at = content.index(b"\n" + name.encode() + b" ") + len(name) + 2
        return float(content[at : content.index(b"\n", at)])

    def _receive(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise TapedError("the daemon closed the connection")
        return data

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `api.get_p95_ms` and `api.order_p95_ms`, in milliseconds.

    Reads follow each other at once (`paced_p95_ms`: 10 ms apart, where waking two idle processes is most
    of it); orders come 10 ms apart, so that none shares the frame of the one before.
    """
    del market_data
    count = 100 if quick else 1000
    with demo(scratch / "data", "--rate", str(RATE)) as running:
        time.sleep(3)
        connection = Connection(running)
        try:
            before, started = _durable_seq(connection), time.perf_counter()
            get = partial(connection.request, "GET", "/api/v1/positions")
            gets = _timed(lambda _: get(), count * 4, apart_s=0)
            paced_gets = _timed(lambda _: get(), count, apart_s=0.01)
            orders = _timed(
                lambda n: _order(connection, n),
                count,
                apart_s=0.01,
                after=lambda order_id: connection.request("DELETE", f"/api/v1/orders/{order_id}"),
            )
            rate = (_durable_seq(connection) - before) / (time.perf_counter() - started)
        finally:
            connection.close()
    return [
        _latency("api.get_p95_ms", gets, rate, paced_p95_ms=percentile(paced_gets, 95)),
        _latency("api.order_p95_ms", orders, rate),
    ]


def _durable_seq(connection: Connection) -> int:
    _, status = connection.request("GET", "/api/v1/status")
    return int(status["durable_seq"])


def _order(connection: Connection, number: int) -> int:
    """Submit an order that rests far below the market; return its id."""
    status, answer = connection.request("POST", "/api/v1/orders", {**_ORDER, "client_id": f"bench-{number}"})
    if status != 201:  # noqa: PLR2004
        raise TapedError(f"an order was answered {status}: {answer}")
    return int(answer["order_id"])


def _timed(
    call: Callable[[int], object],
    count: int,
    *,
    apart_s: float,
    after: Callable[[Any], object] = lambda _: None,
) -> list[float]:
    """Call `count` times and return how many milliseconds each took; `after` and pauses are not timed."""
    taken = []
    for number in range(count):
        started = time.perf_counter()
        answer = call(number)
        taken.append((time.perf_counter() - started) * 1000)
        after(answer)
        if apart_s:
            time.sleep(apart_s)
    return taken


def _latency(name: str, taken: list[float], rate: float, **more: float) -> Result:
    detail = {
        **more,
        "p50_ms": percentile(taken, 50),
        "p99_ms": percentile(taken, 99),
        "max_ms": max(taken),
        "ingested_per_s": rate,
    }
    return Result(name=name, unit="ms", value=percentile(taken, 95), detail=detail)
