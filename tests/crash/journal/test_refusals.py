"""A disk that refuses: EIO and ENOSPC at any call, short writes, strace's faults, a really full disk."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalError, JournalPoisonedError
from daemon.journal.spare import Spare
from daemon.journal.writer import JournalWriter
from tests.crash.journal.fault_disk import FaultDisk, lay_out
from tests.crash.journal.journals import (
    TINY,
    assert_recovers,
    assert_whole,
    history,
    let_go,
    make_journal,
    open_tiny,
    read_facts,
    trades,
)

FAULTS = ["create", "write", "sync", "sync_file", "fill", "truncate", "rename", "sync_directory", "unlink"]


def run_into(folder: Path, disk: Disk) -> tuple[int, bool]:
    """Append until the disk refuses; return the acknowledged number and whether it did."""
    acknowledged = 0
    try:
        writer = JournalWriter.open(folder, segment_bytes=TINY, disk=disk)
    except JournalError:
        return 0, True
    try:
        for _ in range(7):
            writer.append(trades(writer.next_seq, 2))
            acknowledged = writer.next_seq - 1
    except JournalPoisonedError:
        with pytest.raises(JournalPoisonedError):
            writer.append(trades(writer.next_seq, 1))
        assert writer.next_seq - 1 == acknowledged, "what failed has no number"
        writer.close()
        return acknowledged, True
    try:
        writer.close()
    except JournalPoisonedError:
        return acknowledged, True
    return acknowledged, False


@pytest.mark.parametrize("call", FAULTS)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_refused_call_poisons_and_the_next_start_has_every_acknowledged_event(
    journal, monkeypatch, call, code
):
    monkeypatch.setattr(Spare, "prepare", lambda self: None)
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(200):
        lay_out(journal, {})
        disk = FaultDisk(journal)
        disk.fail_on, disk.fail_at, disk.fail_with = call, number, code
        acknowledged, refused = run_into(journal, disk)
        if not refused:
            break
        if list(journal.glob("*.evl")) or acknowledged:
            assert_recovers(journal, history(14), acknowledged)
    else:
        raise AssertionError("it was refused for ever")
    assert number or call == "unlink", "the writer never made this call"
    assert len(list(Path("/proc/self/fd").iterdir())) == open_files, "a failed writer leaves files open"


def test_a_refused_call_while_recovering_changes_nothing_that_matters(journal):
    for number in range(60):
        shutil.rmtree(journal, ignore_errors=True)
        total = make_journal(journal, [2] * 5)
        image = {path: path.read_bytes() for path in journal.glob("*.evl")}
        path = max(image)
        torn = bytearray(image[path])
        torn[2 * 4096 + 8] ^= 1
        path.write_bytes(torn)
        disk = FaultDisk(journal)
        disk.adopt({p: p.read_bytes() for p in journal.glob("*.evl")})
        disk.fail_at = number
        try:
            writer = JournalWriter.open(journal, segment_bytes=TINY, disk=disk)
        except JournalError:
            assert_recovers(journal, history(total), total - 2)
            continue
        writer.close()
        assert number > 5
        return
    raise AssertionError("it was refused for ever")


def test_short_writes_are_finished(journal, monkeypatch):
    whole_pwritev, whole_pwrite = os.pwritev, os.pwrite

    def pwritev(fd, buffers, offset):
        data = b"".join(buffers)
        return whole_pwrite(fd, data[: max(1, len(data) * 2 // 5)], offset)

    def pwrite(fd, data, offset):
        return whole_pwrite(fd, bytes(data)[: max(1, len(data) // 3)], offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    monkeypatch.setattr(os, "pwrite", pwrite)
    with open_tiny(journal) as writer:
        for _ in range(6):
            writer.append(trades(writer.next_seq, 30))
    monkeypatch.setattr(os, "pwritev", whole_pwritev)
    assert read_facts(journal) == history(180)
    assert_whole(journal)


WRITER = """
import sys
from pathlib import Path
from daemon.journal.errors import JournalError
from daemon.journal.writer import JournalWriter
from tests.crash.journal.journals import TINY, trades
try:
    with JournalWriter.open(Path(sys.argv[1]), segment_bytes=TINY) as writer:
        for _ in range(int(sys.argv[2])):
            writer.append(trades(writer.next_seq, 2))
            print(writer.next_seq - 1, flush=True)
except JournalError as error:
    print(error, file=sys.stderr)
    sys.exit(3)
"""


def acknowledged_by(done: subprocess.CompletedProcess[str]) -> int:
    return max([0, *map(int, done.stdout.split())])


@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=4",
        "fsync:error=EIO:when=9",
        "pwritev,pwritev2:error=ENOSPC:when=12",
        "pwritev,pwritev2:error=EIO:when=9+",
        "rename:error=EIO:when=2",
        "ftruncate:error=EIO:when=2",
    ],
)
def test_a_fault_of_the_kernel_is_no_loss(journal, project_root, fault):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    calls = fault.split(":")[0]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={fault}"]
    done = subprocess.run(
        [*strace, sys.executable, "-c", WRITER, journal, "12"],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip("tracing is not permitted here")
    assert done.returncode == 3, done.stderr
    assert re.search("error|space", done.stderr)
    assert_recovers(journal, history(24), acknowledged_by(done))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a few MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    for command in (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, point]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip(f"{command[0]} is not installed")
        if done.returncode:
            pytest.skip(f"{command[0]}: {done.stderr.strip()}")
    yield point
    subprocess.run(["umount", point], check=True)


def test_a_full_disk_stops_the_writer_keeps_everything_and_goes_on_when_there_is_space(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(3 << 20))
    journal = small_disk / "journal"
    segment_bytes = 256 << 10
    writer = JournalWriter.open(journal, segment_bytes=segment_bytes)
    acknowledged = 0
    with pytest.raises(JournalPoisonedError, match="No space left"):  # noqa: PT012
        while True:
            writer.append(trades(writer.next_seq, 500))
            acknowledged = writer.next_seq - 1
    assert acknowledged >= 500
    assert read_facts(journal) == history(acknowledged), "reading goes on"
    writer.close()
    with pytest.raises(JournalError, match="No space left"):
        _fill_again(journal, segment_bytes)
    ballast.unlink()
    with JournalWriter.open(journal, segment_bytes=segment_bytes) as again:
        assert again.next_seq == acknowledged + 1
        assert again.append(trades(again.next_seq, 10)) == acknowledged + 1
    assert read_facts(journal) == history(acknowledged + 10)
    assert_whole(journal)


def _fill_again(journal: Path, segment_bytes: int) -> None:
    """Open a journal on a full disk and try to append to it."""
    writer = JournalWriter.open(journal, segment_bytes=segment_bytes)
    try:
        while True:
            writer.append(trades(writer.next_seq, 1))
            raise AssertionError("there was space after all")
    finally:
        let_go(writer)
