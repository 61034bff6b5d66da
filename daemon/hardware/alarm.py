"""Which troubles somebody has acknowledged; those that go and come back sound again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FIGURES = re.compile(r"\d[\d.,]*")


class Alarm:
    """Follows the reasons of /health; figures in them may change without a new alarm.

    Attributes:
        troubled: there is a reason.
        sounding: one of them is not acknowledged.
    """

    def __init__(self) -> None:
        self._present: set[str] = set()
        self._acknowledged: set[str] = set()

    @property
    def troubled(self) -> bool:
        """Whether there is any reason."""
        return bool(self._present)

    @property
    def sounding(self) -> bool:
        """Whether there is one that nobody has acknowledged."""
        return not self._present <= self._acknowledged

    def take(self, reasons: Iterable[str]) -> None:
        """Take the reasons of this moment."""
        self._present = {_FIGURES.sub("#", reason) for reason in reasons}
        self._acknowledged &= self._present

    def acknowledge(self) -> None:
        """Note that somebody knows of all that is wrong now."""
        self._acknowledged = set(self._present)
