"""A push button as a pure state machine: levels and times in, short and long presses out.

Levels are polled by the thread that owns the pins; nothing is called back from another one. A level
counts once it has stood for `DEBOUNCE_NS`. A button that is found pressed (stuck, or shorted) does
nothing before it was seen released.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

DEBOUNCE_NS = 30_000_000
ARMING_NS = 500_000_000
"""Held for so long, a press is no short one by accident: the LED begins to tell of the kill switch."""

LONG_NS = 3_000_000_000


class Press(Enum):
    """What a press of the button meant."""

    SHORT = "short"
    LONG = "long"


class ButtonState(NamedTuple):
    """`level` is the debounced level (None: not known yet), `raw` the last one and since when it stands.

    `pressed_ns` is when the present press began, or None; a press that was answered has none.
    """

    level: bool | None = None
    raw: bool | None = None
    raw_since_ns: int = 0
    pressed_ns: int | None = None

    def arming(self, now_ns: int) -> bool:
        """Return whether the button is held on the way to a long press."""
        return self.pressed_ns is not None and now_ns - self.pressed_ns >= ARMING_NS


def step(state: ButtonState, pressed: bool, now_ns: int) -> tuple[ButtonState, Press | None]:  # noqa: FBT001  # A level.
    """Take one look at the button; return the next state and the press that ended or is long enough."""
    if pressed is not state.raw:
        state = state._replace(raw=pressed, raw_since_ns=now_ns)
    if state.raw is not state.level and now_ns - state.raw_since_ns >= DEBOUNCE_NS:
        return _settle(state)
    if state.pressed_ns is not None and now_ns - state.pressed_ns >= LONG_NS and state.raw:
        return state._replace(pressed_ns=None), Press.LONG
    return state, None


def _settle(state: ButtonState) -> tuple[ButtonState, Press | None]:
    """Take the level that has stood for long enough."""
    before, level = state.level, state.raw
    if level:
        # Found pressed at the first look, it has no beginning, and means nothing.
        began_ns = None if before is None else state.raw_since_ns
        return state._replace(level=True, pressed_ns=began_ns), None
    press = None
    if state.pressed_ns is not None:
        long = state.raw_since_ns - state.pressed_ns >= LONG_NS
        press = Press.LONG if long else Press.SHORT
    return state._replace(level=False, pressed_ns=None), press
