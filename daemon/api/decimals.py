"""Decimal text at the edge to scaled integers and back, exactly; nothing is ever rounded."""

from __future__ import annotations

from daemon.api.problems import Problem

MAX_SCALED = 2**63 - 1


def to_text(value: int, scale: int) -> str:
    """Return a scaled integer as decimal text with all of its `scale` decimals."""
    if scale == 0:
        return str(value)
    digits = str(abs(value)).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def to_short_text(value: int, scale: int, *, decimals: int = 0) -> str:
    """Return a scaled integer without trailing zeros beyond `decimals`; no digit that counts is dropped."""
    text = to_text(value, scale)
    if scale <= decimals:
        return text
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}" if fraction else whole


def to_scaled(text: str, scale: int, *, field: str, step: int = 1) -> int:
    """Return decimal text, digits with at most one point, as an integer at `scale`.

    Args:
        text: checked by the request's pattern: ASCII digits, one point at most, no sign, no exponent.
        scale: decimals of the result.
        field: name for the message.
        step: the result must be a multiple of this many scaled units.

    Raises:
        Problem: 422 when the scale, the step or 64 bits cannot hold the value; it tells the allowed step.
    """
    whole, _, fraction = text.partition(".")
    kept, lost = fraction[:scale], fraction[scale:].strip("0")
    value = int(whole + kept.ljust(scale, "0"))
    if lost or value % step or value > MAX_SCALED:
        allowed = to_short_text(step, scale)
        raise Problem(
            422,
            f"{field} {text} is not a multiple of {allowed} below {to_short_text(MAX_SCALED, scale)}",
            code="not-representable",
            extra={"field": field, "step": allowed},
        )
    return value
