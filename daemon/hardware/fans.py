"""Ways to drive a fan: a pin behind a transistor, the I/O chip's PWM, the kernel, or none.

Each is made at full speed and takes a duty in percent. None decides anything; `thermal.py` does. Wired as
`daemon/hardware/README.md` draws it, a fan whose line floats runs at full speed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Protocol

from daemon.hardware.errors import HardwareError
from daemon.hardware.pins import Pins, whole_percent
from daemon.hardware.simulated import PWM_DEVICE
from daemon.hardware.sysfs import read_text
from daemon.hardware.thermal import FULL
from daemon.hardware.wiring import PWM_CHANNELS
from daemon.settings import HardwareSettings

PERIOD_NS = 40_000
"""25 kHz, what fans with four wires expect (Intel's 4-Wire PWM Controlled Fans, 2.1.4)."""

_EXPORT_S = 1.0
"""After an export udev needs a moment to give the new files to the group."""


class Fan(Protocol):
    """Something that can be told a duty."""

    def set(self, duty: int) -> None:
        """Run at this duty in percent from now on."""

    def release(self) -> None:
        """Give the fan up at full speed."""

    def discard(self) -> None:
        """Give up a fan that failed; never raises."""


def open_fan(settings: HardwareSettings, pins: Pins) -> Fan:
    """Return the fan of the settings, at full speed; of kind `gpiozero` or `sysfs_pwm`.

    Raises:
        HardwareError: it cannot be driven.
    """
    if settings.fan == "gpiozero":
        return PinFan(pins, settings.fan_pin, hz=settings.fan_hz, inverted=settings.fan_inverted)
    channel = PWM_CHANNELS[settings.fan_pin]
    return PwmFan(settings.root, channel, inverted=settings.fan_inverted)


class PinFan:
    """A fan with two wires behind a transistor, switched 25 to 100 times a second."""

    def __init__(self, pins: Pins, pin: int, *, hz: int, inverted: bool) -> None:
        self._pins = pins
        self._inverted = inverted
        self._device = pins.open(
            "PWMOutputDevice", pin, active_high=True, initial_value=self._level(FULL), frequency=hz
        )

    def _level(self, duty: int) -> float:
        # Turned round here and not by the library: only so the cut to whole percent can be met.
        return whole_percent(FULL - duty if self._inverted else duty)

    def set(self, duty: int) -> None:
        """Run at this duty in percent from now on."""
        self._device.value = self._level(duty)

    def release(self) -> None:
        """Give the fan up with the line driven to full speed."""
        self._pins.let_go(self._device, not self._inverted)

    def discard(self) -> None:
        """Close a fan that failed."""
        self._pins.discard(self._device)


class PwmFan:
    """A fan with four wires at the I/O chip's PWM, through `/sys/class/pwm`.

    Args:
        root: where `/sys` is looked for.
        channel: of the chip, which is found by its address: the numbers of chips vary.
        inverted: a low line makes the fan turn.

    Raises:
        HardwareError: there is no such chip, or this user may not write to it.
    """

    def __init__(self, root: Path, channel: int, *, inverted: bool) -> None:
        chip = _find_chip(root)
        self._folder = chip / f"pwm{channel}"
        if not self._folder.exists():
            _write(chip / "export", str(channel))
        self._wait_for_access()
        polarity = "inversed" if inverted else "normal"
        if read_text(self._folder / "polarity") != polarity:
            # The kernel changes it only at rest.
            _write(self._folder / "enable", "0")
            _write(self._folder / "polarity", polarity)
        if read_text(self._folder / "period") != str(PERIOD_NS):
            # No period may be shorter than the duty that stands.
            _write(self._folder / "duty_cycle", "0")
            _write(self._folder / "period", str(PERIOD_NS))
        self.set(FULL)
        _write(self._folder / "enable", "1")

    def _wait_for_access(self) -> None:
        end = time.monotonic() + _EXPORT_S
        while not os.access(self._folder / "duty_cycle", os.W_OK):
            if time.monotonic() > end:
                raise HardwareError(
                    f"{self._folder / 'duty_cycle'} may not be written by this user",
                    hint="add it to the group gpio",
                )
            time.sleep(0.02)

    def set(self, duty: int) -> None:
        """Run at this duty in percent from now on."""
        _write(self._folder / "duty_cycle", str(PERIOD_NS * duty // FULL))

    def release(self) -> None:
        """Give the fan up at full speed, which the chip keeps by itself."""
        self.set(FULL)

    def discard(self) -> None:
        """Nothing is held open."""


def _find_chip(root: Path) -> Path:
    """Return the folder of the PWM at the pin header."""
    for chip in sorted((root / "sys/class/pwm").glob("pwmchip*")):
        if (chip / "device").resolve().name == PWM_DEVICE:
            return chip
    raise HardwareError(
        f"{root / 'sys/class/pwm'} has no PWM chip {PWM_DEVICE}",
        hint="give the pin to it in /boot/firmware/config.txt, as daemon/hardware/README.md says",
    )


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        hint = "add this user to the group gpio" if isinstance(error, PermissionError) else ""
        raise HardwareError(f"{path}: {text!r} cannot be written: {error.strerror}", hint=hint) from error
