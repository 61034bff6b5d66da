"""Files come out as numbered lines, whatever packs them; absurd ones are refused."""

from __future__ import annotations

import gzip
import zipfile

import pytest
from hypothesis import given
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


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        Source(tmp_path / "absent")
