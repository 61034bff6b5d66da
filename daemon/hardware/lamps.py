"""LEDs as gpiozero devices, one for each pin: shows a colour, remembers what is shown. Plays no pattern."""

from __future__ import annotations

from typing import Any

from daemon.hardware.leds import ALL, DARK, RED, Colour
from daemon.hardware.pins import Pins, whole_percent
from daemon.hardware.wiring import Lamp

_LIT_AFTER_THE_END = frozenset({ALL, "error"})


class LampDevice:
    """One LED, dark at first.

    Args:
        pins: where its devices are opened.
        lamp: role and pins.
        inverted: a low pin lights it.
        dimmed: it is ever shown with another brightness than full or none.

    Raises:
        HardwareError: a pin cannot be driven.
    """

    def __init__(self, pins: Pins, lamp: Lamp, *, inverted: bool, dimmed: bool) -> None:
        self._pins = pins
        self._lamp = lamp
        self._inverted = inverted
        # Pulses of a dimmed LED cost a thread of the library some hundred wake-ups a second.
        kind = "PWMLED" if dimmed else "LED"
        self._devices: list[Any] = []
        self._shown: tuple[Colour, int] = (DARK, 0)
        try:
            for pin in lamp.pins:
                self._devices.append(pins.open(kind, pin, active_high=not inverted))
        except Exception:
            self.discard()
            raise

    def show(self, colour: Colour, percent: int) -> None:
        """Show a colour; an LED of one pin shows any but dark."""
        wanted = (colour, percent)
        if wanted == self._shown:
            return
        lit = colour if len(self._devices) > 1 else (max(colour),)
        for device, on in zip(self._devices, lit, strict=True):
            device.value = whole_percent(percent) if on else 0
        self._shown = wanted

    def release(self) -> None:
        """Give the LED up: one that tells of errors is left lit, any other dark."""
        colour = RED if self._lamp.role in _LIT_AFTER_THE_END else DARK
        lit = colour if len(self._devices) > 1 else (max(colour),)
        for device, on in zip(self._devices, lit, strict=True):
            self._pins.let_go(device, bool(on) is not self._inverted)

    def discard(self) -> None:
        """Close an LED that failed."""
        for device in self._devices:
            self._pins.discard(device)
