"""Exact money: scaled integers, their products and their decimal text. No floats, no rounding.

Money is a Python int at 18 decimals of its currency. An instrument can be traded when the product
of a price and a quantity fits into that: `price_scale + quantity_scale <= 18`.
"""

from __future__ import annotations

from schemas.decimals import scaled
from schemas.errors import TapedError
from schemas.events import InstrumentDefined

MONEY_SCALE = 18
MONEY_ONE = 10**MONEY_SCALE
PPM = 1_000_000
TENS: tuple[int, ...] = tuple(10**decimals for decimals in range(MONEY_SCALE + 1))
"""Powers of ten: a look-up costs a fifth of the power."""

MAX_INTEGER = 2**63 - 1
"""Most that a journaled integer may be: SQLite and most readers of msgpack end there."""

MAX_MONEY = 10**15 * MONEY_ONE
"""More than anybody's account holds; keeps sums of money short."""


class MoneyError(TapedError):
    """A scale cannot hold a value exactly."""


def money(text: str) -> int:
    """Return decimal text as money, exactly; a minus sign may lead it.

    Raises:
        DecimalError: the text is no plain decimal number, has more than 18 decimals, or is above `MAX_MONEY`.
    """
    value = scaled(text.removeprefix("-"), MONEY_SCALE, most=MAX_MONEY)
    return -value if text.startswith("-") else value


def is_tradable(instrument: InstrumentDefined) -> bool:
    """Return whether price times quantity of the instrument is exact money, and more of it costs more."""
    return (
        0 < instrument.multiplier <= MAX_INTEGER
        and instrument.price_scale >= 0
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
    return price * quantity * instrument.multiplier * TENS[decimals]


def fee_money(fee: int, fee_scale: int) -> int:
    """Return a fee of `fee / 10**fee_scale` as money.

    Raises:
        MoneyError: the scale is outside 0..18.
    """
    if not 0 <= fee_scale <= MONEY_SCALE:
        raise MoneyError(f"fee scale {fee_scale} is outside 0..{MONEY_SCALE}")
    return fee * TENS[MONEY_SCALE - fee_scale]
