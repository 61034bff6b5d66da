"""Damage at rest: cuts, flipped bits, erased and misplaced pages. Never a wrong event; what was
certified is refused, not skipped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from daemon.journal.errors import JournalCorruptError
from daemon.journal.recovery import recover
from daemon.journal.segment import SegmentReader, list_segments
from daemon.journal.verify import verify
from schemas.codec import CODEC
from schemas.errors import TapedError
from schemas.frame import PAGE, FrameError, FrameType, pack_frame, unpack_segment_header
from tests.crash.journal.journals import (
    NO_SYNC,
    assert_recovers,
    assert_whole,
    facts,
    history,
    make_journal,
    open_tiny,
    read_facts,
    trades,
)
from tools.independent import DamagedError, read


class InMemory(SegmentReader):
    """A segment reader over bytes, so that every bit can be tried."""

    def __init__(self, like: SegmentReader, content: bytearray) -> None:
        self.name, self._fd = like.name, -1
        self._content = memoryview(content)
        self.header = self._check_header(bytes(self._content[:PAGE]))
        self.offset, self.next_seq = PAGE, self.header.first_seq
        self.previous_crc = self.header.previous_crc
        self.sealed, self.sealed_at, self.gaps = None, 0, []

    def _view(self, offset: int, length: int) -> memoryview:
        return self._content[offset : offset + length]


def events_until_damage(reader: SegmentReader) -> tuple[list[tuple[int, int]], bool]:
    """Return what was read and whether damage ended it."""
    found: list[tuple[int, int]] = []
    try:
        for header, body in reader.frames():
            if header.type is FrameType.DATA:
                found += facts(CODEC.decode(body))
    except FrameError:
        return found, True
    return found, False


def test_a_flip_of_any_bit_of_a_segment_is_noticed_by_the_frame_that_holds_it(journal):
    count = make_journal(journal, [2, 3], seal=True)
    (name,) = list_segments(journal)
    content = bytearray(name.path.read_bytes())
    assert len(content) == 4 * PAGE, "header, two frames, seal"
    before = {PAGE: 0, 2 * PAGE: 2, 3 * PAGE: count}
    with SegmentReader(name) as whole:
        for at in range(len(content)):
            for bit in range(8):
                content[at] ^= 1 << bit
                try:
                    found, damaged = events_until_damage(InMemory(whole, content))
                    assert damaged, f"bit {bit} of byte {at} went unnoticed"
                    assert found == history(count)[: before[at // PAGE * PAGE]]
                except FrameError:
                    assert at < PAGE
                content[at] ^= 1 << bit


def bits_to_flip(content: bytes) -> list[tuple[int, int]]:
    """Every bit of each header, one of each byte that says something, one of some of the padding."""
    return [
        (at, bit)
        for at, byte in enumerate(content)
        if byte or at % PAGE < 64 or at % 37 == 0
        for bit in (range(8) if at % PAGE < 64 else (at % 8,))
    ]


@pytest.mark.parametrize("segment", [0, 1])
def test_a_flipped_bit_never_gives_a_wrong_event_and_certified_frames_are_refused(journal, segment):
    """Two frames and a seal, then two frames and a mark: both the sealed and the open segment."""
    count = make_journal(journal, [1, 2, 1, 2, 1], mark=True)
    name = list_segments(journal)[segment]
    content = name.path.read_bytes()
    end = len(content.rstrip(b"\0"))
    last_frame = (end - 1) // PAGE * PAGE
    fd = os.open(name.path, os.O_RDWR)
    for at, bit in bits_to_flip(content):
        os.pwrite(fd, bytes([content[at] ^ 1 << bit]), at)
        try:
            found = read_facts(journal)
        except TapedError:
            found = []
        assert found == history(count)[: len(found)]
        refused = not opens(journal) or not verify(journal).passed
        certified = at < last_frame or segment == 0
        assert refused == certified, f"bit {bit} of byte {at}"
        assert certified or len(found) == count, "a mark holds no event"
        os.pwrite(fd, content[at : at + 1], at)
    os.close(fd)
    assert opens(journal)
    assert_whole(journal)


def opens(journal: Path) -> bool:
    try:
        recover(journal, NO_SYNC)
    except JournalCorruptError:
        return False
    return True


def test_a_cut_at_any_byte_leaves_a_prefix_or_a_refusal(journal):
    counts = [2, 3]
    total = make_journal(journal, counts)
    (name,) = list_segments(journal)
    content = name.path.read_bytes()
    kept_from = {2 * PAGE: 2, 3 * PAGE: 5}
    for cut in range(3 * PAGE + 2, -1, -1):
        os.truncate(name.path, cut)
        kept = max((events for at, events in kept_from.items() if cut >= at), default=0)
        if cut < PAGE:
            assert not opens(journal)
            continue
        assert recover(journal, NO_SYNC).next_seq == kept + 1
        assert read_facts(journal) == history(total)[:kept]
    name.path.write_bytes(content)
    assert read_facts(journal) == history(total)


def cuts_of(length: int) -> list[int]:
    near_pages = {page + shift for page in range(0, length + 1, PAGE) for shift in (-65, -2, -1, 0, 1, 2, 63)}
    return sorted(cut for cut in near_pages | set(range(0, length, 211)) if 0 <= cut < length)


def test_a_cut_of_the_newest_segment_is_mended_and_goes_on(journal, arena):
    total = make_journal(journal, [2] * 8)
    segments = list_segments(journal)
    assert len(segments) == 3
    last = segments[-1]
    for cut in cuts_of(4 * PAGE):
        copy = arena / "copy"
        shutil.copytree(journal, copy)
        os.truncate(copy / last.path.name, cut)
        if cut < PAGE:
            assert not opens(copy)
        else:
            kept = assert_recovers(copy, history(total), last.first_seq - 1, thorough=cut % PAGE < 64)
            assert kept == last.first_seq - 1 + 2 * min(2, (cut - PAGE) // PAGE)
            with open_tiny(copy) as writer:
                assert writer.append(trades(kept + 1, 1, life=2)) == kept + 1
            assert read_facts(copy) == [*history(total)[:kept], (kept + 1, 2)]
        shutil.rmtree(copy)


def test_a_cut_of_a_sealed_segment_before_another_is_always_refused(journal):
    make_journal(journal, [2] * 8)
    name = list_segments(journal)[1]
    content = name.path.read_bytes()
    for cut in cuts_of(len(content)):
        os.truncate(name.path, cut)
        assert not opens(journal)
        assert not verify(journal).passed
        with pytest.raises(TapedError):
            read_facts(journal)
        with pytest.raises(DamagedError):
            list(read(journal))
        name.path.write_bytes(content)


def pages(journal: Path) -> list[tuple[Path, int]]:
    return [
        (name.path, offset)
        for name in list_segments(journal)
        for offset in range(0, len(name.path.read_bytes().rstrip(b"\0")), PAGE)
    ]


def write_page(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def read_page(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PAGE)


def test_an_erased_or_misplaced_page_is_refused_by_open_and_told_by_verify(journal):
    total = make_journal(journal, [2] * 8, mark=True)
    places = pages(journal)
    contents = [read_page(*place) for place in places]
    for place, content in zip(places, contents, strict=True):
        for other in [bytes(PAGE), b"\xff" * PAGE, *contents]:
            if other == content:
                continue
            write_page(*place, other)
            if place != places[-1]:
                assert not verify(journal).passed, f"{place}: verify saw nothing"
                assert place[0] != places[-1][0] or not opens(journal)
            try:
                found = read_facts(journal)
            except TapedError:
                found = []
            assert found == history(total)[: len(found)]
        write_page(*place, content)
    assert_whole(journal)


def test_a_whole_frame_of_another_past_is_refused_by_the_chain(journal):
    """Every checksum holds, the place and the number fit: only the link to the frame before does not."""
    make_journal(journal, [2, 2, 2])
    (name,) = list_segments(journal)
    header = unpack_segment_header(read_page(name.path, 0), segment=1)
    buffers, _, _ = pack_frame(
        CODEC.encode(trades(1, 2, life=9)),
        previous_crc=header.previous_crc,
        first_seq=1,
        offset=PAGE,
        append_ns=1,
        event_count=2,
        type_=FrameType.DATA,
        nonce=header.nonce,
    )
    write_page(name.path, PAGE, b"".join(buffers))
    assert not opens(journal)
    assert not verify(journal).passed
    with pytest.raises(TapedError, match="chain"):
        read_facts(journal)
    with pytest.raises(DamagedError, match="chain"):
        list(read(journal))


def test_a_segment_of_a_copy_that_went_its_own_way_is_refused(journal, arena):
    """Same journal, same segment number, same first seq: the chain of hashes tells them apart."""
    make_journal(journal, [2], seal=True)
    copy = arena / "copy"
    shutil.copytree(journal, copy)
    for folder, life in ((journal, 2), (copy, 3)):
        for _ in range(2):
            with open_tiny(folder) as writer:
                writer.append(trades(writer.next_seq, 2, life))
    second, other = list_segments(journal)[1].path, list_segments(copy)[1].path
    assert second.name == other.name
    shutil.copy(other, second)
    assert not opens(journal)
    assert not verify(journal).passed
    with pytest.raises(DamagedError, match="follow"):
        list(read(journal))


def test_bytes_behind_a_seal_are_told(journal):
    make_journal(journal, [2], seal=True)
    (name,) = list_segments(journal)
    with name.path.open("ab") as file:
        file.write(b"x" * PAGE)
    assert any("behind the seal" in problem for problem in verify(journal).problems)


def test_a_crash_between_seal_and_truncation_is_no_damage(journal):
    make_journal(journal, [2], seal=True)
    (name,) = list_segments(journal)
    os.truncate(name.path, name.path.stat().st_size + 5 * PAGE)
    assert verify(journal).passed
    assert_recovers(journal, history(2), 2)


def test_a_frame_that_became_whole_while_it_was_read_is_no_damage(journal):
    make_journal(journal, [2, 2])
    (name,) = list_segments(journal)
    whole = [read_page(name.path, at) for at in (PAGE, 2 * PAGE)]
    write_page(name.path, PAGE, whole[0][:100] + bytes(PAGE - 100))
    write_page(name.path, 2 * PAGE, bytes(PAGE))
    with SegmentReader(name) as reader:
        with pytest.raises(FrameError):
            list(reader.frames())
        write_page(name.path, PAGE, whole[0])
        write_page(name.path, 2 * PAGE, whole[1])
        reader._window = memoryview(b"")
        assert reader.later_frame() is None, "the writer was at it"
        assert reader.later_frame(alone=True) == 2 * PAGE, "with no writer it is damage"
