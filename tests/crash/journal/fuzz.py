"""`python -m tests.crash.journal.fuzz --rounds 100000`: hostile segments against everything that reads.

Random bytes, damaged segments, and segments whose checksums hold while their numbers, lengths and
bodies lie. Under a limit of memory. Nothing may escape but the journal's own errors.
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
from zlib import crc32

import msgpack

from daemon.journal.reader import JournalReader
from daemon.journal.recovery import recover
from daemon.journal.segment import segment_path
from daemon.journal.verify import verify
from schemas.errors import TapedError
from schemas.frame import PAGE, FrameType, SegmentHeader, frame_bytes, pack_segment_header
from tests.crash.journal.journals import NO_SYNC, make_journal
from tools.independent import DamagedError, compare, read

MEMORY_BYTES = 768 << 20
_NONCE = b"12345678"
_WEIRD = (0, 1, 2, 255, 65_536, 65_537, 1 << 24, (1 << 24) + 1, (1 << 31) - 1, (1 << 32) - 1)
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
        # Deeper than the interpreter's recursion limit is not tried: msgspec raises RecursionError there.
        depth = choice.choice((10, 300))
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


def attack(folder: Path, content: bytes) -> Counter[str]:
    """Let everything read the segment; return which errors came.

    Raises:
        Exception: any that is not the journal's own.
    """
    path = segment_path(folder, 1, 1)
    path.write_bytes(content)
    readers: dict[str, Callable[[], object]] = {
        "batches": lambda: list(JournalReader(folder).batches()),
        "from 2": lambda: list(JournalReader(folder).batches(2, 1 << 62)),
        "last_seq": lambda: JournalReader(folder).last_seq,
        "verify": lambda: verify(folder),
        "recover": lambda: recover(folder, NO_SYNC),
        "independent": lambda: list(read(folder)),
        "compare": lambda: compare(folder),
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


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    arguments = parser.parse_args(argv)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    folder = Path(tempfile.mkdtemp(prefix="taped-fuzz-"))
    make_journal(folder / "sample", [1, 2, 40], seal=True)
    sample = segment_path(folder / "sample", 1, 1).read_bytes()
    journal = folder / "journal"
    journal.mkdir()
    seen: Counter[str] = Counter()
    started = time.monotonic()
    for round_ in range(arguments.rounds):
        seed = arguments.seed * 1_000_003 + round_
        content = hostile(random.Random(seed), sample)
        try:
            seen += attack(journal, content)
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
