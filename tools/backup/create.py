"""Makes a backup: plans what belongs to it, stores what is not there yet, and writes the manifest last.

Without its manifest nothing of a backup is seen, and without its mark, which `proof.py` gives, it does not
count. What was stored before the end came is found again by the next run.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from tools.backup.errors import BackupError, TargetError
from tools.backup.manifest import Entry, Manifest, is_name, name_of, time_of
from tools.backup.packing import Keys, Packed, pack
from tools.backup.retention import AHEAD
from tools.backup.source import (
    GoneError,
    Planned,
    Source,
    copy_databases,
    copy_settings,
    dumped,
    open_planned,
    plan_journal,
)
from tools.backup.store import Store, named
from tools.backup.vault import Vault

SCRATCH = "backup.tmp"
"""Folder in the data folder for copies of databases and for the proof; removed before and after."""

SPARE_BYTES = 64 << 20
"""What is left free on the target's disk."""

_TRIES = 5
_MOST_THREADS = 4


class Made(NamedTuple):
    """A backup that was stored and not proven yet.

    Attributes:
        name: of the backup.
        manifest: what it holds.
        digest: SHA-256 of the manifest's file.
        fresh: objects that were stored now.
        fresh_bytes: their length.
        seconds: how long it took.
    """

    name: str
    manifest: Manifest
    digest: str
    fresh: frozenset[str]
    fresh_bytes: int
    seconds: float


class Inputs(NamedTuple):
    """What is backed up beside the data folder.

    Attributes:
        data: the data folder; a daemon may be running on it.
        config: file of settings, or None.
        strategies: folder of strategies of one's own, or None.
        dump: dumps the database into a folder and returns the file, or None where it cannot.
    """

    data: Path
    config: Path | None = None
    strategies: Path | None = None
    dump: Callable[[Path], Path | None] | None = None


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Give an empty folder that goes at the end; one that a killed run left goes at the start."""
    folder = parent / SCRATCH
    with named(folder, "make"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create(
    inputs: Inputs,
    store: Store,
    scratch: Path,
    *,
    keys: Keys,
    now_ns: int | None = None,
    distrust: frozenset[str] = frozenset(),
    advance: Callable[[int], None] | None = None,
) -> Made:
    """Store a backup. The caller holds the store and the data folder.

    Args:
        inputs: what is backed up.
        store: where to.
        scratch: an empty folder for copies of databases.
        keys: whom to encrypt for.
        now_ns: when it is begun; now, when None.
        distrust: objects that were found damaged: stored anew.
        advance: called with the number of bytes that were read since the last call.

    Raises:
        JournalError: the journal cannot be read, or is damaged.
        BackupError: something cannot be read or stored; earlier backups are as they were.
    """
    started = time.perf_counter()
    now_ns = time.time_ns() if now_ns is None else now_ns
    others = [
        *copy_databases(inputs.data, scratch),
        *copy_settings(inputs.config, inputs.strategies, scratch),
        *dumped(inputs.dump, scratch),
    ]
    for left in range(_TRIES - 1, -1, -1):
        planned = plan_journal(inputs.data / "journal")
        vault = Vault(store, planned.journal)
        try:
            storing = _Storing(vault, keys, distrust, advance)
            entries = storing.all([*planned.files, *others])
            break
        except GoneError:
            # Archived or let go of meanwhile; what is stored by now is found again.
            if not left:
                raise
    store.flush()
    manifest = _manifest(planned, entries, now_ns)
    name = _free_name(vault, now_ns)
    digest = vault.put(name, manifest)
    seconds = time.perf_counter() - started
    return Made(name, manifest, digest, frozenset(storing.fresh), storing.fresh_bytes, seconds)


def _manifest(planned: Planned, entries: list[Entry], now_ns: int) -> Manifest:
    return Manifest(
        journal=planned.journal,
        first_seq=planned.first_seq,
        last_seq=planned.last_seq,
        made_ns=now_ns,
        taped=version("taped"),
        host=socket.gethostname(),
        files=tuple(entries),
    )


def _free_name(vault: Vault, now_ns: int) -> str:
    """Return the backup's name, later than those that are there, so that the newest one is the last one.

    They are later than now where two are made within a second, or the clock was set back. One that is
    later by more than a day tells of a clock that was wrong, and is not followed.
    """
    latest = name_of(now_ns + AHEAD // timedelta(microseconds=1) * 1000)
    taken = {Path(name).stem for name in vault.store.listing(f"{vault.journal}/backups")}
    last = max((name for name in taken if is_name(name) and name <= latest), default="")
    if last < name_of(now_ns):
        return name_of(now_ns)
    return f"{time_of(last) + timedelta(seconds=1):%Y%m%dT%H%M%SZ}"


class _Storing:
    """Stores what is not there yet, a few files at a time.

    Attributes:
        fresh: objects that were stored.
        fresh_bytes: their length.
    """

    def __init__(
        self,
        vault: Vault,
        keys: Keys,
        distrust: frozenset[str],
        advance: Callable[[int], None] | None,
    ) -> None:
        self._vault = vault
        self._store = vault.store
        self._keys = keys
        self._advance = advance
        self._objects = {digest: size for digest, size in vault.objects().items() if digest not in distrust}
        self._known = vault.known(vault.backups(), self._objects)
        self.fresh: set[str] = set()
        self.fresh_bytes = 0

    def all(self, sources: list[Source]) -> list[Entry]:
        """Return the entries of all sources, in their order."""
        missing = [source for source in sources if not self._is_known(source)]
        self._check_space(sum(source.length for source in missing))
        threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)), max(1, len(missing)))
        made: dict[str, Entry] = {}
        with ThreadPoolExecutor(threads, "pack") as pool:
            for source, (draft, packed) in zip(missing, pool.map(self._pack, missing), strict=True):
                self._put(draft, packed)
                made[source.path] = _entry(source, packed)
        return [made[source.path] if source.path in made else self._kept(source) for source in sources]

    def _is_known(self, source: Source) -> bool:
        entry = self._known.get((source.path, source.identity))
        if entry is None or entry.packing.endswith("age") != self._keys.encrypts:
            return False
        # Copies of databases exist in this run alone, which could not compare them without the private key.
        return not self._keys.encrypts or source.path.startswith("journal/")

    def _kept(self, source: Source) -> Entry:
        if self._advance is not None:
            self._advance(source.length)
        return self._known[source.path, source.identity]

    def _check_space(self, needed: int) -> None:
        free = self._store.free_bytes()
        if free is not None and needed + SPARE_BYTES > free:
            raise TargetError(
                f"{self._store.where}: {free >> 20} MiB are free, up to {(needed + SPARE_BYTES >> 20) + 1} "
                "MiB are needed",
                hint="free some space, or let older backups go: `taped backup prune`",
            )

    def _pack(self, source: Source) -> tuple[Path, Packed]:
        found: list[Packed] = []
        with open_planned(source) as file:
            try:
                draft = self._store.write(
                    lambda sink: found.append(
                        pack(
                            file,
                            source.length,
                            sink,
                            compress=source.compress,
                            keys=self._keys,
                            advance=self._advance,
                        )
                    )
                )
            except TargetError:
                raise
            except BackupError as error:
                raise BackupError(f"{source.file}: {error.message}") from error
        return draft, found[0]

    def _put(self, draft: Path, packed: Packed) -> None:
        if self._objects.get(packed.object) == packed.stored:
            draft.unlink()
            return
        self._store.put(draft, self._vault.object_path(packed.object))
        self._objects[packed.object] = packed.stored
        self.fresh.add(packed.object)
        self.fresh_bytes += packed.stored


def _entry(source: Source, packed: Packed) -> Entry:
    return Entry(
        path=source.path,
        length=packed.length,
        sha256=packed.sha256,
        object=packed.object,
        stored=packed.stored,
        packing=packed.packing,
        identity=source.identity,
    )
