"""Money as text with all of its 18 decimals, and back, exactly."""

from __future__ import annotations

from daemon.trading.money import MONEY_ONE, MONEY_SCALE


def to_text(money: int) -> str:
    """Return money (an integer at 18 decimals) as decimal text: 1.500000000000000000."""
    whole, decimals = divmod(abs(money), MONEY_ONE)
    return f"{'-' if money < 0 else ''}{whole}.{decimals:0{MONEY_SCALE}d}"


def from_text(text: str) -> int:
    """Return what `to_text` was given."""
    return int(text.replace(".", "", 1))
