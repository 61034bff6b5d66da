"""The service as a real service manager runs it: ready, stopped, killed, and hanging part by part.

The unit is taped.service itself, without what needs the system's manager (users, sandbox), with a
shorter watchdog, and with a simulated board whose pins tell what ExecStopPost did.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.hardware.simulated import SimulatedBoard
from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from schemas.events import DaemonStopped

KEPT = (
    "Type",
    "NotifyAccess",
    "WatchdogSignal",
    "ExecStartPre",
    "ExecStart",
    "ExecStopPost",
    "UMask",
    "Restart",
    "KillSignal",
    "TimeoutStopSec",
)
WATCHDOG_S = 6
FAN, ERROR = 18, 27
HANGING = """
import time
from daemon.trading.strategy import Strategy

class Hang(Strategy):
    kind = "hang"
    parameters = ()

    def on_trade(self, trade):
        self.hang()

    def on_quote(self, quote):
        self.hang()

    def hang(self):
        while True:
            time.sleep(0.1)
"""


class Service:
    """taped.service, made for a manager of a test."""

    def __init__(self, manager, folder: Path, project_root: Path, name: str) -> None:
        self.manager, self.folder, self.name = manager, folder, f"{name}.service"
        self.board = SimulatedBoard(folder / "machine")
        self.data = folder / "data"
        self.config = folder / "taped.toml"
        self.config.write_text(
            f"data = '{self.data}'\n[api]\nport = 0\n[feed]\nrate = 20\n"
            f"[hardware]\nroot = '{self.board.root}'\npins = 'mock'\nsample_s = 0.2\n"
            f"fan = 'gpiozero'\nleds = ['error={ERROR}']\n"
        )
        text = (project_root / "systemd/taped.service").read_text()
        lines = [line for line in text.splitlines() if line.partition("=")[0] in KEPT]
        body = "\n".join(lines).replace("/etc/taped/taped.toml", str(self.config))
        body = re.sub(r"/opt/taped/\.venv/bin/taped", f"{sys.executable} -m tools.cli", body)
        body += f"\nWatchdogSec={WATCHDOG_S}\nRestartSec=200ms\nWorkingDirectory={project_root}\n"
        body += f"StandardOutput=append:{folder / 'log'}\nStandardError=inherit\n"
        (manager.units / self.name).write_text(f"[Service]\n{body}")
        manager.systemctl("daemon-reload")

    def start(self) -> None:
        self.manager.systemctl("start", self.name)
        assert self.show("ActiveState") == "active", self.log[-2000:]

    def show(self, name: str) -> str:
        return self.manager.show(self.name, name)

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def kill(self, signal: str) -> None:
        self.manager.systemctl("kill", "--kill-whom=main", f"--signal={signal}", self.name)

    def once(self) -> None:
        """Let it not be started again, so that what its end left can be looked at."""
        folder = self.manager.units / f"{self.name}.d"
        folder.mkdir()
        (folder / "once.conf").write_text("[Service]\nRestart=no\n")
        self.manager.systemctl("daemon-reload")

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.1)
        return condition()

    def ended(self, seconds: float = 20) -> str:
        """Wait for the end; return why it ended."""
        assert self.wait(lambda: self.show("ActiveState") in ("failed", "inactive"), seconds)
        return self.show("Result")

    def is_failsafe(self) -> bool:
        return self.board.level(FAN) == 1.0 and self.board.level(ERROR) == 1.0


@pytest.fixture
def service(manager, tmp_path, project_root, request) -> Iterator[Service]:
    name = re.sub(r"\W+", "-", request.node.name)
    service = Service(manager, tmp_path, project_root, name)
    yield service
    manager.systemctl("kill", "--signal=KILL", service.name)
    manager.systemctl("stop", service.name)


def test_a_start_counts_when_the_daemon_is_ready_and_a_stop_seals_the_journal(service) -> None:
    service.start()
    assert service.show("StatusText").startswith("at http://127.0.0.1:")
    service.manager.systemctl("stop", service.name)
    assert (service.show("ActiveState"), service.show("Result")) == ("inactive", "success")
    assert verify(service.data / "journal").passed
    *_, last = JournalReader(service.data / "journal").batches()
    assert isinstance(last.events[-1], DaemonStopped)
    assert service.is_failsafe()


@pytest.mark.parametrize(("signal", "result"), [("KILL", "signal"), ("ABRT", "signal")])
def test_a_daemon_that_is_killed_leaves_the_fan_at_full_speed_and_the_error_lit(
    service, signal, result
) -> None:
    service.once()
    service.start()
    assert not service.is_failsafe()
    service.kill(signal)
    assert service.ended() == result
    assert service.is_failsafe()


def test_a_daemon_that_is_killed_is_started_again_and_goes_on_with_its_journal(service) -> None:
    service.start()
    first = service.show("MainPID")
    service.kill("KILL")
    assert service.wait(lambda: service.show("MainPID") not in ("0", first), 20)
    assert service.wait(lambda: service.show("ActiveState") == "active", 20)
    assert service.show("NRestarts") == "1"
    service.manager.systemctl("stop", service.name)
    found = verify(service.data / "journal")
    assert found.passed
    assert found.types["DaemonStarted"] == 2


def test_settings_that_are_wrong_are_told_before_the_start(service) -> None:
    with service.config.open("a") as file:
        file.write("[archive]\nload_percent = 1000\n")
    service.manager.systemctl("start", "--no-block", service.name)
    assert service.wait(lambda: "archive.load_percent" in service.log, 20)
    assert not service.data.exists()


def test_a_loop_that_hangs_is_ended_by_the_watchdog(service) -> None:
    service.once()
    folder = service.folder / "strategies"
    folder.mkdir(mode=0o700)
    (folder / "hang.py").write_text(HANGING)
    (folder / "hang.py").chmod(0o600)
    text = service.config.read_text()
    service.config.write_text(
        f"strategies_folder = '{folder}'\n{text}[strategies.one]\nkind = 'hang'\ninstruments = ['BTC-USDT']\n"
    )
    service.manager.systemctl("start", "--no-block", service.name)
    # The strategy never comes back from its first tick, which may be before or after the daemon is ready.
    assert service.ended(WATCHDOG_S * 3 + 15) == "watchdog", service.log[-2000:]
    assert service.is_failsafe()


def test_a_thermal_thread_that_hangs_is_ended_by_the_watchdog(service) -> None:
    service.once()
    service.config.write_text(service.config.read_text().replace("'gpiozero'", "'sysfs_pwm'"))
    service.start()
    duty = service.board.root / "sys/class/pwm/pwmchip7/pwm2/duty_cycle"
    assert service.wait(lambda: duty.read_text().strip() == "0", 10)
    # Whoever opens a pipe that nobody reads waits for ever, as at a driver that hangs.
    duty.unlink()
    os.mkfifo(duty)
    service.board.heat(cpu=70.0)
    assert service.wait(lambda: "no progress of thermal" in service.log, WATCHDOG_S * 2), service.log[-2000:]
    duty.unlink()
    duty.touch()
    assert service.ended(WATCHDOG_S * 2) == "watchdog", service.log[-2000:]
    assert service.board.pwm(2) == 1.0


def test_a_journal_thread_that_hangs_stops_the_pings(
    late_manager, small_disk, tmp_path, project_root
) -> None:
    service = Service(late_manager, tmp_path, project_root, "hang")
    service.once()
    text = service.config.read_text().replace(str(service.data), str(small_disk / "data"))
    service.config.write_text(f"{text}[journal]\nsegment_mib = 1\n")
    service.start()
    # A frozen file system lets every write wait; not even a signal gets a thread out of it.
    subprocess.run(["fsfreeze", "--freeze", small_disk], check=True)
    try:
        assert service.wait(lambda: "no progress of journal" in service.log, WATCHDOG_S * 2)
        assert service.wait(lambda: service.show("Result") == "watchdog", WATCHDOG_S * 2)
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", small_disk], check=True)
    assert service.ended() == "watchdog"
    assert service.is_failsafe()
