"""Files come out as numbered lines, whatever packs them; absurd ones are refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.venue.feeds import sources
from daemon.venue.feeds.parsing import Tally
from daemon.venue.feeds.sources import Source, SourceError


def lines_of(path, tally=None):
    with Source(path) as source:
        return [
            (block.member, number, line)
            for block in source.blocks(tally or Tally())
            for number, line in enumerate(block.lines, block.first_line)
        ]


def pack(path, kind, data):
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", data)
    else:
        packed = {"plain": data, "gzip": gzip.compress(data)}
        path.write_bytes(packed[kind])


@pytest.mark.parametrize("kind", ["plain", "gzip", "zip"])
@pytest.mark.parametrize("data", [b"a\nb\nc\n", b"a\nb\nc", b"a\r\nb\r\nc\r\n", b"a\r\nb\r\nc\r"])
def test_lines_are_the_same_however_a_file_is_packed(tmp_path, kind, data):
    path = tmp_path / "file"
    pack(path, kind, data)
    found = lines_of(path)
    assert [(number, line) for _, number, line in found] == [(1, b"a"), (2, b"b"), (3, b"c")]


@given(
    text=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and b"\r" not in line)),
    chunk=st.integers(1, 40),
)
def test_lines_do_not_depend_on_where_chunks_end(tmp_path_factory, text, chunk):
    path = tmp_path_factory.mktemp("lines") / "file"
    data = b"\n".join([b"first", *text, b"last"])
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources, "CHUNK_BYTES", chunk)
        found = lines_of(path)
    assert [line for _, _, line in found] == data.split(b"\n")
    assert [number for _, number, _ in found] == list(range(1, len(found) + 1))


def test_members_of_a_zip_count_their_own_lines(tmp_path):
    path = tmp_path / "two.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "1\n2\n")
        archive.writestr("b.csv", "3")
    assert lines_of(path) == [("a.csv", 1, b"1"), ("a.csv", 2, b"2"), ("b.csv", 1, b"3")]


@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_an_overlong_line_is_rejected_with_its_number_and_the_others_kept(tmp_path, monkeypatch, position):
    monkeypatch.setattr(sources, "MAX_LINE_BYTES", 100)
    monkeypatch.setattr(sources, "CHUNK_BYTES", 16)
    lines = [b"one", b"two"]
    place = {"first": 0, "middle": 1, "last": 2}[position]
    lines.insert(place, b"x" * 500)
    path = tmp_path / "file"
    path.write_bytes(b"\n".join(lines))
    tally = Tally()
    kept = [(number, line) for _, number, line in lines_of(path, tally)]
    assert kept == [(number, line) for number, line in enumerate(lines, 1) if len(line) < 100]
    assert [row.line for row in tally.rejections] == [place + 1]


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "FREE_BYTES", 1_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"0\n" * 2_000_000))
    with pytest.raises(SourceError, match="250 times"):
        lines_of(path)


@pytest.mark.parametrize("kind", ["gzip", "zip"])
def test_a_torn_file_says_so(tmp_path, kind):
    path = tmp_path / "file"
    pack(path, kind, b"".join(b"%d\n" % (number * 7_919) for number in range(5_000)))
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(SourceError, match="cut or damaged"):
        lines_of(path)


def test_a_cut_gzip_of_less_than_a_chunk_keeps_what_came_before_the_cut(tmp_path):
    data = b"".join(b"%d\n" % (number * 7_919) for number in range(5_000))
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(data)[:-300])
    with Source(path) as source:
        assert source.head()[1][:3] == [b"0", b"7919", b"15838"]
        kept = []
        with pytest.raises(SourceError, match="cut or damaged"):
            kept.extend(line for block in source.blocks(Tally()) for line in block.lines)
    assert len(kept) > 4_000
    assert data.startswith(b"\n".join(kept))


ROWS = b"".join(b"%d,1000000,10,Q,0,0\n" % (30_000_000 + number) for number in range(2_000))
METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def packed(name):
    if name == "gzip":
        return gzip.compress(ROWS)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", METHODS[name]) as archive:
        archive.writestr("20131008_spy_trade_tick.csv", ROWS)
    return buffer.getvalue()


PACKED = {name: packed(name) for name in ("gzip", *METHODS)}


@pytest.mark.parametrize("method", ["bzip2", "lzma", "deflate"])
def test_a_zip_with_a_damaged_member_says_so_from_its_head_on(tmp_path, method):
    data = bytearray(PACKED[method])
    for place in range(65, 140):
        data[place] ^= 0xFF
    path = tmp_path / "file.zip"
    path.write_bytes(data)
    with Source(path) as source, pytest.raises(SourceError, match="cut or damaged"):
        source.head()
    with pytest.raises(SourceError, match="cut or damaged"):
        lines_of(path)


def test_a_zip_of_an_unknown_version_says_so(tmp_path):
    data = bytearray(PACKED["deflate"])
    data[data.find(b"PK\1\2") + 6] = 99
    path = tmp_path / "file.zip"
    path.write_bytes(data)
    with Source(path) as source, pytest.raises(SourceError, match=r"zip file version 9\.9"):
        source.head()


def test_a_member_without_a_name_does_not_end_in_an_error_of_ours(tmp_path):
    data = bytearray(PACKED["stored"])
    entry = data.find(b"PK\1\2")
    length = data[entry + 28 : entry + 30]
    data[entry + 28 : entry + 34] = bytes(4) + length  # The name has become the comment.
    path = tmp_path / "file.zip"
    path.write_bytes(data)
    with Source(path) as source, contextlib.suppress(SourceError):
        source.head()


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(PACKED)),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    ends=st.lists(st.tuples(st.integers(1, 140), st.integers(0, 255)), max_size=3),
    kept=st.floats(0, 1) | st.just(1.0),
)
def test_damage_anywhere_in_an_archive_is_told_as_such_or_does_not_matter(
    tmp_path_factory, name, places, ends, kept
):
    data = bytearray(PACKED[name])
    for place, byte in places:
        data[int(place * len(data))] = byte
    for place, byte in ends:  # Where a zip tells what is inside.
        data[-place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: int(kept * len(data))])
    with Source(path) as source, contextlib.suppress(SourceError):
        source.head()
    with contextlib.suppress(SourceError):
        lines_of(path)


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        Source(tmp_path / "absent")
