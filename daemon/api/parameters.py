"""Parameters of a query, read strictly: an unknown one, a second one or a malformed one is a problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from daemon.api.problems import Problem

MAX_ROWS = 1000
MAX_INTEGER = 2**63 - 1


def parameters(request: web.Request, *known: str) -> Mapping[str, str]:
    """Return the query of a request whose parameters are all known.

    Raises:
        Problem: 400, one is not, or was given twice.
    """
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


def optional_integer(query: Mapping[str, str], name: str) -> int | None:
    """Return an integer above zero, or None where it was not given.

    Raises:
        Problem: 400, it is something else.
    """
    return integer(query, name, default=0, most=MAX_INTEGER) if name in query else None


def integer(query: Mapping[str, str], name: str, *, default: int, most: int) -> int:
    """Return an integer from 1 to `most`.

    Raises:
        Problem: 400, it is something else.
    """
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= most):  # noqa: PLR2004
        raise Problem(400, f"{name} must be an integer from 1 to {most}, not {text[:40]!r}", code="parameter")
    return int(text)


def choice(query: Mapping[str, str], name: str, allowed: Any, *, default: str) -> str:
    """Return one of the allowed words.

    Raises:
        Problem: 400, it is another.
    """
    text = query.get(name, default)
    if text not in allowed:
        raise Problem(400, f"{name} must be one of {', '.join(allowed)}, not {text[:40]!r}", code="parameter")
    return text
