"""How an address is registered and how it answers in JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

_encode = msgspec.json.encode


class Route(NamedTuple):
    """One address, as it is registered and as the OpenAPI document must tell it."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_response(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a document as an answer."""
    return web.Response(
        body=_encode(document), status=status, content_type="application/json", headers=headers
    )
