"""Talks to a running daemon over HTTP: finds address and token, turns answers into values or clear errors.

Standard library only, so that commands start fast.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from schemas.errors import TapedError
from tools.output import UsageError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "8080"
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_DATA = Path("taped-data")
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024

_ERROR = 400
_ASKED_AT = {"": DEFAULT_HOST, "0.0.0.0": DEFAULT_HOST, "::": "::1"}  # noqa: S104  # compared, not bound


class ClientError(TapedError):
    """The daemon does not answer, or what answers is not taped."""


class RefusedError(TapedError):
    """The daemon answered with a problem.

    Attributes:
        status: the HTTP status.
        document: the whole answer.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        detail = str(document.get("detail") or document.get("title") or f"status {status}")
        super().__init__(detail, hint=_HINTS.get(status, ""))
        self.status = status
        self.document = dict(document)


_HINTS = {
    401: "give the token by --token-file, TAPED_TOKEN_FILE or --data",
    503: "try again in a few seconds, see `taped status`",
}


class Answer(NamedTuple):
    """What the daemon said."""

    status: int
    document: dict[str, Any]


class Client:
    """One daemon.

    Args:
        url: scheme, host and port; a path is put before each request's own.
        token: sent with every request, if there is one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--url {url} is not an address like {DEFAULT_URL}")
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token

    def get(self, path: str, parameters: Mapping[str, Any] | None = None, *, accept: int = 0) -> Answer:
        """Ask for something; `accept` is an error status whose document is wanted all the same."""
        query = urlencode({key: value for key, value in (parameters or {}).items() if value is not None})
        return self._send("GET", f"{path}?{query}" if query else path, None, accept)

    def post(self, path: str, document: Mapping[str, Any]) -> Answer:
        """Send a document; an order that a rule denied is an answer, not an error."""
        return self._send("POST", path, json.dumps(document).encode(), 0)

    def patch(self, path: str, document: Mapping[str, Any]) -> Answer:
        """Change something; a denial by a rule is an answer, as in `post`."""
        return self._send("PATCH", path, json.dumps(document).encode(), 0)

    def delete(self, path: str) -> Answer:
        """Ask for something's end."""
        return self._send("DELETE", path, None, 0)

    def _send(self, method: str, path: str, body: bytes | None, accept: int) -> Answer:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        kind = HTTPSConnection if self._parts.scheme == "https" else HTTPConnection
        try:
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=TIMEOUT_SECONDS)
            try:
                connection.request(method, self._parts.path.rstrip("/") + path, body, headers)
                answer = connection.getresponse()
                status, media, text = (
                    answer.status,
                    answer.headers.get_content_type(),
                    answer.read(MAX_ANSWER_BYTES),
                )
            finally:
                connection.close()
        except (OSError, HTTPException, ValueError) as error:
            raise ClientError(
                f"no daemon answers at {self.url}: {_cause(error)}",
                hint="start one with `taped run`, or give its address by --url or TAPED_URL",
            ) from error
        return self._read(status, media, text, accept)

    def _read(self, status: int, media: str, text: bytes, accept: int) -> Answer:
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise ClientError(f"what answers at {self.url} is not taped", hint="is the --url right?")
        is_order = "order_id" in document or "oco_group" in document
        refused = status >= _ERROR and (media == "application/problem+json" or not is_order)
        if refused and status != accept:
            raise RefusedError(status, document)
        return Answer(status, document)


def quoted(name: str) -> str:
    """Return a name as one part of a path."""
    return quote(name, safe="@")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every command that talks to a daemon takes."""
    parser.add_argument(
        "--url",
        help="address of the daemon"
        f" (default: TAPED_URL, else TAPED_API__HOST and TAPED_API__PORT, else {DEFAULT_URL})",
    )
    parser.add_argument(
        "--data", type=Path, help="data folder, for its admin.token (default: TAPED_DATA or taped-data)"
    )
    parser.add_argument("--token-file", type=Path, help="file with the token (default: TAPED_TOKEN_FILE)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def from_arguments(arguments: argparse.Namespace, *, token_needed: bool = False) -> Client:
    """Return a client as the arguments and the environment say.

    Raises:
        TapedError: a token is needed or was named, and cannot be read.
    """
    url = arguments.url or os.environ.get("TAPED_URL") or _url_of_settings(os.environ)
    return Client(url, _find_token(arguments, needed=token_needed))


def _url_of_settings(environment: Mapping[str, str]) -> str:
    """Return where a daemon started with this environment is reached."""
    host = environment.get("TAPED_API__HOST", DEFAULT_HOST).strip("[]")
    port = environment.get("TAPED_API__PORT", DEFAULT_PORT)
    # Port 0 means that only the daemon knows it.
    return url_of(host, DEFAULT_PORT if port == "0" else port)


def url_of(host: str, port: int | str) -> str:
    """Return where a daemon is asked: it may listen on every address, but is asked at one."""
    host = _ASKED_AT.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cause(error: Exception) -> str:
    """Return what happened without the number that the system gives it."""
    return str((isinstance(error, OSError) and error.strerror) or error or type(error).__name__)


def _find_token(arguments: argparse.Namespace, *, needed: bool) -> str | None:
    # What was typed counts before what the environment holds.
    named = arguments.token_file or (None if arguments.data else os.environ.get("TAPED_TOKEN_FILE"))
    data = arguments.data or os.environ.get("TAPED_DATA") or DEFAULT_DATA
    path = Path(named) if named else Path(data) / "admin.token"
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        if not needed and not named:
            return None
        cause = error.strerror if isinstance(error, OSError) else "not a token"
        raise ClientError(
            f"{path}: {cause}",
            hint="a token is needed to change anything: give --token-file, TAPED_TOKEN_FILE or --data",
        ) from error
