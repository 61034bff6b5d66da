"""Content as it is stored: back to the byte, or refused."""

from __future__ import annotations

import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tools.backup.errors import BackupError
from tools.backup.packing import Keys, PackingError, check_stored, pack, read_identities, unpack

pyrage = pytest.importorskip("pyrage", reason="pyrage is not installed")
PRIVATE = pyrage.x25519.Identity.generate()
PUBLIC = str(PRIVATE.to_public())
CONTENT = b"journal" * 1000


def store(content, *, compress, keys):
    sink = io.BytesIO()
    told = pack(io.BytesIO(content), len(content), sink, compress=compress, keys=keys)
    return sink.getvalue(), told


def restored(stored, told, keys=None):
    sink = io.BytesIO()
    unpack(io.BytesIO(stored), sink, told, keys=keys or Keys())
    return sink.getvalue()


@given(st.binary(max_size=5000), st.booleans(), st.booleans())
def test_content_comes_back_as_it_was(content, compress, encrypted):
    keys = Keys(PUBLIC) if encrypted else Keys()
    stored, told = store(content, compress=compress, keys=keys)
    assert told.stored == len(stored)
    assert restored(stored, told, Keys(identities=[str(PRIVATE)])) == content
    check_stored(io.BytesIO(stored), told)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
def test_a_flipped_bit_and_a_cut_anywhere_are_refused(compress, encrypted):
    keys = Keys(PUBLIC, prove=True) if encrypted else Keys()
    stored, told = store(b"abc" * 40, compress=compress, keys=keys)
    for place in range(len(stored)):
        bad = stored[:place] + bytes([stored[place] ^ 4]) + stored[place + 1 :]
        for broken in (bad, stored[:place], stored[:place] + b"x" + stored[place:]):
            with pytest.raises(PackingError):
                restored(broken, told, keys)
            with pytest.raises(PackingError):
                check_stored(io.BytesIO(broken), told)


def test_what_unpacks_to_more_than_it_should_is_stopped_there():
    bomb = zstandard.ZstdCompressor().compress(bytes(100 << 20))
    _, told = store(CONTENT, compress=True, keys=Keys())
    with pytest.raises(PackingError, match="unpacks to more than 7000 bytes"):
        restored(bomb, told._replace(stored=len(bomb)))


def test_without_the_private_key_nothing_is_read():
    stored, told = store(CONTENT, compress=True, keys=Keys(PUBLIC))
    assert CONTENT[:7] not in stored
    with pytest.raises(PackingError, match="is encrypted, and there is no key"):
        restored(stored, told)
    with pytest.raises(PackingError, match="cannot be decrypted"):
        restored(stored, told, Keys(identities=[str(pyrage.x25519.Identity.generate())]))


def test_a_run_reads_what_it_encrypted_and_the_next_one_does_not():
    keys = Keys(PUBLIC, prove=True)
    stored, told = store(CONTENT, compress=True, keys=keys)
    assert restored(stored, told, keys) == CONTENT
    with pytest.raises(PackingError, match="cannot be decrypted"):
        restored(stored, told, Keys(PUBLIC, prove=True))


def test_a_source_that_ends_early_is_refused():
    with pytest.raises(BackupError, match="ended 3 bytes before it should"):
        pack(io.BytesIO(b"12345"), 8, io.BytesIO(), compress=False, keys=Keys())


@pytest.mark.parametrize("key", ["age1nonsense", "AGE-SECRET-KEY-1X", "ssh-ed25519 AAAA"])
def test_what_is_no_public_key_is_refused(key):
    with pytest.raises(BackupError, match="no public key of age"):
        Keys(key)


def test_private_keys_are_read_as_age_keygen_writes_them(tmp_path):
    file = tmp_path / "key.txt"
    file.write_text(f"# created: 2026\n# public key: {PUBLIC}\n{PRIVATE}\n")
    assert read_identities(file) == [str(PRIVATE)]
    file.write_text("nothing")
    with pytest.raises(BackupError, match="holds no line"):
        read_identities(file)
    with pytest.raises(BackupError, match="cannot be read"):
        read_identities(tmp_path / "absent")
