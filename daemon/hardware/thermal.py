"""Fan control as a pure function: temperatures, the state before and the time give duty and next state.

Reads no sensor, drives no pin and knows no clock. Whatever is in doubt is answered by full speed: a fan
that runs too fast costs noise, one that runs too slow costs the machine.

The hottest sensor picks a step of the curve. A step is left 5 degrees below where it begins, so that a
temperature that swings by less keeps the fan as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

FULL = 100

HYSTERESIS_CELSIUS = 5.0
KICK_NS = 500_000_000
"""A fan that starts from rest gets full power for so long: at low duty it might never begin to turn."""

MIN_ON_NS = 30_000_000_000
"""A fan that was started runs for so long."""

FAULT_HOLD_NS = 10_000_000_000
"""Full speed lasts for so long after the last fault, so that a flickering sensor does not pump the fan."""

COLDEST_CELSIUS = 0.0
HOTTEST_CELSIUS = 120.0
"""Temperatures outside are absurd: a failing sensor reads 0 or less, and silicon at 120 does not run."""


class Reading(NamedTuple):
    """A temperature, None where it could not be read, and when that was (monotonic clock)."""

    celsius: float | None
    read_ns: int


@dataclass(frozen=True, slots=True)
class FanRules:
    """What the control goes by.

    Attributes:
        steps: (from so many degrees, so many percent), both rising; below the first the fan rests.
        stale_ns: a reading older than this counts as missing.
        minimum: least duty at which the fan turns, in percent.
    """

    steps: tuple[tuple[float, int], ...]
    stale_ns: int
    minimum: int = 30

    def reached(self, celsius: float) -> int:
        """Return how many steps begin at or below this temperature."""
        return sum(celsius >= start for start, _ in self.steps)

    def duty_of(self, step: int) -> int:
        """Return the duty of that many steps, in percent: nothing for none, else at least the minimum."""
        return max(self.minimum, self.steps[step - 1][1]) if step else 0


class FanState(NamedTuple):
    """What is remembered from one call to the next.

    `step` counts the steps of the curve that are held, `started_ns` is when the fan left rest (None: it
    rests), and before `full_until_ns` it runs at full speed because of a fault.
    """

    step: int
    started_ns: int | None
    full_until_ns: int


class Decision(NamedTuple):
    """The duty in percent from now on, the state for the next call, and why."""

    duty: int
    state: FanState
    reason: str


def at_start(rules: FanRules) -> FanState:
    """Return the state of a daemon that has not read anything yet: full speed."""
    return FanState(len(rules.steps), None, 0)


def plausible(celsius: float) -> bool:
    """Return whether a part of a running machine can have this temperature."""
    return COLDEST_CELSIUS < celsius < HOTTEST_CELSIUS


def control(rules: FanRules, temperatures: Mapping[str, Reading], before: FanState, now_ns: int) -> Decision:
    """Decide how fast the fan runs.

    Args:
        rules: curve and limits.
        temperatures: each sensor that is watched, by name; none at all is a fault.
        before: the state that the last call returned.
        now_ns: monotonic clock.
    """
    fault = _fault(rules, temperatures, now_ns)
    if fault is None and now_ns >= before.full_until_ns:
        name, reading = max(temperatures.items(), key=_celsius)
        step = _step(rules, _celsius((name, reading)), before.step)
        return _turn(rules, step, before, now_ns, f"{name} at {reading.celsius:.1f} °C")
    full_until_ns = before.full_until_ns if fault is None else now_ns + FAULT_HOLD_NS
    started_ns = now_ns if before.started_ns is None else before.started_ns
    state = FanState(len(rules.steps), started_ns, full_until_ns)
    return Decision(FULL, state, fault or "a sensor failed a moment ago")


def _celsius(named: tuple[str, Reading]) -> float:
    celsius = named[1].celsius
    assert celsius is not None, "a missing reading is a fault"
    return celsius


def _fault(rules: FanRules, temperatures: Mapping[str, Reading], now_ns: int) -> str | None:
    """Return what is wrong with the temperatures, or None."""
    if not temperatures:
        return "no sensor is watched"
    for name, (celsius, read_ns) in temperatures.items():
        if now_ns - read_ns > rules.stale_ns:
            return f"{name} was last read {(now_ns - read_ns) / 1e9:.0f} s ago"
        if celsius is None:
            return f"{name} cannot be read"
        if not plausible(celsius):
            return f"{name} reads {celsius:g} °C, which cannot be"
    return None


def _step(rules: FanRules, celsius: float, before: int) -> int:
    step = rules.reached(celsius)
    while step < min(before, len(rules.steps)) and celsius > rules.steps[step][0] - HYSTERESIS_CELSIUS:
        step += 1
    return step


def _turn(rules: FanRules, step: int, before: FanState, now_ns: int, reason: str) -> Decision:
    """Return the duty of a step, with the rules for leaving rest and going back to it."""
    started_ns = before.started_ns
    duty = rules.duty_of(step)
    if not duty and started_ns is not None and now_ns - started_ns < MIN_ON_NS:
        duty, reason = rules.minimum, f"{reason}; it was started a moment ago"
    if not duty:
        return Decision(0, FanState(step, None, before.full_until_ns), reason)
    if started_ns is None:
        started_ns = now_ns
    if now_ns - started_ns < KICK_NS and duty < FULL:
        duty, reason = FULL, f"{reason}; it starts from rest"
    return Decision(duty, FanState(step, started_ns, before.full_until_ns), reason)
