"""The root of every error taped raises on purpose; leaves live beside the module that raises them."""

from __future__ import annotations


class TapedError(Exception):
    """Something outside taped is not as it must be: says what, where, and what to do.

    Args:
        message: what was found, where, and what was expected; one sentence, no trailing full stop.
        hint: what the reader can do about it, or empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.hint = hint
