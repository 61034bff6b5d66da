"""The hardware as the loop sees it: what becomes an event, what is told of it, and what the LEDs hear."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest

from daemon.config import load
from daemon.hardware.attendant import Hardware
from daemon.hardware.button import Press
from daemon.hardware.heat import WHO
from daemon.progress import Progress
from daemon.restraint import source_of
from daemon.trading.core import Core
from schemas.events import (
    BreakerChanged,
    BreakerState,
    FanSet,
    OperatorCommand,
    SensorsRead,
    TradingState,
)


class Engine:
    """Takes events into a core, as the engine does; nothing is written."""

    def __init__(self):
        self.core = Core("0" * 32)
        self.shedder = SimpleNamespace(paused=False)
        self.stopping, self.failed = False, None
        self.events = []

    def ingest(self, inputs):
        events, _ = self.core.run(inputs)
        self.events += events

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def hardware_with(board, tmp_path, engine):
    """Make hardware on the simulated board, with its engine but without its threads."""

    def made(**flags):
        values = {"root": board.root, "pins": "mock", "cool_s": 0, **flags}
        keyed = {f"hardware.{name}": value for name, value in values.items()}
        hardware = Hardware(load(None, {}, keyed).settings.hardware, tmp_path, Progress())
        hardware._engine = engine
        return hardware

    return made


def look(hardware, reasons=(), *, later_s=0.0):
    """Take a sample, as if so much later, and do a round."""
    sampler = hardware._sampler
    sample = sampler._read()
    sampler.latest = sample._replace(read_ns=sample.read_ns + round(later_s * 1e9))
    hardware.look(list(reasons))


# --- events -----------------------------------------------------------------------------------


def test_the_kernels_fan_is_watched_and_each_duty_it_takes_is_an_event(board, engine, hardware_with):
    hardware = hardware_with(fan="kernel")
    for pwm in (0, 0, 128, 255):
        board.monitor("pwmfan", "pwm1", pwm)
        look(hardware)
    assert [event.duty_percent for event in engine.told(FanSet)] == [0, 50, 100]
    assert hardware.duty == 100


def test_a_fan_at_the_header_that_stands_still_though_it_should_turn_is_told(board, hardware_with):
    hardware = hardware_with(fan="kernel")
    board.monitor("pwmfan", "pwm1", 128)
    look(hardware)
    look(hardware, later_s=11)
    assert "the fan stands still" in hardware.reasons()
    board.monitor("pwmfan", "fan1_input", 2900)
    look(hardware, later_s=12)
    assert "the fan stands still" not in hardware.reasons()


def test_a_header_without_a_fan_is_nobodys_trouble(board, hardware_with):
    hardware = hardware_with()
    board.monitor("pwmfan", "pwm1", 128)
    look(hardware)
    look(hardware, later_s=60)
    assert hardware.reasons() == []


def test_one_sample_is_recorded_once(engine, hardware_with):
    hardware = hardware_with()
    look(hardware)
    hardware.look([])
    hardware.look([])
    assert len(engine.told(SensorsRead)) == 1


def test_on_a_full_disk_only_what_changes_trading_is_taken(board, engine, hardware_with):
    hardware = hardware_with()
    engine.shedder.paused = True
    board.heat(cpu=90.0)
    look(hardware)
    assert engine.told(SensorsRead) == []
    assert engine.core.trading_state is TradingState.REDUCING


@pytest.mark.parametrize("state", ["stopping", "failed"])
def test_an_engine_that_ends_is_told_nothing_any_more(engine, hardware_with, state):
    setattr(engine, state, True)
    look(hardware_with())
    assert engine.events == []


# --- trading ----------------------------------------------------------------------------------


def test_whoever_resumes_trading_while_it_is_hot_finds_it_restricted_at_once(board, engine, hardware_with):
    hardware = hardware_with()
    engine.ingest([command("trading.reduce", who="taped/disk")])
    board.heat(cpu=90.0)
    look(hardware)
    assert engine.core.trading_source == "operator:taped/disk"
    engine.ingest([command("trading.resume", who="taped/disk")])
    hardware.on_durable([])
    assert engine.core.trading_state is TradingState.REDUCING
    assert engine.core.trading_source == source_of(WHO)


def test_heat_never_undoes_the_kill_switch(board, engine, hardware_with):
    hardware = hardware_with()
    hardware._answer(Press.LONG)
    assert engine.core.trading_state is TradingState.HALTED
    board.heat(cpu=90.0)
    look(hardware)
    board.heat(cpu=50.0)
    look(hardware, later_s=100)
    look(hardware, later_s=200)
    assert engine.core.trading_state is TradingState.HALTED
    assert engine.core.trading_source == "operator:button"


def command(name, *, who):
    return OperatorCommand(ts_ns=1, who=who, role="system", command=name, arguments={"reason": "test"})


# --- what LEDs hear ---------------------------------------------------------------------------


def states(hardware, reasons=()):
    look(hardware, reasons)
    return set(hardware._states())


def test_trading_and_trouble_are_states(engine, hardware_with):
    hardware = hardware_with()
    assert states(hardware) == {"active"}
    assert states(hardware, ["12 events behind"]) == {"active", "degraded"}
    hardware._answer(Press.SHORT)
    assert states(hardware, ["13 events behind"]) == {"active", "acknowledged"}
    assert [event.command for event in engine.told(OperatorCommand)] == ["alarm.acknowledge"]


def test_an_old_or_missing_backup_is_a_state(hardware_with):
    hardware = hardware_with()
    old = False
    hardware._backup_old = lambda: old
    assert states(hardware) == {"active"}
    old = True
    assert states(hardware) == {"active", "backup_old"}


def test_a_database_behind_an_open_breaker_is_a_state_and_other_breakers_are_not(hardware_with):
    hardware = hardware_with()

    def changed(breaker, state):
        event = BreakerChanged(ts_ns=1, breaker=breaker, state=state, failures=1, reason="down")
        hardware.on_durable([event])

    changed("venue.orders", BreakerState.OPEN)
    assert states(hardware) == {"active"}
    changed("timescale", BreakerState.OPEN)
    assert states(hardware) == {"active", "sync_late"}
    changed("timescale", BreakerState.CLOSED)
    assert states(hardware) == {"active"}


# --- the document, start and stop -------------------------------------------------------------


def test_the_document_tells_what_there_is(board, hardware_with):
    hardware = hardware_with()
    assert hardware.document()["readings"] == {}
    board.throttle(0x50000)
    look(hardware)
    document = hardware.document()
    assert document["readings"]["cpu_celsius"] == 45.0
    assert document["throttled"] == "under-voltage and throttled since the machine was started"
    assert document["fan"] == {"kind": "none", "duty_percent": None, "reason": ""}
    assert document["parts"] == {}


def test_sensors_that_are_not_read_any_more_are_told(hardware_with):
    hardware = hardware_with()
    look(hardware, later_s=-60)
    assert any(reason.startswith("the sensors were read last 6") for reason in hardware.reasons())


def test_a_missing_library_is_logged_and_stops_nobody(hardware_with, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "lgpio", None)
    hardware_with(pins="lgpio", leds=["all=17"]).prepare()
    assert "adafruit-lgpio" in caplog.text


async def test_thermal_control_is_watched_from_start_to_stop(hardware_with, engine):
    hardware = hardware_with(fan="gpiozero")
    hardware.start(engine)
    assert hardware._progress.ages_s()["thermal"] < 5
    while not engine.told(FanSet):  # noqa: ASYNC110  # The engine of this test tells nobody.
        await asyncio.sleep(0.02)
    await hardware.stop()
    assert hardware._progress.ages_s() == {}
    assert engine.told(FanSet)[0].duty_percent in (0, 100)
