"""`tools/install`: into a folder for real, and its upgrades with a systemctl that answers as told."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tools import installer
from tools.installer import InstallError, Target, install, main, release_id, switch, uninstall

CONFIG = "etc/taped/taped.toml"


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory, project_root) -> Path:
    """A folder that taped was really installed into."""
    root = tmp_path_factory.mktemp("root")
    done = subprocess.run(
        [project_root / "tools/install", "--root", root],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if "packages could not be installed" in done.stderr:
        pytest.skip("no way to a package index")
    assert done.returncode == 0, done.stderr
    return root


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def test_what_is_laid_out_runs_with_its_own_settings(laid_out) -> None:
    taped = laid_out / "opt/taped/.venv/bin/taped"
    assert run(taped, "--version").stdout.startswith("taped ")
    assert run(taped, "check-config", laid_out / CONFIG).returncode == 0


def test_what_is_laid_out_has_the_parts_of_a_pi_and_a_database(laid_out) -> None:
    python = laid_out / "opt/taped/.venv/bin/python"
    assert run(python, "-c", "import asyncpg").returncode == 0
    if os.uname().machine == "aarch64":
        assert run(python, "-c", "import lgpio").returncode == 0


def test_settings_are_for_root_and_the_service_alone(laid_out) -> None:
    assert stat.S_IMODE((laid_out / "etc/taped").stat().st_mode) == 0o750
    assert stat.S_IMODE((laid_out / CONFIG).stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes users")
def test_user_and_data_folder_are_made(laid_out) -> None:
    assert re.search("^taped:", (laid_out / "etc/passwd").read_text(), re.MULTILINE)
    assert stat.S_IMODE((laid_out / "var/lib/taped").stat().st_mode) == 0o750


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent")
def test_systemd_has_nothing_to_say_about_the_units_that_are_laid_out(laid_out, tmp_path) -> None:
    for unit in (laid_out / "etc/systemd/system").glob("taped*"):
        text = unit.read_text().replace("/opt/taped/.venv", f"{laid_out}/opt/taped/.venv")
        text = re.sub(r"/usr/bin/victoria-metrics", "/bin/true", text)
        text = re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@.", "@x.")).write_text(text)
    for path in sorted(tmp_path.iterdir()):
        found = run("systemd-analyze", "verify", "--man=no", path)
        assert (found.returncode, found.stderr) == (0, ""), path.name


def test_a_second_run_changes_no_settings_and_makes_no_second_release(laid_out, capfd) -> None:
    with (laid_out / CONFIG).open("a") as file:
        file.write("# mine\n")
    assert main(["--root", str(laid_out)]) == 0
    assert "is there already" in capfd.readouterr().err
    assert (laid_out / CONFIG).read_text().endswith("# mine\n")
    assert (laid_out / f"{CONFIG}.example").exists()
    assert len(list((laid_out / "opt/taped-releases").iterdir())) == 1


SYSTEMCTL = """#!/bin/sh
echo "$@" >> {folder}/asked
case "$1" in
    show) release=$(basename $(readlink {folder}/root/opt/taped))
          if [ -e {folder}/bad-$release ]; then echo ActiveState={state}; else echo ActiveState=active; fi
          echo Job= ;;
esac
"""


class System:
    """A folder that an installer takes for the system, with releases that need no environment."""

    def __init__(self, folder: Path, monkeypatch, project_root: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.source = folder / "source"
        for part in ("systemd", "tools"):
            shutil.copytree(
                project_root / part, self.source / part, ignore=shutil.ignore_patterns("__pycache__")
            )
        # The environment of a release is one program here, which takes every setting unless told not to.
        (self.source / "tools/setup").write_text(
            "#!/bin/sh\nbin=$(dirname $(dirname $0))/.venv/bin\nmkdir -p $bin\n"
            f"printf '#!/bin/sh\\ntest ! -e {folder}/refuse\\n' > $bin/taped\nchmod +x $bin/taped\n"
        )
        self.refuse_to_start("activating")
        (folder / "systemd-sysusers").write_text("#!/bin/sh\n")
        (folder / "systemd-tmpfiles").write_text("#!/bin/sh\n")
        for name in ("systemd-sysusers", "systemd-tmpfiles"):
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder), prepend=":")
        monkeypatch.setattr(installer, "SOURCE", self.source)
        self.target = Target(self.root, live=True)

    def refuse_to_start(self, state: str) -> None:
        path = self.folder / "systemctl"
        path.write_text(SYSTEMCTL.format(folder=self.folder, state=state))
        path.chmod(0o755)

    def next_release(self, *, bad: bool = False) -> str:
        (self.source / "tools/README.md").write_text(os.urandom(8).hex())
        name = release_id(self.source)
        if bad:
            (self.folder / f"bad-{name}").touch()
        return name

    @property
    def running(self) -> str:
        return self.target.current.readlink().name


@pytest.fixture
def system(tmp_path, monkeypatch, project_root) -> System:
    return System(tmp_path, monkeypatch, project_root)


def test_an_upgrade_switches_to_the_new_release_and_keeps_the_last_one(system) -> None:
    names = []
    for _ in range(3):
        names.append(system.next_release())
        install(system.target, ready_s=5)
        assert system.running == names[-1]
    kept = {path.name for path in system.target.releases.iterdir()}
    assert kept == set(names[1:])


@pytest.mark.parametrize("state", ["activating", "failed"])
def test_a_release_that_does_not_become_ready_is_taken_back(system, state) -> None:
    good = system.next_release()
    install(system.target, ready_s=5)
    system.refuse_to_start(state)
    (system.source / "systemd/taped-new.service").write_text("[Service]\nExecStart=/bin/true\n")
    system.next_release(bad=True)
    with pytest.raises(InstallError, match="taken back"):
        install(system.target, ready_s=1)
    assert system.running == good
    assert not (system.target.units / "taped-new.service").exists()


def test_a_first_release_that_does_not_start_says_where_to_look(system) -> None:
    system.next_release(bad=True)
    with pytest.raises(InstallError, match="journalctl -u taped"):
        install(system.target, ready_s=1)


def test_a_release_that_refuses_the_settings_is_never_switched_to(system) -> None:
    good = system.next_release()
    install(system.target, ready_s=5)
    system.next_release()
    (system.folder / "refuse").touch()
    with pytest.raises(InstallError, match="refuses"):
        install(system.target, ready_s=5)
    assert system.running == good


def test_a_release_that_was_cut_off_half_way_is_laid_out_anew(system) -> None:
    name = system.next_release()
    half = system.target.releases / name
    half.mkdir(parents=True)
    (half / "left").touch()
    install(system.target, ready_s=5)
    assert not (half / "left").exists()


def test_a_release_that_lost_its_environment_is_laid_out_anew(system) -> None:
    install(system.target, ready_s=5)
    shutil.rmtree(system.target.current / ".venv")
    install(system.target, ready_s=5)
    assert (system.target.current / ".venv/bin/taped").exists()


def test_units_are_enabled_and_started(system) -> None:
    system.next_release()
    install(system.target, ready_s=5)
    asked = (system.folder / "asked").read_text()
    assert "enable --quiet taped.service taped-fan-failsafe.service" in asked
    assert "enable --quiet --now taped-smart.timer" in asked


def test_uninstall_leaves_settings_and_data(system) -> None:
    system.next_release()
    install(system.target, ready_s=5)
    data = system.target.at("/var/lib/taped")
    data.mkdir(parents=True)
    uninstall(system.target)
    left = {path.relative_to(system.root).as_posix() for path in system.root.rglob("*") if path.is_file()}
    assert left == {"etc/taped/taped.toml", "etc/taped/metrics-scrape.yml"}
    assert data.is_dir()
    assert not system.target.current.is_symlink()


def test_the_link_is_switched_by_one_rename_and_is_good_below_any_root(system) -> None:
    release = system.target.releases / "one"
    shutil.copytree(system.source / "systemd", release / "systemd")
    switch(system.target, release)
    assert system.target.current.readlink() == Path("taped-releases/one")


def test_a_folder_in_the_place_of_the_link_is_left_alone(tmp_path, capsys) -> None:
    (tmp_path / "opt/taped").mkdir(parents=True)
    assert main(["--root", str(tmp_path)]) == 1
    assert "move it away" in capsys.readouterr().err


def test_equal_content_is_one_release_and_any_other_byte_another(tmp_path) -> None:
    (tmp_path / "daemon").mkdir()
    (tmp_path / "daemon/a.py").write_text("1")
    first = release_id(tmp_path)
    (tmp_path / "daemon/__pycache__").mkdir()
    (tmp_path / "daemon/__pycache__/a.pyc").write_text("x")
    assert release_id(tmp_path) == first
    (tmp_path / "daemon/a.py").write_text("2")
    assert release_id(tmp_path) != first
