"""What every request must pass: a Host that is ours, an Origin that is ours, a token where one is needed."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web

from daemon.api.access import Access, Identity
from daemon.api.ports import is_loopback
from daemon.api.problems import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN_PATHS = frozenset({"/health", "/metrics"})

HEADERS = {
    "Server": "taped",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
"""On every answer. Charts set styles through the DOM, which this policy allows; inline script it does not."""


class Guard:
    """Decides on requests from their headers alone; keeps no state of clients.

    Args:
        access: the tokens.
        host: what the daemon listens on; on a loopback address reading needs no token.
    """

    def __init__(self, access: Access, host: str) -> None:
        self._access = access
        self._open_reads = is_loopback(host)
        self._names = {"localhost", host.lower()}

    def check(self, request: web.Request) -> None:
        """Refuse the request unless it may go on to its route.

        A web page of a foreign name that resolves to us (DNS rebinding) sends that name as Host, so names
        we do not know are refused; addresses are fine, a page cannot forge those.

        Raises:
            Problem: 400, 401 or 403.
        """
        headers = request.headers
        if not self._is_ours(headers.get("Host", "")):
            raise Problem(
                403,
                "the Host header names another machine; use the address, localhost, or the name in api.host",
                code="host",
            )
        changes = request.method not in SAFE_METHODS
        if changes or request.path == "/ws":
            _refuse_foreign_origin(headers.get("Origin"), headers.get("Host", ""))
        if changes:
            identity = self.identify(request)
            if not identity.may_trade:
                raise Problem(403, f"the role {identity.role} may not change anything", code="role")
        elif not self._open_reads and not _is_open(request.path):
            self.identify(request)

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        if name in self._names:
            return True
        try:
            name = urlsplit(f"//{name}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def identify(self, request: web.Request) -> Identity:
        """Return whose token the request bears.

        Raises:
            Problem: 401, it bears none that is valid.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        identity = self._access.identify(token.strip()) if scheme.lower() == "bearer" else None
        if identity is None:
            raise Problem(
                401,
                "a valid token is needed: Authorization: Bearer TOKEN; the first one is in DATA/admin.token",
                code="token",
                headers={"WWW-Authenticate": 'Bearer realm="taped"'},
            )
        return identity


def _is_open(path: str) -> bool:
    # The page itself tells nothing; what it shows comes from /api and /ws.
    return path in OPEN_PATHS or not (path.startswith("/api/") or path == "/ws")


def _refuse_foreign_origin(origin: str | None, host: str) -> None:
    if origin is None:
        return
    try:
        same = urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        same = False
    if not same:
        raise Problem(403, "requests from pages of another origin are refused", code="origin")
