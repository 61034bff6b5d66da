"""Finds the place that a target names, and gives the store in it for as long as it is needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.settings import BackupSettings
from tools.backup.errors import TargetError
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
    """
    if not settings.target:
        raise TargetError(
            "no target is named", hint="--target, TAPED_BACKUP__TARGET or [backup] target = ... says where to"
        )
    folder = _folder(settings.target, data)
    store = FolderStore(folder)
    if not change:
        yield store
        return
    with locked(folder, "target"):
        store.sweep()
        yield store


def _folder(text: str, data: Path) -> Path:
    folder = Path(text).expanduser()
    if folder.resolve().is_relative_to(data.resolve()):
        raise TargetError(f"{folder}: lies in the data folder", hint="name a folder of another disk")
    return folder
