"""A disk that is mounted for a backup alone: a real one in a file, where root can have one."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from pathlib import Path, PurePosixPath

import pytest

from daemon.backup_target import DiskTarget
from tests.tools.backup.conftest import Taped, tree
from tools.backup import disk
from tools.backup.disk import find_device, mount_point, mounted
from tools.backup.errors import TargetError

LABEL = f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A block device of 64 MiB with a label, not mounted."""
    if os.geteuid() != 0:
        pytest.skip("a loop device needs root")
    image = tmp_path_factory.mktemp("disk") / "image"
    with image.open("wb") as file:
        file.truncate(200 << 20)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", LABEL, image], check=True, capture_output=True)
        made = subprocess.run(["losetup", "-f", "--show", image], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop device here: {error}")
    yield Path(made.stdout.strip())
    subprocess.run(["losetup", "-d", made.stdout.strip()], check=True)


@pytest.fixture
def target(device):
    found = find(device)
    if found != device:
        pytest.skip(f"blkid finds {found} instead of {device}")
    return DiskTarget("LABEL", LABEL, PurePosixPath("pi"))


def find(device):
    try:
        return find_device(DiskTarget("LABEL", LABEL, PurePosixPath()))
    except TargetError:
        return None


def test_a_backup_goes_to_a_disk_that_is_mounted_only_meanwhile(target, device, data, capsys, tmp_path):
    taped = Taped(f"LABEL={LABEL}/pi", capsys)
    told = taped.json("create", data=data)
    assert told["target"] == f"LABEL={LABEL}/pi"
    assert mount_point(device) is None
    assert taped.json("restore", "--yes", data=tmp_path / "back")["read_model"] == told["read_model"]
    assert mount_point(device) is None


def test_it_is_taken_off_whatever_ends_the_work(target, device):
    with pytest.raises(ZeroDivisionError), mounted(target) as folder:  # noqa: PT012  # What is inside matters.
        assert folder.name == "pi"
        assert mount_point(device) == folder.parent
        raise ZeroDivisionError
    assert mount_point(device) is None
    assert not folder.parent.exists()


def test_a_disk_that_is_mounted_already_is_used_there_and_left(target, device, tmp_path):
    place = tmp_path / "a place"
    place.mkdir()
    subprocess.run(["mount", device, place], check=True)
    try:
        with mounted(target) as folder:
            assert folder == place / "pi"
        assert mount_point(device) == place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_that_somebody_uses_is_told_of_instead_of_left_unnoticed(target, device, monkeypatch):
    monkeypatch.setattr(disk, "_TRIES", 2)
    monkeypatch.setattr(disk, "_PAUSE_S", 0.0)
    with pytest.raises(TargetError, match="cannot be taken off"), mounted(target) as folder:
        busy = (folder / "busy").open("wb")
    busy.close()
    place = mount_point(device)
    subprocess.run(["umount", place], check=True)
    place.rmdir()


def test_a_disk_that_is_not_attached_is_refused_by_its_label(tmp_path):
    with pytest.raises(TargetError, match="no disk with LABEL=no such disk is attached"):
        find_device(DiskTarget("LABEL", "no such disk", PurePosixPath()), tmp_path)


def test_a_label_is_looked_for_as_udev_writes_it(tmp_path):
    (tmp_path / "by-label").mkdir()
    (tmp_path / "by-label" / "My\\x20disk\\x2f1").symlink_to("/dev/null")
    assert find_device(DiskTarget("LABEL", "My disk/1", PurePosixPath()), tmp_path) == Path("/dev/null")


def test_where_a_device_is_mounted_is_read_with_its_blanks(tmp_path):
    number = Path("/dev/null").stat().st_rdev
    table = tmp_path / "mountinfo"
    line = f"36 25 {os.major(number)}:{os.minor(number)}"
    table.write_text(f"{line} /sub /bind rw - ext4 x rw\n{line} / /media/My\\040disk rw - ext4 x rw\n")
    assert mount_point(Path("/dev/null"), table) == Path("/media/My disk")
    table.write_text("1 2 99:99 / / rw - ext4 x rw\n")
    assert mount_point(Path("/dev/null"), table) is None


def test_a_user_asks_udisks(monkeypatch, tmp_path, data, capsys):
    """A udisksctl of our own, which mounts nothing, notes what it was asked for."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tmp_path / "medium").mkdir()
    log = tmp_path / "log"
    (tools / "udisksctl").write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    (tools / "udisksctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(disk, "find_device", lambda *_: Path("/dev/null"))
    places = [None, tmp_path / "medium"]
    monkeypatch.setattr(disk, "mount_point", lambda *_: places.pop(0))
    assert shutil.which("udisksctl") == str(tools / "udisksctl")
    told = Taped("UUID=12-34", capsys).json("create", data=data)
    assert told["verified"]
    assert tree(tmp_path / "medium")
    assert log.read_text().splitlines() == [
        "mount -b /dev/null --no-user-interaction -o nosuid,nodev,noexec,noatime",
        "unmount -b /dev/null --no-user-interaction",
    ]


def test_a_folder_that_is_a_link_off_the_disk_is_refused(target, device, tmp_path):
    with mounted(target) as folder:
        (folder / "away").symlink_to(tmp_path)
    with (
        pytest.raises(TargetError, match="off the disk"),
        mounted(DiskTarget(target.by, target.value, target.folder / "away")),
    ):
        pass
