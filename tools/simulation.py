"""A simulated machine that warms up and cools down, with the daemon's own hardware code on it.

The heat follows a load that a script plays; fan, LEDs and trading do what they would do on a board. No
daemon, no journal and no network: events go to a core of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from daemon.disk_space import Shedder
from daemon.hardware.attendant import ROUND_S, Hardware
from daemon.hardware.simulated import SimulatedBoard
from daemon.progress import Progress
from daemon.settings import HardwareSettings
from daemon.trading.core import Core
from schemas.events import (
    BreakerChanged,
    Event,
    FanSet,
    OperatorCommand,
    SensorsRead,
    TradingStateChanged,
)

FAN_PIN, LED_PINS, BUTTON_PIN = 18, (17, 27, 22), 6
MAX_TOLD = 200

AMBIENT, PER_LOAD, COOLING = 30.0, 70.0, 45.0
"""°C: the room; what full load adds without a fan; what the fan at full speed takes off full load."""
PACE = 0.35
"""Share of the way to its final temperature that the processor goes in a second: faster than a real one."""


class Step(NamedTuple):
    """What the script does for some seconds: a load of the processor from 0 to 1, and a change."""

    seconds: float
    load: float
    told: str
    act: Callable[[SimulatedBoard], None]


def _nothing(_board: SimulatedBoard) -> None:
    pass


SCRIPT = (
    Step(8, 0.2, "little to do", _nothing),
    Step(14, 0.8, "a backtest runs: it gets warm", _nothing),
    Step(14, 1.5, "the fan is covered: it gets too hot", _nothing),
    Step(12, 0.3, "it cools down", _nothing),
    Step(6, 0.3, "the NVMe drive's sensor is lost", lambda board: board.lose("nvme")),
    Step(14, 0.3, "and comes back", lambda board: board.heat(nvme=42.0)),
    Step(6, 0.3, "the pins fail", lambda board: board.break_gpio("the chip does not answer")),
    Step(14, 0.3, "and work again", lambda board: board.mend_gpio()),
    Step(6, 0.3, "the supply is weak", lambda board: board.throttle(0x50005)),
    Step(4, 0.3, "and is not any more", lambda board: board.throttle(0x50000)),
    Step(5, 0.3, "somebody holds the button", lambda board: board.press(BUTTON_PIN)),
    Step(6, 0.3, "and lets it go: trading is halted", lambda board: board.release(BUTTON_PIN)),
)


class Simulation:
    """One machine and what it tells.

    Args:
        folder: where its files are.
        speed: seconds of the script a second.

    Attributes:
        board: the machine.
        hardware: the daemon's code on it.
        core: takes the events; its trading state is shown.
        told: the latest events, as text.
        doing: what the script does now.
        celsius: of the processor.
    """

    def __init__(self, folder: Path, *, speed: float = 1.0) -> None:
        self.board = SimulatedBoard(folder)
        self.board.heat(cpu=40.0, nvme=38.0)
        self.board.release(BUTTON_PIN)
        self._speed = speed
        self.settings = HardwareSettings(
            root=folder,
            pins="mock",
            sample_s=0.2,
            fan="gpiozero",
            fan_pin=FAN_PIN,
            leds=("all=" + "/".join(map(str, LED_PINS)),),
            button_pin=BUTTON_PIN,
            cool_s=3.0,
        )
        self.progress = Progress()
        self.hardware = Hardware(self.settings, folder, self.progress)
        self.core = Core("0" * 32)
        self.shedder = Shedder()
        self.stopping = False
        self.failed: str | None = None
        self.told: deque[str] = deque(maxlen=MAX_TOLD)
        self.doing = ""
        self.celsius = 40.0

    def ingest(self, inputs: list[Event]) -> None:
        """Take events as an engine would."""
        events, _ = self.core.run(inputs)
        self.told += [text for event in events if (text := told(event))]

    async def run(self, seconds: float, show: Callable[[], None]) -> None:
        """Play the script over and over for some seconds of real time."""
        self.hardware.prepare()
        self.hardware.start(self)
        watching = asyncio.ensure_future(self.progress.follow_loop())
        began, lap = time.monotonic(), sum(step.seconds for step in SCRIPT)
        last, current = began, None
        try:
            while (now := time.monotonic()) - began < seconds:
                step = _step_at((now - began) * self._speed % lap)
                if step is not current:
                    current = step
                    self._begin(step)
                self._warm(step.load, (now - last) * self._speed)
                last = now
                self.hardware.look(self.hardware.reasons())
                show()
                await asyncio.sleep(ROUND_S / 2)
        finally:
            watching.cancel()
            await self.hardware.stop()

    def _begin(self, step: Step) -> None:
        self.doing = step.told
        if step is SCRIPT[0] and self.core.trading_state.name != "ACTIVE":
            resume = OperatorCommand(
                ts_ns=time.time_ns(),
                who="simulation",
                role="admin",
                command="trading.resume",
                arguments={"reason": "the script begins anew"},
            )
            self.ingest([resume])
        step.act(self.board)

    def _warm(self, load: float, seconds: float) -> None:
        fan = self.board.level(FAN_PIN)
        # A line that nobody drives means full speed; under a cover it helps little.
        cooling = COOLING * (1.0 if fan is None else fan) * (0.3 if load > 1 else 1.0) * min(load, 1.0)
        final = AMBIENT + PER_LOAD * load - cooling
        self.celsius += (final - self.celsius) * min(1.0, PACE * seconds)
        self.board.heat(cpu=min(self.celsius, 95.0))


def _step_at(place: float) -> Step:
    for step in SCRIPT:
        if place < step.seconds:
            return step
        place -= step.seconds
    return SCRIPT[-1]


def told(event: Event) -> str:
    """Return an event as a line, or nothing for one that is not worth it."""
    match event:
        case FanSet():
            return f"FanSet {event.duty_percent} %: {event.reason}"
        case BreakerChanged():
            return f"BreakerChanged {event.breaker} {event.state.name}: {event.reason}"
        case OperatorCommand():
            return f"OperatorCommand {event.command} by {event.who}"
        case TradingStateChanged():
            return f"TradingStateChanged {event.state.name}: {event.reason}"
        case SensorsRead():
            lost = [name for name in ("cpu_celsius", "nvme_celsius") if event.readings[name] is None]
            return f"SensorsRead without {', '.join(lost)}" if lost else ""
        case _:
            return ""
