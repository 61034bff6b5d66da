"""Nanoseconds to `2024-08-08T23:54:14.087896568Z`, exactly; remembers the second it wrote last."""

from __future__ import annotations

from datetime import UTC, datetime

from replay.export.market import ExportError

_NS = 1_000_000_000


class IsoText:
    """Times of one column, which come mostly in order."""

    def __init__(self) -> None:
        self._second: int | None = None
        self._text = ""

    def text(self, ns: int) -> str:
        """Return a time as RFC 3339 text in UTC with nine decimals.

        Raises:
            ExportError: no calendar has that time.
        """
        second, fraction = divmod(ns, _NS)
        if second != self._second:
            try:
                self._text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
            except (OverflowError, ValueError, OSError) as error:
                raise ExportError(f"{ns} ns since 1970 is no time of any calendar") from error
            self._second = second
        return f"{self._text}.{fraction:09d}Z"
