"""The units as systemd itself reads them; skipped where its tools are absent."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from daemon.sync.secret import CREDENTIAL
from tools import cli

UNITS = sorted(
    path.name
    for path in (Path(__file__).parents[2] / "systemd").iterdir()
    if path.suffix in (".service", ".timer")
)
SERVICES = [name for name in UNITS if name.endswith(".service")]
LEAST_EXPOSED = {
    "taped.service",
    "taped@.service",
    "taped-metrics.service",
    "taped-backup.service",
    "taped-backup@.service",
}
"""Those that run for long or talk to others; the rest are over after a second, as root."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent"
)


@pytest.fixture
def units(tmp_path: Path, project_root: Path) -> Path:
    """The units in a folder of their own, with a program that exists everywhere in place of taped's."""
    for name in UNITS:
        text = (project_root / "systemd" / name).read_text(encoding="utf-8")
        text = re.sub(r"/opt/taped/\.venv/bin/taped|/usr/bin/victoria-metrics", "/bin/true", text)
        text = re.sub(r"^Documentation=man:.*$", "", text, flags=re.MULTILINE)
        (tmp_path / name.replace("@.", "@x.")).write_text(text, encoding="utf-8")
    return tmp_path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_to_say_about_a_unit(units, name) -> None:
    # It exits with 0 even where it knows a key not at all, and only says so.
    found = run("systemd-analyze", "verify", "--man=no", str(units / name.replace("@.", "@x.")))
    assert (found.returncode, found.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_exposed_no_more_than_it_must_be(units, name) -> None:
    threshold = "20" if name in LEAST_EXPOSED else "25"
    path = str(units / name.replace("@.", "@x."))
    found = run("systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", path)
    assert found.returncode == 0, found.stdout[-300:]


@pytest.mark.parametrize("name", SERVICES)
def test_every_taped_command_of_a_unit_exists(project_root, name, capsys) -> None:
    text = (project_root / "systemd" / name).read_text(encoding="utf-8")
    for words in re.findall(r"^Exec\w+=-?/opt/taped/\.venv/bin/taped (.*)$", text, re.MULTILINE):
        command = [word for word in words.split() if not word.startswith(("-", "/"))]
        assert cli.main([*command, "--help"]) == 0
        told = capsys.readouterr().out
        for flag in re.findall(r"--[a-z-]+", words):
            assert flag in told


@pytest.mark.parametrize("unit", ["taped", "taped-backup"])
def test_the_template_is_the_service_with_a_name_of_its_own(project_root, unit) -> None:
    service = (project_root / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
    template = (project_root / "systemd" / f"{unit}@.service").read_text(encoding="utf-8")
    assert (
        template.replace("taped-%i", "taped").replace("%i.toml", "taped.toml").splitlines()[2:]
        == (service.splitlines()[2:])
    )


@pytest.mark.parametrize("unit", ["taped-backup.timer", "taped-backup@.timer"])
def test_backups_are_made_at_two_and_a_night_that_was_missed_is_caught_up_with(project_root, unit) -> None:
    text = (project_root / "systemd" / unit).read_text(encoding="utf-8")
    assert "\nOnCalendar=*-*-* 02:00:00\n" in text
    assert "\nPersistent=true\n" in text


def test_the_hardware_watchdog_waits_no_longer_than_the_board_can(project_root) -> None:
    text = (project_root / "systemd" / "watchdog.conf").read_text(encoding="utf-8")
    (seconds,) = re.findall(r"^RuntimeWatchdogSec=(\d+)$", text, re.MULTILINE)
    assert int(seconds) <= 15


def test_rules_and_scrape_file_are_as_victoria_metrics_reads_them(project_root) -> None:
    folder = project_root / "systemd"
    if shutil.which("vmalert") is None or shutil.which("victoria-metrics") is None:
        pytest.skip("victoria-metrics is absent")
    rules = run("vmalert", f"-rule={folder / 'metrics-alerts.yml'}", "-dryRun")
    assert rules.returncode == 0, rules.stderr
    scrape = run("victoria-metrics", f"-promscrape.config={folder / 'metrics-scrape.yml'}", "-dryRun")
    assert scrape.returncode == 0, scrape.stderr


def test_the_daemon_finds_its_secrets_where_the_unit_puts_them(project_root) -> None:
    service = (project_root / "systemd/taped.service").read_text(encoding="utf-8")
    (name, folder) = re.findall(r"^LoadCredential=(\w+):(/\S+)$", service, re.MULTILINE)[0]
    # systemd.exec(5): each file of a folder becomes a credential, with the folder's name and `_` before it.
    assert f"{name}_sync-dsn" == CREDENTIAL
    assert f"d {folder} 0700 root root" in (project_root / "systemd/taped.tmpfiles").read_text(
        encoding="utf-8"
    )
