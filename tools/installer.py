"""`tools/install`: taped as a service, into the system or a folder; upgrades with a way back.

    /opt/taped -> taped-releases/ID      the release that runs; switched by one rename
    /opt/taped-releases/ID               sources and environment of a release; the last two are kept
    /etc/taped/taped.toml                settings; never overwritten
    /etc/systemd/system/taped*           units, those of the release that runs
    /var/lib/taped                       data; never touched

Runs before there is an environment, so it imports nothing but the standard library. It starts no release
that refuses the settings, and goes back to the last one when the new one does not become ready in time.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parents[1]
PARTS = ("daemon", "replay", "schemas", "tools", "systemd", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})
CONFIGS = ("taped.toml", "metrics-scrape.yml")
STARTED = ("taped.service", "taped-fan-failsafe.service")
TIMERS = ("taped-smart.timer", "taped-backup.timer", "taped-parity.timer")
READY_S = 30
KEPT = 2
_COMPLETE = ".complete"


class InstallError(Exception):
    """It cannot go on; the text says why and what to do."""


class Target(NamedTuple):
    """Where it goes: a root folder, and whether that is the running system."""

    root: Path
    live: bool

    def at(self, path: str) -> Path:
        """Return a path of the system below the root."""
        return self.root / path.lstrip("/")

    @property
    def current(self) -> Path:
        """The link to the release that runs."""
        return self.at("/opt/taped")

    @property
    def releases(self) -> Path:
        """The folder of all releases."""
        return self.at("/opt/taped-releases")

    @property
    def units(self) -> Path:
        """The folder of the system's own units."""
        return self.at("/etc/systemd/system")


def say(text: str) -> None:
    """Tell what is done."""
    print(f"install: {text}", file=sys.stderr)


def main(words: Sequence[str] | None = None) -> int:
    """Install, upgrade or uninstall; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="tools/install",
        description="Installs taped as a service, or upgrades it: user taped, release in /opt/taped, settings"
        " in /etc/taped, data in /var/lib/taped, units enabled. A release that is not ready in time is"
        " taken back. Safe to run again.",
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="lay everything out in a folder; start nothing"
    )
    parser.add_argument("--uninstall", action="store_true", help="remove all but settings and data")
    parser.add_argument(
        "--ready-seconds",
        type=int,
        default=READY_S,
        metavar="N",
        help="how long a start may take (%(default)s)",
    )
    arguments = parser.parse_args(words)
    target = Target((arguments.root or Path("/")).resolve(), live=arguments.root is None)
    try:
        check(target)
        if arguments.uninstall:
            uninstall(target)
        else:
            install(target, ready_s=arguments.ready_seconds)
    except InstallError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.filename or 'the system'}: {error.strerror}")
        return 1
    return 0


def check(target: Target) -> None:
    """Refuse what cannot work.

    Raises:
        InstallError: no root, no systemd, or something else in the place of the link.
    """
    if target.live and os.geteuid() != 0:
        raise InstallError("only root may install it: sudo ./tools/install (or --root DIR to have a look)")
    if target.live and not Path("/run/systemd/system").is_dir():
        raise InstallError("systemd does not run here; --root DIR lays everything out in a folder")
    if target.current.exists() and not target.current.is_symlink():
        raise InstallError(f"{target.current} is a folder, expected a link: move it away and run this again")


def install(target: Target, *, ready_s: int) -> None:
    """Lay out this release and switch to it."""
    before = target.current.resolve() if target.current.is_symlink() else None
    release = _lay_out(target)
    _make_users(target)
    _make_configs(target, release)
    _check_config(target, release)
    switch(target, release)
    if target.live:
        _start(target, before, ready_s)
    _forget_old(target, release)
    say(f"taped is in {target.current}, its settings in {target.at('/etc/taped')}")
    if target.live:
        _run(_taped(target, "doctor", "--config", str(target.at("/etc/taped/taped.toml"))), check=False)


def release_id(source: Path) -> str:
    """Return the name of a release: the same content has the same name."""
    found = hashlib.sha256()
    for path in _files(source):
        found.update(f"{path.relative_to(source)}\0".encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _files(source: Path) -> Iterator[Path]:
    for part in PARTS:
        path = source / part
        if path.is_file():
            yield path
        else:
            yield from sorted(
                p for p in path.rglob("*") if p.is_file() and not LEFT_OUT.intersection(p.parts)
            )


def _lay_out(target: Target) -> Path:
    """Copy the sources and make the environment; a release that is complete is taken as it is."""
    release = target.releases / release_id(SOURCE)
    if (release / _COMPLETE).exists() and (release / ".venv/bin/taped").exists():
        say(f"release {release.name} is there already")
        return release
    say(f"release {release.name}")
    shutil.rmtree(release, ignore_errors=True)
    for path in _files(SOURCE):
        copy = release / path.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    # An environment knows its own place, so it is made where it stays.
    _run([str(release / "tools/setup"), "--service"])
    (release / _COMPLETE).touch()
    return release


def _make_users(target: Target) -> None:
    for kind in ("sysusers", "tmpfiles"):
        _copy(SOURCE / f"systemd/taped.{kind}", target.at(f"/etc/{kind}.d/taped.conf"), 0o644)
    if os.geteuid() != 0:
        say("users and folders are made by root alone; left out here")
        return
    root = [] if target.live else [f"--root={target.root}"]
    _run(["systemd-sysusers", *root, "taped.conf"])
    _run(["systemd-tmpfiles", *root, "--create", "taped.conf"])


def _make_configs(target: Target, release: Path) -> None:
    """Put settings in place where there are none; a newer example goes beside them."""
    folder = target.at("/etc/taped")
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    for name in CONFIGS:
        example, path = release / "systemd" / name, folder / name
        if not path.exists():
            _copy(example, path, 0o640)
            found = folder.stat()
            if os.geteuid() == 0:
                os.chown(path, found.st_uid, found.st_gid)
        elif path.read_bytes() != example.read_bytes():
            _copy(example, folder / f"{name}.example", 0o640)


def _check_config(target: Target, release: Path) -> None:
    config = target.at("/etc/taped/taped.toml")
    done = subprocess.run(  # noqa: S603  # Our own program.
        [release / ".venv/bin/taped", "check-config", "--quiet", config], check=False
    )
    if done.returncode:
        raise InstallError(f"this release refuses {config}; nothing was changed: mend it and run this again")


def switch(target: Target, release: Path) -> None:
    """Let a release be the one that runs: its units, then the link."""
    target.units.mkdir(parents=True, exist_ok=True)
    units = [path for path in (release / "systemd").iterdir() if path.suffix in (".service", ".timer")]
    for path in target.units.glob("taped*"):
        if path.suffix in (".service", ".timer") and path.name not in {unit.name for unit in units}:
            path.unlink()
    for unit in units:
        _copy(unit, target.units / unit.name, 0o644)
    _copy(
        release / "systemd/watchdog.conf", target.at("/etc/systemd/system.conf.d/taped-watchdog.conf"), 0o644
    )
    draft = target.current.with_name("taped.new")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path(target.releases.name) / release.name)
    draft.replace(target.current)


def _start(target: Target, before: Path | None, ready_s: int) -> None:
    """Start the release and wait until it is ready; else take the last one again.

    Raises:
        InstallError: it did not become ready.
    """
    _run(["systemctl", "daemon-reload"])
    _run(["systemctl", "enable", "--quiet", *STARTED])
    timers = [name for name in TIMERS if (target.units / name).exists()]
    _run(["systemctl", "enable", "--quiet", "--now", *timers])
    if _becomes_ready(ready_s):
        return
    if before is None or not (before / _COMPLETE).exists():
        raise InstallError(f"taped was not ready within {ready_s} s; see `journalctl -u taped`")
    say(f"not ready within {ready_s} s: back to release {before.name}")
    switch(target, before)
    _run(["systemctl", "daemon-reload"])
    if not _becomes_ready(ready_s):
        raise InstallError("the last release does not start either; see `journalctl -u taped`")
    raise InstallError("the new release was taken back, the last one runs; see `journalctl -u taped`")


def _becomes_ready(ready_s: int) -> bool:
    _run(["systemctl", "reset-failed", "taped.service"], check=False)
    _run(["systemctl", "restart", "--no-block", "taped.service"])
    until = time.monotonic() + ready_s
    while time.monotonic() < until:
        time.sleep(0.5)
        told = _ask(["systemctl", "show", "--property=ActiveState,Job", "taped.service"]).split()
        # With a job left (Job=17), what is active is still the release before.
        if "ActiveState=active" in told and "Job=" in told:
            return True
        if "ActiveState=failed" in told:
            return False
    return False


def _forget_old(target: Target, release: Path) -> None:
    """Keep the release that runs and the newest other one."""
    others = [path for path in target.releases.iterdir() if path != release]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEPT - 1 :]:
        shutil.rmtree(path)


def uninstall(target: Target) -> None:
    """Remove units and releases; settings, data and the user that owns them stay."""
    units = [path for path in target.units.glob("taped*") if path.suffix in (".service", ".timer")]
    if target.live and units:
        names = [path.name for path in units if "@" not in path.name]
        _run(["systemctl", "disable", "--quiet", "--now", *names], check=False)
    for path in units:
        path.unlink()
    for name in (
        "/etc/systemd/system.conf.d/taped-watchdog.conf",
        "/etc/sysusers.d/taped.conf",
        "/etc/tmpfiles.d/taped.conf",
    ):
        target.at(name).unlink(missing_ok=True)
    target.current.unlink(missing_ok=True)
    shutil.rmtree(target.releases, ignore_errors=True)
    if target.live:
        _run(["systemctl", "daemon-reload"])
    say(f"removed; {target.at('/etc/taped')}, {target.at('/var/lib/taped')} and the user taped stay")


def _taped(target: Target, *words: str) -> list[str]:
    return [str(target.current / ".venv/bin/taped"), *words]


def _copy(source: Path, path: Path, mode: int) -> None:
    """Put a file in place as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    shutil.copyfile(source, draft)
    draft.chmod(mode)
    draft.replace(path)


def _run(words: Sequence[str], *, check: bool = True) -> None:
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, check=False)  # noqa: S603  # Fixed words.
    except FileNotFoundError as error:
        raise InstallError(f"{words[0]} is not there") from error
    if check and done.returncode:
        raise InstallError(f"`{' '.join(words)}` ended with {done.returncode}")


def _ask(words: Sequence[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout  # noqa: S603  # Fixed words.


if __name__ == "__main__":
    sys.exit(main())
