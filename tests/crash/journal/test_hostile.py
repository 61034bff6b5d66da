"""Segments that lie: only the journal's own errors come of them, in bounded memory."""

from __future__ import annotations

import subprocess
import sys

import msgpack
import pytest

from daemon.journal.recovery import recover
from daemon.journal.segment import SegmentReader, list_segments
from schemas.frame import FrameType, pack_frame
from schemas.trailer import TrailerError
from tests.crash.journal.journals import NO_SYNC, make_journal


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_segments_raise_nothing_but_the_journals_errors(project_root, seed):
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.journal.fuzz", "--rounds", "1000", "--seed", str(seed)],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "1000 hostile segments" in done.stdout
    errors = ("CodecError", "FrameError", "TrailerError", "JournalCorruptError", "DamagedError")
    for outcome in (*errors, "read"):
        assert outcome in done.stdout, "the segments are not hostile enough"


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        (FrameType.SEAL, [77, 1, 0, 0, bytes(32), []], 0),
        (FrameType.SEAL, [3, 1, 0, 0, bytes(32), [[1, 1 << 62, 0]]], 0),
        (FrameType.SEAL, [3, 1, 0, 0, bytes(32), [[1, -4096, 0]]], 0),
        (FrameType.SEAL, [3, 1, 0, 0, bytes(32), []], 1),
        (FrameType.GAP, [1, 2, "reason", "file"], 0),
        (FrameType.GAP, [3, 5, "reason", "file"], 2),
        (FrameType.MARK, [], 7),
    ],
)
def test_a_whole_frame_that_says_what_cannot_be_is_refused_not_cut(journal, kind, body, count):
    make_journal(journal, [2])
    (name,) = list_segments(journal)
    with SegmentReader(name) as reader:
        frames = list(reader.frames())
        buffers, _, _ = pack_frame(
            msgpack.packb(body),
            previous_crc=frames[-1].header.crc,
            first_seq=3,
            offset=reader.offset,
            append_ns=1,
            event_count=count,
            type_=kind,
            nonce=reader.header.nonce,
        )
        with name.path.open("r+b") as file:
            file.seek(reader.offset)
            file.write(b"".join(buffers))
            file.truncate()
    with pytest.raises(TrailerError):
        recover(journal, NO_SYNC)
