"""The system around the daemon: clock, watchdog, control groups, pressure, versions, port, modes of files."""

from __future__ import annotations

import os
import pwd
import re
import socket
import sqlite3
import stat
import sys
import sysconfig
from pathlib import Path

import apsw

from daemon import clock
from daemon.hardware.sysfs import read_pressure
from schemas.frame import PAGE
from tools import client
from tools.doctor.finding import Check, Finding, absent, failure, ok, unknown, warning
from tools.doctor.fixes import set_mode
from tools.doctor.machine import Machine, existing

CMDLINE = "/boot/firmware/cmdline.txt"
_WATCHDOG_MAX_S = 15.0
_MIN_SQLITE = (3, 40)
_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_SECRET = 0o077
_OF_OTHERS = 0o007


def time_synchronized(_machine: Machine) -> Finding:
    """Tell whether somebody keeps the clock right."""
    if clock.synchronized():
        return ok("the kernel's clock is disciplined")
    return failure(
        "nobody keeps the clock right",
        "systemctl enable --now systemd-timesyncd, or install chrony; then see `timedatectl`",
    )


def watchdog(machine: Machine) -> Finding:
    """Tell whether the board restarts itself when the system hangs."""
    if not (machine.root / "dev/watchdog").exists():
        return (
            unknown("/dev/watchdog is not there", "dtparam=watchdog=on in /boot/firmware/config.txt")
            if (machine.is_pi)
            else absent("/dev/watchdog is not there")
        )
    answer = machine.command(("systemctl", "show", "--property=RuntimeWatchdogUSec", "--value"))
    seconds = _seconds(answer or "")
    if seconds is None:
        return unknown("/dev/watchdog is there; systemd does not tell whether it is used")
    if seconds == 0:
        return warning(
            "/dev/watchdog is there, and nobody uses it",
            "copy watchdog.conf to /etc/systemd/system.conf.d/taped-watchdog.conf; systemctl daemon-reexec",
        )
    seen = f"the system is restarted after {seconds:g} s of silence"
    if machine.is_pi and seconds > _WATCHDOG_MAX_S:
        return warning(
            seen, f"RuntimeWatchdogSec of at most {_WATCHDOG_MAX_S:g} s: the board cannot wait longer"
        )
    return ok(seen)


def _seconds(text: str) -> float | None:
    """Return what systemd writes for a time, such as `1min 4s`; `0` and `infinity` are no watchdog."""
    if text in ("0", "infinity"):
        return 0.0
    parts = re.findall(r"(\d+(?:\.\d+)?)([a-z]+)", text)
    if not parts or any(unit not in _UNITS_S for _, unit in parts):
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def memory_accounting(machine: Machine) -> Finding:
    """Tell whether the kernel counts memory by service."""
    controllers = machine.text("sys/fs/cgroup/cgroup.controllers")
    rows = [line.split() for line in (machine.text("proc/cgroups") or "").splitlines()]
    if controllers is None and not rows:
        return unknown("the kernel has no control groups")
    if "memory" in (controllers or "").split() or any(
        row[0] == "memory" and row[-1] == "1" for row in rows if row
    ):
        return ok("the kernel counts memory by service")
    return warning(
        "the kernel does not count memory by service: MemoryMax of the unit does nothing",
        f"add cgroup_enable=memory cgroup_memory=1 to the one line of {CMDLINE}, and restart",
    )


def pressure(machine: Machine) -> Finding:
    """Tell whether the kernel says how long tasks wait."""
    share = read_pressure(machine.root / "proc/pressure/io")
    if share is not None:
        return ok(f"tasks waited for a disk {share:g} % of the last 10 s")
    return warning(
        "the kernel does not tell how long tasks wait (PSI)",
        f"add psi=1 to the one line of {CMDLINE}, and restart"
        if machine.is_pi
        else "start the kernel with psi=1",
    )


def page_size(machine: Machine) -> Finding:
    """Tell whether a page of the journal is a whole block of the file system."""
    page = os.sysconf("SC_PAGE_SIZE")
    block = os.statvfs(existing(machine.data)).f_bsize
    seen = f"pages of {page:,} bytes, blocks of {block:,}"
    if block > PAGE:
        return warning(
            seen,
            f"make the file system anew with blocks of {PAGE:,}: a torn write could reach a page before it",
        )
    return ok(seen)


def python(_machine: Machine) -> Finding:
    """Tell which interpreter runs."""
    version = ".".join(map(str, sys.version_info[:3]))
    # Debian's own is built in a way of its own that these words do not tell.
    of_system = sys.base_prefix == "/usr"
    optimised = of_system or "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    origin = "the system's own" if of_system else sys.base_prefix
    seen = f"Python {version}, {origin}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return failure(seen, "use Python 3.11 to 3.13")
    return (
        ok(seen)
        if optimised
        else warning(
            f"{seen}, built without profile-guided optimisation", "the system's own python3 is a tenth faster"
        )
    )


def sqlite(_machine: Machine) -> Finding:
    """Tell both SQLite libraries: the read model's, and the interpreter's for access.db and runs.db."""
    own, interpreters = apsw.sqlite_lib_version(), sqlite3.sqlite_version
    seen = f"SQLite {own} for the read model, {interpreters} for access.db"
    if min(_numbers(own), _numbers(interpreters)) < _MIN_SQLITE:
        return warning(seen, "3.40 or newer, as Debian 12 has it; older ones were not tried")
    return ok(seen)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def port(machine: Machine) -> Finding:
    """Tell who has the API's port."""
    host, number = machine.settings.api.host, machine.settings.api.port
    if number == 0:
        return absent("api.port is 0: any free one is taken")
    if health := _health(host, number):
        return ok(f"{host}:{number}: taped answers, {health}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((host, number))
    except OSError as error:
        return failure(f"{host}:{number}: {error.strerror}", "see `ss -tlnp`, or set api.port to a free one")
    return ok(f"{host}:{number} is free")


def _health(host: str, port: int) -> str:
    try:
        answer = client.Client(client.url_of(host, port)).get("/health", accept=503).document
    except (client.ClientError, client.RefusedError):
        return ""
    return str(answer.get("status", ""))


def file_modes(machine: Machine) -> Finding:
    """Tell whether others may read what is theirs not to know."""
    for path, forbidden, mode in _guarded(machine):
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        except PermissionError:
            return unknown(f"{path} may not be looked at by this user", "run it with sudo")
        bits = stat.S_IMODE(found.st_mode)
        if bits & forbidden:
            fix = set_mode(path, mode)
            return failure(
                f"{path} has mode {bits:04o} and belongs to {_owner(found.st_uid)}", fix.shown, fix
            )
    return ok("nothing secret is open to other users")


def _guarded(machine: Machine) -> list[tuple[Path, int, int]]:
    """Return the paths, the permissions they must not have, and the mode they should have."""
    paths = [(machine.data, _OF_OTHERS, 0o750)]
    if machine.config is not None:
        paths.append((machine.config, 0o022 | _OF_OTHERS, 0o640))
    return [*paths, *((machine.data / name, _SECRET, 0o600) for name in ("admin.token", "access.db"))]


def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


CHECKS = (
    Check("clock", "Orders and bars carry its time, and a venue refuses a wrong one.", time_synchronized),
    Check("watchdog", "A system that hangs holds positions and watches nothing.", watchdog),
    Check("memory accounting", "A leak must end the daemon, and not the machine.", memory_accounting),
    Check("pressure", "It tells whether the machine is too small before orders are late.", pressure),
    Check(
        "page size",
        "A page of the journal must never share a block with one that was synced before.",
        page_size,
    ),
    Check("Python", "The whole daemon runs in it.", python),
    Check("SQLite", "Two libraries, each for its own files.", sqlite),
    Check("port", "Commands, dashboard and monitoring come in there.", port),
    Check("file modes", "Who reads a token may trade.", file_modes),
)
