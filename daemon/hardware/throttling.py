"""Whether the firmware holds the processor back, and why: by `vcgencmd`, else by the voltage monitor.

Bits as `vcgencmd get_throttled` has them: 0 under-voltage, 1 frequency capped, 2 throttled, 3 soft limit
of temperature; 16 to 19 the same, since the machine was started.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from daemon.hardware.sysfs import devices, read_number

UNDER_VOLTAGE = 1 << 0
NOW = 0xF
HEAT = 1 << 3
"""The soft limit of temperature is in force."""

_WORDS = ("under-voltage", "frequency capped", "throttled", "soft limit of temperature")
_SINCE_BOOT = 16
_BITS = 32
"""So many the firmware has; what says more, or less than nothing, is no answer."""

_TIMEOUT_S = 1.0
_REST_NS = 60_000_000_000
"""A tool that failed is left alone for so long: starting it again costs milliseconds each time."""


def words_of(bits: int) -> str:
    """Return what the bits say, for people: now, else since the start of the machine."""
    now = [word for bit, word in enumerate(_WORDS) if bits >> bit & 1]
    if now:
        return f"{' and '.join(now)} now"
    since = [word for bit, word in enumerate(_WORDS) if bits >> (bit + _SINCE_BOOT) & 1]
    return f"{' and '.join(since)} since the machine was started" if since else "no"


def was_throttled(bits: int) -> bool:
    """Return whether anything of it happened since the machine was started."""
    return bool(bits >> _SINCE_BOOT & NOW)


class Throttling:
    """Reads the bits.

    Args:
        root: where `/usr/bin/vcgencmd` and `/sys` are looked for.
        clock_ns: a monotonic clock.
    """

    def __init__(self, root: Path, *, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._root = root
        self._tool = root / "usr/bin/vcgencmd"
        self._clock_ns = clock_ns
        self._rest_until_ns = 0
        self._seen = 0

    def read(self) -> int | None:
        """Return the bits, or None where nobody knows them."""
        bits = self._ask_tool()
        return self._ask_monitor() if bits is None else bits

    def _ask_tool(self) -> int | None:
        now_ns = self._clock_ns()
        if now_ns < self._rest_until_ns or not self._tool.exists():
            return None
        try:
            done = subprocess.run(  # noqa: S603  # A fixed path and a fixed word.
                [self._tool, "get_throttled"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
            bits = int(done.stdout.removeprefix(b"throttled="), 16)
            if bits >> _BITS:
                raise ValueError(bits >> _BITS)  # noqa: TRY301
            return bits  # noqa: TRY300
        except (OSError, ValueError, subprocess.TimeoutExpired):
            # Without membership in the group `video` it says so, and that does not change by itself.
            self._rest_until_ns = now_ns + _REST_NS
            return None

    def _ask_monitor(self) -> int | None:
        for monitor in devices(self._root, "hwmon", "rpi_volt"):
            alarm = read_number(monitor / "in0_lcrit_alarm")
            if alarm is not None:
                self._seen |= bool(alarm) << _SINCE_BOOT
                return bool(alarm) | self._seen
        return None
