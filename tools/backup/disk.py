"""A disk that is mounted only while it is needed: found by label or UUID, mounted, synced, taken off again.

root mounts it by itself, in a folder below /run; other users ask udisks, as a desktop does. A disk that
is mounted already is used where it is, and left there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.backup_target import DiskTarget
from tools.backup.errors import TargetError

OPTIONS = "nosuid,nodev,noexec,noatime"
_RUN_S = 60
_TRIES = 10
_PAUSE_S = 0.5
_FOLDERS = {"LABEL": "by-label", "UUID": "by-uuid"}
_OCTAL = re.compile(r"\\([0-7]{3})")


@contextmanager
def mounted(target: DiskTarget, *, devices: Path = Path("/dev/disk")) -> Iterator[Path]:
    """Give the target's folder on its disk, which is mounted meanwhile.

    Raises:
        TargetError: there is no such disk, it cannot be mounted, or not be taken off again.
    """
    name = f"{target.by}={target.value}"
    device = find_device(target, devices)
    place = mount_point(device)
    if place is not None:
        yield _folder(place, target)
        return
    mount = _mount_as_root if os.geteuid() == 0 else _mount_by_udisks
    with mount(device, name) as fresh:
        yield _folder(fresh, target)


def _folder(place: Path, target: DiskTarget) -> Path:
    folder = place / target.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(f"{target.by}={target.value}: {folder}: {error.strerror}") from error
    if not folder.resolve().is_relative_to(place.resolve()):
        raise TargetError(f"{target.by}={target.value}: {folder}: is a link that leads off the disk")
    return folder


def find_device(target: DiskTarget, devices: Path = Path("/dev/disk")) -> Path:
    """Return the block device of a disk.

    Raises:
        TargetError: none has that label or UUID.
    """
    link = devices / _FOLDERS[target.by] / _udev_name(target.value)
    if link.exists():
        return link.resolve()
    # Without udev blkid looks at the disks by itself, where it may.
    flag = "-L" if target.by == "LABEL" else "-U"
    found = _run("blkid", flag, target.value)
    if found is not None and found.returncode == 0 and found.stdout.strip():
        return Path(found.stdout.strip()).resolve()
    raise TargetError(
        f"no disk with {target.by}={target.value} is attached",
        hint="is it plugged in? `blkid` lists those there are",
    )


def _udev_name(text: str) -> str:
    """Return a label as udev writes it in names of links."""
    plain = "#+-.:=@_"
    return "".join(
        sign if sign.isalnum() or sign in plain else "".join(f"\\x{byte:02x}" for byte in sign.encode())
        for sign in text
    )


def mount_point(device: Path, table: Path = Path("/proc/self/mountinfo")) -> Path | None:
    """Return where a block device is mounted, or None."""
    try:
        number = device.stat().st_rdev
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in lines:
        fields = line.split(" ")
        if fields[2] == wanted and fields[3] == "/":
            return Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
    return None


@contextmanager
def _mount_as_root(device: Path, name: str) -> Iterator[Path]:
    runtime = Path("/run") if os.access("/run", os.W_OK) else Path(tempfile.gettempdir())
    place = Path(tempfile.mkdtemp(prefix="taped-backup-", dir=runtime))
    try:
        _check(_run("mount", "-o", OPTIONS, str(device), str(place)), f"{name}: cannot be mounted")
        try:
            yield place
        finally:
            _take_off(["umount", str(place)], name)
    finally:
        # Only an empty folder goes: what is still mounted there is not ours to remove.
        if not os.path.ismount(place):
            place.rmdir()


@contextmanager
def _mount_by_udisks(device: Path, name: str) -> Iterator[Path]:
    words = ["-b", str(device), "--no-user-interaction"]
    hint = "udisks decides who may: systemd/README.md has a rule for the user taped"
    _check(_run("udisksctl", "mount", *words, "-o", OPTIONS), f"{name}: cannot be mounted", hint)
    try:
        place = mount_point(device)
        if place is None:
            raise TargetError(f"{name}: udisks says it is mounted, and it is nowhere")
        yield place
    finally:
        _take_off(["udisksctl", "unmount", *words], name)


def _take_off(command: list[str], name: str) -> None:
    """Unmount, which writes all out; one that is busy is asked again for some seconds."""
    done = None
    for _ in range(_TRIES):
        done = _run(*command)
        if done is not None and done.returncode == 0:
            return
        time.sleep(_PAUSE_S)
    _check(done, f"{name}: cannot be taken off", "do not unplug it; `umount` it by hand")


def _run(*command: str) -> subprocess.CompletedProcess[str] | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(  # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RUN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _check(done: subprocess.CompletedProcess[str] | None, problem: str, hint: str = "") -> None:
    if done is None:
        raise TargetError(f"{problem}: the command is absent or hangs", hint=hint)
    if done.returncode:
        raise TargetError(f"{problem}: {' '.join(done.stderr.split())}", hint=hint)
