"""`taped doctor` on machines made of folders, and on this one as it is."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from daemon.backup_state import BackupState, GoodBackup, write_state
from daemon.hardware.simulated import SimulatedBoard
from daemon.journal.writer import JournalWriter
from daemon.settings import ApiSettings, BackupSettings, HardwareSettings, Settings, SyncSettings
from schemas.events import ClockTicked
from tools import doctor
from tools.bench.postgres import PostgresServer
from tools.cli import main
from tools.doctor import beyond, board, records, storage, system
from tools.doctor.finding import State
from tools.doctor.machine import Machine, run_command

TICKS = [ClockTicked(ts_ns=n, synchronized=True) for n in range(1, 50)]
NVME = "26 1 259:2 / / rw,noatime shared:1 - ext4 /dev/nvme0n1p2 rw"


class Pi(SimulatedBoard):
    """A Raspberry Pi in a folder, with its data folder and answers of its commands."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "machine")
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(mode=0o750)
        self.answers: dict[str, str] = {}
        self.write("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
        self.mount(NVME)
        self.disk("259:2", "nvme0n1/nvme0n1p2")

    def write(self, name: str, text: str) -> Path:
        return self._write(name, text)

    def mount(self, *lines: str) -> None:
        self.write("proc/self/mountinfo", "\n".join(lines))

    def disk(self, number: str, name: str) -> None:
        folder = self.root / "sys/devices/block" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "partition").touch()
        link = self.root / "sys/dev/block" / number
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)

    def machine(self, **hardware) -> Machine:
        settings = Settings(data=self.data, hardware=HardwareSettings(**hardware), api=ApiSettings(port=0))
        return Machine(settings, root=self.root, command=lambda words: self.answers.get(" ".join(words)))


@pytest.fixture
def pi(tmp_path):
    return Pi(tmp_path)


def test_a_data_folder_on_nvme_is_well(pi) -> None:
    found = storage.drive(pi.machine())
    assert found.state is State.OK
    assert "nvme0n1 " in found.seen


def test_a_data_folder_on_a_memory_card_is_a_failure_that_says_where_to_go(pi) -> None:
    pi.mount("26 1 179:2 / / rw,noatime - ext4 /dev/mmcblk0p2 rw")
    pi.disk("179:2", "mmcblk0/mmcblk0p2")
    found = storage.drive(pi.machine())
    assert found.state is State.FAILURE
    assert "memory card" in found.seen
    assert "NVMe" in found.advice


def test_the_innermost_mount_counts_whatever_its_name(pi) -> None:
    escaped = str(pi.data).replace("data", "da\\040ta")
    pi.data = pi.data.rename(pi.data.with_name("da ta"))
    pi.mount(NVME, f"30 26 8:1 / {escaped} rw,relatime - xfs /dev/sda1 rw")
    pi.disk("8:1", "sda/sda1")
    found = storage.drive(pi.machine())
    assert found.state is State.WARNING
    assert "sda (xfs at" in found.seen


@pytest.mark.parametrize(
    ("line", "state", "word"),
    [
        ("26 1 0:30 / / rw,relatime - tmpfs tmpfs rw", State.FAILURE, "restart"),
        ("26 1 259:2 / / ro,noatime - ext4 /dev/nvme0n1p2 ro", State.FAILURE, "read-only"),
        ("26 1 259:2 / / rw,noatime - ext4 /dev/nvme0n1p2 rw,nobarrier", State.FAILURE, "nobarrier"),
        ("26 1 259:2 / / rw,noatime - ntfs3 /dev/nvme0n1p2 rw", State.WARNING, "ext4"),
        ("26 1 259:2 / / rw - ext4 /dev/nvme0n1p2 rw", State.WARNING, "noatime"),
        (NVME, State.OK, ""),
    ],
)
def test_mount_options_that_lose_what_was_synced_are_named(pi, line, state, word) -> None:
    pi.mount(line)
    found = storage.file_system(pi.machine())
    assert found.state is state
    assert word in found.advice


def test_a_timer_that_is_off_can_be_switched_on(pi) -> None:
    pi.answers["systemctl is-enabled fstrim.timer"] = "disabled"
    found = storage.trim(pi.machine())
    assert found.state is State.WARNING
    assert found.fix.shown == "systemctl enable --now fstrim.timer"


def test_eager_swapping_on_a_drive_is_told_and_its_remedy_is_one_file(pi) -> None:
    pi.write("proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1p3 partition 1 0 -2")
    pi.write("proc/sys/vm/swappiness", "60")
    found = storage.swap(pi.machine())
    assert found.state is State.WARNING
    assert "90-taped.conf && sysctl --load=/etc/sysctl.d/90-taped.conf" in found.fix.shown


def test_swap_in_memory_is_well(pi) -> None:
    pi.write("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 1 0 100")
    pi.write("proc/sys/vm/swappiness", "100")
    assert storage.swap(pi.machine()).state is State.OK


def test_the_time_of_a_sync_is_measured_in_the_data_folder_and_leaves_nothing(pi) -> None:
    found = storage.sync_time(pi.machine())
    assert f"{storage.SYNCS} pages in {pi.data}: p50 " in found.seen
    assert list(pi.data.iterdir()) == []


def test_a_drive_near_its_end_is_a_failure(pi, tmp_path) -> None:
    report = tmp_path / "smart.json"
    report.write_text(
        '{"nvme_smart_health_information_log": {"percentage_used": 95, "available_spare": 100}}'
    )
    assert storage.wear(pi.machine(smart_file=report)).state is State.FAILURE


@pytest.mark.parametrize(("celsius", "state"), [(50, State.OK), (75, State.WARNING), (85, State.FAILURE)])
def test_heat_is_told_by_degrees(pi, celsius, state) -> None:
    pi.heat(cpu=celsius)
    assert board.temperature(pi.machine()).state is state


@pytest.mark.parametrize(
    ("bits", "state", "word"),
    [
        (0, State.OK, ""),
        (0x1, State.FAILURE, "27 W"),
        (0x10000, State.WARNING, "27 W"),
        (0x40000, State.WARNING, "cool"),
    ],
)
def test_throttling_now_fails_and_since_the_start_warns(pi, bits, state, word) -> None:
    pi.throttle(bits)
    found = board.throttling(pi.machine())
    assert found.state is state
    assert word in found.advice


def test_a_weak_supply_is_told(pi) -> None:
    path = pi.write("proc/device-tree/chosen/power/max_current", "")
    path.write_bytes((3000).to_bytes(4, "big"))
    found = board.power_supply(pi.machine())
    assert (found.state, found.seen) == (State.WARNING, "the supply offers 3 A")
    path.write_bytes((5000).to_bytes(4, "big"))
    assert board.power_supply(pi.machine()).state is State.OK


def test_the_lowest_frequency_for_ever_can_be_bettered(pi) -> None:
    pi.write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave")
    found = board.governor(pi.machine())
    assert found.state is State.WARNING
    found.fix.apply()
    assert board.governor(pi.machine()).seen == "governor ondemand"


@pytest.mark.parametrize(
    ("speed", "policy", "state"),
    [
        ("8.0 GT/s PCIe", "[default] performance powersave", State.OK),
        ("2.5 GT/s PCIe", "[default] performance powersave", State.WARNING),
        ("5.0 GT/s PCIe", "default performance [powersave]", State.WARNING),
    ],
)
def test_a_slow_or_sleepy_link_is_told(pi, speed, policy, state) -> None:
    pi.write("sys/class/nvme/nvme0/device/current_link_speed", speed)
    pi.write("sys/module/pcie_aspm/parameters/policy", policy)
    assert board.pcie(pi.machine()).state is state


def test_pins_that_are_wired_need_a_chip(pi) -> None:
    assert board.pins(pi.machine()).state is State.ABSENT
    found = board.pins(pi.machine(fan="gpiozero"))
    assert (found.state, found.seen) == (State.FAILURE, "/dev has no gpiochip")


def test_pins_that_may_not_be_opened_are_told_with_the_group(pi, monkeypatch) -> None:
    pi.write("dev/gpiochip0", "")
    monkeypatch.setattr(board.importlib.util, "find_spec", lambda _: object())
    monkeypatch.setattr(board, "may_write", lambda _: False)
    found = board.pins(pi.machine(leds=("all=17",)))
    assert found.state is State.FAILURE
    assert found.advice.endswith(" gpio")


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ("14s", State.OK),
        ("1min", State.WARNING),
        ("0", State.WARNING),
        ("", State.UNKNOWN),
        ("soon", State.UNKNOWN),
    ],
)
def test_the_watchdog_of_the_board_is_held_against_what_it_can(pi, answer, state) -> None:
    pi.write("dev/watchdog", "")
    pi.answers["systemctl show --property=RuntimeWatchdogUSec --value"] = answer
    assert system.watchdog(pi.machine()).state is state


def test_a_kernel_without_accounting_is_told_the_words_for_its_command_line(pi) -> None:
    pi.write("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids")
    found = system.memory_accounting(pi.machine())
    assert found.state is State.WARNING
    assert "cgroup_enable=memory cgroup_memory=1" in found.advice
    (pi.root / "proc/pressure/io").unlink()
    assert "psi=1" in system.pressure(pi.machine()).advice


def test_a_port_that_another_program_has_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        machine = Machine(Settings(api=ApiSettings(port=other.getsockname()[1])))
        assert system.port(machine).state is State.FAILURE


def test_a_secret_that_others_may_read_is_a_failure_and_its_remedy_closes_it(pi) -> None:
    token = pi.data / "admin.token"
    token.write_text("x")
    token.chmod(0o644)
    found = system.file_modes(pi.machine())
    assert found.state is State.FAILURE
    found.fix.apply()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert system.file_modes(pi.machine()).state is State.OK


def test_journal_and_read_model_of_a_running_daemon_are_well(daemon) -> None:
    machine = Machine(Settings(data=daemon.data))
    assert records.journal(machine).state is State.OK
    assert f"process {os.getpid()} writes it" in records.journal(machine).seen
    assert records.read_model(machine).state is State.OK


def test_a_damaged_journal_is_a_failure(tmp_path) -> None:
    with JournalWriter.open(tmp_path / "journal") as writer:
        writer.append(TICKS)
    segment = max((tmp_path / "journal").glob("*.evl"))
    content = bytearray(segment.read_bytes())
    content[4096 + 70] ^= 1
    segment.write_bytes(content)
    found = records.journal(Machine(Settings(data=tmp_path)))
    assert found.state is State.FAILURE
    assert "repair" in found.advice


def test_a_database_that_answers_is_named_and_one_that_does_not_is_a_failure(tmp_path) -> None:
    file = tmp_path / "dsn"
    file.touch(mode=0o600)
    machine = Machine(Settings(sync=SyncSettings(enabled=True, dsn_file=file)))
    with tempfile.TemporaryDirectory(prefix="taped-postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        file.write_text(server.dsn())
        found = beyond.database(machine)
        server.stop()
    assert found.state is State.OK
    assert ": PostgreSQL " in found.seen
    found = beyond.database(machine)
    assert found.state is State.FAILURE
    assert "sync status" in found.advice


def test_a_database_that_is_not_wanted_is_no_fault() -> None:
    assert beyond.database(Machine(Settings())).state is State.ABSENT


@pytest.mark.parametrize(
    ("hours", "state"), [(None, State.FAILURE), (1, State.OK), (30, State.FAILURE), (-30, State.FAILURE)]
)
def test_a_backup_counts_while_it_is_new_enough(tmp_path, hours, state) -> None:
    if hours is not None:
        made_ns = time.time_ns() - hours * 3_600_000_000_000
        good = GoodBackup(
            name="b", target="t", journal="j", last_seq=7, made_ns=made_ns, verified_ns=made_ns, length=1
        )
        write_state(tmp_path, BackupState(good=good))
    machine = Machine(Settings(data=tmp_path, backup=BackupSettings(target="/mnt")))
    assert beyond.backup(machine).state is state


def test_without_a_target_there_is_a_warning_that_says_what_to_set(tmp_path) -> None:
    found = beyond.backup(Machine(Settings(data=tmp_path)))
    assert found.state is State.WARNING
    assert "backup.target" in found.advice


def test_wrong_settings_are_a_finding_and_hide_nothing_else(tmp_path, capsys) -> None:
    file = tmp_path / "taped.toml"
    file.write_text("[api]\nport = 99999\n")
    assert main(["doctor", "--config", str(file), "--data", str(tmp_path), "--json"]) == 1
    found = {row["check"]: row for row in json.loads(capsys.readouterr().out)["findings"]}
    assert found["settings"]["state"] == "failure"
    assert "api.port" in found["settings"]["seen"]
    assert found["free space"]["state"] != "unknown"


def test_every_line_has_a_state_what_was_seen_and_a_reason_on_this_machine(tmp_path, capsys) -> None:
    main(["doctor", "--data", str(tmp_path), "--json"])
    rows = json.loads(capsys.readouterr().out)["findings"]
    assert len(rows) == sum(len(checks) for _, checks in doctor.SECTIONS)
    for row in rows:
        assert row["seen"]
        assert row["reason"]
        assert row["advice"] or row["state"] not in ("warning", "failure")
        assert "could not be looked at" not in row["seen"], row


def test_a_machine_of_which_nothing_is_there_gives_no_traceback(tmp_path) -> None:
    machine = Machine(Settings(data=tmp_path / "none"), root=tmp_path / "nothing", command=lambda _: None)
    for _, check, finding in doctor.examine(machine):
        assert "could not be looked at" not in finding.seen, check.name


def test_a_check_that_fails_unexpectedly_hides_no_other(pi, monkeypatch) -> None:
    broken = doctor.Check("broken", "It must not.", lambda _: 1 / 0)
    monkeypatch.setattr(doctor, "SECTIONS", (("all", (broken, *storage.CHECKS)),))
    found = doctor.examine(pi.machine())
    assert found[0][2].state is State.UNKNOWN
    assert "ZeroDivisionError" in found[0][2].seen
    assert len(found) == len(storage.CHECKS) + 1


def test_a_fix_is_shown_and_not_done_without_a_yes(tmp_path, capsys, monkeypatch) -> None:
    token = tmp_path / "admin.token"
    token.write_text("x")
    token.chmod(0o644)
    tmp_path.chmod(0o750)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    main(["doctor", "--data", str(tmp_path), "--fix"])
    assert f"chmod 0600 {token}" in capsys.readouterr().err
    assert stat.S_IMODE(token.stat().st_mode) == 0o644
    main(["doctor", "--data", str(tmp_path), "--fix", "--yes"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_a_command_that_is_absent_says_nothing() -> None:
    assert run_command(("no-such-command-of-ours",)) is None
