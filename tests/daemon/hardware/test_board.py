"""The board's thread, a round at a time: faults of one part are states and events, and leave the others."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from gpiozero.pins.mock import MockFactory

from daemon.config import load
from daemon.hardware.board import ASSERT_NS, Board
from daemon.hardware.button import Press
from daemon.hardware.mock_pins import FolderFactory
from daemon.hardware.part import RETRY_NS
from daemon.hardware.pins import Pins
from daemon.hardware.sensors import SENSORS, Sample, Sensors
from daemon.hardware.thermal import FAULT_HOLD_NS, MIN_ON_NS
from daemon.hardware.wiring import wiring_of
from daemon.progress import Progress
from schemas.events import BreakerChanged, BreakerState, FanSet

SECOND = 10**9
FAN, RED, GREEN, BLUE, ERROR, BUTTON = 18, 17, 27, 22, 5, 6


class Rig:
    """A board on a simulated machine, whose clock and loop the test holds."""

    def __init__(self, machine, tmp_path, **more):
        flags = {
            "root": machine.root,
            "pins": "mock",
            "fan": "gpiozero",
            "leds": [f"all={RED}/{GREEN}/{BLUE}", f"error={ERROR}"],
            "button_pin": BUTTON,
            **more,
        }
        settings = load(None, {}, {f"hardware.{name}": value for name, value in flags.items()}).settings
        self.machine = machine
        self.events = []
        self.presses = []
        self.now = 1000 * SECOND
        self.minute = 12 * 60
        self.sensors = Sensors(machine.root, data=tmp_path, synchronized=lambda: True)
        self.samples = SimpleNamespace(latest=None)
        self.progress = Progress(clock_ns=lambda: self.now)
        self.loop_ns = self.now
        self.progress.watch("loop", lambda: self.loop_ns)
        self.loop_hangs = False
        self.sensors_hang = False
        self.board = Board(
            settings.hardware,
            wiring_of(settings.hardware),
            samples=self.samples,
            progress=self.progress,
            tell=self.events.append,
            pressed=self.presses.append,
            clock_ns=lambda: self.now,
            minute=lambda: self.minute,
        )
        self.board.states = frozenset({"active"})

    def rounds(self, seconds=0.1, *, tick=0.02):
        """Let time pass, with a look at sensors and board each tick."""
        for _ in range(max(1, round(seconds / tick))):
            self.now += round(tick * SECOND)
            if not self.sensors_hang:
                self.samples.latest = self.sensors.read()._replace(read_ns=self.now)
            if not self.loop_hangs:
                self.loop_ns = self.now
            self.board.round(self.now)

    @property
    def fan(self):
        return self.machine.level(FAN)

    @property
    def colour(self):
        return tuple(self.machine.level(pin) for pin in (RED, GREEN, BLUE))

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def rig_with(board, tmp_path):
    """Make rigs with other settings; at the end their pins work and are given up."""
    rigs = []

    def made(**more):
        rigs.append(Rig(board, tmp_path, **more))
        return rigs[-1]

    yield made
    board.mend_gpio()
    for rig in rigs:
        rig.board.close(rig.now)


@pytest.fixture
def rig(rig_with):
    return rig_with()


def colours(rig, seconds=1.0):
    seen = set()
    for _ in range(round(seconds / 0.05)):
        rig.rounds(0.05, tick=0.05)
        seen.add(rig.colour)
    return seen


# --- fan --------------------------------------------------------------------------------------


def test_the_fan_runs_at_full_speed_until_something_was_read(rig):
    rig.sensors_hang = True
    rig.rounds()
    assert rig.fan == 1.0
    assert [(event.duty_percent, event.reason) for event in rig.told(FanSet)] == [
        (100, "nothing has been read yet")
    ]
    rig.sensors_hang = False
    rig.rounds()
    assert rig.fan == 0.0


def test_the_fan_follows_the_heat_and_each_new_duty_is_an_event(rig):
    rig.rounds()
    for celsius, duty in ((55, 0.30), (62, 0.50), (70, 0.75), (80, 1.0)):
        rig.machine.heat(cpu=float(celsius))
        rig.rounds(2, tick=0.25)
        assert rig.fan == duty
    duties = [event.duty_percent for event in rig.told(FanSet)]
    assert duties == [0, 100, 30, 50, 75, 100]
    assert rig.board.duty == 100


@pytest.mark.parametrize("part", ["cpu", "nvme"])
def test_a_sensor_that_is_lost_means_full_speed_and_one_that_is_back_ends_it(rig, part):
    rig.rounds()
    rig.machine.lose(part)
    rig.rounds()
    assert rig.fan == 1.0
    assert rig.board.fault
    assert rig.told(FanSet)[-1].reason == f"{part} cannot be read"
    rig.machine.heat(cpu=40.0, nvme=40.0)
    rig.rounds((FAULT_HOLD_NS + MIN_ON_NS) / SECOND + 1, tick=0.25)
    assert rig.fan == 0.0
    assert not rig.board.fault


def test_sensors_that_hang_mean_full_speed_while_the_board_goes_on(rig):
    rig.rounds()
    rig.sensors_hang = True
    rig.rounds(11, tick=0.25)
    assert rig.fan == 1.0
    assert rig.board.progress_ns == rig.now
    assert "last read" in rig.told(FanSet)[-1].reason


def test_a_fan_of_four_wires_follows_the_same_rule(board, rig_with):
    rig = rig_with(fan="sysfs_pwm", leds=[], button_pin=0)
    rig.machine.heat(cpu=62.0)
    rig.rounds(1, tick=0.25)
    assert board.pwm(2) == 0.5
    rig.board.close(rig.now)
    assert board.pwm(2) == 1.0


# --- faults -----------------------------------------------------------------------------------


def test_a_fault_is_an_event_of_each_part_and_heals_by_itself(rig):
    rig.board.states = frozenset({"degraded"})
    rig.rounds()
    rig.machine.break_gpio("bad handle")
    rig.rounds(ASSERT_NS / SECOND + 0.1)
    opened = [event for event in rig.told(BreakerChanged) if event.state is BreakerState.OPEN]
    assert {event.breaker for event in opened} == {
        "hardware.fan",
        "hardware.led.all",
        "hardware.led.error",
        "hardware.button",
    }
    assert all("bad handle" in event.reason for event in opened)
    assert rig.board.duty is None
    assert all(part.reason for part in rig.board.parts)
    rig.machine.mend_gpio()
    rig.machine.heat(cpu=62.0)
    rig.rounds(RETRY_NS / SECOND + 1)
    assert rig.fan == 0.5
    assert {part.state for part in rig.board.parts} == {BreakerState.CLOSED}
    assert {event.state for event in rig.told(BreakerChanged)[-4:]} == {BreakerState.CLOSED}
    assert not any(part.reason for part in rig.board.parts)


def test_a_fault_that_stays_is_told_once_however_often_the_part_is_tried(rig):
    rig.rounds()
    rig.machine.break_gpio("bad handle")
    rig.rounds(5 * RETRY_NS / SECOND, tick=0.1)
    told = [event for event in rig.told(BreakerChanged) if event.breaker == "hardware.fan"]
    assert [event.state for event in told] == [BreakerState.OPEN]


def test_an_led_whose_pin_is_in_use_leaves_fan_and_button_alone(rig, monkeypatch):
    def opened(self, kind, pin, **options):
        if pin == ERROR:
            raise RuntimeError("'GPIO busy'")
        return original(self, kind, pin, **options)

    original = Pins.open
    monkeypatch.setattr(Pins, "open", opened)
    rig.rounds(1)
    assert [event.breaker for event in rig.told(BreakerChanged)] == ["hardware.led.error"]
    assert rig.fan == 0.0
    assert rig.board.duty == 0


def test_a_dead_chip_is_noticed_though_the_duty_does_not_change(board, rig_with):
    rig = rig_with(leds=[], button_pin=0)
    rig.rounds(1, tick=0.25)
    rig.machine.break_gpio("gone")
    rig.rounds(ASSERT_NS / SECOND + 0.5, tick=0.25)
    assert rig.told(BreakerChanged)[-1].state is BreakerState.OPEN


# --- LEDs and button --------------------------------------------------------------------------


def test_the_heartbeat_is_seen_while_all_get_on_and_not_when_the_loop_hangs(rig):
    assert colours(rig) == {(0, 1, 0), (0, 0, 0)}
    rig.loop_hangs = True
    rig.rounds(6, tick=0.25)
    assert colours(rig) == {(1, 0, 0), (0, 0, 0)}


def test_before_the_loop_has_said_anything_nothing_is_lit(rig):
    rig.board.states = frozenset()
    assert colours(rig) == {(0, 0, 0)}


@pytest.mark.parametrize(
    ("states", "seen", "error"),
    [
        ({"halted"}, {(1, 0, 0)}, {1.0}),
        ({"degraded", "active"}, {(1, 0, 0), (0, 0, 0)}, {0.0, 1.0}),
        ({"reducing"}, {(1, 1, 0), (0, 0, 0)}, {0.0}),
    ],
)
def test_trading_and_trouble_are_seen(rig, states, seen, error):
    rig.board.states = frozenset(states)
    levels, shown = set(), set()
    for _ in range(30):
        rig.rounds(0.05, tick=0.05)
        levels.add(rig.machine.level(ERROR))
        shown.add(rig.colour)
    assert (shown, levels) == (seen, error)


def test_throttling_is_seen(rig):
    rig.machine.throttle(0x1)
    rig.rounds()
    assert colours(rig) == {(1, 1, 0)}


def test_at_night_leds_are_dark_when_the_settings_say_so(board, rig_with):
    rig = rig_with(night="22:00-07:00", night_brightness=0)
    rig.board.states = frozenset({"halted"})
    rig.rounds()
    assert rig.colour == (1, 0, 0)
    rig.minute = 23 * 60
    rig.rounds()
    assert rig.colour == (0, 0, 0)


def test_brightness_of_day_and_night_is_that_of_the_settings(board, rig_with):
    rig = rig_with(brightness=60, night="22:00-07:00", night_brightness=7)
    rig.board.states = frozenset({"halted"})
    rig.rounds()
    assert rig.colour[0] == pytest.approx(0.60)
    rig.minute = 23 * 60
    rig.rounds()
    assert rig.colour[0] == pytest.approx(0.07)


def test_a_short_press_and_a_long_press_are_told_once_each(rig):
    rig.rounds()
    rig.machine.press(BUTTON)
    rig.rounds(0.2)
    rig.machine.release(BUTTON)
    rig.rounds(0.2)
    assert rig.presses == [Press.SHORT]
    rig.machine.press(BUTTON)
    rig.rounds(4)
    assert rig.presses == [Press.SHORT, Press.LONG]


def test_the_led_flashes_white_on_the_way_to_the_kill_switch(rig):
    rig.rounds()
    rig.machine.press(BUTTON)
    rig.rounds(0.6)
    assert (1, 1, 1) in colours(rig, 0.5)


def test_a_button_that_fails_while_it_is_held_kills_nothing_when_it_is_back(rig):
    rig.rounds()
    rig.machine.press(BUTTON)
    rig.rounds(1)
    rig.machine.break_gpio("gone")
    rig.rounds(1)
    rig.machine.mend_gpio()
    rig.rounds(RETRY_NS / SECOND, tick=0.2)
    rig.rounds(4)
    assert rig.presses == []


# --- the thread, and the end ------------------------------------------------------------------


def test_at_the_end_the_fan_is_driven_to_full_speed_and_the_leds_are_dark(rig):
    rig.board.states = frozenset({"halted"})
    rig.rounds()
    rig.board.close(rig.now)
    assert rig.fan == 1.0
    assert rig.machine.level(RED) in (None, 0.0)


def test_an_end_with_broken_pins_is_an_end(rig):
    rig.rounds()
    rig.machine.break_gpio("gone")
    rig.board.close(rig.now)


def test_the_thread_starts_controls_and_stops(rig):
    rig.samples.latest = Sample(
        dict.fromkeys(SENSORS) | {"cpu_celsius": 62.0, "nvme_celsius": 40.0}, None, rig.now
    )
    rig.board.start()
    try:
        for _ in range(500):
            if rig.fan == 1.0 and rig.board.duty == 100:
                break
            rig.board._stop.wait(0.01)
    finally:
        rig.board.stop(timeout_s=5)
    assert not rig.board._thread.is_alive()
    assert rig.fan == 1.0


def test_mistakes_of_ours_end_the_thread_and_its_progress_so_that_the_watchdog_sees_them(rig, monkeypatch):
    monkeypatch.setattr(rig.board, "round", lambda _: 1 / 0)
    before = rig.board.progress_ns
    rig.board.start()
    rig.board._thread.join(5)
    assert not rig.board._thread.is_alive()
    assert rig.board.progress_ns == before


def test_gpiozero_is_imported_only_for_parts_that_need_pins():
    code = (
        "import sys, daemon.app\n"
        "from daemon.config import load\n"
        "import asyncio\n"
        "async def main():\n"
        "    daemon.app.Daemon(load(None, {}, {})).hardware.prepare()\n"
        "asyncio.run(main())\n"
        "assert not [name for name in sys.modules if name.startswith('gpiozero')], 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_mock_pins_are_gpiozeros_own():
    assert issubclass(FolderFactory, MockFactory)
