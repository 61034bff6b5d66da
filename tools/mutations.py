"""`python -m tools.mutations`: takes one safeguard of the journal away at a time; the tests must notice.

It works on a copy of the checkout in a scratch folder and changes nothing here. A mutation whose text is
not found any more is an error: this list has to follow the code.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tools.output import print_table

ROOT = Path(__file__).resolve().parent.parent
_COPIED = ("daemon", "replay", "schemas", "tests", "tools", "pyproject.toml")
_CRASH = "tests/crash/journal"
_JOURNAL = "tests/daemon/journal"


class Mutation(NamedTuple):
    """One safeguard, and the text that takes it away."""

    safeguard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_DAMAGE = (f"{_CRASH}/test_damage.py",)
_POWER = (f"{_CRASH}/test_power_cut.py",)
_ARCHIVE = (f"{_CRASH}/test_archive_power_cut.py",)

MUTATIONS = (
    Mutation(
        "archive: synced before its original goes",
        "daemon/journal/archive.py",
        "        disk.sync_file(fd)\n",
        "",
        _ARCHIVE,
    ),
    Mutation(
        "archive: its name synced before its original goes",
        "daemon/journal/archive.py",
        "    disk.sync_directory(final.parent)\n",
        "",
        _ARCHIVE,
    ),
    Mutation(
        "archive: the folder's own name",
        "daemon/journal/archive.py",
        "        disk.sync_directory(directory)\n        with",
        "        with",
        _ARCHIVE,
    ),
    Mutation(
        "retention: the base state synced before anything goes",
        "daemon/journal/base_file.py",
        "        disk.sync_file(fd)\n",
        "",
        _ARCHIVE,
    ),
    Mutation(
        "retention: the base state's name synced before anything goes",
        "daemon/journal/base_file.py",
        "    disk.sync_directory(directory)\n",
        "",
        _ARCHIVE,
    ),
    Mutation(
        "fdatasync: the writer's call",
        "daemon/journal/writer.py",
        "        self._disk.sync(self._fd)\n",
        "",
        _POWER,
    ),
    Mutation(
        "fdatasync: the call under it",
        "daemon/journal/disk.py",
        '"""Make written data durable."""\n        os.fdatasync(fd)\n',
        '"""Make written data durable."""\n',
        _POWER,
    ),
    Mutation(
        "directory sync: a new segment's name",
        "daemon/journal/writer.py",
        "        self._disk.sync_directory(self.directory)\n",
        "",
        _POWER,
    ),
    Mutation(
        "directory sync: the call under it",
        "daemon/journal/disk.py",
        "            os.fsync(fd)\n        finally:",
        "            pass\n        finally:",
        _POWER,
    ),
    Mutation(
        "directory sync: the folder's own name",
        "daemon/journal/writer.py",
        "                disk.sync_directory(folder.parent)\n",
        "                pass\n",
        _POWER,
    ),
    Mutation(
        "CRC: of the frame header", "schemas/frame.py", "    if found != crc:\n", "    if False:\n", _DAMAGE
    ),
    Mutation(
        "CRC: of body and padding",
        "daemon/journal/segment.py",
        "        if found != header.body_crc:\n",
        "        if False:\n",
        _DAMAGE,
    ),
    Mutation(
        "CRC: of the segment header",
        "schemas/frame.py",
        "    if found != expected:\n",
        "    if False:\n",
        _DAMAGE,
    ),
    Mutation(
        "chain: from frame to frame",
        "daemon/journal/segment.py",
        "        if self.previous_crc not in (header.previous_crc, -1):\n",
        "        if False:\n",
        _DAMAGE,
    ),
    Mutation(
        "chain: from segment to segment",
        "daemon/journal/recovery.py",
        "        if value != expected:\n",
        "        if False:\n",
        _DAMAGE,
    ),
    Mutation(
        "a later whole frame proves damage",
        "daemon/journal/recovery.py",
        "    if later is not None:\n",
        "    if False:\n",
        _DAMAGE,
    ),
    Mutation(
        "sync at the start: data a killed writer left",
        "daemon/journal/recovery.py",
        "        disk.sync_file(fd)\n        disk.forget(fd)\n",
        "        disk.forget(fd)\n",
        _POWER,
    ),
    Mutation(
        "sync at the start: names a killed writer left",
        "daemon/journal/recovery.py",
        "    disk.sync_directory(last.path.parent)\n",
        "",
        _POWER,
    ),
    Mutation(
        "reading from the device after a failed sync",
        "daemon/journal/recovery.py",
        "        disk.forget(fd)\n",
        "",
        _POWER,
    ),
    Mutation(
        "one writer: the folder's lock",
        "daemon/journal/lock.py",
        "            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "            pass\n",
        (f"{_JOURNAL}/test_writer.py",),
    ),
    Mutation(
        "poison: nothing after a failed write or sync",
        "daemon/journal/writer.py",
        "        if self._poison is not None:\n",
        "        if False:\n",
        (f"{_JOURNAL}/test_writer.py", f"{_CRASH}/test_refusals.py"),
    ),
    Mutation(
        "watermark: an end below what was told",
        "daemon/journal/recovery.py",
        "    if state.next_seq <= watermark:\n",
        "    if False:\n",
        (f"{_JOURNAL}/test_recovery.py",),
    ),
    Mutation(
        "seal: its hash, by verify",
        "daemon/journal/verify.py",
        "    if sha256 != seal.sha256:\n",
        "    if False:\n",
        (f"{_JOURNAL}/test_verify.py", f"{_JOURNAL}/test_recovery.py", *_DAMAGE),
    ),
    Mutation(
        "tail: only what is durable, in the writer's process",
        "daemon/journal/tail.py",
        "            return batch.last_seq <= self._durable_seq()\n",
        "            return True\n",
        (f"{_JOURNAL}/test_tail.py",),
    ),
    Mutation(
        "tail: only what a later frame certifies, elsewhere",
        "daemon/journal/tail.py",
        "        return segment.is_followed()\n",
        "        return True\n",
        (f"{_JOURNAL}/test_tail.py",),
    ),
    Mutation(
        "archive: proven before the original goes",
        "daemon/journal/archive.py",
        "        reader.check()\n",
        "",
        (f"{_JOURNAL}/test_archive.py",),
    ),
)


def copy_checkout(target: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, target / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(source, target / name)


def run_tests(checkout: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run the tests on the copy; return pytest's exit code and its output."""
    done = subprocess.run(  # noqa: S603
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-p",
            "no:cacheprovider",
            "--show-capture=no",
            "--tb=line",
            *tests,
        ],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    return done.returncode, done.stdout + done.stderr


def attempt(checkout: Path, mutation: Mutation) -> tuple[bool, str]:
    """Run the tests without the safeguard; return whether they noticed, and which one did first."""
    path = checkout / mutation.file
    whole = path.read_text()
    if whole.count(mutation.old) != 1:
        return False, f"{mutation.file} does not hold this text once: {mutation.old.strip()}"
    path.write_text(whole.replace(mutation.old, mutation.new))
    try:
        code, output = run_tests(checkout, mutation.tests)
    finally:
        path.write_text(whole)
    failed = re.search(r"FAILED \S+::(\S+)", output)
    if code == 1 and failed:
        return True, failed[1]
    return False, "nothing noticed" if code == 0 else f"pytest ended with {code}: {output[-300:]}"


def main(argv: list[str] | None = None) -> int:
    """Run all mutations; 0 when the tests pass unchanged and fail under each."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutations", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", default="", help="mutations whose name holds this text")
    arguments = parser.parse_args(argv)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="taped-mutations-") as folder:
        checkout = Path(folder)
        copy_checkout(checkout)
        tests = tuple(sorted({test for mutation in MUTATIONS for test in mutation.tests}))
        code, output = run_tests(checkout, tests)
        if code:
            sys.stderr.write(f"{output}\nthe tests do not pass as they are\n")
            return 1
        for mutation in MUTATIONS:
            if arguments.only in mutation.safeguard:
                started = time.monotonic()
                noticed, how = attempt(checkout, mutation)
                seconds = f"{time.monotonic() - started:.0f} s"
                rows.append([mutation.safeguard, "noticed" if noticed else "MISSED", how, seconds])
    print_table(["without", "result", "first test that failed", "time"], rows)
    missed = sum(row[1] != "noticed" for row in rows)
    print(f"{len(rows) - missed} of {len(rows)} noticed")
    return 1 if missed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
