"""When the machine is too hot to trade as usual: a rule over samples, with its way back. Reads nothing.

It is too hot from `hot_celsius` on, or while the firmware holds the processor back: then answers come
late, and orders at prices of a moment ago. It is over when the processor is 5 degrees cooler and the
firmware says so, for `cool_s` without a break; a sensor that is lost meanwhile says nothing of the kind.
"""

from __future__ import annotations

from daemon.hardware.sensors import Sample
from daemon.hardware.thermal import HYSTERESIS_CELSIUS, plausible
from daemon.hardware.throttling import words_of
from daemon.restraint import restrain
from daemon.settings import HardwareSettings
from schemas.events import Event, TradingState

WHO = "taped/heat"
HELD_BACK = 0b1110
"""Bits of `throttling.py`: frequency capped, throttled, soft limit of temperature."""

_COMMANDS = {"reduce": "trading.reduce", "halt": "trading.halt", "nothing": None}


class HeatWatch:
    """Follows the samples.

    Args:
        settings: what is too hot, and what follows.

    Attributes:
        hot: it is too hot.
        reason: why, as of the last sample that said so.
    """

    def __init__(self, settings: HardwareSettings) -> None:
        self.hot = False
        self.reason = ""
        self._limit = settings.hot_celsius
        self._command = _COMMANDS[settings.hot]
        self._cool_ns = round(settings.cool_s * 1e9)
        self._causes: set[str] = set()
        self._cool_since_ns: int | None = None

    def take(self, sample: Sample) -> None:
        """Judge a new sample."""
        celsius, bits = sample.readings["cpu_celsius"], sample.readings["throttled_bits"]
        if celsius is not None and plausible(celsius):
            self._judge("cpu", begins=celsius >= self._limit, ends=celsius < self._limit - HYSTERESIS_CELSIUS)
        if isinstance(bits, int):
            self._judge("firmware", begins=bool(bits & HELD_BACK), ends=not bits & HELD_BACK)
        if self._causes:
            told = {
                "cpu": f"the processor is at {celsius or 0.0:.1f} °C",
                "firmware": words_of(int(bits or 0)),
            }
            self.reason = ", ".join(told[cause] for cause in sorted(self._causes))
            self.hot = True
            self._cool_since_ns = None
        elif self.hot:
            if self._cool_since_ns is None:
                self._cool_since_ns = sample.read_ns
            self.hot = sample.read_ns - self._cool_since_ns < self._cool_ns

    def _judge(self, cause: str, *, begins: bool, ends: bool) -> None:
        if begins:
            self._causes.add(cause)
        elif ends:
            self._causes.discard(cause)

    def commands(self, state: TradingState, source: str, now_ns: int) -> list[Event]:
        """Return the command that trading needs now, if any.

        Args:
            state: the trading state in force.
            source: who set it; only what was restricted here is resumed here.
            now_ns: wall clock.
        """
        if self._command is None:
            return []
        wanted = self._command if self.hot else None
        reason = f"too hot: {self.reason}" if self.hot else "it is cool again"
        return restrain(WHO, wanted, state, source, reason=reason, now_ns=now_ns)
