"""Numbers with their nouns, as text for people has them."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """Return `1 order`, `1,234 orders`; the noun is one that takes an s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(numbers: Sequence[int], noun: str, *, shown: int = 3) -> str:
    """Return `line 2`, `lines 2 and 3`, or `lines 2, 3, 4 and 1,000 more`."""
    texts = [f"{number:,}" for number in numbers[:shown]]
    if len(numbers) > shown:
        texts.append(f"{len(numbers) - shown:,} more")
    if len(texts) == 1:
        return f"{noun} {texts[0]}"
    return f"{noun}s {', '.join(texts[:-1])} and {texts[-1]}"


def grouped(decimal: str) -> str:
    """Return decimal text with separators between its thousands: `-100,000.5`."""
    whole, point, fraction = decimal.partition(".")
    digits = whole.lstrip("-")
    return f"{'-' * (len(whole) - len(digits))}{int(digits):,}{point}{fraction}"
