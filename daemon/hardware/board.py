"""The thread that owns fan, LEDs and button: the only one that touches a pin.

It reads no sensor and waits for nobody: what it needs to know is handed to it as values, so it goes on
when loop, journal or sensors hang, and shows that they do. A failing part is given up and tried again
(`part.py`); the others go on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from daemon.hardware import button
from daemon.hardware.button import ButtonState, Press
from daemon.hardware.fans import Fan, open_fan
from daemon.hardware.lamps import LampDevice
from daemon.hardware.leds import DARK, colour_at
from daemon.hardware.part import Part
from daemon.hardware.pins import Pins, open_factory
from daemon.hardware.sensors import Sample
from daemon.hardware.thermal import FULL, Reading, at_start, control
from daemon.hardware.throttling import NOW, was_throttled
from daemon.hardware.wiring import FAN_SENSORS, Lamp, Wiring
from daemon.progress import Progress
from daemon.settings import HardwareSettings
from schemas.events import BreakerChanged, BreakerState, Event, FanSet

log = logging.getLogger(__name__)

FAN_PART, BUTTON_PART = "hardware.fan", "hardware.button"

BUTTON_TICK_S = 0.02
LED_TICK_S = 0.05
FAN_TICK_S = 0.25

ASSERT_NS = 5_000_000_000
"""The fan is told its duty so often though it did not change, so that a dead chip is noticed."""


class Samples(Protocol):
    """Where samples come from."""

    @property
    def latest(self) -> Sample | None:
        """The last sample, None before the first."""


class Button:
    """A push button between a pin and ground."""

    def __init__(self, pins: Pins, pin: int) -> None:
        self._pins = pins
        # Not gpiozero's Button: that one has threads of its own, and edges that nobody here waits for.
        self._device = pins.open("InputDevice", pin, pull_up=True)

    @property
    def pressed(self) -> bool:
        """Whether it is held down now."""
        return bool(self._device.is_active)

    def discard(self) -> None:
        """Close a button that failed."""
        self._pins.discard(self._device)


class Board:
    """Fan, LEDs and button of one daemon.

    Args:
        settings: what there is.
        wiring: the same, checked.
        samples: where temperatures come from.
        progress: which parts of the daemon get on.
        tell: called on this thread with events.
        pressed: called on this thread with presses of the button.
        clock_ns: a monotonic clock.
        minute: tells the minute of the day, local time.

    Attributes:
        duty: what the fan was told last, in percent; None while nobody knows.
        reason: why.
        states: what the loop says that LEDs shall tell.
        progress_ns: when the last round was done.
        parts: fan, LEDs and button, as far as there are any.
    """

    def __init__(
        self,
        settings: HardwareSettings,
        wiring: Wiring,
        *,
        samples: Samples,
        progress: Progress,
        tell: Callable[[Event], None],
        pressed: Callable[[Press], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
        minute: Callable[[], int] | None = None,
    ) -> None:
        self._settings = settings
        self._wiring = wiring
        self._samples = samples
        self._progress = progress
        self._tell_event = tell
        self._pressed = pressed
        self._clock_ns = clock_ns
        self._minute = minute or _local_minute
        self._pins = Pins(partial(open_factory, settings.pins, settings.root))
        self._fan: Part[Any] | None = None
        if settings.fan in ("gpiozero", "sysfs_pwm"):
            self._fan = Part(FAN_PART, partial(open_fan, settings, self._pins), self._tell)
        self._lamps = [(lamp, self._lamp_part(lamp)) for lamp in wiring.lamps]
        self._button: Part[Button] | None = None
        if settings.button_pin:
            self._button = Part(BUTTON_PART, partial(Button, self._pins, settings.button_pin), self._tell)
        self._button_state = ButtonState()
        self._fan_state = at_start(wiring.rules)
        self._asserted_ns = 0
        self.duty: int | None = None
        self.reason = ""
        self.fault = False
        self.states: frozenset[str] = frozenset()
        self.progress_ns = clock_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hardware", daemon=True)

    def _lamp_part(self, lamp: Lamp) -> Part[LampDevice]:
        dimmed = self._settings.brightness < FULL or (
            self._wiring.night is not None and self._settings.night_brightness not in (0, FULL)
        )
        opened = partial(LampDevice, self._pins, lamp, inverted=self._settings.leds_inverted, dimmed=dimmed)
        return Part(f"hardware.led.{lamp.role}", opened, self._tell)

    @property
    def parts(self) -> Sequence[Part[Any]]:
        """Fan, LEDs and button, as far as there are any."""
        return [part for part in (self._fan, *(part for _, part in self._lamps), self._button) if part]

    def start(self) -> None:
        """Take over the pins."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End, with the fan at full speed and the LEDs dark."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        tick_s = BUTTON_TICK_S if self._button else LED_TICK_S if self._lamps else FAN_TICK_S
        try:
            while not self._stop.wait(tick_s):
                self.round(self._clock_ns())
        except Exception:
            # Parts answer for their own faults: this is one of ours, and the watchdog will see it.
            log.exception("the hardware's thread stopped")
        finally:
            self.close(self._clock_ns())

    def round(self, now_ns: int) -> None:
        """Look at everything once and set what has changed."""
        self._control(now_ns)
        self._watch_button(now_ns)
        self._show(now_ns)
        self.progress_ns = now_ns

    def close(self, now_ns: int) -> None:
        """Give everything up: fan at full speed, LEDs dark."""
        if self._fan is not None and self._fan.device is not None:
            self._fan.use(_release, now_ns)
        for _, part in self._lamps:
            if part.device is not None:
                part.use(lambda lamp: lamp.show(DARK, 0), now_ns)
            if part.device is not None:
                part.device.discard()
        if self._button is not None and self._button.device is not None:
            self._button.device.discard()

    def _control(self, now_ns: int) -> None:
        if self._fan is None:
            return
        sample = self._samples.latest
        if sample is None:
            duty, self.reason = FULL, "nothing has been read yet"
        else:
            read = {
                name: Reading(sample.readings[FAN_SENSORS[name]], sample.read_ns)
                for name in self._settings.fan_sensors
            }
            duty, self._fan_state, self.reason = control(self._wiring.rules, read, self._fan_state, now_ns)
            self.fault = now_ns < self._fan_state.full_until_ns
        self._set_fan(self._fan, duty, now_ns)

    def _set_fan(self, part: Part[Fan], duty: int, now_ns: int) -> None:
        if part.device is None:
            self.duty = None
        elif duty == self.duty and now_ns - self._asserted_ns < ASSERT_NS:
            return
        if not part.use(lambda fan: fan.set(duty), now_ns):
            self.duty = None
            return
        self._asserted_ns = now_ns
        if duty != self.duty:
            self.duty = duty
            self._tell_event(FanSet(ts_ns=time.time_ns(), duty_percent=duty, reason=self.reason))

    def _watch_button(self, now_ns: int) -> None:
        if self._button is None:
            return
        looked: list[bool] = []
        if not self._button.use(lambda device: looked.append(device.pressed), now_ns):
            # Whatever it was before the fault, it must be seen released again.
            self._button_state = ButtonState()
            return
        self._button_state, press = button.step(self._button_state, looked[0], now_ns)
        if press is not None:
            self._pressed(press)

    def _show(self, now_ns: int) -> None:
        if not self._lamps:
            return
        states = self.lamp_states(now_ns)
        night = self._wiring.is_night(self._minute())
        percent = self._settings.night_brightness if night else self._settings.brightness
        for lamp, part in self._lamps:
            colour = colour_at(lamp.role, states, now_ns) if percent else DARK
            part.use(partial(_show, colour, percent), now_ns)

    def lamp_states(self, now_ns: int) -> frozenset[str]:
        """Return what LEDs are to tell: what the loop says, and what is seen from here."""
        states = set(self.states)
        if self._progress.stalled():
            # What the loop said last is old news then; that trading is halted stays true.
            states = {"stalled"} | (states & {"halted"})
        elif states:
            states.add("alive")
        sample = self._samples.latest
        bits = sample.readings["throttled_bits"] if sample is not None else None
        if isinstance(bits, int):
            states |= {"throttled"} if bits & NOW else set()
            states |= {"was_throttled"} if was_throttled(bits) else set()
        if self._button_state.arming(now_ns):
            states.add("arming")
        return frozenset(states)

    def _tell(self, name: str, state: BreakerState, failures: int, reason: str) -> None:
        self._tell_event(
            BreakerChanged(ts_ns=time.time_ns(), breaker=name, state=state, failures=failures, reason=reason)
        )


def _show(colour: tuple[int, int, int], percent: int, lamp: LampDevice) -> None:
    lamp.show(colour, percent)


def _release(fan: Fan) -> None:
    fan.release()


def _local_minute() -> int:
    now = time.localtime()
    return now.tm_hour * 60 + now.tm_min
