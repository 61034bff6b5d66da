"""Content as it is stored and back: hashed, compressed (zstd), encrypted (age). Streams; holds a few MiB.

pyrage is imported only where there is a key, so that backups without one need nothing but taped itself.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import zstandard

from tools.backup.errors import BackupError
from tools.backup.manifest import Packing

_CHUNK = 1 << 20
_LEVEL = -1
"""Of plain segments it leaves 0.42 at 410 MB/s of one core; level 1: 0.43 at 370, level -5: 0.63 at 540."""

_MAX_KEY_FILE = 1 << 16


class _Readable(Protocol):
    def read(self, count: int = -1, /) -> bytes: ...


class _Writable(Protocol):
    def write(self, data: bytes, /) -> Any: ...
    def flush(self) -> None: ...


class Packed(NamedTuple):
    """What became of some content."""

    length: int
    sha256: str
    stored: int
    object: str
    packing: Packing


class PackingError(BackupError):
    """Stored bytes do not give back what they were made of."""


class Keys:
    """Who may read what is stored.

    Args:
        recipient: public key, `age1...`; nothing is encrypted where it is empty.
        identities: private keys, for reading.
        prove: encrypt also to a key that lives in this process alone, so that what was just stored can be
            read back and compared on a machine that must not hold the private key.

    Raises:
        BackupError: a key is none, or pyrage is not installed.
    """

    def __init__(self, recipient: str = "", identities: Sequence[str] = (), *, prove: bool = False) -> None:
        self._recipients: list[Any] = []
        self._identities: list[Any] = []
        if not recipient and not identities:
            return
        age = _age()
        try:
            self._identities = [age.x25519.Identity.from_str(text) for text in identities]
        except age.IdentityError as error:
            raise BackupError(f"the identity is no private key of age: {error}") from error
        if not recipient:
            return
        try:
            self._recipients = [age.x25519.Recipient.from_str(recipient)]
        except age.RecipientError as error:
            raise BackupError(
                f"backup.recipient is no public key of age: {error}",
                hint="`age-keygen` prints one that begins with age1",
            ) from error
        if prove:
            own = age.x25519.Identity.generate()
            self._recipients.append(own.to_public())
            self._identities.append(own)

    @property
    def encrypts(self) -> bool:
        """Whether what is stored is encrypted."""
        return bool(self._recipients)

    @property
    def reads(self) -> bool:
        """Whether there is a key to read with."""
        return bool(self._identities)

    def encrypt(self, source: _Readable, sink: _Writable) -> None:
        """Encrypt a stream.

        Raises:
            BackupError: reading or writing failed.
        """
        age = _age()
        try:
            age.encrypt_io(source, sink, self._recipients)
        except age.EncryptError as error:
            raise BackupError(f"cannot be encrypted: {error}") from error

    def decrypt(self, source: _Readable, sink: _Writable) -> None:
        """Decrypt a stream.

        Raises:
            PackingError: no key fits, or it is damaged.
        """
        if not self._identities:
            raise PackingError("is encrypted, and there is no key")
        age = _age()
        try:
            age.decrypt_io(source, sink, self._identities)
        except (age.DecryptError, OSError) as error:
            raise PackingError(f"cannot be decrypted: {error}") from error


def read_identities(path: Path) -> list[str]:
    """Return the private keys of a file as `age-keygen` writes it.

    Raises:
        BackupError: it cannot be read, or holds none.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_KEY_FILE).decode("ascii")
    except (OSError, ValueError) as error:
        raise BackupError(f"{path}: cannot be read as a file of age's keys: {error}") from error
    found = [line.strip() for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")]
    if not found:
        raise BackupError(f"{path}: holds no line that begins with AGE-SECRET-KEY-")
    return found


def _age() -> Any:
    try:
        return import_module("pyrage")
    except ImportError as error:
        raise BackupError(
            "encryption needs pyrage, which is not installed", hint="pip install '.[backup]' brings it"
        ) from error


def pack(
    source: BinaryIO,
    length: int,
    sink: BinaryIO,
    *,
    compress: bool,
    keys: Keys,
    advance: Callable[[int], None] | None = None,
) -> Packed:
    """Store the first `length` bytes of a stream.

    Raises:
        BackupError: the source cannot be read, or ends before that.
        OSError: writing failed.
    """
    taken = _Taken(source, length, advance)
    if not compress and not keys.encrypts:
        while data := taken.read(_CHUNK):
            sink.write(data)
        _check_whole(taken)
        digest = taken.sha.hexdigest()
        return Packed(length, digest, length, digest, "raw")
    stored = _Hashed(sink)
    packing: Packing = "zstd" if compress else "raw"
    flow: Any = taken
    if compress:
        flow = zstandard.ZstdCompressor(level=_LEVEL).stream_reader(flow, read_size=_CHUNK)
    if keys.encrypts:
        keys.encrypt(flow, stored)
        packing = "zstd+age" if compress else "raw+age"
    else:
        while data := flow.read(_CHUNK):
            stored.write(data)
    _check_whole(taken)
    return Packed(length, taken.sha.hexdigest(), stored.length, stored.sha.hexdigest(), packing)


def _check_whole(taken: _Taken) -> None:
    if taken.left:
        raise BackupError(f"ended {taken.left} bytes before it should")


def unpack(source: BinaryIO, sink: BinaryIO, packed: Packed, *, keys: Keys) -> None:
    """Make content again from what is stored, and check every hash.

    Args:
        source: the stored bytes.
        sink: where the content goes; what was written is worthless when this raises.
        packed: what both must be.
        keys: to decrypt with.

    Raises:
        PackingError: anything differs.
        BackupError: the stored bytes cannot be read.
        OSError: writing failed.
    """
    stored = _Taken(source, packed.stored, None)
    content = _Content(sink, packed.length)
    _unpack(stored, content, packed.packing, keys)
    _check_stored(stored, source, packed)
    if content.length != packed.length or content.sha.hexdigest() != packed.sha256:
        raise PackingError("its content has another length or SHA-256")


def check_stored(source: BinaryIO, packed: Packed) -> None:
    """Check the stored bytes alone, for which nobody needs a key.

    Raises:
        PackingError: they differ from what was stored.
        BackupError: they cannot be read.
    """
    _check_stored(_Taken(source, packed.stored, None), source, packed)


def _check_stored(stored: _Taken, source: BinaryIO, packed: Packed) -> None:
    while stored.read(_CHUNK):
        pass
    if stored.left or source.read(1):
        raise PackingError(f"is not {packed.stored} bytes long")
    if stored.sha.hexdigest() != packed.object:
        raise PackingError("its stored bytes have another SHA-256")


def _unpack(stored: _Taken, content: _Content, packing: Packing, keys: Keys) -> None:
    sink: Any = content
    if packing.startswith("zstd"):
        sink = zstandard.ZstdDecompressor().stream_writer(sink, closefd=False)
    try:
        if packing.endswith("age"):
            keys.decrypt(stored, sink)
        else:
            while data := stored.read(_CHUNK):
                sink.write(data)
    except zstandard.ZstdError as error:
        raise PackingError(f"cannot be decompressed: {error}") from error


class _Taken(io.RawIOBase):
    """The beginning of a stream, hashed as it is read."""

    def __init__(self, source: BinaryIO, length: int, advance: Callable[[int], None] | None) -> None:
        self._source = source
        self._advance = advance
        self.left = length
        self.sha = hashlib.sha256()

    def read(self, count: int = -1, /) -> bytes:
        try:
            data = self._source.read(min(self.left, _CHUNK if count < 0 else count))
        except OSError as error:
            raise BackupError(f"cannot be read: {error.strerror}") from error
        self.sha.update(data)
        self.left -= len(data)
        if self._advance is not None:
            self._advance(len(data))
        return data


class _Hashed:
    """Hashes what is written."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.sha = hashlib.sha256()
        self.length = 0

    def write(self, data: bytes, /) -> int:
        self.sha.update(data)
        self.length += len(data)
        return self._sink.write(data)

    def flush(self) -> None:
        """Do nothing: whoever opened the file syncs it."""


class _Content(_Hashed):
    """Takes no more than it should: a few stored bytes can be told to unpack to terabytes."""

    def __init__(self, sink: BinaryIO, most: int) -> None:
        super().__init__(sink)
        self._most = most

    def write(self, data: bytes, /) -> int:
        if self.length + len(data) > self._most:
            raise PackingError(f"unpacks to more than {self._most} bytes")
        return super().write(data)
