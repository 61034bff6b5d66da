"""The hardware of one daemon, as its loop sees it: starts it, takes its events, tells it what to show.

Sensors and board run in threads of their own; what they find crosses over to the loop, where it
becomes events, commands and figures. No fault of theirs reaches whoever trades.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from daemon.hardware.alarm import Alarm
from daemon.hardware.board import Board
from daemon.hardware.button import Press
from daemon.hardware.errors import HardwareError
from daemon.hardware.heat import HeatWatch
from daemon.hardware.pins import import_library
from daemon.hardware.sampler import Recorder, Sampler
from daemon.hardware.sensors import Sample, Sensors, Value
from daemon.hardware.throttling import NOW, words_of
from daemon.hardware.wiring import needs_pins, wiring_of
from daemon.progress import Progress
from daemon.settings import HardwareSettings
from schemas.errors import TapedError
from schemas.events import (
    BreakerChanged,
    BreakerState,
    Event,
    FanSet,
    OperatorCommand,
    ParityChecked,
    Scalar,
    TradingState,
)

log = logging.getLogger(__name__)

BUTTON = "button"
"""Who gives the commands of the button."""

ROUND_S = 0.25
STOP_S = 2.0
STILL_S = 10.0
"""A fan at the board's header that should turn and does not, for so long, stands still."""

DATABASE_BREAKER = "timescale"
"""Breakers whose names begin so stand between us and the database that is synchronised."""


class Core(Protocol):
    """What is asked of the trading core."""

    trading_state: TradingState
    trading_source: str
    parity: ParityChecked | None


class Shedder(Protocol):
    """What is asked of it while the disk is full."""

    paused: bool


class Engine(Protocol):
    """What the hardware needs of the engine."""

    stopping: bool
    failed: str | None

    @property
    def core(self) -> Core: ...  # noqa: D102
    @property
    def shedder(self) -> Shedder: ...  # noqa: D102
    def ingest(self, inputs: list[Event]) -> None: ...  # noqa: D102


class Hardware:
    """Everything below the daemon, from its loop's side.

    Args:
        settings: what there is.
        data: the data folder, whose disk is watched.
        progress: which parts of the daemon get on; the hardware's are added.
        backup_old: tells whether there should be a newer backup.

    Raises:
        WiringError: the settings cannot be; `daemon.config` has refused them before.
    """

    def __init__(
        self,
        settings: HardwareSettings,
        data: Path,
        progress: Progress,
        *,
        backup_old: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self._backup_old = backup_old
        self._progress = progress
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        sensors = Sensors(settings.root, data=data, smart_file=settings.smart_file)
        self._sampler = Sampler(sensors.read, every_s=settings.sample_s)
        self._recorder = Recorder(every_s=settings.record_s)
        self._heat = HeatWatch(settings)
        self._alarm = Alarm()
        self._board: Board | None = None
        self._taken: Sample | None = None
        self._known: set[str] = set()
        self._still_since_ns: int | None = None
        self._header: Value = None
        self._database_breakers: dict[str, BreakerState] = {}
        if needs_pins(settings) or settings.fan == "sysfs_pwm":
            self._board = Board(
                settings,
                wiring_of(settings),
                samples=self._sampler,
                progress=progress,
                tell=self._from_thread,
                pressed=self._on_press,
            )

    def prepare(self) -> None:
        """Import what drives pins; call it before there is any other thread.

        What cannot be imported is logged here, and a fault of each part that needs it.
        """
        if not needs_pins(self.settings):
            return
        try:
            import_library(self.settings.pins)
        except HardwareError as error:
            log.error("%s", error)  # noqa: TRY400  # The error tells all there is.

    def start(self, engine: Engine) -> None:
        """Start the threads; call it on the loop."""
        self._loop, self._engine = asyncio.get_running_loop(), engine
        self._sampler.start()
        thermal: Any = self._sampler
        if self._board is not None:
            self._board.start()
            thermal = self._board
        self._progress.watch("thermal", lambda: int(thermal.progress_ns))

    async def run(self, reasons: Callable[[], list[str]]) -> None:
        """Take samples and tell the LEDs, until cancelled.

        Args:
            reasons: tells what /health has to complain of.
        """
        while True:
            self.look(reasons())
            await asyncio.sleep(ROUND_S)

    async def stop(self) -> None:
        """End the threads, with the fan at full speed."""
        self._progress.forget("thermal")
        if self._board is not None:
            await asyncio.to_thread(self._board.stop, timeout_s=STOP_S)
        await asyncio.to_thread(self._sampler.stop, timeout_s=STOP_S)

    def look(self, reasons: list[str]) -> None:
        """Do one round of the loop's work."""
        sample = self._sampler.latest
        if sample is not None and sample is not self._taken:
            self._taken = sample
            self._take(sample)
        self.restrain()
        self._alarm.take(reasons)
        if self._board is not None:
            self._board.states = frozenset(self._states())

    def restrain(self) -> None:
        """Bring trading to where the heat wants it."""
        core = self._core()
        if core is not None:
            self._ingest(self._heat.commands(core.trading_state, core.trading_source, time.time_ns()))

    def on_durable(self, events: list[Any]) -> None:
        """Follow the breakers of other parts, and a trading state that somebody has just changed."""
        for event in events:
            if type(event) is BreakerChanged and event.breaker.startswith(DATABASE_BREAKER):
                self._database_breakers[event.breaker] = event.state
        # Nobody who resumes trading for a reason of his own makes the machine any cooler.
        if self._heat.hot:
            self.restrain()

    def _core(self) -> Core | None:
        return None if self._engine is None else self._engine.core

    def _take(self, sample: Sample) -> None:
        now_ns = time.time_ns()
        readings = sample.readings
        self._known |= {name for name, value in readings.items() if value is not None}
        self._heat.take(sample)
        events: list[Event] = []
        record = self._recorder.take(sample, now_ns)
        if record is not None:
            events.append(record)
        header = readings["fan_header_percent"]
        if self.settings.fan == "kernel" and isinstance(header, int) and header != self._header:
            events.append(FanSet(ts_ns=now_ns, duty_percent=header, reason="the kernel decided"))
        self._header = header
        self._watch_header(sample)
        self._ingest(events)

    def _watch_header(self, sample: Sample) -> None:
        """Note since when the fan at the board's header stands still though it is told to turn."""
        still = bool(self._header) and sample.readings["fan_rpm"] == 0
        if not (still and self.settings.fan == "kernel"):
            self._still_since_ns = None
        elif self._still_since_ns is None:
            self._still_since_ns = sample.read_ns

    def _from_thread(self, event: Event) -> None:
        """Take an event of the board's thread over to the loop."""
        assert self._loop is not None, "started on a loop"
        try:
            self._loop.call_soon_threadsafe(self._ingest, [event])
        except RuntimeError:
            log.debug("the hardware told something after the loop ended")

    def _on_press(self, press: Press) -> None:
        """Take a press of the button from the board's thread over to the loop."""
        assert self._loop is not None, "started on a loop"
        try:
            self._loop.call_soon_threadsafe(self._answer, press)
        except RuntimeError:
            log.debug("the button was pressed after the loop ended")

    def _answer(self, press: Press) -> None:
        now_ns = time.time_ns()
        arguments: dict[str, Scalar | list[Scalar]] = {}
        if press is Press.LONG:
            command, arguments["reason"] = "trading.kill", "the button was held for 3 s"
        else:
            command = "alarm.acknowledge"
            self._alarm.acknowledge()
        log.warning("button: %s press, %s", press.value, command)
        self._ingest(
            [OperatorCommand(ts_ns=now_ns, who=BUTTON, role=BUTTON, command=command, arguments=arguments)]
        )

    def _ingest(self, events: list[Event]) -> None:
        engine = self._engine
        if not events or engine is None or engine.stopping or engine.failed is not None:
            return
        urgent: list[Event] = [event for event in events if isinstance(event, OperatorCommand)]
        # On a full disk only what changes trading is worth waiting for space.
        taken = urgent if engine.shedder.paused else events
        if taken:
            try:
                engine.ingest(taken)
            except TapedError as error:
                log.warning("the hardware's events were not taken: %s", error)

    def _states(self) -> Iterator[str]:
        """Yield the states that LEDs are to tell, by their names in `leds.py`."""
        core = self._core()
        state = TradingState.ACTIVE if core is None else core.trading_state
        yield {TradingState.HALTED: "halted", TradingState.REDUCING: "reducing"}.get(state, "active")
        if self._alarm.troubled:
            yield "degraded" if self._alarm.sounding else "acknowledged"
        parity = None if core is None else core.parity
        if parity is not None and not parity.passed and self._alarm.sounding:
            yield "parity_failed"
        if any(state is not BreakerState.CLOSED for state in self._database_breakers.values()):
            yield "sync_late"
        if self._backup_old():
            yield "backup_old"

    def lamp_states(self) -> frozenset[str]:
        """Return what LEDs are to tell now, by the names in `leds.py`."""
        if self._board is None:
            return frozenset()
        return self._board.lamp_states(time.monotonic_ns())

    def reasons(self) -> list[str]:
        """Return what is wrong with the machine, for /health."""
        found = [f"{part.name} does not work: {part.reason}" for part in self._parts() if part.reason]
        board, sample = self._board, self._sampler.latest
        if board is not None and board.fault and board.reason:
            # Without a working pin nobody knows how fast it runs.
            does = "runs" if board.duty is not None else "should run"
            found.append(f"the fan {does} at full speed: {board.reason}")
        if self._heat.hot:
            found.append(f"the machine is too hot: {self._heat.reason}")
        if sample is None:
            return found
        age_s = (time.monotonic_ns() - sample.read_ns) / 1e9
        if age_s > max(10.0, 5 * self.settings.sample_s):
            found.append(f"the sensors were read last {age_s:.0f} s ago")
        lost = sorted(name for name in self._known if sample.readings[name] is None)
        found += [f"the sensor {name} is lost" for name in lost]
        bits = sample.readings["throttled_bits"]
        if isinstance(bits, int) and bits & NOW:
            found.append(f"the firmware holds the processor back: {words_of(bits)}")
        if self._still_since_ns is not None and sample.read_ns - self._still_since_ns > STILL_S * 1e9:
            found.append("the fan stands still")
        return found

    def _parts(self) -> list[Any]:
        return [] if self._board is None else list(self._board.parts)

    @property
    def parts(self) -> Mapping[str, BreakerState]:
        """Whether fan, LEDs and button work, by name."""
        return {part.name: part.state for part in self._parts()}

    @property
    def hot(self) -> bool:
        """The machine is too hot to trade as usual."""
        return self._heat.hot

    @property
    def readings(self) -> Mapping[str, Value]:
        """The last sample's values, or none at all."""
        return {} if self._sampler.latest is None else self._sampler.latest.readings

    @property
    def duty(self) -> int | None:
        """What the fan is told, in percent, or None where nobody knows."""
        if self._board is not None and self.settings.fan != "none":
            return self._board.duty
        return self._header if self.settings.fan == "kernel" and isinstance(self._header, int) else None

    def document(self) -> dict[str, Any]:
        """Return everything for the API."""
        sample = self._sampler.latest
        bits = self.readings.get("throttled_bits")
        return {
            "readings": dict(self.readings),
            "governor": None if sample is None else sample.governor,
            "throttled": words_of(bits) if isinstance(bits, int) else None,
            "fan": {
                "kind": self.settings.fan,
                "duty_percent": self.duty,
                "reason": "" if self._board is None else self._board.reason,
            },
            "hot": self._heat.hot,
            "parts": {name: state.name.lower() for name, state in self.parts.items()},
            "reasons": self.reasons(),
        }
