"""Restores a backup into a scratch folder and finds out whether it is what was backed up.

Every object is read from the store and checked by its hash, every file made from it by its own; the
journal is verified to the last byte, the databases are checked, and the journal is replayed: the read
model and the core's state are made of it. Where the store's content is encrypted for a key that is not
here, objects of this run are decrypted with the run's own key; of older ones the stored bytes are checked,
and the file itself is taken from where it was backed up from, if its hash is the one in the manifest.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from daemon.config import code_hash
from daemon.journal.disk import DISK
from daemon.journal.errors import JournalError
from daemon.journal.verify import verify
from daemon.readmodel.database import ReadModelError
from daemon.start import core_at_end
from daemon.trading.dump import DumpError, dump
from daemon.trading.strategy import Strategy
from replay.rebuild import rebuild
from tools.backup.errors import BackupError, DamagedBackupError, TargetError
from tools.backup.manifest import Entry, Manifest, name_of
from tools.backup.packing import Keys, Packed, PackingError, check_stored, unpack
from tools.backup.source import DATABASES, GoneError
from tools.backup.store import named, write_synced
from tools.backup.vault import Vault

Depth = Literal["journal", "replay"]

SPARE_BYTES = 64 << 20
MODE = 0o700
_SHOWN = 3


_KEY_HINT = "--identity FILE names the private key it was encrypted for"


class Reading(NamedTuple):
    """With what stored content is made readable.

    Attributes:
        keys: to decrypt with.
        local: the data folder that was backed up, for what cannot be decrypted here.
        fresh: objects of this run, which can be decrypted and must be.
    """

    keys: Keys
    local: Path | None = None
    fresh: frozenset[str] = frozenset()


class Found(NamedTuple):
    """What a restored backup came to.

    Attributes:
        core: SHA-256 of the core's state, or empty.
        read_model: content hash of the read model, or empty.
    """

    core: str
    read_model: str


def check_space(folder: Path, manifest: Manifest) -> None:
    """Refuse to begin where a restored backup will not fit.

    Raises:
        TargetError: there is too little space.
    """
    with named(folder, "measure"):
        free = shutil.disk_usage(folder).free
    needed = manifest.length + SPARE_BYTES
    if needed > free:
        raise TargetError(
            f"{folder}: {free >> 20} MiB are free, {(needed >> 20) + 1} MiB are needed to restore the backup",
            hint="free some space, or name another folder",
        )


def restore_files(
    vault: Vault,
    name: str,
    manifest: Manifest,
    into: Path,
    *,
    reading: Reading,
    advance: Callable[[int], None] | None = None,
) -> None:
    """Make every file of a backup again below a folder, durably.

    Args:
        vault: where the backup lies.
        name: of the backup.
        manifest: what it holds.
        into: an empty folder.
        reading: with what to decrypt.
        advance: called with the number of bytes that were made since the last call.

    Raises:
        DamagedBackupError: an object is missing, or is not what was stored.
        GoneError: a local file was archived or let go of meanwhile.
        BackupError: it is encrypted, and there is no key for it.
        TargetError: the store cannot be read, or the folder not be written.
    """
    entries: dict[str, list[Entry]] = defaultdict(list)
    for entry in manifest.files:
        entries[vault.object_path(entry.object)].append(entry)
    problems: list[str] = []
    bad: list[str] = []
    for place, path in vault.store.fetch(list(entries)):
        for entry in entries[place]:
            try:
                if path is None:
                    raise PackingError("its object is missing")  # noqa: TRY301
                _restore_file(path, entry, into / entry.path, reading)
            except PackingError as error:
                problems.append(f"{entry.path}: {error}")
                bad.append(entry.object)
            if advance is not None:
                advance(entry.length)
    if problems:
        more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DamagedBackupError(name, "; ".join(problems[:_SHOWN]) + more, objects=tuple(sorted(set(bad))))
    with named(into, "sync"):
        for folder in {(into / entry.path).parent for entry in manifest.files} | {into}:
            DISK.sync_directory(folder)


def _restore_file(path: Path, entry: Entry, to: Path, reading: Reading) -> None:
    packed = Packed(entry.length, entry.sha256, entry.stored, entry.object, entry.packing)
    with named(to, "restore"):
        to.parent.mkdir(mode=MODE, parents=True, exist_ok=True)
        with path.open("rb") as stored:
            try:
                write_synced(to, lambda sink: unpack(stored, sink, packed, keys=reading.keys))
            except PackingError as error:
                if not entry.packing.endswith("age") or entry.object in reading.fresh:
                    raise
                stored.seek(0)
                check_stored(stored, packed)
                # It is whole, so it is the key that is not here.
                if reading.local is None:
                    raise BackupError(f"{entry.path}: {error.message}", hint=_KEY_HINT) from error
            else:
                return
        _take_local(reading.local / entry.path, entry, to)


def _take_local(path: Path, entry: Entry, to: Path) -> None:
    """Copy the file that was backed up; its hash must be that of the manifest."""
    as_it_is = Packed(entry.length, entry.sha256, entry.length, entry.sha256, "raw")
    try:
        with path.open("rb") as file:
            write_synced(to, lambda sink: unpack(file, sink, as_it_is, keys=Keys()))
    except FileNotFoundError as error:
        raise GoneError(f"{path}: is gone") from error
    except PackingError as error:
        raise BackupError(
            f"{path}: is not what was backed up before: {error.message}",
            hint="`taped journal verify` tells what is damaged; the backups before are whole",
        ) from error


def examine(
    folder: Path,
    name: str,
    manifest: Manifest,
    *,
    depth: Depth,
    kinds: Mapping[str, type[Strategy]],
    sources: Iterable[tuple[str, bytes]] = (),
    keep_ticks: int | None = None,
    processes: int = 1,
) -> Found:
    """Check a restored data folder, and replay it; the read model is left in it.

    Args:
        folder: the data folder.
        name: of the backup.
        manifest: what it holds.
        depth: whether to replay.
        kinds: strategies by kind.
        sources: their code, as for `code_hash`.
        keep_ticks: limit of the read model's tick tables.
        processes: how many segments are checked at a time.

    Raises:
        DamagedBackupError: it is not what it says.
        BackupError: the replay failed for another reason.
    """
    _check_journal(folder / "journal", name, manifest, processes)
    for database in DATABASES:
        if (folder / database).exists():
            _check_database(folder / database, name)
    if depth == "journal":
        return Found("", "")
    try:
        model = rebuild(folder, keep_ticks=keep_ticks)
        return Found(_core_hash(folder, manifest, kinds, sources), model.hash)
    except (JournalError, ReadModelError) as error:
        raise DamagedBackupError(name, f"its journal cannot be replayed: {error.message}") from error


def _check_journal(directory: Path, name: str, manifest: Manifest, processes: int) -> None:
    found = verify(directory, processes=processes)
    if not found.passed:
        raise DamagedBackupError(name, f"its journal: {'; '.join(found.problems[:_SHOWN])}")
    said = (manifest.journal, manifest.first_seq, manifest.last_seq)
    holds = (found.journal_id, found.first_seq, found.last_seq)
    if holds != said or found.torn_bytes_at is not None:
        raise DamagedBackupError(
            name,
            f"holds journal {holds[0]} with events {holds[1]} to {holds[2]}, its manifest says "
            f"{said[0]}, {said[1]} to {said[2]}",
        )


def _check_database(path: Path, name: str) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise DamagedBackupError(name, f"{path.name}: {answer}")


def _core_hash(
    folder: Path,
    manifest: Manifest,
    kinds: Mapping[str, type[Strategy]],
    sources: Iterable[tuple[str, bytes]],
) -> str:
    """Replay the journal; return the hash of the core's state, or nothing where it has none to tell."""
    core = core_at_end(folder, manifest.journal, code_hash(sources), manifest.last_seq, kinds)
    if core.next_seq != manifest.last_seq + 1:
        raise DamagedBackupError(name_of(manifest.made_ns), f"ends at seq {core.next_seq - 1} when replayed")
    try:
        taken = dump(core)
    except DumpError:
        return ""  # A strategy that gives no dump of its state.
    sha = hashlib.sha256()
    for part in taken.parts():
        sha.update(len(part).to_bytes(8, "little") + part)
    return sha.hexdigest()
