"""Manifests and marks as bytes, and everything that is none."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.backup.manifest import (
    Entry,
    Manifest,
    ManifestError,
    Mark,
    decode_manifest,
    decode_mark,
    encode,
    is_name,
    name_of,
    time_of,
)

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
PATHS = st.from_regex(r"[a-z][a-z0-9.-]{0,20}(/[a-z0-9][a-z0-9.-]{0,20}){0,2}", fullmatch=True)
ENTRIES = st.builds(
    Entry,
    path=PATHS,
    length=st.integers(0, 2**60),
    sha256=HASHES,
    object=HASHES,
    stored=st.integers(0, 2**60),
    packing=st.sampled_from(["raw", "zstd", "raw+age", "zstd+age"]),
    identity=st.text(max_size=50),
)
MANIFESTS = st.builds(
    Manifest,
    journal=st.binary(min_size=16, max_size=16).map(bytes.hex),
    first_seq=st.integers(1, 2**63),
    last_seq=st.integers(1, 2**63),
    made_ns=st.integers(0, 2**62),
    taped=st.text(max_size=20),
    host=st.text(max_size=20),
    files=st.lists(ENTRIES, max_size=5, unique_by=lambda entry: entry.path).map(tuple),
)
ONE = Manifest(
    journal="ab" * 16,
    first_seq=1,
    last_seq=9,
    made_ns=10**18,
    taped="0.1.0",
    host="pi",
    files=(
        Entry(
            path="journal/1.evl",
            length=5,
            sha256="11" * 32,
            object="22" * 32,
            stored=4,
            packing="zstd",
            identity="x",
        ),
    ),
)


@given(MANIFESTS)
def test_a_manifest_comes_back_as_it_was(manifest):
    assert decode_manifest(encode(manifest)) == manifest


@given(HASHES, st.integers(0, 2**62), st.sampled_from(["journal", "replay"]), HASHES)
def test_a_mark_comes_back_as_it_was(digest, verified_ns, depth, core):
    mark = Mark(manifest=digest, verified_ns=verified_ns, depth=depth, core=core)
    assert decode_mark(encode(mark)) == mark


def test_any_flipped_bit_and_any_cut_of_a_manifest_is_refused():
    data = encode(ONE)
    for place in range(len(data)):
        for bit in range(8):
            with pytest.raises(ManifestError):
                decode_manifest(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        with pytest.raises(ManifestError):
            decode_manifest(data[:place])


@given(st.binary(max_size=300))
def test_what_is_no_manifest_raises_nothing_but_its_error(data):
    with pytest.raises(ManifestError):
        decode_manifest(data)


def test_a_newer_format_is_refused_by_name():
    data = encode(ONE).replace(b"taped-backup 1 ", b"taped-backup 2 ", 1)
    with pytest.raises(ManifestError, match="format 2, this taped reads 1"):
        decode_manifest(data)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "journal/../../x", "a//b", "./a", "", "a\nb", "journal/"]
)
def test_a_path_that_leads_out_of_the_data_folder_is_refused(path):
    entry = msgspec.structs.replace(ONE.files[0], path=path)
    with pytest.raises(ManifestError, match="not a path inside a data folder"):
        decode_manifest(encode(msgspec.structs.replace(ONE, files=(entry,))))


@pytest.mark.parametrize("digest", ["../../x", "AB" * 32, "ab" * 31, ""])
def test_a_hash_that_would_name_another_file_is_refused(digest):
    entry = msgspec.structs.replace(ONE.files[0], object=digest)
    with pytest.raises(ManifestError, match="64 hexadecimal digits"):
        decode_manifest(encode(msgspec.structs.replace(ONE, files=(entry,))))


def test_a_file_that_is_named_twice_is_refused():
    with pytest.raises(ManifestError, match="named twice"):
        decode_manifest(encode(msgspec.structs.replace(ONE, files=ONE.files * 2)))


@given(st.integers(0, 253_402_300_799 * 10**9))
def test_the_name_of_a_backup_is_its_time_to_the_second(made_ns):
    name = name_of(made_ns)
    assert is_name(name)
    assert int(time_of(name).timestamp()) == made_ns // 10**9


@pytest.mark.parametrize("text", ["20269999T000000Z", "2026", "20261124T020000Z.tmp", ""])
def test_other_names_are_none(text):
    assert not is_name(text)
