"""Files to blocks of lines: plain, gzip or zip, told by their first bytes; bounded memory.

Reads; knows no format. Lines over `MAX_LINE_BYTES` are rejected and passed over, a file that
unpacks to absurd length is refused.
"""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import GzipFile
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from daemon.venue.feeds.parsing import MAX_LINE_BYTES, Tally
from schemas.errors import TapedError

CHUNK_BYTES = 64 * 1024
"""A block of it parses in some 5 ms, which an event loop that plays files can bear."""
MAX_MEMBERS = 10_000
MAX_RATIO = 250
"""Recorded ticks shrink 3 to 20 times; over this a file is a bomb (gzip can reach 1,030)."""
FREE_BYTES = 64 * 1024 * 1024
"""Below this length the ratio does not matter."""
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_HEAD_BYTES = 64 * 1024
_DAMAGE = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    NotImplementedError,  # A version or a packing that zipfile does not know.
    UnicodeDecodeError,  # A name inside.
    struct.error,
)
"""What unpacking raises, beside an OSError of no number (gzip, bzip2)."""


class SourceError(TapedError):
    """A file cannot be read to its end.

    Attributes:
        problem: what is wrong, without the file's name.
    """

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}", hint=hint)
        self.problem = problem


class _Stream(Protocol):
    """Bytes, unpacked."""

    def read1(self, n: int = -1, /) -> bytes:
        """Return what one read gives, nothing at the end."""
        ...


class Block(NamedTuple):
    """Consecutive lines of one member, without line ends; `member` is empty outside a zip."""

    member: str
    first_line: int
    lines: list[bytes]


class Source:
    """One file to read.

    Attributes:
        total_bytes: its length on disk.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.total_bytes = path.stat().st_size
            self._file = path.open("rb")
        except OSError as error:
            raise SourceError(path, f"cannot be read: {error.strerror}") from error
        self._unpacked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """Bytes of the file read so far."""
        return self._file.tell()

    def head(self) -> tuple[str, list[bytes]]:
        """Return the first member's name and its first lines; reading starts over afterwards.

        Raises:
            SourceError: the file cannot be read, or is damaged before its first line.
        """
        try:
            with self._telling_damage():
                for member, stream in self._streams(Tally()):
                    # What came before the damage is enough.
                    data = next(_chunks(stream, _HEAD_BYTES), b"")
                    return member, data.replace(b"\r\n", b"\n").split(b"\n")
        finally:
            self._file.seek(0)
        return "", []

    def blocks(self, tally: Tally) -> Iterator[Block]:
        """Yield all lines in order.

        Args:
            tally: where lines over the limit are rejected.

        Raises:
            SourceError: the file is cut or damaged here, or unpacks to absurd length; what came
                before is good.
        """
        with self._telling_damage():
            for member, stream in self._streams(tally):
                yield from self._member_blocks(member, stream, tally)

    @contextmanager
    def _telling_damage(self) -> Iterator[None]:
        try:
            yield
        except (*_DAMAGE, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise SourceError(self.path, f"cannot be read: {error.strerror}") from error
            raise SourceError(self.path, f"the compressed data is cut or damaged: {error}") from error

    def _streams(self, tally: Tally) -> Iterator[tuple[str, _Stream]]:
        magic = self._file.read(4)
        self._file.seek(0)
        if magic.startswith(_GZIP):
            with GzipFile(fileobj=self._file) as stream:
                yield "", stream
        elif magic == _ZIP:
            with zipfile.ZipFile(self._file) as archive:
                yield from self._members(archive, tally)
        else:
            yield "", self._file

    def _members(self, archive: zipfile.ZipFile, tally: Tally) -> Iterator[tuple[str, _Stream]]:
        # Not `is_dir`, which fails on the empty name of a damaged archive.
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
        data = [member for member in members if _is_csv(member.filename)]
        # Vendors put a report or a licence beside their CSV.
        if data and len(data) < len(members):
            tally.skip("file inside that is no CSV", len(members) - len(data))
            members = data
        if len(members) > MAX_MEMBERS:
            raise SourceError(self.path, f"{len(members)} files inside, at most {MAX_MEMBERS} are read")
        for member in members:
            if member.flag_bits & 1:
                raise SourceError(self.path, f"{member.filename} inside is encrypted")
            with archive.open(member) as stream:
                yield member.filename, stream  # type: ignore[misc]  # A ZipExtFile, which has read1.

    def _member_blocks(self, member: str, stream: _Stream, tally: Tally) -> Iterator[Block]:
        number = 1
        rest = b""
        overlong = False
        for chunk in _chunks(stream, CHUNK_BYTES):
            self._count(len(chunk))
            if b"\n" not in chunk:
                if not overlong:
                    rest += chunk
                    overlong = len(rest) > MAX_LINE_BYTES
                    rest = b"" if overlong else rest
                continue
            head, _, tail = chunk.rpartition(b"\n")
            if overlong:
                tally.reject(number, f"line over {MAX_LINE_BYTES} bytes", member)
                number += 1
                overlong = False
                _, found, head = head.partition(b"\n")
                if not found:
                    rest = tail
                    continue
            lines = (rest + head).replace(b"\r\n", b"\n").removesuffix(b"\r").split(b"\n")
            yield Block(member, number, lines)
            number += len(lines)
            rest = tail
        if overlong:
            tally.reject(number, f"line over {MAX_LINE_BYTES} bytes", member)
        elif rest:
            yield Block(member, number, [rest.rstrip(b"\r")])

    def _count(self, length: int) -> None:
        self._unpacked += length
        if self._unpacked > max(FREE_BYTES, MAX_RATIO * self.total_bytes):
            raise SourceError(
                self.path,
                f"unpacks to over {MAX_RATIO} times its length",
                hint="if it is what you want, unpack it first",
            )


def _is_csv(name: str) -> bool:
    """Return whether a file inside is CSV, and not what macOS keeps of one."""
    return name.lower().endswith(".csv") and not name.rpartition("/")[2].startswith("._")


def _chunks(stream: _Stream, length: int) -> Iterator[bytes]:
    """Yield all bytes in pieces of a length; what came before damage is yielded before that is raised."""
    while True:
        parts: list[bytes] = []
        missing = length
        try:
            while missing and (part := stream.read1(missing)):
                parts.append(part)
                missing -= len(part)
        except (*_DAMAGE, OSError):
            if parts:
                yield b"".join(parts)
            raise
        if not parts:
            return
        yield b"".join(parts)
