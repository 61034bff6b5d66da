"""OpenAPI descriptions of parity: whether today's code decides what was decided."""

from __future__ import annotations

from daemon.api.openapi_parts import (
    FLAG,
    ID,
    NS,
    TEXT,
    Schema,
    answer,
    get,
    operation,
    or_null,
    record,
    ref,
)

_RESULT = {
    "passed": FLAG,
    "first_seq": ID,
    "last_seq": ID,
    "decisions": {**ID, "description": "how many are equal"},
    "code_hash": TEXT,
    "different_seq": or_null({**ID, "description": "place of the first that is not equal"}),
    "reason": TEXT,
}

SCHEMAS: dict[str, Schema] = {
    "ParityChecked": record(ts_ns=NS, **_RESULT, source=TEXT),
    "Parity": record(parity=or_null(ref("ParityChecked"))),
    "ParityTaken": record(seq=ID, parity=ref("ParityChecked")),
    "ParityResult": {
        "type": "object",
        "additionalProperties": False,
        "required": [
            "journal_id",
            "passed",
            "first_seq",
            "last_seq",
            "decisions",
            "code_hash",
        ],
        "properties": {"journal_id": TEXT, **_RESULT},
    },
}


def operations() -> dict[str, dict[str, Schema]]:
    """Return the operations by address."""
    return {
        "/api/v1/parity": {
            "get": get("parity", "The last comparison of decisions with those made again", "Parity"),
            "post": operation(
                "takeParity",
                "Take the result of `taped replay parity`",
                {"201": answer("it is journaled", ref("ParityTaken"))},
                body=ref("ParityResult"),
                changes=True,
            ),
        }
    }
