"""Opens the place that `backup.target` names as a store, for as long as it is needed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from daemon.backup_target import DiskTarget, FolderTarget, HostTarget, Target, parse_target
from daemon.settings import BackupSettings
from tools.backup.disk import mounted
from tools.backup.errors import TargetError
from tools.backup.remote import HostStore
from tools.backup.store import FolderStore, Store, locked


@contextmanager
def open_target(settings: BackupSettings, data: Path, *, change: bool) -> Iterator[Store]:
    """Give the store that the settings name, locked against other runs where it is to be changed.

    Args:
        settings: name the target and how to reach it.
        data: the data folder, which the store must not lie in.
        change: hold it, and remove what killed runs left unfinished.

    Raises:
        TargetError: none is named, or it cannot be reached.
        TargetTextError: the text names none.
    """
    if not settings.target:
        raise TargetError(
            "no target is named", hint="--target, TAPED_BACKUP__TARGET or [backup] target = ... says where to"
        )
    target: Target = parse_target(settings.target)
    match target:
        case FolderTarget():
            with _in_folder(_outside(target.path, data), "", change=change) as store:
                yield store
        case DiskTarget():
            where = f"{target.by}={target.value}/{target.folder}".removesuffix("/.")
            with mounted(target) as folder, _in_folder(folder, where, change=change) as store:
                yield store
        case HostTarget():
            scratch = settings.scratch or (data if data.is_dir() else None)
            with tempfile.TemporaryDirectory(prefix="backup-parcels-", dir=scratch) as staging:
                remote = HostStore(
                    target, Path(staging), key=settings.ssh_key, known_hosts=settings.ssh_known_hosts
                )
                with closing(remote):
                    yield remote


@contextmanager
def _in_folder(folder: Path, where: str, *, change: bool) -> Iterator[Store]:
    store = FolderStore(folder, where=where)
    if not change:
        yield store
        return
    with locked(folder, "target"):
        store.sweep()
        yield store


def _outside(folder: Path, data: Path) -> Path:
    if folder.resolve().is_relative_to(data.resolve()):
        raise TargetError(f"{folder}: lies in the data folder", hint="name a folder of another disk")
    return folder
