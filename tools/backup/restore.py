"""Puts a backup in the place of what a data folder holds: proven first, exchanged at once, nothing lost.

The backup is restored beside the journal and examined there. Then, with the journal locked: the read
model and the snapshots, which can be made again, go to a folder of safety copies, the databases are linked
there, the two folders of the journal change places in one call of the kernel, the databases are
replaced, and the former journal goes to the safety copies too. Whatever moment a kill picks, the folder
holds the journal of before or that of the backup, whole. What it leaves beside it, a folder `restore-*`,
is never removed by the program, for it may hold the former journal.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from daemon.journal.archive_file import header_of
from daemon.journal.disk import DISK, make_folder
from daemon.journal.errors import JournalLockedError
from daemon.journal.listing import all_segments
from daemon.journal.lock import JournalLock, holder
from daemon.journal.reader import JournalReader
from daemon.readmodel.watermark import projected_seq
from daemon.restored import Restored, write_restored
from daemon.trading.strategy import Strategy
from schemas.errors import TapedError
from tools.backup.errors import BackupError
from tools.backup.manifest import Manifest
from tools.backup.packing import Keys
from tools.backup.proof import Depth, Found, Reading, check_space, examine, restore_files
from tools.backup.source import DATABASES
from tools.backup.store import named
from tools.backup.vault import Backup, Vault

DERIVED = ("readmodel.db-shm", "readmodel.db-wal", "readmodel.db", "snapshots")
"""Made from the journal; the log of the read model goes before the file it belongs to."""

CONFIG = "config-of-backup"
DUMP = "database-of-backup"
_EXCHANGE = 2
_AT_CWD = -100


class RestorePlan(NamedTuple):
    """What a restore would do.

    Attributes:
        backup: its name.
        manifest: what it holds.
        data: the data folder.
        there: id of the journal that is there; empty where there is none, or none can be read.
        there_seq: how far that one is known to go; 0 where there is none.
        safety: where what is there goes to; None where nothing is.
        leftovers: folders that restores left which were killed.
    """

    backup: str
    manifest: Manifest
    data: Path
    there: str
    there_seq: int
    safety: Path | None
    leftovers: list[Path]

    @property
    def lost_events(self) -> int:
        """Events that are there, or were, and that the backup does not have."""
        return max(0, self.there_seq - self.manifest.last_seq)


class Options(NamedTuple):
    """How to examine what was restored.

    Attributes:
        depth: whether to replay; without it the read model is made at the next start.
        kinds: strategies by kind.
        sources: their code, as for `daemon.config.code_hash`.
        keep_ticks: limit of the read model's tick tables.
        processes: how many segments are checked at a time.
        seen_seq: the last event that somebody outside may know of, where the caller knows.
    """

    depth: Depth
    kinds: Mapping[str, type[Strategy]]
    sources: tuple[tuple[str, bytes], ...] = ()
    keep_ticks: int | None = None
    processes: int = 1
    seen_seq: int = 0


def plan_restore(backup: Backup, data: Path) -> RestorePlan:
    """Return what would happen; changes nothing.

    Raises:
        DamagedBackupError: its manifest cannot be read.
        JournalLockedError: a daemon is running there.
        BackupError: the folder holds another journal.
    """
    manifest = backup.whole()
    directory = data / "journal"
    pid = holder(directory)
    if pid is not None:
        raise JournalLockedError(directory, pid or None)
    if os.path.ismount(directory):
        raise BackupError(
            f"{directory}: is where a disk is mounted, and cannot be exchanged",
            hint="restore to a folder on that disk, and let the data folder's journal be a link to it",
        )
    there, there_seq = _what_is_there(data)
    if there and there != manifest.journal:
        raise BackupError(
            f"{data}: holds journal {there}, the backup is of {manifest.journal}; they are never mixed",
            hint="restore to another folder: --data DIR",
        )
    names = (*DERIVED, *DATABASES, CONFIG)
    held = _holds(directory) or any((data / name).exists() for name in names)
    safety = data / f"before-restore-{backup.name}" if held else None
    count = 1
    while safety is not None and safety.exists():
        count += 1
        safety = data / f"before-restore-{backup.name}-{count}"
    parent = directory.resolve().parent
    leftovers = sorted(path for path in parent.glob("restore-*") if path.is_dir())
    return RestorePlan(backup.name, manifest, data, there, there_seq, safety, leftovers)


def _holds(directory: Path) -> bool:
    """Return whether there is anything in a journal's folder but the name of who locked it."""
    return directory.is_dir() and any(path.name != "LOCK" for path in directory.iterdir())


def _what_is_there(data: Path) -> tuple[str, int]:
    """Return the journal's id and how far it is known to go, as far as that can be read."""
    directory = data / "journal"
    names = all_segments(directory) if directory.is_dir() else []
    if not names:
        return "", 0
    there = ""
    for name in names:
        with contextlib.suppress(TapedError):
            there = there or header_of(name).journal.hex()
    seq = names[-1].first_seq - 1
    with contextlib.suppress(TapedError):
        seq = max(seq, JournalReader(directory).last_seq)
    with contextlib.suppress(TapedError):
        seq = max(seq, projected_seq(data))
    return there, seq


def restore(
    vault: Vault,
    plan: RestorePlan,
    *,
    keys: Keys,
    options: Options,
    advance: Callable[[int], None] | None = None,
) -> Found:
    """Do what was planned; return what the restored journal came to.

    Args:
        vault: where the backup lies.
        plan: from `plan_restore`.
        keys: to decrypt with.
        options: how to examine it.
        advance: called with the number of bytes that were restored since the last call.

    Raises:
        DamagedBackupError: the backup is not whole; nothing was changed.
        BackupError: it cannot be put there.
        JournalLockedError: a daemon was started meanwhile.
    """
    data = plan.data
    with named(data, "restore"):
        make_folder(data, mode=0o750)
    with JournalLock(data / "journal"):
        directory = (data / "journal").resolve()
        staging = directory.parent / f"restore-{plan.backup}-{os.getpid()}"
        check_space(directory.parent, plan.manifest)
        with named(staging, "make"):
            staging.mkdir(mode=0o700)
        try:
            restore_files(vault, plan.backup, plan.manifest, staging, reading=Reading(keys), advance=advance)
            found = examine(
                staging,
                plan.backup,
                plan.manifest,
                depth=options.depth,
                kinds=options.kinds,
                sources=options.sources,
                keep_ticks=options.keep_ticks,
                processes=options.processes,
            )
            _sync_folders(staging)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        with JournalLock(staging / "journal"), named(data, "exchange"):
            _put(plan, staging, directory, options)
    return found


def _sync_folders(top: Path) -> None:
    """Make the names below a folder durable; the files are."""
    with named(top, "sync"):
        for place, _, _ in os.walk(top):
            DISK.sync_directory(Path(place))
        DISK.sync_directory(top.parent)


def _put(plan: RestorePlan, staging: Path, directory: Path, options: Options) -> None:
    """Exchange what is there for what was restored."""
    data = plan.data
    seen = max(plan.there_seq, options.seen_seq)
    if seen > plan.manifest.last_seq:
        # First: a start on the restored journal must know it, and one on the former reaches as far.
        write_restored(data, Restored(journal=plan.manifest.journal, seen_seq=seen, backup=plan.backup))
    if plan.safety is not None:
        _set_aside(data, plan.safety)
    exchange(staging / "journal", directory)
    DISK.sync_directory(directory.parent)
    DISK.sync_directory(staging)
    for name in DATABASES:
        if (staging / name).exists():
            _replace(staging / name, data / name)
    for name, place in (("readmodel.db", "readmodel.db"), ("config", CONFIG), ("database", DUMP)):
        if (staging / name).exists():
            _replace(staging / name, data / place)
    if plan.safety is not None and _holds(staging / "journal"):
        # On its own disk, where the journal is a link to another one.
        beside = directory.parent / plan.safety.name
        make_folder(beside, mode=0o700)
        _replace(staging / "journal", beside / "journal")
        DISK.sync_directory(beside)
    DISK.sync_directory(data)
    shutil.rmtree(staging)


def _set_aside(data: Path, safety: Path) -> None:
    """Move what can be made again to the safety copies, and link there what is about to be replaced."""
    make_folder(safety, mode=0o700)
    for name in DERIVED:
        if (data / name).exists():
            _replace(data / name, safety / name)
    if (data / CONFIG).exists():
        _replace(data / CONFIG, safety / CONFIG)
    for name in DATABASES:
        if (data / name).exists():
            _settle(data / name)
            os.link(data / name, safety / name)
    DISK.sync_directory(safety)
    DISK.sync_directory(data)


def _settle(path: Path) -> None:
    """Let SQLite finish what a killed writer left, so that the file is whole without its rollback journal."""
    with contextlib.suppress(sqlite3.Error), closing(sqlite3.connect(path)) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _replace(path: Path, to: Path) -> None:
    """Give a file or folder another place; across disks it is copied, synced and then renamed."""
    try:
        DISK.rename(path, to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        draft = to.with_name(f"{to.name}.tmp")
        if path.is_dir():
            shutil.copytree(path, draft)
        else:
            shutil.copy2(path, draft)
        os.sync()
        DISK.rename(draft, to)


def exchange(one: Path, other: Path) -> None:
    """Let two folders of one disk change places at one stroke (renameat2 of Linux 3.15).

    Raises:
        OSError: the file system cannot.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
