"""The drive under the data folder: what it is, how it is mounted, what is left, and how fast it syncs."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from daemon.hardware.smart import read_wear
from daemon.hardware.sysfs import read_number
from tools.doctor.finding import Check, Finding, absent, failure, ok, unknown, warning
from tools.doctor.fixes import enable_unit, write_file
from tools.doctor.machine import Machine, Mount, existing

_GIB = 1 << 30
_LOW, _LOWEST = 10 * _GIB, 1 * _GIB
_CARE = frozenset({"ext4", "xfs", "btrfs", "f2fs"})
_VOLATILE = frozenset({"tmpfs", "ramfs", "overlay"})
_UNSAFE = frozenset({"nobarrier", "barrier=0", "data=writeback"})
SYNCS = 200
_PAGE = 4096
_WORN_PERCENT, _SPARE_PERCENT = 90, 10
_SWAPPINESS = 10
SYSCTL = Path("etc/sysctl.d/90-taped.conf")

_MOVE = "move the data folder to an NVMe drive and set `data` to it"


def drive(machine: Machine) -> Finding:
    """Tell what kind of disk the data folder lies on."""
    mount = machine.mount_of(machine.data)
    if mount is None:
        return unknown("nothing tells what is mounted", "see `findmnt`")
    disk = machine.disk_of(mount)
    seen = f"{machine.data} is on {disk or mount.source} ({mount.kind} at {mount.point})"
    if disk.startswith("nvme"):
        return ok(seen)
    if disk.startswith("mmcblk"):
        return failure(f"{seen}: a memory card", _MOVE)
    if not disk:
        return failure(f"{seen}: no disk of this machine", _MOVE)
    return warning(f"{seen}: not an NVMe drive", _MOVE) if machine.is_pi else ok(f"{seen}, no NVMe drive")


def file_system(machine: Machine) -> Finding:
    """Tell whether file system and mount options keep what was synced."""
    mount = machine.mount_of(machine.data)
    if mount is None:
        return unknown("nothing tells what is mounted", "see `findmnt`")
    # The options of mount and file system often say the same twice.
    seen = f"{mount.kind}, {','.join(dict.fromkeys(mount.options))}"
    if danger := _danger(mount):
        return failure(seen, danger)
    if mount.kind not in _CARE:
        return warning(seen, "use ext4, xfs, btrfs or f2fs: others were not tried")
    if not {"noatime", "relatime"}.intersection(mount.options):
        return warning(seen, "add noatime in /etc/fstab: each read writes a time of access")
    return ok(seen)


def _danger(mount: Mount) -> str:
    """Return what to do where synced bytes may be lost, or nothing."""
    if mount.kind in _VOLATILE:
        return "put the data folder on a disk: this file system does not outlive a restart"
    if "ro" in mount.options:
        return "it is mounted read-only; see `dmesg` for why"
    unsafe = _UNSAFE.intersection(mount.options)
    return f"take {', '.join(sorted(unsafe))} out of /etc/fstab" if unsafe else ""


def free_space(machine: Machine) -> Finding:
    """Tell how much room there is."""
    folder = existing(machine.data)
    total, _, free = shutil.disk_usage(folder)
    seen = f"{free / _GIB:,.1f} of {total / _GIB:,.1f} GiB are free"
    more = "free some space, or set retention.max_gb and let the oldest archives go"
    if free < _LOWEST:
        return failure(seen, more)
    return warning(seen, more) if free < _LOW else ok(seen)


def trim(machine: Machine) -> Finding:
    """Tell whether freed blocks are told to the drive."""
    mount = machine.mount_of(machine.data)
    if mount is not None and "discard" in mount.options:
        return ok("mounted with discard")
    state = machine.command(("systemctl", "is-enabled", "fstrim.timer"))
    if state == "enabled":
        return ok("fstrim.timer is enabled")
    if not state or "systemd" in state:
        return unknown("systemd does not answer", "see `systemctl is-enabled fstrim.timer`")
    fix = enable_unit("fstrim.timer") if state == "disabled" else None
    return warning(f"fstrim.timer is {state}", "systemctl enable --now fstrim.timer", fix)


def swap(machine: Machine) -> Finding:
    """Tell where memory is moved to when it runs short, and how eagerly."""
    table = machine.text("proc/swaps")
    swappiness = read_number(machine.root / "proc/sys/vm/swappiness")
    if table is None or swappiness is None:
        return unknown("the kernel does not tell")
    areas = [line.split()[0] for line in table.splitlines()[1:] if line.split()]
    if not areas:
        return ok(f"there is none; swappiness {swappiness}")
    seen = f"{', '.join(areas)}; swappiness {swappiness}"
    disks = {_disk(machine, area) for area in areas}
    if any(disk.startswith("mmcblk") for disk in disks):
        return warning(f"{seen}: on a memory card", "use zram, or a swap file on the NVMe drive")
    if all(disk.startswith("zram") for disk in disks) or swappiness <= _SWAPPINESS:
        return ok(seen)
    fix = write_file(
        machine.root / SYSCTL,
        f"vm.swappiness = {_SWAPPINESS}\n",
        then=("sysctl", f"--load=/{SYSCTL}"),
    )
    return warning(seen, f"set vm.swappiness to {_SWAPPINESS} in /{SYSCTL}", fix)


def _disk(machine: Machine, area: str) -> str:
    if area.startswith("/dev/"):
        return area.removeprefix("/dev/")
    mount = machine.mount_of(Path(area))
    return "" if mount is None else machine.disk_of(mount)


def sync_time(machine: Machine) -> Finding:
    """Measure how long the drive takes to promise a page."""
    if not machine.data.is_dir():
        return unknown(f"{machine.data} is not there yet", "`taped run` makes it")
    try:
        times_us = _time_syncs(machine.data)
    except PermissionError:
        return unknown(
            f"{machine.data} may not be written by this user", "run it with sudo, or as the user taped"
        )
    p50, p99 = statistics.median(times_us), times_us[int(len(times_us) * 0.99)]
    seen = f"{SYNCS} pages in {machine.data}: p50 {p50:,.0f} us, p99 {p99:,.0f} us"
    if p99 > 100_000:  # noqa: PLR2004
        return failure(seen, "no order is sent before a sync: look for another writer, or take another drive")
    if p99 > 20_000:  # noqa: PLR2004
        return warning(
            seen, "see `iotop` for another writer; some drives without a cache of their own do this"
        )
    if p50 < 15:  # noqa: PLR2004
        return warning(seen, "no drive is so fast: this one says yes before it has written")
    return ok(seen)


def _time_syncs(folder: Path) -> list[float]:
    """Return the sorted times of single pages, in microseconds, into a file that was filled before."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(bytes(SYNCS * _PAGE))
        os.fsync(file.fileno())
        times_us = []
        for at in range(SYNCS):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"\1" * _PAGE, at * _PAGE)
            os.fdatasync(file.fileno())
            times_us.append((time.perf_counter() - started) * 1e6)
    return sorted(times_us)


def wear(machine: Machine) -> Finding:
    """Tell how much of the drive's life is used."""
    file = machine.settings.hardware.smart_file
    if file is None:
        return absent("setting hardware.smart_file names no report of smartctl")
    used, spare = read_wear(file, time.time())
    if used is None and spare is None:
        return unknown(
            f"{file} holds no report of the last two days", "systemctl enable --now taped-smart.timer"
        )
    seen = f"{used} % of its rated life used, {spare} % spare blocks left"
    if (used or 0) >= _WORN_PERCENT or (spare is not None and spare <= _SPARE_PERCENT):
        return failure(seen, "copy the data folder with `taped backup create` and take a new drive")
    return ok(seen)


CHECKS = (
    Check("drive", "A memory card wears out under a journal and stalls for seconds.", drive),
    Check("file system", "What was synced must still be there after a power cut.", file_system),
    Check("free space", "Without room for the next segment trading stops.", free_space),
    Check("sync time", "An order leaves only after its page was synced.", sync_time),
    Check("trim", "A drive that is never told of freed blocks gets slow.", trim),
    Check("swap", "A daemon whose memory lies on a disk answers late.", swap),
    Check("wear", "A worn drive fails all at once.", wear),
)
