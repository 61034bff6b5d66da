"""`taped hardware`: commands on a simulated board, each with its exit code."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from daemon.hardware.simulated import SimulatedBoard
from daemon.settings import HardwareSettings
from tools.cli import main
from tools.hardware_test import try_all
from tools.simulation import SCRIPT, Simulation

FAN, RED, GREEN, BLUE, ERROR, BUTTON = 18, 17, 27, 22, 5, 6


@pytest.fixture
def board(tmp_path):
    return SimulatedBoard(tmp_path / "machine")


@pytest.fixture
def file(tmp_path, board):
    """Settings of a board with a fan, two LEDs and a button."""
    path = tmp_path / "taped.toml"
    path.write_text(
        f"[hardware]\nroot = '{board.root}'\npins = 'mock'\nfan = 'gpiozero'\n"
        f"leds = ['all={RED}/{GREEN}/{BLUE}', 'heartbeat={ERROR}']\nbutton_pin = {BUTTON}\n"
    )
    return str(path)


def test_failsafe_drives_the_fan_to_full_speed_lights_the_error_and_leaves_them_so(board, file, capsys):
    assert main(["hardware", "failsafe", "--config", file]) == 0
    assert board.level(FAN) == 1.0
    assert [board.level(pin) for pin in (RED, GREEN, BLUE, ERROR)] == [1.0, 0.0, 0.0, 0.0]
    assert capsys.readouterr().out.splitlines() == ["fan: done", "led.all: done", "led.heartbeat: done"]


def test_failsafe_sets_a_fan_of_four_wires_too(board, tmp_path):
    path = tmp_path / "four.toml"
    path.write_text(f"[hardware]\nroot = '{board.root}'\nfan = 'sysfs_pwm'\nfan_pin = 12\n")
    assert main(["hardware", "failsafe", "--config", str(path)]) == 0
    assert board.pwm(0) == 1.0


def test_failsafe_does_what_it_can_and_tells_what_it_cannot(board, file, capsys, monkeypatch):
    monkeypatch.setenv("TAPED_HARDWARE__LEDS", "all=5")
    monkeypatch.setattr("daemon.hardware.failsafe.open_fan", lambda *_: 1 / 0)
    assert main(["hardware", "failsafe", "--config", file, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["fan"] == {"done": False, "problem": "division by zero"}
    assert found["led.all"]["done"]
    assert board.level(5) == 1.0


def test_failsafe_has_nothing_to_do_where_nothing_is_driven(capsys):
    assert main(["hardware", "failsafe"]) == 0
    assert "no fan and no LED" in capsys.readouterr().out


def test_status_reads_this_machine_without_a_daemon(board, file, capsys):
    board.heat(cpu=51.5)
    assert main(["hardware", "status", "--direct", "--config", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readings"]["cpu_celsius"] == 51.5
    assert main(["hardware", "status", "--direct", "--config", file]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "cpu_celsius 51.5" in lines
    assert "governor ondemand" in lines
    assert "throttled no" in lines


def test_status_asks_a_running_daemon(daemon, capsys):
    assert main(["hardware", "status", *daemon.flags, "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found["fan"]["kind"] == "none"
    assert found["readings"]["memory_bytes"] > 0
    main(["hardware", "status", *daemon.flags])
    assert "memory_available_bytes" in capsys.readouterr().out


# --- test -------------------------------------------------------------------------------------


def tried(board, answers, **more):
    """Return the findings, with the pins as they were at each question."""
    asked = []

    def ask(question):
        asked.append((question, board.level(FAN), [board.level(pin) for pin in (RED, GREEN, BLUE)]))
        return next(answers)

    settings = HardwareSettings(root=board.root, pins="mock", **more)
    return list(try_all(settings, ask, turn_s=0)), asked


def test_each_led_and_speed_is_driven_while_it_is_asked_for(board):
    leds = (f"all={RED}/{GREEN}/{BLUE}",)
    found, asked = tried(board, iter([True] * 9), fan="gpiozero", leds=leds)
    assert [(part, passed) for part, passed, _ in found] == [("led.all", True), ("fan", True)]
    assert [colour for _, _, colour in asked[:3]] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert [level for _, level, _ in asked[3:]] == [1.0, 0.3, 0.0]
    assert board.level(FAN) == 1.0


def test_what_was_not_seen_is_a_problem(board):
    found, _ = tried(board, iter([True, False, True]), fan="gpiozero")
    assert found[0].passed is False


def test_a_part_that_cannot_be_driven_is_told_and_the_rest_is_tried(board):
    board.break_gpio("GPIO busy")
    found, _ = tried(board, iter([True] * 3), fan="sysfs_pwm", leds=("all=5",))
    assert [(part, passed) for part, passed, _ in found] == [("led.all", False), ("fan", True)]
    assert "GPIO5 is in use by another program" in found[0].problem


def test_a_pressed_button_passes_and_one_that_nobody_presses_does_not(board, monkeypatch, capsys):
    monkeypatch.setattr("tools.hardware_test._PRESS_S", 0.1)
    found, _ = tried(board, iter([]), button_pin=BUTTON)
    assert found[0].passed is False
    board.press(BUTTON)
    found, _ = tried(board, iter([]), button_pin=BUTTON)
    assert found[0].passed is True
    assert "press the button at GPIO6" in capsys.readouterr().err


def test_answers_come_from_the_terminal(board, file, monkeypatch, capsys):
    monkeypatch.setattr("tools.hardware_test._TURN_S", 0)
    monkeypatch.setenv("TAPED_HARDWARE__BUTTON_PIN", "0")
    monkeypatch.setenv("TAPED_HARDWARE__FAN", "none")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\nn\n"))
    assert main(["hardware", "test", "--config", file]) == 1
    said = capsys.readouterr()
    assert "LED all at GPIO 17/27/22: is it red? [y/n]" in said.err
    assert said.out.splitlines() == ["led.all: fine", "led.heartbeat: not as it should be"]


# --- simulate ---------------------------------------------------------------------------------


def test_a_simulated_board_gets_warm_turns_its_fan_and_shows_it(capsys):
    assert main(["hardware", "simulate", "--for", "2.5", "--speed", "8"]) == 0
    shown = capsys.readouterr().out
    for word in ("simulated board", "processor", "°C", "fan", "alive: loop", "FanSet"):
        assert word in shown, word


def test_under_json_the_events_are_printed(capsys):
    assert main(["hardware", "simulate", "--for", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["trading"] == "active"
    assert any(line.startswith("FanSet 0 %") for line in document["events"])


def test_a_speed_that_makes_no_sense_is_wrong_usage(capsys):
    assert main(["hardware", "simulate", "--speed", "0"]) == 2


@pytest.mark.parametrize(
    ("text", "event"), [("too hot", "TradingStateChanged REDUCING"), ("sensor is lost", "FanSet 100 %")]
)
def test_each_turn_of_the_script_has_its_consequence(tmp_path, monkeypatch, text, event):
    step = next(step for step in SCRIPT if text in step.told)
    monkeypatch.setattr("tools.simulation.SCRIPT", (step._replace(seconds=60),))
    simulation = Simulation(tmp_path / "machine", speed=10)
    simulation.board.heat(cpu=50.0)
    asyncio.run(simulation.run(1.5, lambda: None))
    assert any(line.startswith(event) for line in simulation.told), list(simulation.told)
