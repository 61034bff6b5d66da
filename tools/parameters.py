"""`NAME=VALUE` texts of a command line as parameters of a strategy or limits of the risk rules."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.events import Scalar
from tools.output import UsageError


def parse_pairs(pairs: Sequence[str], *, flag: str = "--param") -> dict[str, Scalar]:
    """Return each name with its value: true, false, a whole number, or else the text as it is.

    The last one of a name counts.

    Raises:
        UsageError: a pair has no name.
    """
    values: dict[str, Scalar] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"{flag} {pair}: expected NAME=VALUE")
        values[name] = _scalar(text)
    return values


def _scalar(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    is_whole = text.isascii() and text.removeprefix("-").isdigit()
    return int(text) if is_whole else text
