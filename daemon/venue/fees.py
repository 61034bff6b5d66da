"""A pair of fees as text: `MAKER/TAKER`, in millionths of a fill's value."""

from __future__ import annotations

import re
from typing import NamedTuple

from schemas.errors import TapedError

MAX_FEE_PPM = 100_000
_FEES = re.compile(r"(-?\d{1,6})/(-?\d{1,6})", re.ASCII)


class FeesError(TapedError):
    """A text is no pair of fees."""


class Fees(NamedTuple):
    """Fees in millionths of a fill's value; below zero is a rebate."""

    maker_ppm: int
    taker_ppm: int


def parse_fees(text: str) -> Fees:
    """Return the fees of a text such as `100/250`: of fills that rest, and of those that take.

    Raises:
        FeesError: it is none, or a fee is out of all proportion.
    """
    found = _FEES.fullmatch(text)
    if found is None:
        raise FeesError(f"{text[:50]!r} is no pair of fees", hint="write MAKER/TAKER, as in 100/250")
    fees = Fees(int(found[1]), int(found[2]))
    if max(map(abs, fees)) > MAX_FEE_PPM:
        raise FeesError(f"{text}: a fee is at most {MAX_FEE_PPM} millionths")
    return fees
