"""What is left when no daemon runs: fan at full speed, error LEDs lit. For whoever comes after it.

A process that dies leaves its pins as they happened to be: between two pulses the fan's is low. So a
process of its own drives them once and goes; the kernel of Raspberry Pi OS keeps a level that was driven.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from daemon.hardware.fans import open_fan
from daemon.hardware.lamps import LampDevice
from daemon.hardware.pins import Pins, open_factory
from daemon.hardware.wiring import wiring_of
from daemon.settings import HardwareSettings


def failsafe(settings: HardwareSettings) -> dict[str, str | None]:
    """Drive fan and LEDs to where they do least harm.

    Returns:
        For each part what went wrong, or None where nothing did.
    """
    wiring = wiring_of(settings)
    pins = Pins(partial(open_factory, settings.pins, settings.root))
    parts: dict[str, Callable[[], None]] = {}
    if settings.fan in ("gpiozero", "sysfs_pwm"):
        parts["fan"] = lambda: open_fan(settings, pins).release()
    for lamp in wiring.lamps:
        lamp_device = partial(LampDevice, pins, lamp, inverted=settings.leds_inverted, dimmed=False)
        parts[f"led.{lamp.role}"] = partial(_release_lamp, lamp_device)
    return {name: _tried(act) for name, act in parts.items()}


def _release_lamp(opened: Callable[[], LampDevice]) -> None:
    opened().release()


def _tried(act: Callable[[], None]) -> str | None:
    try:
        act()
    except Exception as error:  # noqa: BLE001  # Whatever one part does, the others are still driven.
        return str(error) or type(error).__name__
    return None
