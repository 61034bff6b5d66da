"""What of a data folder is backed up, read so that it fits together while a daemon runs; changes nothing.

The truth and what cannot be made again: the journal's segments and archives from its beginning on, the
base state before them, what repairs put into quarantine, and the databases of tokens and of runs; the file
of settings and strategies of one's own beside them. Not: the read model, snapshots and the reserve, which
are made again; tokens as text, which are secrets; the journal's lock.

A sealed segment never changes, so it is copied as it stands. The one that is written is copied up to its
last frame that had been acknowledged for certain: by the rule of one, that is a frame with a later one
begun behind it, or any whole frame while nobody writes.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from daemon.journal.archive_file import ArchiveReader
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import beginning, check_ends, list_journal
from daemon.journal.lock import holder
from daemon.journal.reader import open_segment
from daemon.journal.segment import SegmentReader
from schemas.frame import FRAME_HEADER_BYTES, PAGE, FrameError, unpack_frame_header
from tools.backup.errors import BackupError

DATABASES = ("access.db", "runs.db")
"""Opened by the interpreter's own SQLite alone, as aiosqlite does in the daemon."""

CERTAIN_AFTER_S = 2.5
"""A daemon certifies its last frame after a second of silence; one that does not is at a full disk."""

MAX_STRATEGY_BYTES = 1 << 20
MAX_STRATEGIES = 1000
MAX_CONFIG_BYTES = 1_000_000
_LOOK_S = 0.1
_pack = msgspec.msgpack.Encoder().encode
_SECRET = re.compile(
    r"(?im)^(\s*[\w.-]*(?:password|passwd|secret|token|api_key|private_key)[\w.-]*\s*=\s*).*$"
)
_USER = re.compile(r"(://[^/\s:@\"']*):[^/\s@\"']+@")


class Source(NamedTuple):
    """A file to back up.

    Attributes:
        path: where it belongs, relative to the data folder.
        file: what to read, from its beginning.
        length: how much of it.
        identity: as in a manifest's entry; empty for the segment that is written.
        compress: it is not compressed already.
    """

    path: str
    file: Path
    length: int
    identity: str
    compress: bool = True


class Planned(NamedTuple):
    """A consistent view of a journal.

    Attributes:
        journal: its id.
        first_seq: its first event.
        last_seq: the last one that is backed up.
        files: segments and archives in their order, the base state before them, quarantine behind them.
    """

    journal: str
    first_seq: int
    last_seq: int
    files: list[Source]


class GoneError(BackupError):
    """A file was archived or let go of since it was planned: plan anew."""


def plan_journal(directory: Path) -> Planned:
    """Return what a journal consists of now, up to what is durable for certain.

    Raises:
        JournalCorruptError: something is missing or damaged.
        JournalError: there is no journal, or it cannot be read.
    """
    segments = list_journal(directory)
    if not segments:
        raise JournalError(f"{directory}: no segment here", hint="is this a taped data folder?")
    check_ends(directory, segments)
    base = beginning(directory)
    files = [] if base is None else [_whole(base.path, directory, compress=False)]
    journal, last_seq = "", 0
    for name in segments:
        with open_segment(directory, name) as reader:
            journal = journal or reader.header.journal.hex()
            source, last_seq = _segment(directory, reader, last=name is segments[-1])
        files.append(source)
    files += [
        _whole(path, directory, compress=True)
        for path in sorted((directory / "quarantine").glob("*"))
        if path.is_file()
    ]
    return Planned(journal, segments[0].first_seq, last_seq, files)


def _whole(path: Path, directory: Path, *, compress: bool) -> Source:
    sha, length = _hash(path)
    return Source(_place(path, directory), path, length, f"sha256:{sha}", compress)


def _hash(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), file.tell()


def _place(path: Path, directory: Path) -> str:
    return f"journal/{path.relative_to(directory).as_posix()}"


def _segment(directory: Path, reader: SegmentReader | ArchiveReader, *, last: bool) -> tuple[Source, int]:
    """Return an open segment as a source, and its last event."""
    path = reader.name.path
    if isinstance(reader, ArchiveReader):
        footer = reader.footer
        # The footer has the CRC of every block: two archives of one segment may differ in their bytes.
        identity = f"archive:{reader.file_bytes}:{hashlib.sha256(_pack(footer)).hexdigest()}"
        source = Source(_place(path, directory), path, reader.file_bytes, identity, compress=False)
        return source, footer.seal.next_seq - 1
    found = reader.find_seal()
    if found is not None:
        identity = f"seal:{reader.file_bytes}:{found.seal.sha256.hex()}:{found.crc:08x}"
        return Source(_place(path, directory), path, reader.file_bytes, identity), found.seal.next_seq - 1
    if not last:
        raise JournalCorruptError(f"{path}: has no seal, yet a later segment exists")
    with _Growing(reader.name) as growing:
        end, next_seq = growing.alone() if holder(directory) is None else growing.beside_writer()
    return Source(_place(path, directory), path, end, ""), next_seq - 1


class _Growing(SegmentReader):
    """The segment that is written, read again and again from where its whole frames ended."""

    _before = (PAGE, 0)

    def alone(self) -> tuple[int, int]:
        """Return the end of the last whole frame and the event behind it; nobody is writing.

        Raises:
            JournalCorruptError: it is no torn end.
        """
        self._read_on()
        later = None if self.sealed is not None else self.later_frame()
        if later is not None:
            raise JournalCorruptError(
                f"{self.name.path}: byte {self.offset} is damaged: a whole frame follows at byte {later}"
            )
        return self.offset, self.next_seq

    def beside_writer(self) -> tuple[int, int]:
        """Return the end of the last frame that was acknowledged for certain, and the event behind it.

        What was whole at the first look is waited for until it is certain, for so long as that may take.
        """
        self._before = self.offset, self.next_seq
        self._read_on()
        wanted, until = self.offset, time.monotonic() + CERTAIN_AFTER_S
        while (end := self._certain())[0] < wanted and time.monotonic() < until:
            time.sleep(_LOOK_S)
            self._read_on()
        return end

    def _read_on(self) -> None:
        self._window, self._window_at = memoryview(b""), 0
        try:
            before = self.offset, self.next_seq
            for _ in self.frames():
                self._before, before = before, (self.offset, self.next_seq)
        except FrameError:
            return  # A frame on its way to the disk, or a torn one: the next look or the verification tells.

    def _certain(self) -> tuple[int, int]:
        end = self.offset, self.next_seq
        return end if self.sealed is not None or self._begun() else self._before

    def _begun(self) -> bool:
        data = os.pread(self._fd, FRAME_HEADER_BYTES, self.offset)
        try:
            header = unpack_frame_header(data, segment=self.name.number, offset=self.offset)
        except FrameError:
            return False
        return header is not None and header.nonce == self.header.nonce


def open_planned(source: Source) -> BinaryIO:
    """Open a file as it was planned.

    Raises:
        GoneError: it is there no more, or shorter than it was.
    """
    try:
        file = source.file.open("rb")
    except FileNotFoundError as error:
        raise GoneError(f"{source.file}: is gone") from error
    if os.fstat(file.fileno()).st_size < source.length:
        file.close()
        raise GoneError(f"{source.file}: became shorter")
    return file


def copy_databases(data: Path, into: Path) -> Iterator[Source]:
    """Copy each database as of one moment, also while a daemon writes it.

    Raises:
        BackupError: SQLite refused.
    """
    for name in DATABASES:
        path, copy = data / name, into / name
        if not path.is_file():
            continue
        try:
            with (
                closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as live,
                closing(sqlite3.connect(copy)) as copied,
            ):
                live.backup(copied, pages=1000)
        except sqlite3.Error as error:
            raise BackupError(f"{path}: cannot be copied: {error}") from error
        yield _plain(name, copy)


def copy_settings(config: Path | None, strategies: Path | None, into: Path) -> Iterator[Source]:
    """Copy the file of settings without what looks like a secret, and strategies of one's own.

    Raises:
        OSError: one cannot be read.
    """
    if config is not None and config.is_file():
        copy = into / "taped.toml"
        with config.open("rb") as file:
            copy.write_text(without_secrets(file.read(MAX_CONFIG_BYTES).decode("utf-8", "replace")), "utf-8")
        yield _plain("config/taped.toml", copy)
    if strategies is None or not strategies.is_dir():
        return
    for path in sorted(strategies.glob("*.py"))[:MAX_STRATEGIES]:
        if path.is_file() and path.stat().st_size <= MAX_STRATEGY_BYTES:
            yield _plain(f"config/strategies/{path.name}", path)


def dumped(dump: Callable[[Path], Path | None] | None, into: Path) -> Iterator[Source]:
    """Have the database dumped, where that is wanted and can be done."""
    path = None if dump is None else dump(into)
    if path is not None:
        yield _plain("database/taped.dump", path)


def without_secrets(text: str) -> str:
    """Return settings without the values of keys named like secrets, and without passwords in URLs."""
    return _USER.sub(r"\1:***@", _SECRET.sub(r'\1"***"', text))


def _plain(place: str, path: Path) -> Source:
    sha, length = _hash(path)
    return Source(place, path, length, f"sha256:{sha}")
