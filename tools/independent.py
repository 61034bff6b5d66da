"""A second reader of journals that shares no code with the first: struct, zlib and msgpack only.

It reads the byte format that `schemas/README.md` draws, checks what can be checked, and gives events as the
arrays they are on disk. Archived segments are made again by `tools.independent_archive`. Slow and
simple on purpose; it changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Generator, Iterator
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from tools.independent_archive import OTHER_FORM, ArchiveDamagedError, segment_of

_PAGE = 4096
_DATA, _MARK, _SEAL, _GAP = 1, 2, 3, 4
_NO_END = 1 << 64

_Event = tuple[int, list[Any]]


class DamagedError(Exception):
    """A byte is not what the format demands; the text says where."""


class _Frame(NamedTuple):
    offset: int
    end: int
    crc: int
    first_seq: int
    events: int
    type: int
    body: bytes


class _End(NamedTuple):
    """What the next segment's header must repeat."""

    journal: bytes
    sha256: bytes
    crc: int
    next_seq: int


def read(directory: Path) -> Iterator[_Event]:
    """Yield `(sequence number, event array)` of every event, to the torn end of the last segment.

    Raises:
        DamagedError: a checksum, link, number or seal does not hold.
    """
    paths = _paths(directory)
    end: _End | None = None
    for path in paths:
        try:
            data = _segment_bytes(path)
            end = yield from _segment(path, data, end, last=path is paths[-1])
        except OTHER_FORM as error:
            raise DamagedError(
                f"{path.name}: something has another form than it must have: {error}"
            ) from error
        except ArchiveDamagedError as error:
            raise DamagedError(f"{path.name}, {error}") from error


def _paths(directory: Path) -> list[Path]:
    """Return the segments from the beginning on, plain or archived; a plain one counts before its archive."""
    begins = max((path.name for path in directory.glob("*.base")), default="")
    found: dict[str, Path] = {}
    for path in [*directory.iterdir(), *directory.glob("archive/*")]:
        match = re.fullmatch(r"(\d{10}-\d{20})\.evl(\.zst)?", path.name)
        if match and match[1] >= begins[:31]:
            found.setdefault(match[1], path)
    return [found[name] for name in sorted(found)]


def _segment_bytes(path: Path) -> bytes:
    """Return a segment's bytes; one that was archived since it was listed is made again from its archive."""
    if path.suffix != ".zst":
        try:
            return path.read_bytes()
        except FileNotFoundError:
            path = path.parent / "archive" / f"{path.name}.zst"
    return segment_of(path.read_bytes())


def _segment(path: Path, data: bytes, before: _End | None, *, last: bool) -> Generator[_Event, None, _End]:
    _demand(len(data) >= _PAGE, path, 0, "shorter than a header")
    magic, version, crc, number, seq, _, journal, nonce, sha = struct.unpack_from("<8sIIQQQ16s8s32s", data)
    _demand(magic == b"TAPEDEVL" and version == 1, path, 0, "not a segment")
    _demand(crc32(data[:4092]) == struct.unpack_from("<I", data, 4092)[0], path, 4092, "header CRC")
    name = path.name.removesuffix(".zst")
    _demand(name == f"{number:010d}-{seq:020d}.evl", path, 16, "the name does not fit the header")
    if before is None and number == 1:
        before = _End(journal, bytes(32), 0, 1)
    _demand(before in (None, _End(journal, sha, crc, seq)), path, 12, "does not follow the one before")
    offset, sealed = _PAGE, None
    while sealed is None and (frame := _frame(path, data, offset, (nonce, crc, seq), last=last)):
        events = _unpack(frame.body) if frame.type == _DATA else []
        _demand(len(events) == frame.events, path, offset, f"{len(events)} events, not {frame.events}")
        yield from enumerate(events, seq)
        offset, crc, seq = frame.end, frame.crc, seq + frame.events
        if frame.type == _SEAL:
            sealed = _seal(path, data, frame)
        elif frame.type == _GAP:
            _, seq, _, _ = _unpack(frame.body)
            _demand(seq >= frame.first_seq, path, frame.offset, f"a gap back to seq {seq}")
    _demand(sealed is not None or last, path, offset, "no seal, yet a later segment exists")
    _demand(last or offset == len(data), path, offset, "bytes behind the seal")
    return _End(journal, sealed or b"", crc, seq)


def _frame(
    path: Path, data: bytes, offset: int, follows: tuple[bytes, int, int], *, last: bool
) -> _Frame | None:
    """Return the whole frame at `offset`; None at the end, which only the last segment may have torn."""
    frame, reason = _parse(data, offset, follows)
    if frame is not None:
        return frame
    later = [at for at in range(offset + _PAGE, len(data), _PAGE) if _header_holds(data, at, follows[0])]
    _demand(not later, path, offset, f"{reason}, yet a whole frame follows at byte {later[:1]}")
    _demand(last or offset == len(data), path, offset, reason)
    return None


def _header_holds(data: bytes, at: int, nonce: bytes) -> bool:
    return (
        data[at : at + 4] == b"TPFR"
        and data[at + 4 : at + 8] == struct.pack("<I", crc32(data[at + 8 : at + 64]))
        and data[at + 24 : at + 32] == struct.pack("<Q", at)
        and data[at + 52 : at + 60] == nonce
    )


def _parse(data: bytes, at: int, follows: tuple[bytes, int, int]) -> tuple[_Frame | None, str]:
    nonce, previous_crc, next_seq = follows
    if not _header_holds(data, at, nonce):
        return None, "no frame header"
    crc, body_crc, chain, seq, _, _, length, count, kind, codec = struct.unpack_from(
        "<4xIIIQQQIIBB", data, at
    )
    end = at + (64 + length + _PAGE - 1) // _PAGE * _PAGE
    if kind not in (_DATA, _MARK, _SEAL, _GAP) or codec != 1 or length > 1 << 24 or end > len(data):
        return None, f"type {kind}, codec {codec}, {length} bytes"
    if (chain, seq) != (previous_crc, next_seq):
        return None, f"chain {chain:08x}, seq {seq}; expected {previous_crc:08x}, {next_seq}"
    if crc32(data[at + 64 : end]) != body_crc:
        return None, "body CRC"
    return _Frame(at, end, crc, seq, count, kind, data[at + 64 : at + 64 + length]), ""


def _seal(path: Path, data: bytes, frame: _Frame) -> bytes:
    """Check the body of a SEAL: next seq, frames, first and last append_ns, SHA-256, index of frames."""
    next_seq, _, _, _, sha, index = _unpack(frame.body)
    _demand(next_seq == frame.first_seq, path, frame.offset, f"the seal ends at seq {next_seq}")
    _demand(hashlib.sha256(data[: frame.offset]).digest() == sha, path, frame.offset, "SHA-256 of the seal")
    for seq, at, _ in index:
        _demand(data[at + 16 : at + 24] == struct.pack("<Q", seq), path, at, "the seal's index is wrong")
    return bytes(sha)


def _unpack(body: bytes) -> Any:
    try:
        return msgpack.unpackb(body, strict_map_key=False, object_pairs_hook=_map)
    except (ValueError, msgpack.UnpackException) as error:
        raise DamagedError(f"a body is not msgpack: {error}") from error


def _map(pairs: list[tuple[Any, Any]]) -> Any:
    try:
        return dict(pairs)
    except TypeError:
        return pairs


def _demand(holds: bool, path: Path, offset: int, reason: str) -> None:  # noqa: FBT001
    if not holds:
        raise DamagedError(f"{path.name}, byte {offset}: {reason}")


def compare(directory: Path) -> list[str]:
    """Return each difference between this reader and the daemon's own; nothing when both agree.

    Of a journal that is being written, what was there at the beginning is compared.
    """
    # Only here, so that nothing above can lean on what it is to check.
    from daemon.journal.listing import list_journal  # noqa: PLC0415
    from daemon.journal.reader import JournalReader  # noqa: PLC0415
    from schemas.codec import CODEC  # noqa: PLC0415
    from schemas.errors import TapedError  # noqa: PLC0415

    problems: list[str] = []
    try:
        reader = JournalReader(directory)
        try:
            last_seq = reader.last_seq
        except TapedError:
            last_seq = _NO_END  # Damaged: each reader is to come to it by itself.
        ours = takewhile(lambda event: event[0] <= last_seq, read(directory))
        first = next(ours, None)
        if first is None:
            name = list_journal(directory)[0]
            return [f"{name.path.name}: no event found in it"] if name.first_seq <= last_seq else []
        theirs = (
            (seq, row)
            for batch in reader.batches(first[0], last_seq)
            for seq, row in enumerate(_unpack(CODEC.encode(batch.events)), batch.first_seq)
        )
        _differences(zip_longest(_chain(first, ours), theirs), problems)
    except (DamagedError, TapedError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    return problems


def _chain(first: _Event, rest: Iterator[_Event]) -> Iterator[_Event]:
    yield first
    yield from rest


def _differences(pairs: Iterator[tuple[Any, Any]], problems: list[str]) -> None:
    for ours, theirs in pairs:
        if ours is None or theirs is None:
            problems.append(f"only one reader has an event: {ours or theirs}")
            return
        (seq, raw), (their_seq, row) = ours, theirs
        # An older version is lifted when it is read, and missing fields at the end get their defaults.
        same = row[: len(raw)] if row[1] == raw[1] else [raw[0], row[1], *raw[2:]]
        if seq != their_seq or msgpack.packb(raw) != msgpack.packb(same):
            problems.append(f"seq {seq}: {raw!r}, the other reader has seq {their_seq}: {row!r}")
