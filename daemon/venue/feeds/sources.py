"""Files to blocks of lines: plain, gzip or zip, told by their first bytes; bounded memory.

Reads; knows no format. Lines over `MAX_LINE_BYTES` are rejected and passed over, a file that
unpacks to absurd length is refused.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Self

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
_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


class SourceError(TapedError):
    """A file cannot be read to its end.

    Attributes:
        problem: what is wrong, without the file's name.
    """

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}", hint=hint)
        self.problem = problem


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
            self._file: IO[bytes] = path.open("rb")
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

    def head(self, max_bytes: int = 65_536) -> tuple[str, list[bytes]]:
        """Return the first member's name and its first whole lines; reading starts over afterwards."""
        try:
            for member, stream in self._streams():
                data = stream.read(max_bytes)
                return member, data.replace(b"\r\n", b"\n").split(b"\n")
        except _DAMAGE as error:
            raise self._damaged(error) from error
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
        try:
            for member, stream in self._streams():
                yield from self._member_blocks(member, stream, tally)
        except _DAMAGE as error:
            raise self._damaged(error) from error
        except OSError as error:
            raise SourceError(self.path, f"cannot be read: {error}") from error

    def _damaged(self, error: Exception) -> SourceError:
        return SourceError(self.path, f"the compressed data is cut or damaged: {error}")

    def _streams(self) -> Iterator[tuple[str, IO[bytes]]]:
        magic = self._file.read(4)
        self._file.seek(0)
        if magic.startswith(_GZIP):
            with gzip.GzipFile(fileobj=self._file) as stream:
                yield "", stream  # type: ignore[misc]  # GzipFile is an IO[bytes] in all but name.
        elif magic == _ZIP:
            with zipfile.ZipFile(self._file) as archive:
                yield from self._members(archive)
        else:
            yield "", self._file

    def _members(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_MEMBERS:
            raise SourceError(self.path, f"{len(members)} files inside, at most {MAX_MEMBERS} are read")
        for member in members:
            if member.flag_bits & 1:
                raise SourceError(self.path, f"{member.filename} inside is encrypted")
            try:
                stream = archive.open(member)
            except NotImplementedError as error:
                raise SourceError(self.path, f"{member.filename} inside: {error}") from error
            with stream:
                yield member.filename, stream

    def _member_blocks(self, member: str, stream: IO[bytes], tally: Tally) -> Iterator[Block]:
        number = 1
        rest = b""
        overlong = False
        while chunk := stream.read(CHUNK_BYTES):
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
