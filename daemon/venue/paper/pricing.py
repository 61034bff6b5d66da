"""What a fill costs at the paper venue: the price after slippage, and the fee. Pure integers."""

from __future__ import annotations

from daemon.trading.money import MAX_INTEGER, MONEY_SCALE, PPM, TENS
from daemon.venue.paper.options import VenueOptions

FEE_SCALE = 8


def slip(options: VenueOptions, price: int, *, tick: int, quantity: int, displayed: int | None) -> int:
    """Return how far a taking fill moves the price against itself, in whole ticks, zero or above.

    Args:
        options: which model, and how much.
        price: of the market.
        tick: the instrument's smallest step of the price.
        quantity: that is filled.
        displayed: quantity of the quote or trade it is filled against; None when that is not known, which
            the proportional model takes for deep enough.
    """
    model, amount = options.slippage, options.slippage_amount
    if model == "ticks":
        return amount * tick
    if model == "ppm":
        return -(-abs(price) * amount // (PPM * tick)) * tick
    if model == "proportional" and displayed:
        return -(-abs(price) * amount * quantity // (PPM * displayed * tick)) * tick
    return 0


def fee_of(value: int, ppm: int) -> tuple[int, int]:
    """Return fee and fee scale, rounded up in the venue's favour, fine as a 64-bit integer allows.

    A fee that is too large even without decimals is returned all the same.
    """
    scale = FEE_SCALE
    while True:
        fee = -(-value * ppm // (PPM * TENS[MONEY_SCALE - scale]))
        if abs(fee) <= MAX_INTEGER or not scale:
            return fee, scale
        scale -= 1
