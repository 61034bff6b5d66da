"""Base states on disk: written beside their place, read back, and put there; knows nothing of what they say.

See `schemas.base_state` for the layout. What a section holds is checked against its SHA-256 before
any of it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.journal.disk import Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import base_path, beginning
from schemas.base_state import (
    HEADER_BYTES,
    BaseHeader,
    BaseStateError,
    Section,
    pack_base_header,
    unpack_base_header,
)
from schemas.frame import SegmentHeader
from schemas.parts import PartsError, packed, unpacked

_DRAFT = "base.tmp"


class BaseContent(NamedTuple):
    """What a base state is made of, as parts."""

    core: Iterable[bytes]
    tables: Iterable[bytes]


class BaseFile:
    """One base state.

    Attributes:
        header: what it says of itself.

    Raises:
        JournalCorruptError: the header is damaged, or does not fit the name.
        JournalError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                head = file.read(HEADER_BYTES)
                length = file.seek(0, os.SEEK_END)
        except OSError as error:
            raise JournalError(f"{path}: {error.strerror}") from error
        try:
            self.header = unpack_base_header(head)
        except BaseStateError as error:
            raise JournalCorruptError(f"{path}: {error.message}") from error
        expected = HEADER_BYTES + self.header.core.length + self.header.tables.length
        if length != expected:
            raise JournalCorruptError(f"{path}: {length} bytes, expected {expected}")

    def core(self) -> Iterator[bytes]:
        """Yield the parts of the core's state.

        Raises:
            JournalCorruptError: they are damaged.
        """
        return self._parts(HEADER_BYTES, self.header.core, "the core's state")

    def tables(self) -> Iterator[bytes]:
        """Yield the parts of the read model's tables.

        Raises:
            JournalCorruptError: they are damaged.
        """
        return self._parts(HEADER_BYTES + self.header.core.length, self.header.tables, "the tables")

    def check(self) -> None:
        """Read all of it.

        Raises:
            JournalCorruptError: it is damaged.
        """
        for parts in (self.core(), self.tables()):
            for _ in parts:
                pass

    def _parts(self, offset: int, section: Section, what: str) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(section.length)
        if hashlib.sha256(data).digest() != section.sha256:
            raise JournalCorruptError(f"{self.path}: the SHA-256 of {what} differs")
        try:
            yield from unpacked(io.BytesIO(data))
        except PartsError as error:
            raise JournalCorruptError(f"{self.path}: {what}: {error.message}") from error


def first_base(directory: Path) -> BaseFile | None:
    """Return the base state a journal begins with; None where it begins with event 1.

    Raises:
        JournalCorruptError: its header is damaged.
    """
    name = beginning(directory)
    return None if name is None else BaseFile(name.path)


def draft_base(
    directory: Path, first: SegmentHeader, content: BaseContent, *, made_ns: int, disk: Disk
) -> BaseFile:
    """Write a base state beside its place, and read it back from the device.

    Args:
        directory: the folder with the segments.
        first: header of the segment the journal is to begin with.
        content: the state right before that segment.
        made_ns: when it is made.
        disk: where it is written.

    Raises:
        JournalCorruptError: the device gave back something else.
        OSError: the disk refused.
    """
    path = directory / _DRAFT
    if path.exists():
        disk.unlink(path)
    fd = disk.create(path)
    try:
        core = _write(fd, HEADER_BYTES, content.core, disk)
        tables = _write(fd, HEADER_BYTES + core.length, content.tables, disk)
        header = BaseHeader(
            first.number,
            first.first_seq,
            first.journal,
            first.previous_sha256,
            first.previous_crc,
            made_ns,
            core,
            tables,
        )
        disk.write(fd, [pack_base_header(header)], 0)
        disk.sync_file(fd)
        disk.forget(fd)
    finally:
        disk.close(fd)
    draft = BaseFile(path)
    draft.check()
    return draft


def _write(fd: int, offset: int, parts: Iterable[bytes], disk: Disk) -> Section:
    sha, length = hashlib.sha256(), 0
    for piece in packed(parts):
        disk.write(fd, [piece], offset + length)
        sha.update(piece)
        length += len(piece)
    return Section(length, sha.digest())


def put_base(directory: Path, draft: BaseFile, disk: Disk) -> None:
    """Let the journal begin with that base state, durably; what lies before it counts no more.

    Raises:
        OSError: the disk refused.
    """
    disk.rename(draft.path, base_path(directory, draft.header.segment, draft.header.first_seq))
    disk.sync_directory(directory)
