"""The wheel: that it holds what runs, that it runs, and that its top-level names are ours alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PACKAGES = ("daemon", "replay", "schemas", "tools")
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.lock", "demo", "install", "lock", "setup", "test")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, project_root):
    """Build the wheel from a copy, so that neither the checkout nor another test is touched."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(project_root / package, source / package, ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project_root / name, source)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "out"]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (source / "out").glob("taped-*.whl")
    return path


def shipped_files(project_root):
    """Return what must be in the wheel: all source, SQL, static files and READMEs of the packages."""
    return {
        path.relative_to(project_root).as_posix()
        for package in PACKAGES
        for path in (project_root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        if path.suffix in {".py", ".sql"} or path.name == "README.md" or "static" in path.parts
    }


def test_the_wheel_holds_every_source_sql_static_file_and_readme(wheel, project_root):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = shipped_files(project_root)
    assert {"schemas/read_model.sql", "daemon/api/static/index.html", "schemas/README.md"} <= expected
    assert expected - names == set()


def test_the_wheel_holds_nothing_but_the_packages(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_carries_the_licence(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert any(re.fullmatch(r"taped-[^/]+\.dist-info/(licenses/)?LICENSE", name) for name in names)


def test_the_installed_wheel_runs_without_the_checkout(wheel, tmp_path):
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-index", "--no-deps", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120, capture_output=True)
    env = {**os.environ, "PYTHONPATH": str(target)}

    def output(*command):
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    where = output(sys.executable, "-c", "import tools.cli, daemon.config; print(tools.cli.__file__)")
    assert Path(where).is_relative_to(target)
    assert re.fullmatch(r"taped \d+\.\d+\.\d+", output(str(target / "bin" / "taped"), "--version"))
    assert "api.port" in output(str(target / "bin" / "taped"), "check-config")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_top_level_name_is_ours_and_nobody_elses(package):
    assert set(packages_distributions()[package]) == {"taped"}


def locked(path):
    """Return name to version of a lock file."""
    text = path.read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9-]*)==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes_and_no_address(project_root, name):
    text = (project_root / "tools" / name).read_text(encoding="utf-8")
    assert "://" not in text
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries if not entry.startswith("#"))


def test_both_locks_agree_and_cover_what_the_project_declares(project_root):
    run = locked(project_root / "tools" / "requirements.lock")
    dev = locked(project_root / "tools" / "requirements-dev.lock")
    assert run.items() <= dev.items()
    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        assert re.match(r"[a-z0-9-]+", requirement)[0] in run
    for requirement in project["optional-dependencies"]["dev"]:
        assert re.match(r"[a-z0-9-]+", requirement.lower())[0] in dev


def test_every_dependency_has_its_reason(project_root):
    text = (project_root / "pyproject.toml").read_text(encoding="utf-8")
    lines = re.findall(r'^ {4}"[a-z0-9-]+[><=][^"]*",.*$', text, re.MULTILINE)
    assert len(lines) > 15
    assert all(re.search(r"# \S+", line) for line in lines)


@pytest.mark.parametrize("name", ["tools/setup", "tools/demo", "tools/test", "tools/lock", ".ci/run"])
def test_entry_points_can_be_executed_and_are_sound_shell(project_root, name):
    path = project_root / name
    assert os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)


def test_setup_refuses_an_unknown_argument(project_root):
    done = subprocess.run(
        [project_root / "tools" / "setup", "--no-such"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    usage = "usage: tools/setup [--dev | --service | --research] [--charts]\n"
    assert (done.returncode, done.stderr) == (2, usage)


def test_setup_says_what_to_do_where_no_python_fits(project_root, tmp_path):
    (tmp_path / "tools").mkdir()
    for name in ("setup", "requirements.lock"):
        shutil.copy(project_root / "tools" / name, tmp_path / "tools")
    shutil.copy(project_root / "pyproject.toml", tmp_path)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in ("cat", "cksum", "dirname", "sh"):
        (bin_ / tool).symlink_to(shutil.which(tool))
    (bin_ / "python3").write_text("#!/bin/sh\necho 'python3: command not found' >&2\nexit 127\n")
    (bin_ / "python3").chmod(0o755)
    done = subprocess.run(
        [tmp_path / "tools" / "setup"],
        env={"PATH": str(bin_)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "no Python from 3.11 to 3.13 was found" in done.stderr
    assert not (tmp_path / ".venv").exists()
