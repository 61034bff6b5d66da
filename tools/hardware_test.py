"""`taped hardware test`: cycles LEDs, fan and button on a real board, and asks what was seen."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from daemon.hardware.board import Button
from daemon.hardware.errors import HardwareError
from daemon.hardware.fans import open_fan
from daemon.hardware.lamps import LampDevice
from daemon.hardware.leds import BLUE, DARK, GREEN, RED
from daemon.hardware.pins import Pins, import_library, open_factory
from daemon.hardware.thermal import FULL
from daemon.hardware.wiring import Lamp, needs_pins, wiring_of
from daemon.settings import HardwareSettings
from tools.hardware_config import add_config, settings_of
from tools.output import print_json

_COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}
_PRESS_S = 15.0
_TURN_S = 3.0

Ask = Callable[[str], bool]


class Finding(NamedTuple):
    """What was tried, and whether it did what it should; a problem is why it could not be tried."""

    part: str
    passed: bool
    problem: str | None = None


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "test",
        help="cycle LEDs, fan and button, and ask what was seen",
        description="Lights each LED, runs the fan fast, slow and not at all, waits for a press of the"
        " button, and asks after each what was seen. Stop the daemon first: its pins are in use. Exit code 1:"
        " something did not do what it should.",
    )
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Try everything that the settings name; 1 when something is not as it should be."""
    settings = settings_of(arguments)
    found = list(try_all(settings, _ask))
    if arguments.json:
        print_json({"findings": [finding._asdict() for finding in found]})
    elif not found:
        print("no fan, no LED and no button is driven by these settings")
    else:
        for part, passed, problem in found:
            print(f"{part}: {problem or ('fine' if passed else 'not as it should be')}")
    return 0 if all(finding.passed for finding in found) else 1


def try_all(settings: HardwareSettings, ask: Ask, *, turn_s: float = _TURN_S) -> Iterator[Finding]:
    """Yield a finding for each part.

    Args:
        settings: what there is.
        ask: puts a question to whoever looks, and returns whether the answer is yes.
        turn_s: how long the fan is left at each speed.
    """
    pins = Pins(partial(open_factory, settings.pins, settings.root))
    if needs_pins(settings):
        import_library(settings.pins)
    for lamp in wiring_of(settings).lamps:
        yield _tried(f"led.{lamp.role}", partial(_lamp, settings, pins, lamp, ask))
    if settings.fan in ("gpiozero", "sysfs_pwm"):
        yield _tried("fan", partial(_fan, settings, pins, ask, turn_s))
    if settings.button_pin:
        yield _tried("button", partial(_button, pins, settings.button_pin))


def _tried(part: str, act: Callable[[], bool]) -> Finding:
    try:
        return Finding(part, act())
    except HardwareError as error:
        return Finding(part, passed=False, problem=str(error))


def _lamp(settings: HardwareSettings, pins: Pins, lamp: Lamp, ask: Ask) -> bool:
    device = LampDevice(pins, lamp, inverted=settings.leds_inverted, dimmed=False)
    colours = _COLOURS if len(lamp.pins) > 1 else {"lit": RED}
    passed = True
    for name, colour in colours.items():
        device.show(colour, FULL)
        passed &= ask(f"LED {lamp.role} at GPIO {'/'.join(map(str, lamp.pins))}: is it {name}?")
        device.show(DARK, FULL)
    device.discard()
    return passed


def _fan(settings: HardwareSettings, pins: Pins, ask: Ask, turn_s: float) -> bool:
    fan = open_fan(settings, pins)
    passed = ask("fan at full speed: does it run fast?")
    for duty, question in ((30, "does it run slowly?"), (0, "does it stand still?")):
        fan.set(duty)
        time.sleep(turn_s)
        passed &= ask(f"fan at {duty} %: {question}")
    fan.release()
    return passed


def _button(pins: Pins, pin: int) -> bool:
    button = Button(pins, pin)
    print(f"press the button at GPIO{pin} within {_PRESS_S:.0f} s", file=sys.stderr, flush=True)
    end = time.monotonic() + _PRESS_S
    while not button.pressed and time.monotonic() < end:
        time.sleep(0.02)
    pressed = button.pressed
    button.discard()
    return pressed


def _ask(question: str) -> bool:
    print(f"{question} [y/n] ", end="", file=sys.stderr, flush=True)
    # Without anybody to answer nothing was seen.
    return sys.stdin.readline().strip().lower() in ("y", "yes", "j", "ja", "o", "oui")
