"""Sensors that vanish, are renumbered and hold garbage: a value or None, never an exception."""

from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import daemon.hardware
from daemon.hardware.sensors import SENSORS, Sensors
from daemon.hardware.smart import MAX_AGE_S, read_wear
from daemon.hardware.sysfs import read_number, read_pressure, read_table, read_text
from daemon.hardware.throttling import Throttling, was_throttled, words_of


@pytest.fixture
def sensors(board, tmp_path):
    return Sensors(board.root, data=tmp_path, synchronized=lambda: True)


def test_a_whole_board_is_read(board, sensors):
    board.heat(cpu=51.25, nvme=44.5, rp1=48.0)
    board.monitor("pwmfan", "fan1_input", 3100)
    board.monitor("pwmfan", "pwm1", 128)
    board.throttle(0x50000)
    readings, governor, _ = sensors.read()
    free = readings.pop("data_free_bytes")
    assert free > 0
    assert governor == "ondemand"
    assert readings == {
        "cpu_celsius": 51.25,
        "nvme_celsius": 44.5,
        "rp1_celsius": 48.0,
        "fan_rpm": 3100,
        "fan_header_percent": 50,
        "throttled_bits": 0x50000,
        "cpu_mhz": 2400,
        "memory_available_bytes": 6_000_000 * 1024,
        "memory_bytes": 8_000_000 * 1024,
        "swap_used_bytes": 0,
        "cpu_pressure_percent": 1.5,
        "memory_pressure_percent": 1.5,
        "io_pressure_percent": 1.5,
        "drive_used_percent": None,
        "drive_spare_percent": None,
        "clock_synchronized": 1,
    }


def test_every_sensor_is_in_every_sample_also_on_a_machine_that_has_none(tmp_path):
    readings, governor, _ = Sensors(tmp_path / "empty", data=tmp_path / "nowhere").read()
    assert list(readings) == list(SENSORS)
    assert {name for name, value in readings.items() if value is not None} == {"clock_synchronized"}
    assert governor is None


def test_monitors_are_found_by_name_whatever_their_number(board, sensors):
    board.heat(cpu=50.0, nvme=41.0, rp1=42.0)
    before = sensors.read().readings
    numbers = {path.name: read_text(path / "name") for path in (board.root / "sys/class/hwmon").iterdir()}
    board.renumber()
    after = {path.name: read_text(path / "name") for path in (board.root / "sys/class/hwmon").iterdir()}
    assert numbers != after
    assert sensors.read().readings["nvme_celsius"] == before["nvme_celsius"] == 41.0


@pytest.mark.parametrize(
    ("part", "sensor"), [("cpu", "cpu_celsius"), ("nvme", "nvme_celsius"), ("rp1_adc", "rp1_celsius")]
)
def test_a_sensor_that_vanishes_is_none_and_comes_back(board, sensors, part, sensor):
    assert sensors.read().readings[sensor] is not None
    board.lose(part)
    assert sensors.read().readings[sensor] is None
    board.heat(cpu=47.0, nvme=47.0, rp1=47.0)
    assert sensors.read().readings[sensor] == 47.0


@pytest.mark.parametrize("garbage", ["", "warm", "45.5C", "0x1f", "\u00ff\u00fe", "9" * 5000, "-", "nan"])
def test_garbage_is_none(board, sensors, garbage):
    (board.root / "sys/class/thermal/thermal_zone0/temp").write_text(garbage)
    board.monitor("nvme", "temp1_input", garbage)
    readings = sensors.read().readings
    assert (readings["cpu_celsius"], readings["nvme_celsius"]) == (None, None)


def test_a_file_that_refuses_to_be_read_is_none(board, sensors):
    (board.root / "sys/class/thermal/thermal_zone0/temp").unlink()
    (board.root / "sys/class/thermal/thermal_zone0/temp").mkdir()
    shutil.rmtree(board.root / "proc")
    readings = sensors.read().readings
    assert readings["cpu_celsius"] is None
    assert readings["memory_bytes"] is None


def test_the_hottest_of_two_drives_counts_and_one_that_cannot_be_read_makes_it_unknown(board, sensors):
    other = board.root / "sys/class/hwmon/hwmon77"
    other.mkdir()
    (other / "name").write_text("nvme\n")
    (other / "temp1_input").write_text("71500\n")
    assert sensors.read().readings["nvme_celsius"] == 71.5
    (other / "temp1_input").write_text("oops\n")
    assert sensors.read().readings["nvme_celsius"] is None


@given(st.binary(max_size=200))
def test_no_bytes_in_a_kernel_file_raise(content):
    path = Path(f"/tmp/taped-garbage-{os.getpid()}")
    path.write_bytes(content)
    try:
        assert isinstance(read_number(path), int | None)
        assert isinstance(read_pressure(path), float | None)
        assert all(value >= 0 for value in read_table(path).values())
    finally:
        path.unlink()


def test_a_pipe_in_place_of_a_file_does_not_hang_the_reader(board, sensors):
    path = board.root / "sys/class/thermal/thermal_zone0/temp"
    path.unlink()
    os.mkfifo(path)
    started = time.monotonic()
    assert sensors.read().readings["cpu_celsius"] is None
    assert time.monotonic() - started < 5


# --- throttling -------------------------------------------------------------------------------


def test_without_the_tool_the_voltage_monitor_is_asked_and_remembers(board):
    board.remove_tool()
    throttling = Throttling(board.root)
    assert throttling.read() == 0
    board.monitor("rpi_volt", "in0_lcrit_alarm", 1)
    assert throttling.read() == 0x10001
    board.monitor("rpi_volt", "in0_lcrit_alarm", 0)
    assert throttling.read() == 0x10000


def test_a_tool_that_fails_is_left_alone_for_a_minute_and_the_monitor_asked(board):
    now = [0]
    throttling = Throttling(board.root, clock_ns=lambda: now[0])
    tool = board.root / "usr/bin/vcgencmd"
    good = tool.read_text()
    tool.write_text('#!/bin/sh\necho "Can\'t open device file: /dev/vcio"\n')
    assert throttling.read() == 0
    tool.write_text(good)
    board.throttle(0x4)
    assert throttling.read() == 0
    now[0] += 60 * 10**9
    assert throttling.read() == 0x4


@pytest.mark.parametrize("said", ["throttled=-0x5", f"throttled=0x{'f' * 20}", "throttled=0x100000000"])
def test_bits_that_the_firmware_does_not_have_are_no_answer(board, said):
    (board.root / "usr/bin/vcgencmd").write_text(f"#!/bin/sh\necho {said}\n")
    board.lose("rpi_volt")
    assert Throttling(board.root).read() is None


def test_without_tool_and_monitor_nobody_knows(board):
    board.remove_tool()
    board.lose("rpi_volt")
    assert Throttling(board.root).read() is None


@pytest.mark.parametrize(
    ("bits", "words", "was"),
    [
        (0, "no", False),
        (0x1, "under-voltage now", False),
        (0x50005, "under-voltage and throttled now", True),
        (0x80000, "soft limit of temperature since the machine was started", True),
    ],
)
def test_the_bits_are_told_in_words(bits, words, was):
    assert words_of(bits) == words
    assert was_throttled(bits) is was


# --- wear of the drive ------------------------------------------------------------------------


def test_wear_is_read_from_the_report_of_smartctl(tmp_path):
    file = tmp_path / "smart.json"
    log = {"percentage_used": 3, "available_spare": 100, "temperature": 40}
    file.write_text(json.dumps({"smart_status": {"passed": True}, "nvme_smart_health_information_log": log}))
    assert read_wear(file, time.time()) == (3, 100)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"nvme_smart_health_information_log": 7}',
        b"\xff",
        b"{}",
        b'{"nvme_smart_health_information_log": {"percentage_used": -3, "available_spare": 100}}',
        b'{"nvme_smart_health_information_log": {"percentage_used": 18446744073709551616}}',
    ],
)
def test_a_report_that_is_none_says_nothing(tmp_path, content):
    file = tmp_path / "smart.json"
    file.write_bytes(content)
    assert read_wear(file, time.time()) == (None, None)


def test_an_old_report_says_nothing(tmp_path):
    file = tmp_path / "smart.json"
    file.write_text('{"nvme_smart_health_information_log": {"percentage_used": 3}}')
    assert read_wear(file, time.time() + MAX_AGE_S + 60) == (None, None)
    assert read_wear(None, 0) == read_wear(tmp_path / "absent", 0) == (None, None)


# --- traps ------------------------------------------------------------------------------------


def test_the_library_whose_thread_dies_on_one_failed_read_reads_no_temperature_here():
    """gpiozero's CPUTemperature polls in a thread that ends for good at the first failed read."""
    folder = Path(inspect.getfile(daemon.hardware)).parent
    for file in folder.glob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        assert "CPUTemperature" not in names, file
