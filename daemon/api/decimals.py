"""Decimal text of a request to scaled integers, with an answer that tells what would be allowed."""

from __future__ import annotations

from daemon.api.problems import Problem
from schemas.decimals import MAX_SCALED, DecimalError, decimal_text, scaled


def to_scaled(text: str, scale: int, *, field: str, step: int = 1) -> int:
    """Return decimal text, digits with at most one point, as an integer at `scale`.

    Args:
        text: checked by the request's pattern: ASCII digits, one point at most, no sign, no exponent.
        scale: decimals of the result.
        field: name for the message.
        step: the result must be a multiple of this many scaled units.

    Raises:
        Problem: 422 when the scale, the step or 64 bits cannot hold the value; it tells which, and the
            allowed step.
    """
    try:
        value = scaled(text, scale)
    except DecimalError:
        value = None
    if value is None or value % step:
        allowed = decimal_text(step, scale)
        if _is_above_most(text, scale):
            detail = f"{field} {text} is too large: {decimal_text(MAX_SCALED, scale)} is the most"
        else:
            detail = f"{field} {text} is not a multiple of {allowed}"
        raise Problem(422, detail, code="not-representable", extra={"field": field, "step": allowed})
    return value


def _is_above_most(text: str, scale: int) -> bool:
    whole, _, fraction = text.partition(".")
    return bool(int(whole + fraction) * 10**scale > MAX_SCALED * 10 ** len(fraction))
