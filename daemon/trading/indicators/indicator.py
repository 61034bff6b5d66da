"""What all indicators have: a last reading, and a memory that can be carried over."""

from __future__ import annotations

from typing import Any, ClassVar

from daemon.trading import memory
from schemas.errors import TapedError


class IndicatorError(TapedError, ValueError):
    """An indicator cannot be made with this length."""


class Indicator:
    """Base of all indicators.

    Attributes:
        remembers: names of the attributes that later readings depend on.
        value: the last reading; None until enough was seen.
    """

    __slots__ = ("value",)
    remembers: ClassVar[tuple[str, ...]] = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None

    def dump(self) -> list[Any]:
        """Return all it has learned as plain exact values."""
        return memory.dump(self, self.remembers)

    def load(self, plain: Any) -> None:
        """Take what `dump` returned of an indicator made the same way.

        Raises:
            RecallError: it is that of another one.
        """
        memory.load(self, self.remembers, plain)


def checked_length(name: str, length: int, least: int = 1) -> int:
    """Return the length of an indicator's window.

    Raises:
        IndicatorError: it is too short.
    """
    if length < least:
        raise IndicatorError(f"{name}: length is {length}, expected {least} or more")
    return length
