"""The thread that reads the sensors, and what of it is recorded.

A thread of its own: a drive that hangs holds up whoever reads its temperature, and the fan must be set
to full speed just then. Whoever asks for the latest sample sees by its time that it is old.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from daemon.hardware.sensors import Readings, Sample
from schemas.events import SensorsRead

log = logging.getLogger(__name__)

LEAST_RECORD_S = 1.0
"""Two records lie at least so far apart, however often something changes."""

_SWITCHES = ("throttled_bits", "clock_synchronized")


class Sampler:
    """Takes a sample every so often.

    Args:
        read: takes one.
        every_s: from the end of one to the next.

    Attributes:
        latest: the last sample, None before the first.
        progress_ns: when the thread was last seen at work (monotonic clock).
    """

    def __init__(self, read: Callable[[], Sample], *, every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self.latest: Sample | None = None
        self.progress_ns = time.monotonic_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)

    def start(self) -> None:
        """Take the first sample soon."""
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        """End; a thread that hangs in a read is left behind."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.latest = self._read()
            except Exception:
                # Nothing the files say may raise. Without samples the fan runs at full speed.
                log.exception("the sensors' thread stopped")
                return
            self.progress_ns = time.monotonic_ns()
            # A slow sampler is at work all the same: it says so at least once a second.
            left_s = self._every_s
            while left_s > 0 and not self._stop.wait(min(1.0, left_s)):
                self.progress_ns = time.monotonic_ns()
                left_s -= 1.0


class Recorder:
    """Decides which samples become events: one every so often, and at once when something changes.

    A change is a sensor that is lost or found, another reason to hold the processor back, a clock that
    is kept right or no more. Figures that merely move are no change.

    Args:
        every_s: seconds between two records.
    """

    def __init__(self, *, every_s: float) -> None:
        self._every_ns = round(every_s * 1e9)
        self._recorded_ns: int | None = None
        self._marks: Sequence[object] = ()

    def take(self, sample: Sample, now_ns: int) -> SensorsRead | None:
        """Return the event of a new sample, if it is to be recorded.

        Args:
            sample: the sample.
            now_ns: wall clock.
        """
        marks = _marks(sample.readings)
        if self._recorded_ns is not None:
            age_ns = sample.read_ns - self._recorded_ns
            if age_ns < (self._every_ns if marks == self._marks else LEAST_RECORD_S * 1e9):
                return None
        self._recorded_ns, self._marks = sample.read_ns, marks
        return SensorsRead(ts_ns=now_ns, readings=sample.readings)


def _marks(readings: Readings) -> Sequence[object]:
    present = [value is not None for value in readings.values()]
    return (*present, *(readings[name] for name in _SWITCHES))
