"""The backups of one journal in a store: which there are, which count, and what is stored already."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from tools.backup.errors import BackupError, DamagedBackupError
from tools.backup.manifest import (
    JOURNAL,
    MAX_BYTES,
    Entry,
    Manifest,
    ManifestError,
    Mark,
    decode_manifest,
    decode_mark,
    encode,
    is_name,
    manifest_name,
    mark_name,
    name_of,
    object_name,
)
from tools.backup.retention import AHEAD
from tools.backup.store import Store

_PLACE = re.compile(r"objects/([0-9a-f]{2})/\1[0-9a-f]{62}|backups/\w{16}\.(manifest|verified)")


class Backup(NamedTuple):
    """One backup as the store has it.

    Attributes:
        name: the UTC time it was begun.
        manifest: what it holds; None where that cannot be read.
        mark: that it was verified; None: it does not count.
        problem: what is wrong with it, or empty.
    """

    name: str
    manifest: Manifest | None
    mark: Mark | None
    problem: str = ""

    @property
    def counts(self) -> bool:
        """Whether it was restored and found right."""
        return self.manifest is not None and self.mark is not None

    def whole(self) -> Manifest:
        """Return the manifest.

        Raises:
            DamagedBackupError: it cannot be read.
        """
        if self.manifest is None:
            raise DamagedBackupError(self.name, self.problem)
        return self.manifest


def journals(store: Store) -> list[str]:
    """Return the journals that a store has backups of.

    Raises:
        TargetError: it cannot be read.
    """
    found = {name.split("/")[0] for name in store.listing("") if "/backups/" in name}
    return sorted(name for name in found if JOURNAL.fullmatch(name))


def choose_journal(store: Store, wanted: str = "") -> str:
    """Return the id of the journal that is meant: the one there is, or the one that begins as wanted.

    Raises:
        BackupError: there is none, or more than one.
    """
    found = [journal for journal in journals(store) if journal.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if not found:
        which = f"journal {wanted}" if wanted else "any journal"
        raise BackupError(f"{store.where}: holds no backup of {which}", hint="is it the right target?")
    raise BackupError(
        f"{store.where}: holds backups of several journals: {', '.join(found)}", hint="name one: --journal ID"
    )


class Vault:
    """The part of a store that belongs to one journal.

    Args:
        store: where it lies.
        journal: the journal's id.
    """

    def __init__(self, store: Store, journal: str) -> None:
        self.store = store
        self.journal = journal

    def backups(self) -> list[Backup]:
        """Return all backups in order of time, damaged and unverified ones too.

        Raises:
            TargetError: the store cannot be read.
        """
        there = self.store.listing(f"{self.journal}/backups")
        names = sorted(name for name in there if there[name] <= MAX_BYTES)
        content = {name: b"" if path is None else path.read_bytes() for name, path in self.store.fetch(names)}
        found = {Path(name).stem for name in there if Path(name).suffix in (".manifest", ".verified")}
        return [self._read(name, content) for name in sorted(found) if is_name(name)]

    def _read(self, name: str, content: dict[str, bytes]) -> Backup:
        data = content.get(manifest_name(self.journal, name))
        marked = content.get(mark_name(self.journal, name))
        if data is None:
            return Backup(name, None, None, "its manifest is missing")
        try:
            manifest = decode_manifest(data)
        except ManifestError as error:
            return Backup(name, None, None, f"its manifest: {error.message}")
        if manifest.journal != self.journal:
            return Backup(name, None, None, f"its manifest is of journal {manifest.journal}")
        try:
            mark = None if marked is None else decode_mark(marked)
        except ManifestError as error:
            return Backup(name, manifest, None, f"its mark: {error.message}")
        if mark is not None and mark.manifest != sha256(data).hexdigest():
            return Backup(name, None, None, "its manifest is not the one that was verified")
        return Backup(name, manifest, mark)

    def find(self, name: str = "") -> Backup:
        """Return a backup by name, or the newest that counts.

        Raises:
            BackupError: there is none.
        """
        found = self.backups()
        wanted = [backup for backup in found if (backup.name == name if name else backup.counts)]
        if wanted:
            latest = name_of(time.time_ns() + AHEAD // timedelta(microseconds=1) * 1000)
            return max(wanted, key=lambda backup: (backup.name <= latest, backup.name))
        what = f"backup {name}" if name else "backup that was verified"
        names = ", ".join(backup.name for backup in found[-5:]) or "none"
        raise BackupError(
            f"{self.store.where}: holds no {what} of journal {self.journal}", hint=f"the last ones: {names}"
        )

    def objects(self) -> dict[str, int]:
        """Return the objects there are and their lengths.

        Raises:
            TargetError: the store cannot be read.
        """
        listed = self.store.listing(f"{self.journal}/objects")
        names = {name.rpartition("/")[2]: (name, size) for name, size in listed.items()}
        return {digest: size for digest, (name, size) in names.items() if name == self.object_path(digest)}

    def strays(self) -> list[str]:
        """Return files of this journal that are neither: left where a line or a process broke off.

        Raises:
            TargetError: the store cannot be read.
        """
        listed = self.store.listing(self.journal)
        return sorted(name for name in listed if not _PLACE.fullmatch(name.removeprefix(f"{self.journal}/")))

    def known(self, backups: Iterable[Backup], objects: dict[str, int]) -> dict[tuple[str, str], Entry]:
        """Return what is stored already, by path and identity."""
        return {
            (entry.path, entry.identity): entry
            for backup in backups
            if backup.manifest is not None
            for entry in backup.manifest.files
            if entry.identity and objects.get(entry.object) == entry.stored
        }

    def put(self, name: str, record: Manifest | Mark) -> str:
        """Store a manifest or mark, durably; return the SHA-256 of its file.

        Raises:
            TargetError: the store refused.
        """
        data = encode(record)
        place = manifest_name if isinstance(record, Manifest) else mark_name
        self.store.put(self.store.write(data), place(self.journal, name))
        self.store.flush()
        return sha256(data).hexdigest()

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a manifest's file.

        Raises:
            TargetError: it cannot be read.
        """
        return sha256(self.store.read(manifest_name(self.journal, name), MAX_BYTES)).hexdigest()

    def unmark(self, name: str) -> None:
        """Let a backup count no more.

        Raises:
            TargetError: the store refused.
        """
        self.store.remove([mark_name(self.journal, name)])

    def remove(self, names: Sequence[str]) -> None:
        """Remove backups, their marks first; their objects stay for `prune`.

        Raises:
            TargetError: the store refused.
        """
        self.store.remove(mark_name(self.journal, name) for name in names)
        self.store.remove(manifest_name(self.journal, name) for name in names)

    def object_path(self, digest: str) -> str:
        """Return an object's place in the store."""
        return object_name(self.journal, digest)
