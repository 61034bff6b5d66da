"""What the doctor looks at: one machine's files, commands, settings and data folder. Decides nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from daemon.hardware.sysfs import read_text
from daemon.settings import Settings

COMMAND_TIMEOUT_S = 5.0
SYSTEM_CONFIG = Path("/etc/taped/taped.toml")
NO_PI = "this is no Raspberry Pi"

_ESCAPED = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One file system that is mounted."""

    point: Path
    options: tuple[str, ...]
    kind: str
    source: str
    device: str
    """Major and minor number, as `/sys/dev/block` names them."""


def run_command(words: Sequence[str]) -> str | None:
    """Return what a command prints, whatever its exit code; None where it is absent or hangs."""
    program = shutil.which(words[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # Fixed words, no shell.
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace").strip()


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine.

    Attributes:
        settings: of the daemon that runs or will run here.
        config: the file they came from; None for defaults and environment.
        mistake: why the settings could not be read; `settings` are the defaults then.
        root: where `/sys`, `/proc`, `/dev` and `/etc` are looked for; a folder in tests.
        command: runs a command and returns what it prints, or None.
    """

    settings: Settings
    config: Path | None = None
    mistake: str = ""
    root: Path = Path("/")
    command: Callable[[Sequence[str]], str | None] = field(default=run_command)

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.settings.data

    def text(self, path: str) -> str | None:
        """Return a small file's text, or None; `path` has no leading slash."""
        return read_text(self.root / path)

    @property
    def model(self) -> str:
        """What the board calls itself, such as `Raspberry Pi 5 Model B Rev 1.0`; empty elsewhere."""
        return (self.text("proc/device-tree/model") or "").rstrip("\0")

    @property
    def is_pi(self) -> bool:
        """Whether this is a Raspberry Pi."""
        return self.model.startswith("Raspberry Pi")

    def mounts(self) -> list[Mount]:
        """Return what is mounted, in the order of mounting (proc(5), mountinfo)."""
        try:
            lines = (self.root / "proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        return [mount for line in lines if (mount := _mount(line)) is not None]

    def mount_of(self, path: Path) -> Mount | None:
        """Return the file system that a path lies on, whether or not the path exists yet."""
        found = path.resolve()
        on = [mount for mount in self.mounts() if found.is_relative_to(mount.point)]
        # Of two at one place, the later one lies on top.
        return max(enumerate(on), key=lambda item: (len(item[1].point.parts), item[0]))[1] if on else None

    def disk_of(self, mount: Mount) -> str:
        """Return the name of the disk below a mount, such as `nvme0n1`; empty for one without a disk."""
        block = self.root / "sys/dev/block" / mount.device
        if not block.exists():
            # Btrfs and overlays have numbers of their own; the source names the partition.
            block = self.root / "sys/class/block" / Path(mount.source).name
        if not mount.source.startswith("/dev/") or not block.exists():
            return ""
        return self._whole(block.resolve())

    def _whole(self, block: Path) -> str:
        slaves = sorted(block.glob("slaves/*"))
        if slaves:
            return self._whole(slaves[0].resolve())
        return block.parent.name if (block / "partition").exists() else block.name


def existing(path: Path) -> Path:
    """Return the path itself, or the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _mount(line: str) -> Mount | None:
    words = line.split(" ")
    if "-" not in words[6:]:
        return None
    end = words.index("-", 6)
    if len(words) < end + 4:
        return None
    options = (*words[5].split(","), *words[end + 3].split(","))
    return Mount(Path(_plain(words[4])), options, words[end + 1], _plain(words[end + 2]), words[2])


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
