"""A machine in a folder: the files of a Raspberry Pi 5 that sensors read, and levels of its pins.

With `hardware.root` set to such a folder and `hardware.pins` to `mock`, a daemon runs on it as on a
board: tests and `taped hardware simulate` heat it, take parts away and look at the pins. Nothing here
imports gpiozero; `daemon/hardware/mock_pins.py` drives the pins.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from daemon.hardware.sysfs import read_text

PWM_DEVICE = "1f00098000.pwm"
"""Address of the I/O chip's PWM at the pin header."""

PINS = "pins"
FAULT = "fault"

_MONITORS = ("cpu_thermal", "nvme", "rp1_adc", "rpi_volt", "pwmfan")
_TOOL = """#!/bin/sh
printf 'throttled=0x%x\\n' "$(cat "$(dirname "$0")/../../throttled")"
"""


class SimulatedBoard:
    """One such machine.

    Args:
        root: its folder; made, with all its files, when it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not (root / "sys").exists():
            self._make()

    def _make(self) -> None:
        for number, name in enumerate(_MONITORS):
            self._write(f"sys/class/hwmon/hwmon{number}/name", name)
        self._write("sys/class/thermal/thermal_zone0/type", "cpu-thermal")
        self._write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand")
        self._write("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2400000")
        self._write(
            "proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB"
        )
        for kind in ("cpu", "memory", "io"):
            self._write(f"proc/pressure/{kind}", "some avg10=1.50 avg60=1.00 avg300=0.50 total=1")
        self._write(f"sys/devices/platform/axi/{PWM_DEVICE}/uevent", "")
        chip = self.root / "sys/class/pwm/pwmchip7"
        self._write("sys/class/pwm/pwmchip7/export", "")
        (chip / "device").symlink_to(self.root / f"sys/devices/platform/axi/{PWM_DEVICE}")
        for channel in range(4):
            for file, text in (("period", "0"), ("duty_cycle", "0"), ("enable", "0"), ("polarity", "normal")):
                self._write(f"sys/class/pwm/pwmchip7/pwm{channel}/{file}", text)
        tool = self._write("usr/bin/vcgencmd", _TOOL)
        tool.chmod(0o755)
        (self.root / PINS).mkdir()
        self.throttle(0)
        self.monitor("rpi_volt", "in0_lcrit_alarm", 0)
        self.monitor("pwmfan", "fan1_input", 0)
        self.monitor("pwmfan", "pwm1", 0)
        self.heat(cpu=45.0, nvme=40.0, rp1=45.0)

    def _write(self, name: str, text: str) -> Path:
        """Put a whole file in place, so that nobody reads half of one."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.draft")
        draft.write_text(f"{text}\n")
        draft.replace(path)
        return path

    def heat(self, *, cpu: float | None = None, nvme: float | None = None, rp1: float | None = None) -> None:
        """Set temperatures, in °C; those left out stay."""
        if cpu is not None:
            self._write("sys/class/thermal/thermal_zone0/temp", str(round(cpu * 1000)))
        if nvme is not None:
            self.monitor("nvme", "temp1_input", round(nvme * 1000))
        if rp1 is not None:
            self.monitor("rp1_adc", "temp1_input", round(rp1 * 1000))

    def monitor(self, name: str, file: str, value: int | str) -> None:
        """Write a file of the monitor of that name, which comes back if it was lost."""
        if not self._monitors(name):
            numbers = [int(path.name.removeprefix("hwmon")) for path in self._monitors()]
            self._write(f"sys/class/hwmon/hwmon{max(numbers, default=-1) + 1}/name", name)
        self._write(f"sys/class/hwmon/{self._monitors(name)[0].name}/{file}", str(value))

    def lose(self, name: str) -> None:
        """Take a monitor away, or `cpu`, the processor's thermal zone."""
        if name == "cpu":
            (self.root / "sys/class/thermal/thermal_zone0/temp").unlink(missing_ok=True)
        for folder in self._monitors(name):
            shutil.rmtree(folder)

    def renumber(self) -> None:
        """Give every monitor another number, as the next boot might."""
        folders = self._monitors()
        for number, folder in enumerate(reversed(folders)):
            folder.rename(folder.with_name(f"other{number}"))
        for number in range(len(folders)):
            other = self.root / f"sys/class/hwmon/other{number}"
            other.rename(other.with_name(f"hwmon{number}"))

    def throttle(self, bits: int) -> None:
        """Set what the firmware answers."""
        self._write("throttled", str(bits))

    def remove_tool(self) -> None:
        """Take `vcgencmd` away."""
        (self.root / "usr/bin/vcgencmd").unlink()

    def break_gpio(self, reason: str) -> None:
        """Let every use of a pin fail from now on."""
        self._write(f"{PINS}/{FAULT}", reason)

    def mend_gpio(self) -> None:
        """Let pins work again."""
        (self.root / PINS / FAULT).unlink(missing_ok=True)

    def press(self, pin: int) -> None:
        """Pull a pin to ground, as a button does."""
        self._write(f"{PINS}/GPIO{pin}.level", "0")

    def release(self, pin: int) -> None:
        """Let the pin go."""
        self._write(f"{PINS}/GPIO{pin}.level", "1")

    def level(self, pin: int) -> float | None:
        """Return what a pin is driven to, 0 to 1; None for one that nobody drives."""
        words = (read_text(self.root / PINS / f"GPIO{pin}") or "").split()
        return float(words[1]) if words[:1] == ["output"] else None

    def pwm(self, channel: int) -> float:
        """Return the duty of a hardware PWM channel, 0 to 1; 0 where it is off."""
        folder = self.root / f"sys/class/pwm/pwmchip7/pwm{channel}"
        period, duty, enabled = (int(read_text(folder / f) or 0) for f in ("period", "duty_cycle", "enable"))
        return duty / period if enabled and period else 0.0

    def _monitors(self, name: str | None = None) -> list[Path]:
        folders = sorted((self.root / "sys/class/hwmon").iterdir())
        return [folder for folder in folders if name in (None, read_text(folder / "name"))]
