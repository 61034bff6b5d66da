"""Times as venues write them in text, to nanoseconds since 1970 UTC, exactly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from daemon.venue.feeds.parsing import RejectedError
from schemas.decimals import ScaledDecimals, scaled

NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_SECOND_TEXT = len("2026-08-09T21:05:48")
_SECOND_FORM = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}")
_MAX_FRACTION = 9
_MEMO_ENTRIES = 1_024


def seconds_to_ns(text: str) -> int:
    """Return the nanoseconds of `1617666461.465618`.

    Raises:
        DecimalError: not a plain decimal number, or finer than a nanosecond.
    """
    return scaled(text, 9)


class IsoTimes:
    """`2026-08-09T21:05:48.228568804Z` to nanoseconds; remembers the seconds it saw last."""

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}
        self._fractions = ScaledDecimals(_MAX_FRACTION)

    def parse(self, text: str) -> int:
        """Return the nanoseconds of an RFC 3339 time in UTC with at most nine decimals.

        Raises:
            RejectedError: it is not one.
        """
        second = text[:_SECOND_TEXT]
        fraction = text[_SECOND_TEXT:-1]
        if text[-1:] != "Z" or (fraction and fraction[0] != "."):
            raise RejectedError(f"{text[:64]!r} is not a time in UTC")
        base = self._seconds.get(second)
        if base is None:
            base = self._remember(second)
        return base + (self._fractions[f"0{fraction}"] if fraction else 0)

    def _remember(self, second: str) -> int:
        if not _SECOND_FORM.fullmatch(second):
            raise RejectedError(f"{second!r} is not a time in UTC")
        try:
            moment = datetime.fromisoformat(second).replace(tzinfo=UTC)
        except ValueError:
            raise RejectedError(f"{second!r} is not a time in UTC") from None
        if len(self._seconds) >= _MEMO_ENTRIES:
            self._seconds.clear()
        base = (moment - _EPOCH) // _SECOND * NS
        self._seconds[second] = base
        return base
