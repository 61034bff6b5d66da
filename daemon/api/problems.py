"""Errors as problem documents (RFC 9457); no message of an unexpected fault ever leaves the process."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from schemas.errors import TapedError

PROBLEM_TYPE = "application/problem+json"

_encode = msgspec.json.encode


class Problem(TapedError):  # noqa: N818  # The name RFC 9457 gives it.
    """A request that is answered with an error.

    Args:
        status: the HTTP status, 400 to 599.
        detail: what was wrong with this very request.
        code: stable name for programs, becomes the problem's `type` as `urn:taped:CODE`.
        extra: further members of the document.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})


def unavailable(detail: str) -> Problem:
    """Return the answer for what this process cannot do now but may after a restart."""
    return Problem(503, detail, code="unavailable", headers={"Retry-After": "5"})


def problem_response(problem: Problem, *, instance: str) -> web.Response:
    """Return the document for a problem; `instance` is the path that was asked for."""
    document = {
        "type": f"urn:taped:{problem.code}" if problem.code else "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.message,
        "instance": instance,
        **problem.extra,
    }
    return web.Response(
        status=problem.status, body=_encode(document), content_type=PROBLEM_TYPE, headers=problem.headers
    )


def from_http_exception(error: web.HTTPException) -> Problem:
    """Return aiohttp's own refusal (no such route, body too large, ...) as a problem."""
    status = error.status
    kept = {
        name: error.headers[name] for name in ("Allow", "Location", "Retry-After") if name in error.headers
    }
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(413, "the body is larger than allowed", code="body-too-large", headers=kept)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem(405, f"{error.method} is not allowed here; allowed: {allowed}", headers=kept)
    if isinstance(error, web.HTTPNotFound):
        return Problem(404, "there is nothing at this address; see /api/v1/openapi.json", headers=kept)
    return Problem(status, HTTPStatus(status).phrase, headers=kept)
