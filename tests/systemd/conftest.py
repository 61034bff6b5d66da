"""A service manager of our own: a user's systemd in namespaces of its own, which end with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

SYSTEMD = Path("/lib/systemd/systemd")
START = """
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system
umount -R /sys/fs/cgroup || true
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$GROUP/manager
echo $$ > /sys/fs/cgroup/$GROUP/manager/cgroup.procs
# As process 1 it would be the system's manager.
/lib/systemd/systemd --user --unit=basic.target &
wait
"""
CLEAN = """
mount -t cgroup2 none /sys/fs/cgroup
find /sys/fs/cgroup/$GROUP -depth -type d -exec rmdir {} +
"""


class Manager:
    """A running systemd; `systemctl` words go to it.

    Attributes:
        units: the folder it reads units from.
    """

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        self._group = f"taped-test-{uuid4().hex[:12]}"
        self.units = folder / "home/.config/systemd/user"
        self.units.mkdir(parents=True)
        run = folder / "run"
        run.mkdir(mode=0o700)
        self._environment = {
            **os.environ,
            "HOME": str(folder / "home"),
            "XDG_RUNTIME_DIR": str(run),
            "XDG_CONFIG_HOME": str(folder / "home/.config"),
            "SYSTEMD_LOG_TARGET": "console",
            "GROUP": self._group,
        }
        self._environment.pop("DBUS_SESSION_BUS_ADDRESS", None)

    def start(self) -> bool:
        """Start it; False where that cannot be done here."""
        words = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--mount-proc", "--kill-child"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*words, "sh", "-c", START], env=self._environment, stdout=log, stderr=log
            )
        until = time.monotonic() + 10
        while time.monotonic() < until and self._process.poll() is None:
            if self.systemctl("is-active", "basic.target") == "active":
                return True
            time.sleep(0.1)
        self.stop()
        return False

    def stop(self) -> None:
        """End it with all it started."""
        self._process.kill()
        self._process.wait()
        for _ in range(20):
            done = subprocess.run(
                ["unshare", "--mount", "sh", "-c", CLEAN],
                env=self._environment,
                capture_output=True,
                check=False,
            )
            if done.returncode == 0:
                return
            time.sleep(0.1)

    def systemctl(self, *words: str) -> str:
        """Return what it answers."""
        done = subprocess.run(
            # From outside of its namespace, it drops every other connection: the peer has no process id.
            ["nsenter", f"--target={self._inside()}", "--mount", "--pid", "systemctl", "--user", *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()

    def _inside(self) -> str:
        pid = self._process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().strip() or str(pid)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", f"--property={name}", "--value", unit)

    @property
    def log(self) -> str:
        """What it and its services said."""
        return self._log.read_text(errors="replace")


def started(folder: Path) -> Manager:
    """Return a service manager; the test is skipped where none can be started."""
    if os.geteuid() != 0 or not SYSTEMD.exists() or shutil.which("unshare") is None:
        pytest.skip("a service manager of our own needs root, systemd and unshare")
    manager = Manager(folder)
    if not manager.start():
        pytest.skip(f"systemd does not start in a namespace here: {manager.log[-300:]}")
    return manager


@pytest.fixture(scope="module")
def manager(tmp_path_factory) -> Iterator[Manager]:
    """A service manager that sees what was mounted before."""
    # A short name, because a socket's path may have 108 bytes.
    manager = started(tmp_path_factory.mktemp("sd"))
    yield manager
    manager.stop()


@pytest.fixture
def late_manager(small_disk, tmp_path_factory) -> Iterator[Manager]:
    """One that sees the small disk."""
    manager = started(tmp_path_factory.mktemp("sd"))
    yield manager
    manager.stop()
