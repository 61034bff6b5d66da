"""Addresses of parity: takes the result of a comparison that ran beside the daemon, and tells the last one.

The comparison itself is work of another process (`taped replay parity`); here it becomes an event.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from aiohttp import web

from daemon.api.bodies import Body, Id, read_json_body
from daemon.api.parameters import parameters
from daemon.api.ports import Engine
from daemon.api.problems import Problem, unavailable
from daemon.api.responses import Route, json_response
from daemon.api.security import Guard
from daemon.engine import EngineStoppedError
from daemon.journal.errors import JournalPoisonedError
from schemas.events import ParityChecked

Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Journal = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
Reason = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z", max_length=1000)]


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body that tells what a comparison came to."""

    journal_id: Journal
    passed: bool
    first_seq: Id
    last_seq: Id
    decisions: Id
    code_hash: Hash
    different_seq: Id | None = None
    reason: Reason = ""


RESULT = Body(
    Result,
    "a comparison",
    {
        "journal_id": "32 hexadecimal digits",
        "passed": "true or false",
        "first_seq": "a sequence number",
        "last_seq": "a sequence number",
        "decisions": "how many are equal",
        "code_hash": "64 hexadecimal digits",
        "different_seq": "a sequence number, or null",
        "reason": "a text of at most 1000 characters on one line",
    },
)


class ParityRoutes:
    """Hands results on to the engine."""

    def __init__(self, engine: Engine, guard: Guard) -> None:
        self._engine = engine
        self._guard = guard

    def table(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("GET", "/api/v1/parity", self._last),
            Route("POST", "/api/v1/parity", self._take),
        ]

    async def _last(self, request: web.Request) -> web.Response:
        parameters(request)
        return json_response({"parity": _document(self._engine.core.parity)})

    async def _take(self, request: web.Request) -> web.Response:
        parameters(request)
        body, identity = await read_json_body(request), self._guard.identify(request)
        told = RESULT.parse(body)
        self._check(told)
        checked = ParityChecked(
            ts_ns=time.time_ns(),
            passed=told.passed,
            first_seq=told.first_seq,
            last_seq=told.last_seq,
            decisions=told.decisions,
            code_hash=told.code_hash,
            different_seq=told.different_seq,
            reason=told.reason,
            source=f"operator:{identity.name}",
        )
        try:
            batch = await self._engine.execute([checked])
        except JournalPoisonedError:
            raise unavailable("the journal failed while this was written") from None
        except EngineStoppedError as error:
            raise unavailable(error.message) from None
        return json_response({"seq": batch.first_seq, "parity": _document(checked)}, status=201)

    def _check(self, told: Result) -> None:
        """Refuse what cannot be true of this journal."""
        if told.journal_id != self._engine.journal_id:
            raise Problem(
                409, f"of journal {told.journal_id}, this is {self._engine.journal_id}", code="other-journal"
            )
        if not told.first_seq <= told.last_seq <= self._engine.durable_seq:
            raise Problem(422, f"no events from seq {told.first_seq} to {told.last_seq}", code="parity")
        if told.passed is not (told.different_seq is None):
            raise Problem(422, "different_seq: expected a place if and only if it failed", code="parity")


def _document(checked: ParityChecked | None) -> dict[str, Any] | None:
    if checked is None:
        return None
    document = msgspec.structs.asdict(checked)
    del document["version"]
    return document
