"""What the LEDs show: one table of patterns, and which of its lines an LED plays now. Drives no pin.

An LED has a role, and plays the first line of its role whose state holds; one of role `all` plays the
first line of any role. Nothing that holds is nothing lit: a dark heartbeat means that nobody verified
that the daemon gets on.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

Colour = tuple[int, int, int]
"""Red, green and blue, each 0 or 1: whatever is dimmed, is dimmed as a whole."""

RED, YELLOW, GREEN, BLUE, MAGENTA, WHITE = (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)
DARK = (0, 0, 0)

ALL = "all"
BEATS_A_SECOND = 10


class Pattern(NamedTuple):
    """A line: while `state` holds, an LED of the role plays the beat in the colour, over and over.

    `#` is a tenth of a second lit, `.` one dark.
    """

    state: str
    role: str
    colour: Colour
    beat: str
    meaning: str


PATTERNS: tuple[Pattern, ...] = (
    Pattern("arming", "error", WHITE, "#.", "the button is held: at 3 s it is the kill switch"),
    Pattern("halted", "error", RED, "#", "trading is halted"),
    Pattern("stalled", "error", RED, "##.", "event loop, journal or thermal control stands still"),
    Pattern("parity_failed", "error", RED, "#.#.#.....", "today's code decides other than what was recorded"),
    Pattern("degraded", "error", RED, "#####.....", "something is wrong, and nobody has acknowledged it"),
    Pattern("throttled", "throttled", YELLOW, "#", "under-voltage or throttling now"),
    Pattern("reducing", "trading", YELLOW, "##.##.....", "orders that open risk are refused"),
    Pattern("sync_late", "sync", MAGENTA, "#.........", "the database does not take what is sent to it"),
    Pattern("backup_old", "backup", BLUE, "#.........", "the last backup is too old, or there is none"),
    Pattern("acknowledged", "error", RED, "#...................", "something is wrong, and somebody knows"),
    Pattern("alive", "heartbeat", GREEN, "#.#.......", "loop, journal and thermal control get on"),
    Pattern("active", "trading", GREEN, "#", "trading is active"),
    Pattern("was_throttled", "throttled", YELLOW, "##########..........", "so since the machine's start"),
)

ROLES = (ALL, *dict.fromkeys(pattern.role for pattern in PATTERNS))


def pattern_of(role: str, states: Collection[str]) -> Pattern | None:
    """Return the line an LED plays, or None for a dark one."""
    lines = (pattern for pattern in PATTERNS if role in (ALL, pattern.role))
    return next((pattern for pattern in lines if pattern.state in states), None)


def colour_at(role: str, states: Collection[str], now_ns: int) -> Colour:
    """Return what an LED shows at this moment of a monotonic clock."""
    pattern = pattern_of(role, states)
    if pattern is None:
        return DARK
    place = now_ns * BEATS_A_SECOND // 1_000_000_000 % len(pattern.beat)
    return pattern.colour if pattern.beat[place] == "#" else DARK
