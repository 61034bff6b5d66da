"""`python -m tests.crash.journal.fuzz --rounds 100000`: hostile segments against everything that reads.

Random bytes, damaged segments and archives, and such whose checksums hold while their numbers,
lengths, bodies and columns lie. Under a limit of memory. Nothing may escape but the journal's own errors.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack
import zstandard

from daemon.journal.archive import archive_journal
from daemon.journal.archive_file import HEADER_BYTES, pack_end
from daemon.journal.listing import archive_path
from daemon.journal.reader import JournalReader
from daemon.journal.recovery import recover
from daemon.journal.repair import plan_repair
from daemon.journal.segment import segment_path
from daemon.journal.tail import JournalTail
from daemon.journal.verify import verify
from daemon.journal.written import written
from schemas.errors import TapedError
from schemas.frame import PAGE, FrameType, SegmentHeader, frame_bytes, pack_segment_header
from tests.crash.journal.journals import NO_SYNC, make_journal, open_tiny, trades
from tools.independent import DamagedError, compare, read

MEMORY_BYTES = 768 << 20
_NONCE = b"12345678"
_WEIRD = (0, 1, 2, 255, 65_536, 65_537, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1)
_BOMB = zstandard.ZstdCompressor().compress(bytes(MEMORY_BYTES // 2))
"""Twice what it promises does not fit."""
_WEIRD_64 = (*_WEIRD, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, PAGE, 2 * PAGE)


def lying_segment(choice: random.Random) -> bytes:
    """A segment whose checksums all hold."""
    segment = pack_segment_header(SegmentHeader(1, 1, 0, bytes(16), _NONCE, bytes(32), 0))
    chain, seq = 0, 1
    for _ in range(choice.randrange(1, 5)):
        frame, chain, seq = _lying_frame(choice, len(segment), chain, seq)
        segment += frame
    return segment


def _lying_frame(choice: random.Random, offset: int, chain: int, seq: int) -> tuple[bytes, int, int]:
    kind = choice.choice(list(FrameType))
    body, count = _body(choice, kind, offset)
    length = len(body)
    padded = body + bytes(frame_bytes(length) - 64 - length)
    fields = [crc32(padded), chain, seq, offset, 5, length, count, int(kind), 1, 1]
    if choice.random() < 0.3:
        at = choice.randrange(len(fields))
        limit = (32, 32, 64, 64, 64, 32, 32, 8, 8, 16)[at]
        fields[at] = choice.choice(_WEIRD_64) % (1 << limit)
    checked = struct.pack("<IIQQQIIBBH8s4x", *fields, _NONCE)
    crc = crc32(checked)
    return b"TPFR" + struct.pack("<I", crc) + checked + padded, crc, seq + count


def _body(choice: random.Random, kind: FrameType, offset: int) -> tuple[bytes, int]:
    weird = choice.choice([*_WEIRD_64, -1, -(1 << 63), offset, None, "x", 1.5, [], {}])
    if choice.random() < 0.15:
        return choice.randbytes(choice.randrange(200)), choice.choice((0, 1, 65_536))
    if kind is FrameType.SEAL:
        index = [
            [choice.choice((1, weird)), choice.choice((PAGE, weird)), 0] for _ in range(choice.randrange(4))
        ]
        return msgpack.packb([choice.choice((3, weird)), 1, 0, 0, bytes(32), index]), 0
    if kind is FrameType.GAP:
        return msgpack.packb([1, choice.choice((9, weird)), "reason", choice.choice(("q", weird))]), 0
    if kind is FrameType.MARK:
        return choice.choice((b"", b"\x90", b"x" * 5000)), 0
    return _events(choice, weird)


def _events(choice: random.Random, weird: object) -> tuple[bytes, int]:
    style = choice.randrange(5)
    if style == 0:
        depth = choice.choice((10, 300, 5000))
        nested = b"\x91" * depth + b"\xc0"
        event = choice.choice((b"\x94\xcc\xc8\x01\x05", b"\x9c\x02\x01\x05\x05\x01\x01\x01\x01\xc0\x00\xa0"))
        return b"\x91" + event + nested, 1
    if style == 1:
        # Lengths that promise far more than there is.
        huge = choice.choice(
            (
                b"\xdd\xff\xff\xff\xff",
                b"\xdb\xff\xff\xff\xf0",
                b"\xdf\x7f\xff\xff\xff",
                b"\xc6\xff\xff\xff\xff",
            )
        )
        return choice.choice((huge, b"\x91" + huge, b"\x91\x94\xcc\xc8\x01\x05" + huge)), 1
    event = [choice.choice((2, 3, 62, 119, weird)), choice.choice((1, 2, weird)), choice.choice((5, weird))]
    event += [choice.choice((1, weird, "text", b"\xff", {1: [2]}, None)) for _ in range(choice.randrange(14))]
    return msgpack.packb([event] * choice.choice((1, 3))), choice.choice((1, 3))


def damaged_segment(choice: random.Random, sample: bytes) -> bytes:
    content = bytearray(sample)
    for _ in range(choice.randrange(1, 5)):
        at = choice.randrange(len(content))
        length = choice.choice((1, 4, 64, PAGE))
        source = choice.choice((bytes(length), choice.randbytes(length), sample[at // 2 :][:length]))
        content[at : at + len(source)] = source
    return bytes(content[: choice.choice((None, choice.randrange(len(content))))])


def hostile(choice: random.Random, sample: bytes) -> bytes:
    """A file for the place of a journal's only segment."""
    style = choice.random()
    if style < 0.7:
        return lying_segment(choice)
    if style < 0.97:
        return damaged_segment(choice, sample)
    return choice.randbytes(choice.choice((0, 1, 64, PAGE, 3 * PAGE + 7)))


def hostile_archive(choice: random.Random, sample: bytes) -> bytes:
    """An archive of which something is not as it was; most of them with checksums that hold."""
    if choice.random() < 0.2:
        return damaged_segment(choice, sample)
    (length,) = struct.unpack_from("<I", sample, len(sample) - 16)
    footer = msgpack.unpackb(sample[-16 - length : -16])
    blocks = [sample[entry[0] : entry[0] + entry[1]] for entry in footer[0]]
    at = choice.randrange(len(blocks))
    if choice.random() < 0.8:
        blocks[at] = msgpack.packb(_lied(choice, msgpack.unpackb(blocks[at])))
    offset = HEADER_BYTES
    for entry, block in zip(footer[0], blocks, strict=True):
        entry[:3] = [offset, len(block), crc32(block)]
        offset += len(block)
    if choice.random() < 0.3:
        footer = _lied(choice, footer)
    packed = msgpack.packb(footer)
    return sample[:HEADER_BYTES] + b"".join(blocks) + packed + pack_end(packed)


def _lied(choice: random.Random, value: Any) -> Any:
    """Return msgpack's value with something in it, at any depth, put in the place of something else."""
    if isinstance(value, list) and value and choice.random() < 0.9:
        at = choice.randrange(len(value))
        style = choice.random()
        if style < 0.05:
            return value[:at]
        if style < 0.1:
            return [*value, value[at]]
        return [*value[:at], _lied(choice, value[at]), *value[at + 1 :]]
    if isinstance(value, bytes) and choice.random() < 0.8:
        return _lied_bytes(choice, value)
    return choice.choice([*_WEIRD_64, -1, -(1 << 63), None, "x", b"", 1.5, True, [], [1], {}])


def _lied_bytes(choice: random.Random, value: bytes) -> bytes:
    """Columns are msgpack in msgpack, and compressed: lie on any level."""
    style = choice.random()
    if style < 0.3:
        try:
            return bytes(msgpack.packb(_lied(choice, msgpack.unpackb(value))))
        except (ValueError, msgpack.UnpackException):
            pass
    if style < 0.6:
        try:
            plain = zstandard.ZstdDecompressor().decompress(value) if len(value) < PAGE else b""
            return zstandard.ZstdCompressor().compress(_lied_bytes(choice, plain))
        except zstandard.ZstdError:
            pass
    if style < 0.65:
        return _BOMB
    if style < 0.7:
        return b"\x91" * choice.choice((900, 5000)) + b"\xc0"
    content = bytearray(value or b"\0")
    content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)
    return bytes(content)


def attack(folder: Path, content: bytes, *, archived: bool = False) -> Counter[str]:
    """Let everything read the segment; return which errors came.

    Raises:
        Exception: any that is not the journal's own.
    """
    path = archive_path(folder, 1, 1) if archived else segment_path(folder, 1, 1)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    readers: dict[str, Callable[[], object]] = {
        "batches": lambda: list(JournalReader(folder).batches()),
        "from 2": lambda: list(JournalReader(folder).batches(2, 1 << 62)),
        "last_seq": lambda: JournalReader(folder).last_seq,
        "verify": lambda: verify(folder),
        "recover": lambda: recover(folder, NO_SYNC),
        "independent": lambda: list(read(folder)),
        "compare": lambda: compare(folder),
        "repair": lambda: plan_repair(folder),
        "written": lambda: written(folder),
        "tail": lambda: list(JournalTail(folder).poll()),
    }
    seen: Counter[str] = Counter()
    for name, call in readers.items():
        try:
            call()
            seen[f"{name}: read"] += 1
        except (TapedError, DamagedError) as error:
            seen[f"{name}: {type(error).__name__}"] += 1
    path.unlink()
    return seen


def _samples(folder: Path) -> list[bytes]:
    """Return a sealed segment, and its archive; a second segment is made behind it."""
    sample = folder / "sample"
    make_journal(sample, [1, 2, 40], seal=True)
    with open_tiny(sample) as writer:
        writer.append(trades(writer.next_seq, 3))
    plain = segment_path(sample, 1, 1).read_bytes()
    archive_journal(sample)
    return [plain, archive_path(sample, 1, 1).read_bytes()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    arguments = parser.parse_args(argv)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    folder = Path(tempfile.mkdtemp(prefix="taped-fuzz-"))
    samples = _samples(folder)
    journal, archives = folder / "journal", folder / "archives"
    journal.mkdir()
    # Only older segments are archived: a newer one stands behind the hostile one.
    shutil.copytree(folder / "sample", archives, ignore=shutil.ignore_patterns("0000000001-*"))
    seen: Counter[str] = Counter()
    started = time.monotonic()
    for round_ in range(arguments.rounds):
        seed = arguments.seed * 1_000_003 + round_
        choice = random.Random(seed)
        archived = choice.random() < 0.4
        make = hostile_archive if archived else hostile
        content = make(choice, samples[archived])
        try:
            seen += attack(archives if archived else journal, content, archived=archived)
        except BaseException:
            (folder / "culprit.evl").write_bytes(content)
            sys.stderr.write(f"round {round_} of seed {arguments.seed}: see {folder / 'culprit.evl'}\n")
            raise
    for line, count in sorted(seen.items()):
        sys.stdout.write(f"{count:8} {line}\n")
    seconds = time.monotonic() - started
    sys.stdout.write(f"{arguments.rounds} hostile segments in {seconds:.1f} s, seed {arguments.seed}\n")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
