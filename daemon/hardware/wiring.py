"""What the settings of the hardware mean: checked pins, the curve of the fan, LEDs, night hours.

Touches no hardware, so `taped check-config` tells every mistake of the wiring on any machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from daemon.hardware.errors import WiringError
from daemon.hardware.leds import ROLES
from daemon.hardware.thermal import FULL, FanRules
from daemon.settings import HardwareSettings

PINS = range(2, 28)
"""GPIO numbers at the header; 0 and 1 belong to the identification of boards put on top."""

PWM_CHANNELS = {12: 0, 13: 1, 18: 2, 19: 3}
"""Channels of the I/O chip's PWM by GPIO number (RP1 peripherals, table of GPIO functions)."""

FAN_SENSORS = {"cpu": "cpu_celsius", "nvme": "nvme_celsius", "rp1": "rp1_celsius"}
STALE_SAMPLES = 5
"""A reading that is older than so many samples counts as missing."""

MAX_STEPS = 20
MAX_LEDS = 8
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


class Lamp(NamedTuple):
    """An LED: its role, and one pin, or those of red, green and blue."""

    role: str
    pins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Wiring:
    """What is connected to what.

    Attributes:
        rules: how the fan is controlled.
        lamps: the LEDs.
        night: minutes of the day at which the night begins and ends, or None.
    """

    rules: FanRules
    lamps: tuple[Lamp, ...]
    night: tuple[int, int] | None

    def is_night(self, minute: int) -> bool:
        """Return whether this minute of the day is one of the night; a night may pass midnight."""
        if self.night is None:
            return False
        begin, end = self.night
        return begin <= minute < end if begin <= end else minute >= begin or minute < end


def needs_pins(settings: HardwareSettings) -> bool:
    """Return whether anything is wired to a pin that this process must drive or read itself."""
    return settings.fan == "gpiozero" or bool(settings.leds) or bool(settings.button_pin)


def wiring_of(settings: HardwareSettings) -> Wiring:
    """Return the wiring.

    Raises:
        WiringError: the first setting that cannot be.
    """
    lamps = _lamps(settings.leds)
    _check_fan(settings)
    if settings.button_pin:
        _check_pin("button_pin", settings.button_pin)
    _check_shared(settings, lamps)
    rules = FanRules(_curve(settings.fan_curve), round(settings.sample_s * STALE_SAMPLES * 1e9))
    return Wiring(rules, lamps, _night(settings.night))


def _check_pin(key: str, pin: int) -> None:
    if pin not in PINS:
        raise WiringError(key, f"is {pin}, expected a GPIO number from {PINS[0]} to {PINS[-1]}")


def _check_fan(settings: HardwareSettings) -> None:
    if settings.fan == "gpiozero":
        _check_pin("fan_pin", settings.fan_pin)
    if settings.fan == "sysfs_pwm" and settings.fan_pin not in PWM_CHANNELS:
        pins = ", ".join(map(str, PWM_CHANNELS))
        raise WiringError(
            "fan_pin", f"is {settings.fan_pin}, which has no hardware PWM; expected one of {pins}"
        )
    if not settings.fan_sensors:
        raise WiringError("fan_sensors", "is empty, expected at least one sensor")
    for name in settings.fan_sensors:
        if name not in FAN_SENSORS:
            raise WiringError("fan_sensors", f"has {name!r}, expected {' or '.join(FAN_SENSORS)}")


def _check_shared(settings: HardwareSettings, lamps: Sequence[Lamp]) -> None:
    """Refuse two uses of one pin."""
    uses = [("leds", pin) for lamp in lamps for pin in lamp.pins]
    if settings.fan in ("gpiozero", "sysfs_pwm"):
        uses.append(("fan_pin", settings.fan_pin))
    if settings.button_pin:
        uses.append(("button_pin", settings.button_pin))
    taken: dict[int, str] = {}
    for key, pin in uses:
        if pin in taken:
            raise WiringError(key, f"uses GPIO{pin}, which hardware.{taken[pin]} uses too")
        taken[pin] = key


def _curve(texts: Sequence[str]) -> tuple[tuple[float, int], ...]:
    steps: list[tuple[float, int]] = []
    for text in texts:
        celsius, sign, duty = text.partition("=")
        if not (sign and re.fullmatch(r"\d{1,3}(\.\d)?", celsius, re.ASCII) and duty.isdecimal()):
            raise WiringError("fan_curve", f"has {text[:40]!r}, expected CELSIUS=PERCENT such as 60=50")
        step = (float(celsius), int(duty[:4]))
        if not 0 < step[1] <= FULL:
            raise WiringError("fan_curve", f"has {text[:40]!r}, expected 1 to 100 percent")
        if steps and not (step[0] > steps[-1][0] and step[1] >= steps[-1][1]):
            raise WiringError(
                "fan_curve", f"has {text!r} after {texts[len(steps) - 1]!r}, expected it to rise"
            )
        steps.append(step)
    if not 0 < len(steps) <= MAX_STEPS:
        raise WiringError("fan_curve", f"has {len(steps)} steps, expected 1 to {MAX_STEPS}")
    return tuple(steps)


def _lamps(texts: Sequence[str]) -> tuple[Lamp, ...]:
    if len(texts) > MAX_LEDS:
        raise WiringError("leds", f"names {len(texts)}, expected up to {MAX_LEDS}")
    lamps: list[Lamp] = []
    for text in texts:
        role, _, pins = text.partition("=")
        numbers = pins.split("/")
        if role not in ROLES or len(numbers) not in (1, 3) or not all(map(str.isdecimal, numbers)):
            raise WiringError(
                "leds",
                f"has {text[:40]!r}, expected ROLE=PIN or ROLE=RED/GREEN/BLUE",
                hint=f"roles are {', '.join(ROLES)}",
            )
        if any(lamp.role == role for lamp in lamps):
            raise WiringError("leds", f"has two LEDs for {role}, expected one")
        lamp = Lamp(role, tuple(int(number[:4]) for number in numbers))
        for pin in lamp.pins:
            _check_pin("leds", pin)
        lamps.append(lamp)
    return tuple(lamps)


def _night(text: str) -> tuple[int, int] | None:
    if text == "none":
        return None
    found = _HOURS.fullmatch(text)
    if found is None:
        raise WiringError("night", f"is {text[:40]!r}, expected hours such as 22:00-07:00, or none")
    first_hour, first_minute, last_hour, last_minute = map(int, found.groups())
    return first_hour * 60 + first_minute, last_hour * 60 + last_minute
