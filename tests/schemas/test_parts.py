"""Parts come out of their stream one by one, and nothing else does."""

from __future__ import annotations

import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schemas import parts as module
from schemas.parts import PartsError, packed, unpacked


def there_and_back(parts, level=1):
    return list(unpacked(io.BytesIO(b"".join(packed(parts, level)))))


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_any_parts_come_back(parts):
    assert there_and_back(parts) == parts


def test_large_parts_come_back():
    parts = [bytes(range(256)) * 40_000, b"", b"x" * 5_000_000]
    assert there_and_back(parts, level=3) == parts


def test_a_stream_that_is_cut_or_damaged_is_refused():
    whole = b"".join(packed([b"first", b"second" * 50]))
    for length in range(len(whole)):
        with pytest.raises(PartsError):
            list(unpacked(io.BytesIO(whole[:length])))
    with pytest.raises(PartsError):
        list(unpacked(io.BytesIO(b"not zstd at all")))


def test_a_part_that_ends_early_is_refused():
    stream = zstandard.ZstdCompressor().compress((10).to_bytes(4, "little") + b"short")
    with pytest.raises(PartsError, match="5 bytes early"):
        list(unpacked(io.BytesIO(stream)))


def test_a_length_beyond_the_limit_is_refused_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(module, "MAX_PART_BYTES", 100)
    stream = zstandard.ZstdCompressor().compress((101).to_bytes(4, "little") + bytes(101))
    with pytest.raises(PartsError, match="at most 100"):
        list(unpacked(io.BytesIO(stream)))
