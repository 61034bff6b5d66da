"""A part of the hardware behind a breaker: opened, used, given up when it fails, tried again later.

A failing part is a state and an event, never an exception: whoever uses it goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from schemas.events import BreakerState

log = logging.getLogger(__name__)

RETRY_NS = 10_000_000_000


class Device(Protocol):
    """What a part opens."""

    def discard(self) -> None:
        """Give up a device that failed; never raises."""


D = TypeVar("D", bound=Device)

Tell = Callable[[str, BreakerState, int, str], None]
"""Called with a part's name, its new state, the failures in a row, and why."""


class Part(Generic[D]):
    """One part.

    Args:
        name: for events, such as `hardware.fan`.
        open_device: opens it, or raises.
        tell: hears of every change.
        retry_ns: rest after a failure.

    Attributes:
        state: CLOSED: it works; OPEN: it does not, and is tried again from time to time. Tries that fail
            are no changes, and nothing is told of them.
        reason: why it does not work, or empty.
    """

    def __init__(
        self, name: str, open_device: Callable[[], D], tell: Tell, *, retry_ns: int = RETRY_NS
    ) -> None:
        self.name = name
        self.state = BreakerState.CLOSED
        self.reason = ""
        self._open = open_device
        self._tell = tell
        self._retry_ns = retry_ns
        self._retry_at_ns = 0
        self._failures = 0
        self.device: D | None = None

    def ready(self, now_ns: int) -> D | None:
        """Return the device, opened where that is due; None while the part rests after a failure."""
        if self.device is not None:
            return self.device
        if now_ns < self._retry_at_ns:
            return None
        try:
            self.device = self._open()
        except Exception as error:  # noqa: BLE001  # Libraries raise what they like.
            self._fail(error, now_ns)
            return None
        self._failures = 0
        self.reason = ""
        if self.state is not BreakerState.CLOSED:
            self._change(BreakerState.CLOSED, "it works again")
        return self.device

    def use(self, act: Callable[[D], None], now_ns: int) -> bool:
        """Do something with the device; return whether that worked."""
        device = self.ready(now_ns)
        if device is None:
            return False
        try:
            act(device)
        except Exception as error:  # noqa: BLE001  # As in `ready`.
            device.discard()
            self.device = None
            self._fail(error, now_ns)
            return False
        return True

    def _fail(self, error: Exception, now_ns: int) -> None:
        self._failures += 1
        self._retry_at_ns = now_ns + self._retry_ns
        text = _text(error)
        if text != self.reason:
            log.warning("%s failed, it is tried again in %d s: %s", self.name, self._retry_ns // 10**9, text)
        self.reason = text
        if self.state is not BreakerState.OPEN:
            self._change(BreakerState.OPEN, text)

    def _change(self, state: BreakerState, reason: str) -> None:
        self.state = state
        self._tell(self.name, state, self._failures, reason)


def _text(error: BaseException) -> str:
    """Return what an error says, and what the library that it comes from said to it."""
    text = str(error).strip("'\"") or type(error).__name__
    below = error.__context__
    return text if below is None or error.__cause__ is below else f"{text}: {_text(below)}"
