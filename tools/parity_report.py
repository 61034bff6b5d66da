"""Tells a running daemon what a comparison came to, so that it is an event of the journal it was about."""

from __future__ import annotations

from replay.parity import ParityResult
from replay.parity_difference import Difference, DifferenceKind
from tools.client import Client

MAX_REASON = 1_000


def report(daemon: Client, result: ParityResult) -> int:
    """Hand a result over; return the seq of its event.

    Raises:
        ClientError: no daemon answers.
        RefusedError: it has another journal, or the token may not.
    """
    found = result.difference
    answer = daemon.post(
        "/api/v1/parity",
        {
            "journal_id": result.journal_id,
            "passed": result.passed,
            "first_seq": result.first_seq,
            "last_seq": result.last_seq,
            "decisions": result.decisions,
            "code_hash": result.code_hash,
            "different_seq": None if found is None else found.seq,
            "reason": "" if found is None else _printable(summary(found))[:MAX_REASON],
        },
    )
    return int(answer.document["seq"])


def summary(found: Difference) -> str:
    """Return a difference in one line."""
    by = f" ({found.decided_by})" if found.decided_by else ""
    match found.kind:
        case DifferenceKind.EXTRA:
            what = f"{found.recorded_type}{by} is recorded, this code decides nothing there"
        case DifferenceKind.MISSING:
            what = f"this code decides {found.made_type}{by}, {found.recorded_type or 'nothing'} is recorded"
        case DifferenceKind.ALTERED if found.field:
            what = (
                f"{found.made_type}{by}: {found.field} is {found.recorded_value!r} as recorded, "
                f"{found.made_value!r} as made"
            )
        case DifferenceKind.ALTERED:
            what = f"{found.recorded_type} is recorded, this code makes {found.made_type}{by}"
    return f"seq {found.seq:,}: {what}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
