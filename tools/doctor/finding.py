"""What a look at one thing of the machine came to: a state, what was seen, what to do, and why it matters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.doctor.machine import Machine


class State(StrEnum):
    """How something is.

    UNKNOWN could not be looked at by this user or on this machine now; ABSENT is nothing that this
    machine or these settings have.
    """

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Fix:
    """A safe way to better it.

    Attributes:
        shown: what it does, as a command that could be typed instead.
        apply: does it; OSError when it cannot be done.
    """

    shown: str
    apply: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw; `advice` says what to do, and is empty where nothing is to be done."""

    state: State
    seen: str
    advice: str = ""
    fix: Fix | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor: what is looked at, and why that matters to a machine that trades."""

    name: str
    reason: str
    look: Callable[[Machine], Finding]


def ok(seen: str) -> Finding:
    """Return that all is well."""
    return Finding(State.OK, seen)


def warning(seen: str, advice: str, fix: Fix | None = None) -> Finding:
    """Return that something could be better."""
    return Finding(State.WARNING, seen, advice, fix)


def failure(seen: str, advice: str, fix: Fix | None = None) -> Finding:
    """Return that something is wrong enough not to trade on."""
    return Finding(State.FAILURE, seen, advice, fix)


def unknown(seen: str, advice: str = "") -> Finding:
    """Return that it could not be looked at."""
    return Finding(State.UNKNOWN, seen, advice)


def absent(seen: str) -> Finding:
    """Return that there is no such thing here, and that this is no fault."""
    return Finding(State.ABSENT, seen)
