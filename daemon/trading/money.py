"""Exact money: scaled integers, their products and their decimal text. No floats, no rounding.

Money is a Python int at 18 decimals of its currency. An instrument can be traded when the product
of a price and a quantity fits into that: `price_scale + quantity_scale <= 18`.
"""

from __future__ import annotations

import re

from schemas.errors import TapedError
from schemas.events import InstrumentDefined

MONEY_SCALE = 18
MONEY_ONE = 10**MONEY_SCALE
PPM = 1_000_000

_DECIMAL = re.compile(r"(-?)(\d{1,20})(?:\.(\d{1,18}))?", re.ASCII)


class MoneyError(TapedError):
    """A text is no decimal number, or a scale cannot hold a value exactly."""


def scaled(text: str, scale: int) -> int:
    """Return decimal text as an integer at that scale, exactly.

    At most 20 digits before the point and 18 behind it; no exponent, no plus sign, no blanks.

    Raises:
        MoneyError: the text is no such number, or has more decimals than the scale.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise MoneyError(f"{text[:40]!r} is no decimal number", hint="write it like 1250 or 0.05")
    sign, whole, decimals = match[1], match[2], (match[3] or "").rstrip("0")
    if len(decimals) > scale:
        raise MoneyError(f"{text} has more than {scale} decimals")
    value = int(whole + decimals.ljust(scale, "0"))
    return -value if sign else value


def decimal_text(value: int, scale: int) -> str:
    """Return an integer at that scale as decimal text, without trailing zeros."""
    sign = "-" if value < 0 else ""
    digits = str(abs(value)).rjust(scale + 1, "0")
    if scale == 0:
        return sign + digits
    decimals = digits[-scale:].rstrip("0")
    return sign + digits[:-scale] + ("." + decimals if decimals else "")


def is_tradable(instrument: InstrumentDefined) -> bool:
    """Return whether price times quantity of the instrument is exact money."""
    return (
        instrument.price_scale >= 0
        and instrument.quantity_scale >= 0
        and instrument.price_scale + instrument.quantity_scale <= MONEY_SCALE
    )


def notional(instrument: InstrumentDefined, price: int, quantity: int) -> int:
    """Return what that quantity is worth at that price, in the quote currency, sign as the quantity's.

    Raises:
        MoneyError: the instrument's scales are too fine.
    """
    decimals = MONEY_SCALE - instrument.price_scale - instrument.quantity_scale
    if decimals < 0:
        raise MoneyError(f"{instrument.symbol}: price and quantity have more than {MONEY_SCALE} decimals")
    return int(price * quantity * instrument.multiplier * 10**decimals)


def fee_money(fee: int, fee_scale: int) -> int:
    """Return a fee of `fee / 10**fee_scale` as money.

    Raises:
        MoneyError: the scale is outside 0..18.
    """
    if not 0 <= fee_scale <= MONEY_SCALE:
        raise MoneyError(f"fee scale {fee_scale} is outside 0..{MONEY_SCALE}")
    return int(fee * 10 ** (MONEY_SCALE - fee_scale))
