"""What the machine tells of itself: one look at all sensors, as numbers by name.

A sensor that is missing or fails is None, never an error: the machine may have no such part, or have
lost it. Reads files itself, each time anew, because a library's thread that dies on one failed read
would leave the last value standing for ever.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from daemon import clock
from daemon.hardware.smart import read_wear
from daemon.hardware.sysfs import (
    devices,
    read_milli,
    read_number,
    read_pressure,
    read_table,
    read_text,
)
from daemon.hardware.throttling import Throttling

Value = float | int | None
Readings = Mapping[str, Value]

SENSORS: Mapping[str, str] = {
    "cpu_celsius": "Temperature of the processor",
    "nvme_celsius": "Temperature of the hottest NVMe drive",
    "rp1_celsius": "Temperature of the I/O chip",
    "fan_rpm": "Revolutions a minute of a fan that has a tachometer",
    "fan_header_percent": "Duty that the kernel gives the fan at the board's own header",
    "throttled_bits": "Why the firmware holds the processor back, as vcgencmd get_throttled has it",
    "cpu_mhz": "Frequency of the processor",
    "memory_available_bytes": "Memory that programs could still get",
    "memory_bytes": "Memory of the machine",
    "swap_used_bytes": "Memory moved to the disk",
    "cpu_pressure_percent": "Share of the last 10 s in which a task waited for a processor",
    "memory_pressure_percent": "Share of the last 10 s in which a task waited for memory",
    "io_pressure_percent": "Share of the last 10 s in which a task waited for a disk",
    "data_free_bytes": "Free space where the data folder lies",
    "drive_used_percent": "Share of the drive's rated life that is used",
    "drive_spare_percent": "Spare blocks that the drive has left",
    "clock_synchronized": "1 while somebody keeps the clock right",
}
"""Every sensor and what it tells; names end in the unit."""

_CPU_ZONES = ("cpu-thermal", "x86_pkg_temp")


class Sample(NamedTuple):
    """One look: a value or None for each of `SENSORS`, the frequency governor, when (monotonic clock)."""

    readings: dict[str, Value]
    governor: str | None
    read_ns: int


class Sensors:
    """Reads all sensors.

    Args:
        root: where `/sys`, `/proc` and `/usr/bin` are looked for; the tests' machines are folders.
        data: the data folder.
        smart_file: see `daemon/hardware/smart.py`.
        synchronized: asks for the state of the clock.
    """

    def __init__(
        self,
        root: Path,
        *,
        data: Path,
        smart_file: Path | None = None,
        synchronized: Callable[[], bool] = clock.synchronized,
    ) -> None:
        self._root = root
        self._data = data
        self._smart_file = smart_file
        self._synchronized = synchronized
        self._throttling = Throttling(root)

    def read(self) -> Sample:
        """Look at everything; takes milliseconds, and as long as a hanging drive wants."""
        readings: dict[str, Value] = dict.fromkeys(SENSORS)
        readings |= self._temperatures() | self._fan() | self._processor() | self._memory() | self._disk()
        readings["throttled_bits"] = self._throttling.read()
        readings["clock_synchronized"] = int(self._synchronized())
        governor = read_text(self._root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
        return Sample(readings, governor, time.monotonic_ns())

    def _temperatures(self) -> dict[str, Value]:
        zones = (zone for name in _CPU_ZONES for zone in devices(self._root, "thermal", name))
        drives = [read_milli(drive / "temp1_input") for drive in devices(self._root, "hwmon", "nvme")]
        # One drive that cannot be read makes the hottest of them unknown.
        known = [celsius for celsius in drives if celsius is not None]
        return {
            "cpu_celsius": next((read_milli(zone / "temp") for zone in zones), None),
            "nvme_celsius": max(known) if known and len(known) == len(drives) else None,
            "rp1_celsius": self._first("rp1_adc", "temp1_input", 1000),
        }

    def _fan(self) -> dict[str, Value]:
        header = self._first("pwmfan", "pwm1", 255 / 100)
        return {
            "fan_rpm": self._first("pwmfan", "fan1_input", None),
            "fan_header_percent": None if header is None else round(header),
        }

    def _first(self, name: str, file: str, divisor: float | None) -> Value:
        """Return what the first monitor of that name says."""
        for monitor in devices(self._root, "hwmon", name):
            number = read_number(monitor / file)
            return number if number is None or divisor is None else number / divisor
        return None

    def _processor(self) -> dict[str, Value]:
        khz = read_number(self._root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
        pressure = self._root / "proc/pressure"
        return {
            "cpu_mhz": None if khz is None else khz // 1000,
            "cpu_pressure_percent": read_pressure(pressure / "cpu"),
            "memory_pressure_percent": read_pressure(pressure / "memory"),
            "io_pressure_percent": read_pressure(pressure / "io"),
        }

    def _memory(self) -> dict[str, Value]:
        rows = read_table(self._root / "proc/meminfo")
        swap, free = rows.get("SwapTotal"), rows.get("SwapFree")
        return {
            "memory_bytes": rows.get("MemTotal"),
            "memory_available_bytes": rows.get("MemAvailable"),
            "swap_used_bytes": None if swap is None or free is None else swap - free,
        }

    def _disk(self) -> dict[str, Value]:
        wear = read_wear(self._smart_file, time.time())
        try:
            found = os.statvfs(self._data)
        except OSError:
            free = None
        else:
            free = found.f_bavail * found.f_frsize
        return {
            "data_free_bytes": free,
            "drive_used_percent": wear.used_percent,
            "drive_spare_percent": wear.spare_percent,
        }
