"""A stand-in for lgpio that behaves like version 0.2.2 where gpiozero can see it, and records every call.

As the real one it makes a FIFO in `LG_WD`, or in the working directory, when it is imported, and
changes to `LG_WD`; its errors are of a class of their own; a pin that is freed or claimed as an input
floats; pulses take whole percent, as gpiozero hands them over.
"""

from __future__ import annotations

import os

FIFO = ".lgd-nfy0"

BOTH_EDGES, RISING_EDGE, FALLING_EDGE = 3, 1, 2
SET_PULL_NONE, SET_PULL_UP, SET_PULL_DOWN = 128, 32, 64
_OUT = 1 << 1


class error(Exception):  # noqa: N801, N818  # The library's name.
    def __str__(self):
        return repr(self.args[0])


calls: list[tuple] = []
busy: set[int] = set()
broken: list[str] = []
levels: dict[int, int] = {}
"""What an input reads."""
lines: dict[int, object] = {}
"""What each line does: `floating`, a level, or `(hz, duty)`."""

if "LG_WD" in os.environ:
    os.chdir(os.environ["LG_WD"])
os.mkfifo(FIFO)


def _call(name, *arguments):
    calls.append((name, *arguments))
    if broken:
        raise error(broken[0])


def gpiochip_open(chip):
    _call("gpiochip_open", chip)
    return 7


def gpiochip_close(handle):
    _call("gpiochip_close", handle)


def _claim(name, gpio, doing):
    _call(name, gpio)
    if gpio in busy:
        raise error("GPIO busy")
    lines[gpio] = doing


def gpio_claim_input(handle, gpio, flags=0):
    _claim("gpio_claim_input", gpio, "floating")


def gpio_claim_output(handle, gpio, level=0, flags=0):
    _claim("gpio_claim_output", gpio, level)


def gpio_free(handle, gpio):
    _call("gpio_free", gpio)


def gpio_get_mode(handle, gpio):
    return 0 if lines.get(gpio) == "floating" else _OUT


def gpio_read(handle, gpio):
    _call("gpio_read", gpio)
    doing = lines.get(gpio)
    return doing if isinstance(doing, int) else levels.get(gpio, 1)


def gpio_write(handle, gpio, level):
    _call("gpio_write", gpio, level)
    lines[gpio] = int(level)


def tx_pwm(handle, gpio, frequency, duty):
    assert isinstance(duty, int), "the C function takes the duty that gpiozero has cut"
    _call("tx_pwm", gpio, frequency, duty)
    # Without a frequency the pulses end, and the line keeps the level it happens to have.
    lines[gpio] = (frequency, duty) if frequency else 0
