"""A folder that appears whole or not at all.

Files are written to a folder beside it, synced, and renamed into place. Never takes the place of a
folder that is no export.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from replay.export.market import ExportError
from replay.export.sinks import SUFFIXES
from replay.export.tables import RUN_TABLES, TABLES

MANIFEST = "export.json"
_KNOWN = {MANIFEST, *(name + suffix for name in (*TABLES, *RUN_TABLES) for suffix in SUFFIXES.values())}


def check_out(out: Path, *, force: bool) -> None:
    """Check that an export may take this place.

    Raises:
        ExportError: something is there that must not be replaced.
    """
    if not out.exists() and not out.is_symlink():
        return
    if not out.is_dir() or out.is_symlink():
        raise ExportError(f"{out}: is there, and is no folder", hint="name a folder that is not there yet")
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    foreign = sorted(names - _KNOWN)
    if foreign or MANIFEST not in names:
        what = f"holds {foreign[0]}" if foreign else f"holds no {MANIFEST}"
        raise ExportError(
            f"{out}: {what}, so it is no export and is not replaced",
            hint="name a folder that is not there yet",
        )
    if not force:
        raise ExportError(f"{out}: holds an export already", hint="give --force to replace it")


@contextmanager
def new_folder(out: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder to write files to; it takes its place when the block ends without an error.

    Raises:
        ExportError: as `check_out`.
    """
    check_out(out, force=force)
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield fresh
        for path in fresh.iterdir():
            _sync(path)
        _sync(fresh)
        # `mkdtemp` lets nobody else in; an export is as readable as any folder made here.
        fresh.chmod(0o777 & ~_umask())
        check_out(out, force=force)
        _put(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put(fresh: Path, out: Path) -> None:
    """Let the new folder take its place; the old one goes when the new one is there."""
    if not out.exists():
        fresh.rename(out)
    else:
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}-old-", dir=out.parent))
        # A rename replaces an empty folder, so both steps are atomic; between them OUT is absent.
        out.rename(old)
        fresh.rename(out)
        shutil.rmtree(old)
    _sync(out.parent)


def _umask() -> int:
    # There is no other way to ask for it; nothing else makes files in between.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
