"""The web application: routes, and the one layer around all of them. Knows HTTP, decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Middleware

from daemon.api.access import Access
from daemon.api.control import Control
from daemon.api.control_routes import ControlRoutes
from daemon.api.hardware_routes import HardwareRoutes
from daemon.api.health import look
from daemon.api.live import Live
from daemon.api.metrics import Metrics
from daemon.api.orders import Orders
from daemon.api.parity_routes import ParityRoutes
from daemon.api.ports import ApiSettings, Engine, Machine, Progress, Projection
from daemon.api.problems import Problem, from_http_exception, problem_response, unavailable
from daemon.api.reads import Reads
from daemon.api.routes import Routes
from daemon.api.security import HEADERS, Guard
from daemon.api.serving import note_request
from daemon.backup_state import BackupWatch
from daemon.readmodel.queries import ReadModelQueries
from daemon.sync.status import SyncStatus
from daemon.upkeep import UpkeepStatus
from schemas.errors import TapedError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(  # noqa: PLR0913  # One for each part of the daemon.
    engine: Engine,
    queries: ReadModelQueries,
    access: Access,
    *,
    projection: Projection,
    settings: ApiSettings,
    upkeep: UpkeepStatus | None = None,
    machine: Machine | None = None,
    progress: Progress | None = None,
    sync: SyncStatus | None = None,
    backups: BackupWatch | None = None,
) -> web.Application:
    """Return the application; all of it runs on the loop that serves it."""
    guard = Guard(access, settings.host)
    upkeep = UpkeepStatus() if upkeep is None else upkeep
    sync = SyncStatus() if sync is None else sync
    checkup = partial(look, engine, projection, upkeep, machine, progress, sync, backups)
    metrics = Metrics(engine, checkup, upkeep, machine, sync, backups)
    reads = Reads(queries, engine.core)
    live = Live(
        engine, projection, reads, metrics, checkup, max_clients=settings.max_websockets, machine=machine
    )
    app = web.Application(middlewares=[_edge(guard, metrics)], client_max_size=settings.max_body_bytes)
    more = [
        *ControlRoutes(Control(engine), reads, guard).table(),
        *HardwareRoutes(queries, machine).table(),
        *ParityRoutes(engine, guard).table(),
    ]
    Routes(engine, checkup, reads, Orders(engine, reads), metrics, live, guard, more).add_to(app.router)

    async def feed(_app: web.Application) -> AsyncIterator[None]:
        # The metrics count a batch first; the WebSocket asks them what was in it.
        ends = [engine.subscribe(metrics.on_batch), engine.subscribe(live.on_batch)]
        updates = asyncio.create_task(live.run(), name="websocket updates")
        yield
        updates.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await updates
        for end in ends:
            end()

    async def say_goodbye(_app: web.Application) -> None:
        await live.close()

    app.cleanup_ctx.append(feed)
    app.on_shutdown.append(say_goodbye)
    return app


def _edge(guard: Guard, metrics: Metrics) -> Middleware:
    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        note_request(request)
        try:
            guard.check(request)
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  # The border of a request: told or logged below.
            response = problem_response(_as_problem(error, request), instance=request.path)
        if isinstance(response, web.WebSocketResponse):
            return response
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-cache")
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unmatched"
        method = request.method if resource is not None else "ANY"
        metrics.on_request(method, route, response.status, time.perf_counter() - started)
        return response

    return edge


def _as_problem(error: Exception, request: web.Request) -> Problem:
    """Return what the client is told; whatever was not meant for it stays in the log."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            return from_http_exception(error)
        case TapedError():
            log.warning("%s %s: %s", request.method, request.path, error)
            return unavailable("a part of taped cannot answer now; see /health")
        case _:
            log.error("%s %s failed", request.method, request.path, exc_info=error)
            return Problem(500, "taped failed on this request; its log has the details")
