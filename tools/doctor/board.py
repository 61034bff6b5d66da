"""The board: heat, power, the processor's frequency, PCIe and the pins."""

from __future__ import annotations

import grp
import importlib.util
import os
import pwd
import re
from pathlib import Path

from daemon.hardware.sensors import Sensors
from daemon.hardware.throttling import NOW, UNDER_VOLTAGE, words_of
from daemon.hardware.wiring import needs_pins
from tools.doctor.finding import Check, Finding, absent, failure, ok, unknown, warning
from tools.doctor.fixes import write_values
from tools.doctor.machine import NO_PI, Machine

_WARM, _HOT = 70.0, 80.0
_FULL_SUPPLY_MA = 5000
_GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5}
_USER = "taped"


def temperature(machine: Machine) -> Finding:
    """Tell how hot it is now."""
    readings = Sensors(machine.root, data=machine.data).read().readings
    cpu, nvme = readings["cpu_celsius"], readings["nvme_celsius"]
    if cpu is None and nvme is None:
        advice = "see /sys/class/thermal and /sys/class/hwmon" if machine.is_pi else ""
        return unknown("no sensor of the processor or a drive", advice)
    told = [f"{name} {value:.0f} °C" for name, value in (("CPU", cpu), ("NVMe", nvme)) if value is not None]
    seen, hottest = ", ".join(told), max(value for value in (cpu, nvme) if value is not None)
    if hottest >= _HOT:
        return failure(seen, "cool it: a fan, a heat sink, air; trading is reduced while it is so hot")
    return (
        warning(seen, "a fan or a heat sink would keep it from being slowed down")
        if hottest >= _WARM
        else ok(seen)
    )


def throttling(machine: Machine) -> Finding:
    """Tell whether the firmware held the processor back since the start of the machine."""
    bits = Sensors(machine.root, data=machine.data).read().readings["throttled_bits"]
    if bits is None:
        if not machine.is_pi:
            return absent(NO_PI)
        return unknown("neither vcgencmd nor rpi_volt tells", "run it with sudo, or in the group video")
    seen = f"throttled: {words_of(int(bits))}"
    if int(bits) & NOW:
        return failure(seen, _cure(int(bits)))
    return warning(seen, _cure(int(bits) >> 16)) if bits else ok(seen)


def _cure(bits: int) -> str:
    if bits & UNDER_VOLTAGE:
        return "use the 27 W supply with its own cable: the voltage fell below 4.63 V"
    return "cool it: a fan, a heat sink, air"


def power_supply(machine: Machine) -> Finding:
    """Tell how much the supply offers."""
    try:
        content = (machine.root / "proc/device-tree/chosen/power/max_current").read_bytes()
    except OSError:
        return unknown("this board does not tell") if machine.is_pi else absent(NO_PI)
    offered_ma = int.from_bytes(content[:4], "big")
    seen = f"the supply offers {offered_ma / 1000:g} A"
    if offered_ma >= _FULL_SUPPLY_MA:
        return ok(seen)
    return warning(seen, "use the 27 W supply (5 A): a drive and a fan can pull a weaker one down")


def governor(machine: Machine) -> Finding:
    """Tell what decides the processor's frequency."""
    folder = machine.root / "sys/devices/system/cpu"
    files = sorted(folder.glob("cpu[0-9]*/cpufreq/scaling_governor"))
    names = {name for file in files if (name := machine.text(str(file.relative_to(machine.root))))}
    if not names:
        return unknown("the kernel does not tell") if machine.is_pi else absent("no frequency is scaled here")
    seen = f"governor {', '.join(sorted(names))}"
    if "powersave" in names:
        return warning(
            seen,
            "ondemand or performance: powersave stays at the lowest frequency",
            write_values(files, "ondemand"),
        )
    return ok(seen)


def pcie(machine: Machine) -> Finding:
    """Tell how fast the NVMe drive is connected, and whether its link is put to sleep."""
    links = sorted((machine.root / "sys/class/nvme").glob("nvme[0-9]*/device/current_link_speed"))
    if not links:
        return (
            unknown("no NVMe drive was found", "see `lspci` and `dmesg`")
            if machine.is_pi
            else absent("no NVMe drive")
        )
    speed = machine.text(str(links[0].relative_to(machine.root))) or ""
    generation = _GENERATIONS.get(speed.partition(" ")[0])
    chosen = re.search(r"\[(\w+)\]", machine.text("sys/module/pcie_aspm/parameters/policy") or "")
    off = "pcie_aspm=off" in (machine.text("proc/cmdline") or "").split()
    aspm = "off" if off else chosen[1] if chosen else "not known"
    seen = f"PCIe generation {generation or 'not known'} ({speed}), ASPM {aspm}"
    if generation == 1:
        return warning(seen, "dtparam=pciex1_gen=2 in /boot/firmware/config.txt (3 works with most drives)")
    if aspm in ("powersave", "powersupersave"):
        return warning(seen, "add pcie_aspm=off to /boot/firmware/cmdline.txt: some drives drop out of sleep")
    return ok(seen)


def pins(machine: Machine) -> Finding:
    """Tell whether the daemon may drive the pins that the settings name."""
    hardware = machine.settings.hardware
    if not needs_pins(hardware):
        return absent("the settings name no fan, LED or button on a pin")
    if hardware.pins == "mock":
        return warning("pins are kept in files (hardware.pins = mock)", "set hardware.pins to lgpio")
    chips = sorted((machine.root / "dev").glob("gpiochip*"))
    if not chips:
        return failure(
            "/dev has no gpiochip", "the kernel has no driver for pins here: is this a Raspberry Pi?"
        )
    if importlib.util.find_spec("lgpio") is None:
        return failure("the Python module lgpio is not there", "install the extra `pi`: tools/setup --pi")
    closed = [chip.name for chip in chips if not may_write(chip)]
    if len(closed) == len(chips):
        return failure(
            f"{', '.join(closed)} may not be opened by the user {_user()}", f"adduser {_user()} gpio"
        )
    return ok(f"{chips[0].name}, pin factory {os.environ.get('GPIOZERO_PIN_FACTORY', hardware.pins)}")


def may_write(path: Path) -> bool:
    """Return whether the daemon's user, or this one where there is none, may write a file."""
    try:
        user = pwd.getpwnam(_user())
    except KeyError:
        return os.access(path, os.R_OK | os.W_OK)
    found = path.stat()
    if user.pw_uid == 0:
        return True
    groups = {user.pw_gid, *(group.gr_gid for group in grp.getgrall() if user.pw_name in group.gr_mem)}
    shift = 6 if found.st_uid == user.pw_uid else 3 if found.st_gid in groups else 0
    return found.st_mode >> shift & 6 == 6  # noqa: PLR2004


def _user() -> str:
    """Return the user the daemon runs as: `taped` where the installation made it."""
    try:
        return pwd.getpwnam(_USER).pw_name
    except KeyError:
        return pwd.getpwuid(os.geteuid()).pw_name


CHECKS = (
    Check("temperature", "A hot processor is slowed down, and orders with it.", temperature),
    Check(
        "throttling",
        "Heat and under-voltage slow the processor down; under-voltage also loses drives.",
        throttling,
    ),
    Check(
        "power supply", "A weak supply shows when the drive writes: in the middle of a burst.", power_supply
    ),
    Check("governor", "It decides how fast the processor wakes up for a tick.", governor),
    Check("PCIe", "A link that sleeps or is slow adds to every sync.", pcie),
    Check("pins", "Fan, LEDs and button are driven through them.", pins),
)
