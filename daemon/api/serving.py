"""Listens: how many connections there may be, and how long one may be silent."""

from __future__ import annotations

import asyncio
import errno
import weakref

from aiohttp import web

from daemon.settings import ApiSettings
from schemas.errors import TapedError

FIRST_REQUEST_SECONDS = 10.0
"""A connection that has not sent a whole request by then is closed; it holds a file descriptor."""

KEEPALIVE_SECONDS = 60.0
_BACKLOG = 128

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
)

_spoke: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()


class ApiError(TapedError):
    """The API cannot be served."""


def note_request(request: web.Request) -> None:
    """Remember that a connection has sent a request."""
    if request.transport is not None:
        _spoke.add(request.transport)


async def serve(app: web.Application, settings: ApiSettings) -> tuple[web.AppRunner, str]:
    """Listen; return the runner, whose `cleanup` ends it, and the URL with the port that was bound.

    Raises:
        ApiError: the address cannot be bound.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1.0,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )
    await runner.setup()
    try:
        await _Site(runner, settings.host, settings.port, limit=settings.max_connections).start()
    except OSError as error:
        await runner.cleanup()
        hint = "choose an address of this machine (api.host)"
        if error.errno == errno.EADDRINUSE:
            hint = "is another taped running? Else choose another api.port (0 takes any free one)"
        raise ApiError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}", hint=hint
        ) from error
    port = runner.addresses[0][1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return runner, f"http://{host}:{port}"


class _Site(web.TCPSite):
    """A listening socket with a bounded number of connections, none of which may stay silent."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, limit: int) -> None:
        super().__init__(runner, host, port, backlog=_BACKLOG)
        self._limit = limit

    async def start(self) -> None:
        await web.BaseSite.start(self)
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None, "the runner was set up"

        def protocol() -> asyncio.Protocol:
            if len(server.connections) >= self._limit:
                return _Refusal()
            handler: asyncio.Protocol = server()
            loop.call_later(FIRST_REQUEST_SECONDS, _close_if_silent, handler)
            return handler

        self._server = await loop.create_server(protocol, self._host, self._port, backlog=self._backlog)


def _close_if_silent(handler: asyncio.Protocol) -> None:
    transport: asyncio.Transport | None = getattr(handler, "transport", None)
    if transport is not None and transport not in _spoke:
        transport.abort()


class _Refusal(asyncio.Protocol):
    """Tells a connection over the limit to come again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(_FULL)
        transport.close()
