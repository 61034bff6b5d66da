"""A running daemon on a simulated board: each line of the table in `daemon/hardware/README.md`, seen in
events, figures and pins."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import pytest

from daemon.journal.reader import JournalReader
from schemas.events import (
    BreakerChanged,
    BreakerState,
    CancelRequested,
    FanSet,
    OperatorCommand,
    SensorsRead,
    TradingStateChanged,
)

FAN, RED, GREEN, BLUE, ERROR, THROTTLED, BUTTON = 18, 17, 27, 22, 5, 13, 6
TAPED = [sys.executable, "-m", "tools.cli"]


def environment(board):
    return {
        **os.environ,
        "TAPED_FEED__RATE": "100",
        "TAPED_ACCOUNT__CASH": "USDT=100000",
        "TAPED_JOURNAL__SEGMENT_MIB": "1",
        "TAPED_HARDWARE__ROOT": str(board.root),
        "TAPED_HARDWARE__PINS": "mock",
        "TAPED_HARDWARE__SAMPLE_S": "0.2",
        "TAPED_HARDWARE__FAN": "gpiozero",
        "TAPED_HARDWARE__LEDS": f"all={RED}/{GREEN}/{BLUE},error={ERROR},throttled={THROTTLED}",
        "TAPED_HARDWARE__BUTTON_PIN": str(BUTTON),
        "TAPED_HARDWARE__COOL_S": "0.5",
    }


class Daemon:
    """`taped run` in a process of its own."""

    def __init__(self, process, data):
        self.process = process
        self.data = data
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        self.address = json.loads(text)["url"].removeprefix("http://")
        self.token = (data / "admin.token").read_text().strip()

    def ask(self, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(self.address, timeout=10)) as connection:
            method = "GET" if body is None else "POST"
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read()
        return answer.decode() if path == "/metrics" else json.loads(answer)

    def metric(self, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics"), re.MULTILINE)
        return None if found is None else float(found[1])

    def trading(self):
        return self.ask("/api/v1/trading")["state"]

    def reasons(self):
        return " ".join(self.ask("/health")["reasons"])

    def recorded(self):
        """Return what the sensors said at the last record."""
        return self.ask("/api/v1/sensors?limit=1")["records"][0]["readings"]

    def buys(self, quantity="0.001", price="1000"):
        """Submit an order that opens risk; return whether it was taken."""
        body = {
            "instrument": "BTC-USDT",
            "side": "buy",
            "type": "limit",
            "quantity": quantity,
            "price": price,
        }
        return self.ask("/api/v1/orders", body)["status"] in ("submitted", "accepted", "filled")

    def stop(self):
        self.process.terminate()
        assert self.process.wait(15) == 0


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@contextmanager
def running(board, data):
    words = [*TAPED, "run", "--json", "--port", "0", "--data", str(data)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment(board)
    ) as process:
        try:
            daemon = Daemon(process, data)
            # Instruments come with the feed's first ticks.
            wait_for(lambda: daemon.ask("/api/v1/instruments")["instruments"])
            wait_for(lambda: daemon.ask("/api/v1/sensors")["records"])
            yield daemon
        finally:
            process.kill()


def wait_for(claim, seconds=15):
    end = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < end
        time.sleep(0.03)
    return found


def events_of(data, kind):
    found = [event for batch in JournalReader(data / "journal").batches() for event in batch.events]
    return [event for event in found if isinstance(event, kind)]


def colour(board):
    return tuple(board.level(pin) for pin in (RED, GREEN, BLUE))


def seen(board, look, seconds=1.2):
    """Return everything that is seen for a while."""
    end, found = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        found.add(look(board))
        time.sleep(0.01)
    return found


def test_heat_turns_the_fan_up_reduces_trading_and_coolness_takes_that_back(board, data):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        assert daemon.buys()
        for celsius, duty in ((62, 50), (70, 75), (78, 100)):
            board.heat(cpu=float(celsius))
            wait_for(lambda duty=duty: board.level(FAN) == duty / 100)
            wait_for(lambda duty=duty: daemon.metric("taped_fan_duty_percent") == duty)
            assert daemon.trading() == "active"
        board.heat(cpu=81.5)
        wait_for(lambda: daemon.trading() == "reducing")
        assert daemon.metric("taped_hot") == 1
        assert daemon.metric("taped_cpu_celsius") == 81.5
        assert "the machine is too hot: the processor is at 81.5 °C" in daemon.reasons()
        assert not daemon.buys()
        board.heat(cpu=74.9)
        wait_for(lambda: daemon.trading() == "active")
        assert daemon.metric("taped_hot") == 0
        assert daemon.buys()
        daemon.stop()
    duties = [event.duty_percent for event in events_of(data, FanSet)]
    assert [duty for duty in duties if duty not in (0, 100)] == [50, 75]
    assert duties[-1] == 100
    states = events_of(data, TradingStateChanged)
    assert [(event.state.name, event.source) for event in states] == [
        ("REDUCING", "operator:taped/heat"),
        ("ACTIVE", "operator:taped/heat"),
    ]


@pytest.mark.parametrize(("part", "sensor"), [("cpu", "cpu_celsius"), ("nvme", "nvme_celsius")])
def test_a_lost_sensor_means_full_speed_and_trading_goes_on(board, data, part, sensor):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        board.lose(part)
        wait_for(lambda: board.level(FAN) == 1.0)
        wait_for(lambda: daemon.metric(f'taped_sensor_up{{sensor="{sensor}"}}') == 0)
        assert daemon.metric(f"taped_{sensor}") is None
        assert daemon.metric("taped_fan_duty_percent") == 100
        assert f"the fan runs at full speed: {part} cannot be read" in daemon.reasons()
        assert f"the sensor {sensor} is lost" in daemon.reasons()
        assert daemon.ask("/health")["status"] == "degraded"
        wait_for(lambda: board.level(ERROR) == 1.0)
        assert seen(board, colour) == {(1, 0, 0), (0, 0, 0)}
        assert daemon.trading() == "active"
        assert daemon.buys()
        wait_for(lambda: daemon.recorded()[sensor] is None)
        daemon.stop()
    assert events_of(data, SensorsRead)[-1].readings[sensor] is None
    assert events_of(data, FanSet)[-1].reason == f"{part} cannot be read"
    assert events_of(data, TradingStateChanged) == []


def test_a_processor_that_is_held_back_is_seen_and_reduces_trading_until_it_is_not(board, data):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        board.throttle(0x50005)
        wait_for(lambda: daemon.trading() == "reducing")
        assert daemon.metric("taped_throttled_bits") == 0x50005
        assert "under-voltage and throttled now" in daemon.reasons()
        assert seen(board, lambda board: board.level(THROTTLED), 0.5) == {1.0}
        assert board.level(FAN) == 0.0
        # Two records lie a second apart at least.
        wait_for(lambda: daemon.recorded()["throttled_bits"] == 0x50005)
        board.throttle(0x50000)
        wait_for(lambda: daemon.trading() == "active")
        wait_for(lambda: board.level(THROTTLED) == 0.0)
        wait_for(lambda: board.level(THROTTLED) == 1.0)
        wait_for(lambda: daemon.recorded()["throttled_bits"] == 0x50000)
        daemon.stop()
    read = [event.readings["throttled_bits"] for event in events_of(data, SensorsRead)]
    assert [bits for bits, last in zip(read, [None, *read], strict=False) if bits != last] == [
        0,
        0x50005,
        0x50000,
    ]
    reasons = [event.reason for event in events_of(data, TradingStateChanged)]
    assert reasons == ["too hot: under-voltage and throttled now", "it is cool again"]


def test_failing_pins_are_states_and_events_and_trading_goes_on(board, data):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        before = wait_for(lambda: daemon.metric('taped_events_total{type="Trade"}'))
        board.break_gpio("the chip does not answer")
        board.heat(cpu=62.0)
        for part in ("fan", "button", "led.all"):
            state = f'taped_hardware_state{{part="hardware.{part}",state="open"}}'
            wait_for(lambda state=state: daemon.metric(state) == 1)
        assert daemon.metric("taped_fan_duty_percent") is None
        assert "hardware.fan does not work: " in daemon.reasons()
        assert "the chip does not answer" in daemon.reasons()
        assert daemon.trading() == "active"
        assert daemon.buys()
        assert daemon.buys(price="200000")
        wait_for(lambda: daemon.metric('taped_events_total{type="Trade"}') > before)
        assert all(age < 5 for age in daemon.ask("/health")["progress"].values())
        daemon.stop()
    broken = {e.breaker for e in events_of(data, BreakerChanged) if e.state is BreakerState.OPEN}
    assert {"hardware.fan", "hardware.led.all", "hardware.button"} <= broken
    assert events_of(data, TradingStateChanged) == []


def test_pins_that_are_in_use_at_the_start_stop_nobody_from_trading(board, data):
    board.break_gpio("GPIO busy")
    with running(board, data) as daemon:
        wait_for(lambda: "GPIO18 is in use by another program" in daemon.reasons())
        assert daemon.trading() == "active"
        assert daemon.buys()
        assert board.level(FAN) is None
        daemon.stop()
    assert len(events_of(data, BreakerChanged)) == 5


def test_after_a_crash_failsafe_sets_the_fan_to_full_speed_and_the_next_daemon_takes_it_over(board, data):
    board.heat(cpu=62.0)
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.5)
        daemon.process.send_signal(signal.SIGKILL)
        assert daemon.process.wait(15) == -signal.SIGKILL
    assert board.level(FAN) == 0.5, "as it was: nobody was there to set it"
    done = subprocess.run(
        [*TAPED, "hardware", "failsafe"], env=environment(board), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert board.level(FAN) == 1.0
    assert board.level(ERROR) == 1.0
    assert colour(board) == (1.0, 0.0, 0.0)
    assert board.level(THROTTLED) == 0.0
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.5)
        wait_for(lambda: board.level(ERROR) == 0.0)
        daemon.stop()
    assert board.level(FAN) == 1.0, "a stop in good order leaves it at full speed"


def test_the_button_held_for_three_seconds_is_the_kill_switch(board, data):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        board.release(BUTTON)
        assert daemon.buys()
        time.sleep(0.2)
        board.press(BUTTON)
        wait_for(lambda: colour(board) == (1, 1, 1))
        wait_for(lambda: daemon.trading() == "halted")
        wait_for(lambda: daemon.ask("/api/v1/orders")["orders"][0]["status"] == "canceled")
        board.release(BUTTON)
        wait_for(lambda: colour(board) == (1, 0, 0))
        assert seen(board, colour) == {(1, 0, 0)}
        assert seen(board, lambda board: board.level(ERROR), 0.3) == {1.0}
        assert not daemon.buys()
        daemon.stop()
    [command] = [event for event in events_of(data, OperatorCommand) if event.who == "button"]
    assert command.command == "trading.kill"
    assert [(e.state.name, e.source) for e in events_of(data, TradingStateChanged)] == [
        ("HALTED", "operator:button")
    ]
    assert len(events_of(data, CancelRequested)) == 1


def test_a_press_of_the_button_acknowledges_the_alarm_and_halts_nothing(board, data):
    with running(board, data) as daemon:
        wait_for(lambda: board.level(FAN) == 0.0)
        board.release(BUTTON)
        board.lose("rp1_adc")
        wait_for(lambda: board.level(ERROR) == 1.0)
        board.press(BUTTON)
        time.sleep(0.15)
        board.release(BUTTON)
        wait_for(lambda: "alarm.acknowledge" in json.dumps(daemon.ask("/api/v1/events?text=acknowledge")))
        time.sleep(0.3)
        lit = [board.level(ERROR) for _ in range(200) if not time.sleep(0.01)].count(1.0)
        assert lit < 30, "a short flash every 2 s, and not half of the time"
        assert daemon.trading() == "active"
        daemon.stop()
    [command] = [event for event in events_of(data, OperatorCommand) if event.who == "button"]
    assert command.command == "alarm.acknowledge"
