"""What a backup consists of, as bytes and back: manifest, mark and the names they have; touches no disk.

    JOURNAL/objects/ab/ab12...        content, named by the SHA-256 of the stored bytes
    JOURNAL/backups/NAME.manifest     which files the backup holds, and in which objects
    JOURNAL/backups/NAME.verified     that it was restored and found right; without it, it does not count

NAME is the UTC time at which it was begun, `20261124T020000Z`. Manifest and mark are one line that says
what they are, with the SHA-256 of what follows it, and then JSON:

    taped-backup 1 9f03...
    {"journal": ...}

An object may be shared by many backups. How it is stored stands in the manifest: as it is, or
compressed with zstd, and encrypted with age where there is a recipient; names, lengths and hashes are never
encrypted, so that a machine without the private key knows what it need not store again.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Literal, TypeVar

import msgspec

from schemas.errors import TapedError

MAX_BYTES = 64 << 20
"""Longest manifest that is read: some 250,000 files."""

NAME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
JOURNAL = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIRST_LINE = re.compile(rb"taped-backup (\d{1,9}) ([0-9a-f]{64})\n")
_LONGEST_LINE = 100
VERSION = 1

Packing = Literal["raw", "zstd", "raw+age", "zstd+age"]


R = TypeVar("R", bound=msgspec.Struct)


class ManifestError(TapedError):
    """Bytes that are no whole manifest, or one that says what cannot be."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup.

    Attributes:
        path: where it belongs, relative to the data folder.
        length: its bytes.
        sha256: of its bytes.
        object: SHA-256 of the stored bytes, which names the object.
        stored: the object's length.
        packing: how it is stored.
        identity: what makes a file with that path the same one without reading it: length and seal of a
            finished segment; else the hash.
    """

    path: str
    length: int
    sha256: str
    object: str
    stored: int
    packing: Packing
    identity: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One backup.

    Attributes:
        journal: id of the journal, 32 hexadecimal digits.
        first_seq: its first event.
        last_seq: its last event; everything up to there is in the backup.
        made_ns: when it was begun.
        taped: version that made it.
        host: name of the machine.
        files: what it holds, the journal's segments in their order.
    """

    journal: str
    first_seq: int
    last_seq: int
    made_ns: int
    taped: str
    host: str
    files: tuple[Entry, ...]

    @property
    def length(self) -> int:
        """Bytes of all files once they are restored."""
        return sum(entry.length for entry in self.files)

    @property
    def stored(self) -> int:
        """Bytes of all objects, shared ones too."""
        return sum(size for _, size in {(entry.object, entry.stored) for entry in self.files})


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a backup was restored and found right.

    Attributes:
        manifest: SHA-256 of the manifest's file.
        verified_ns: when.
        depth: what was done with the restored journal: checked, or replayed too.
        core: SHA-256 of the core's state after the replay, empty without one.
        read_model: content hash of the read model made from it, empty without one.
    """

    manifest: str
    verified_ns: int
    depth: Literal["journal", "replay"]
    core: str = ""
    read_model: str = ""


def name_of(made_ns: int) -> str:
    """Return the name of a backup that was begun then."""
    return datetime.fromtimestamp(made_ns // 10**9, UTC).strftime("%Y%m%dT%H%M%SZ")


def time_of(name: str) -> datetime:
    """Return when a backup of that name was begun."""
    return datetime.strptime(name, "%Y%m%dT%H%M%S%z")


def is_name(text: str) -> bool:
    """Return whether a backup may be called so."""
    try:
        return NAME.fullmatch(text) is not None and bool(time_of(text))
    except ValueError:
        return False


def manifest_name(journal: str, name: str) -> str:
    """Return a manifest's place in a store."""
    return f"{journal}/backups/{name}.manifest"


def mark_name(journal: str, name: str) -> str:
    """Return a mark's place in a store."""
    return f"{journal}/backups/{name}.verified"


def object_name(journal: str, digest: str) -> str:
    """Return an object's place in a store."""
    return f"{journal}/objects/{digest[:2]}/{digest}"


def encode(record: Manifest | Mark) -> bytes:
    """Return the bytes of a manifest or a mark."""
    body = msgspec.json.encode(record) + b"\n"
    return b"taped-backup %d %s\n" % (VERSION, hashlib.sha256(body).hexdigest().encode()) + body


def decode_manifest(data: bytes) -> Manifest:
    """Return the manifest.

    Raises:
        ManifestError: it is damaged, of a newer version, or names what cannot be restored.
    """
    manifest = _decode(data, Manifest)
    if not JOURNAL.fullmatch(manifest.journal):
        raise ManifestError(f"journal is {manifest.journal[:40]!r}, expected 32 hexadecimal digits")
    seen: set[str] = set()
    for entry in manifest.files:
        _check(entry)
        if entry.path in seen:
            raise ManifestError(f"{entry.path}: named twice")
        seen.add(entry.path)
    return manifest


def decode_mark(data: bytes) -> Mark:
    """Return the mark.

    Raises:
        ManifestError: it is damaged or of a newer version.
    """
    return _decode(data, Mark)


def _decode(data: bytes, kind: type[R]) -> R:
    first = _FIRST_LINE.match(data[:_LONGEST_LINE])
    if first is None:
        raise ManifestError("the first line is not that of a backup's file")
    if int(first[1]) != VERSION:
        raise ManifestError(
            f"format {int(first[1])}, this taped reads {VERSION}", hint="use the taped that made it"
        )
    body = data[first.end() :]
    found = hashlib.sha256(body).hexdigest()
    if found != first[2].decode():
        raise ManifestError(
            f"its content has SHA-256 {found:.12}, its first line says {first[2].decode():.12}"
        )
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise ManifestError(f"does not say what it must: {error}") from error


def _check(entry: Entry) -> None:
    """Refuse a path that leads out of the data folder, and hashes that would name something else."""
    path = PurePosixPath(entry.path)
    if path.is_absolute() or ".." in path.parts or str(path) != entry.path or not entry.path.isprintable():
        raise ManifestError(f"{entry.path[:100]!r}: not a path inside a data folder")
    if not (_HASH.fullmatch(entry.object) and _HASH.fullmatch(entry.sha256)):
        raise ManifestError(f"{entry.path}: hashes are 64 hexadecimal digits")
    if entry.length < 0 or entry.stored < 0:
        raise ManifestError(f"{entry.path}: a length below zero")
