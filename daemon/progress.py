"""Whether the daemon gets on: when event loop, journal and thermal control last got something done.

Each part says itself when it has done a round, so a part that hangs cannot be told to be well by
another one's timer. LEDs, /health and a watchdog ask here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOP_S = 0.25
STALLED_S = 5.0
"""A part that did nothing for so long stands still; each does a round at least once a second."""


class Progress:
    """The parts and their last rounds; written and asked from any thread.

    Args:
        clock_ns: a monotonic clock.
    """

    def __init__(self, *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock_ns = clock_ns
        self._parts: dict[str, Callable[[], int]] = {}

    async def follow_loop(self) -> None:
        """Watch the event loop this runs on, until cancelled."""
        last_ns = self._clock_ns()

        def told() -> int:
            return last_ns

        self.watch("loop", told)
        try:
            while True:
                await asyncio.sleep(LOOP_S)
                last_ns = self._clock_ns()
        finally:
            self.forget("loop")

    def watch(self, part: str, last_ns: Callable[[], int]) -> None:
        """Take a part in; `last_ns` tells, from any thread, when it did its last round."""
        self._parts[part] = last_ns

    def forget(self, part: str) -> None:
        """Leave a part out from now on: it was stopped in good order."""
        self._parts.pop(part, None)

    def ages_s(self) -> dict[str, float]:
        """Return how long ago each part did its last round, in seconds."""
        now_ns = self._clock_ns()
        return {part: max(0, now_ns - last_ns()) / 1e9 for part, last_ns in list(self._parts.items())}

    def stalled(self, limit_s: float = STALLED_S) -> list[str]:
        """Return the parts that stand still."""
        return [part for part, age_s in self.ages_s().items() if age_s > limit_s]
