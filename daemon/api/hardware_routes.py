"""Addresses of the machine below the daemon: what its sensors say, and what they said."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from daemon.api.parameters import MAX_ROWS, integer, optional_integer, parameters
from daemon.api.ports import Machine
from daemon.api.problems import Problem
from daemon.api.responses import Route, json_response
from daemon.readmodel.queries import ReadModelQueries


class HardwareRoutes:
    """Reads strictly what was asked, and hands on to what knows.

    Args:
        queries: the read model, which has the history.
        machine: the machine now, or None where nobody looks at it.
    """

    def __init__(self, queries: ReadModelQueries, machine: Machine | None) -> None:
        self._queries = queries
        self._machine = machine

    def table(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("GET", "/api/v1/hardware", self._hardware),
            Route("GET", "/api/v1/sensors", self._sensors),
        ]

    async def _hardware(self, request: web.Request) -> web.Response:
        parameters(request)
        if self._machine is None:
            raise Problem(404, "this daemon does not look at its machine", code="no-hardware")
        return json_response(self._machine.document())

    async def _sensors(self, request: web.Request) -> web.Response:
        query = parameters(request, "limit", "cursor")
        limit = integer(query, "limit", default=100, most=MAX_ROWS)
        rows = self._queries.sensors(before=optional_integer(query, "cursor"), limit=limit)
        records: list[dict[str, Any]] = [
            {"seq": row["seq"], "ts_ns": row["ts_ns"], "readings": msgspec.Raw(row["readings"].encode())}
            for row in rows
        ]
        following = str(rows[-1]["seq"]) if len(rows) == limit else None
        return json_response({"records": records, "next": following})
