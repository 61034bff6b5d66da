"""One snapshot on disk: written durably, read back, checked. Chooses none and keeps none.

DATA/snapshots/{seq:020d}.snap                 body, compressed with zstd
0    8  magic "TAPEDSNP"                       each part of `daemon.trading.dump`:
8    4  format version                             4 bytes length, then the part
12   4  schema epoch
16   8  seq: the last event that counts
24   8  length of the body
32   8  length of the body once unpacked
40  32  journal id, hex
72  64  hash of the code, hex
136  4  CRC-32 of the body as it is on disk
140  4  CRC-32 of bytes 0..140
All integers are little-endian.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import zstandard

from daemon.journal.disk import Disk
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, load
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.errors import TapedError
from schemas.frame import SCHEMA_EPOCH

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAGIC = b"TAPEDSNP"
_HEADER = struct.Struct("<8sIIQQQ32s64sI")
_CRC = struct.Struct("<I")
_LENGTH = struct.Struct("<I")
_HEADER_BYTES = _HEADER.size + _CRC.size
_MAX_UNPACKED = 1 << 30
_NAME = re.compile(r"(\d{20})\.snap", re.ASCII)


class SnapshotError(TapedError):
    """A file is no snapshot that can be used here."""


class OtherCodeError(SnapshotError):
    """The snapshot is of other code, which may have laid it out, and decided, otherwise."""


class Header(NamedTuple):
    """What a snapshot says of itself."""

    seq: int
    packed_bytes: int
    unpacked_bytes: int
    journal_id: str
    code_hash: str
    body_crc: int


def listed(folder: Path) -> list[tuple[int, Path]]:
    """Return the snapshots in a folder with the event they reach to, oldest first, by their names alone."""
    try:
        names = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("snapshots cannot be listed: %s", error)
        return []
    return sorted((int(name[1]), path) for name, path in names if name is not None)


def write(disk: Disk, folder: Path, taken: CoreDump, code_hash: str) -> None:
    """Write a snapshot; it is durable on return, and had no name before.

    Raises:
        OSError: the disk refused.
        DumpError: the core holds what cannot be written.
    """
    folder.mkdir(mode=0o750, exist_ok=True)
    for left in folder.glob("*.tmp"):
        disk.unlink(left)
    body, unpacked_bytes = _pack(taken)
    packed_bytes = sum(map(len, body))
    crc = 0
    for piece in body:
        crc = crc32(piece, crc)
    header = _HEADER.pack(
        MAGIC,
        FORMAT_VERSION,
        SCHEMA_EPOCH,
        taken.seq,
        packed_bytes,
        unpacked_bytes,
        taken.journal_id.encode(),
        code_hash.encode(),
        crc,
    )
    path = folder / f"{taken.seq:020d}.snap"
    draft = path.with_suffix(".tmp")
    try:
        _write_draft(disk, draft, [header + _CRC.pack(crc32(header)), *body])
        disk.rename(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            disk.unlink(draft)
        raise
    disk.sync_directory(folder)


def _write_draft(disk: Disk, path: Path, pieces: list[bytes]) -> None:
    fd = disk.create(path)
    try:
        disk.write(fd, [b"".join(pieces)], 0)
        disk.sync_file(fd)
    finally:
        disk.close(fd)


def _pack(taken: CoreDump) -> tuple[list[bytes], int]:
    """Return the compressed body and its length before that."""
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    body: list[bytes] = []
    length = 0
    for part in taken.parts():
        body.append(compressor.compress(_LENGTH.pack(len(part)) + part))
        length += _LENGTH.size + len(part)
    body.append(compressor.flush())
    return [piece for piece in body if piece], length


def remove(disk: Disk, folder: Path, paths: list[Path]) -> None:
    """Remove snapshots, durably."""
    try:
        for path in paths:
            disk.unlink(path)
        if paths:
            # A power cut must not bring back what the journal has not.
            disk.sync_directory(folder)
    except OSError as error:
        log.warning("old snapshots stay: %s", error)


def read(
    path: Path,
    journal_id: str,
    code_hash: str | None,
    *,
    venue: str = "paper",
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
) -> Core:
    """Return the core of a snapshot.

    Args:
        path: the file.
        journal_id: of the journal it must be of.
        code_hash: of the code it must be of; None takes that of any: a strategy that this code cannot
            read is stopped then, with that for a reason.
        venue: as for `Core`.
        kinds: as for `Core`.

    Raises:
        OtherCodeError: it is of other code.
        SnapshotError: it is damaged, or of another journal.
        DumpError: this code cannot load it.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = _header(memoryview(file.read(_HEADER_BYTES)))
        if header.journal_id != journal_id:
            raise SnapshotError(f"of journal {header.journal_id}, this is {journal_id}")
        if code_hash not in (None, header.code_hash):
            raise OtherCodeError(f"of code {header.code_hash:.12}, this is {code_hash:.12}")
        if f"{header.seq:020d}.snap" != path.name:
            raise SnapshotError(f"holds seq {header.seq}")
        body = memoryview(file.read())
    if len(body) != header.packed_bytes:
        raise SnapshotError(f"{len(body)} bytes of body, expected {header.packed_bytes}")
    if crc32(body) != header.body_crc:
        raise SnapshotError(f"body crc {crc32(body):08x}, expected {header.body_crc:08x}")
    with _no_collection():
        parts = _parts(body, header.unpacked_bytes)
        core = load(journal_id, parts, venue=venue, kinds=kinds, or_stop=code_hash is None)
    if core.next_seq != header.seq + 1:
        raise SnapshotError(f"holds the state after {core.next_seq - 1}")
    return core


def _header(head: memoryview) -> Header:
    if len(head) != _HEADER_BYTES:
        raise SnapshotError(f"{len(head)} bytes, a header has {_HEADER_BYTES}")
    (expected,) = _CRC.unpack_from(head, _HEADER.size)
    found = crc32(head[: _HEADER.size])
    magic, version, epoch, seq, packed, unpacked, journal_id, code_hash, body_crc = _HEADER.unpack_from(head)
    if magic != MAGIC or found != expected:
        raise SnapshotError(f"magic {magic!r}, header crc {found:08x}, expected {expected:08x}")
    if (version, epoch) != (FORMAT_VERSION, SCHEMA_EPOCH):
        raise SnapshotError(
            f"format {version}, epoch {epoch}; this taped reads {FORMAT_VERSION}, {SCHEMA_EPOCH}"
        )
    if unpacked > _MAX_UNPACKED:
        raise SnapshotError(f"{unpacked} bytes unpacked, at most {_MAX_UNPACKED} are read")
    return Header(seq, packed, unpacked, journal_id.decode(), code_hash.decode(), body_crc)


def _parts(body: memoryview, unpacked_bytes: int) -> Iterator[memoryview]:
    unpacked = memoryview(zstandard.ZstdDecompressor().decompress(body, max_output_size=unpacked_bytes))
    if len(unpacked) != unpacked_bytes:
        raise SnapshotError(f"{len(unpacked)} bytes unpacked, expected {unpacked_bytes}")
    place = 0
    while place < unpacked_bytes:
        (length,) = _LENGTH.unpack_from(unpacked, place)
        place += _LENGTH.size + length
        yield unpacked[place - length : place]


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from walking all orders again and again: half of a load of 50,000."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
