"""Money as text with all of its 18 decimals, and back, exactly."""

from __future__ import annotations

from daemon.trading.money import MONEY_SCALE
from schemas.decimals import full_text


def to_text(money: int) -> str:
    """Return money (an integer at 18 decimals) as decimal text: 1.500000000000000000."""
    return full_text(money, MONEY_SCALE)


def from_text(text: str) -> int:
    """Return what `to_text` was given."""
    return int(text.replace(".", "", 1))
