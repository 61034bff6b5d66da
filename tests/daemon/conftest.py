"""A small disk to be filled up."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """Mount point of an ext4 file system of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a loop device needs root")
    image, mount = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    mount.mkdir()
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no loop-mounted ext4 here: {error}")
    yield mount
    subprocess.run(["umount", mount], check=True)


def fill_up(path):
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for step in (1 << 20, 4096):
            try:
                while file.write(bytes(step)) == step:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # The loop ends no other way.
        os.fsync(file.fileno())
