"""Who may do what: tokens in access.db, their hashes alone, and the first admin's token in a file.

aiosqlite opens access.db, with a rollback journal and never beside apsw. It is read once, at start; a
check of a token touches memory only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import aiosqlite

from schemas.errors import TapedError

DATABASE = "access.db"
ADMIN_TOKEN = "admin.token"  # noqa: S105  # The name of a file.
MAX_TOKENS = 1000

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_TABLE = """
CREATE TABLE IF NOT EXISTS tokens (
    token_id   INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,  -- SHA-256 of the token's text
    role       TEXT    NOT NULL CHECK (role IN ('viewer', 'trader', 'admin')),
    name       TEXT    NOT NULL UNIQUE,
    created_ns INTEGER NOT NULL,
    revoked_ns INTEGER
) STRICT
"""


class AccessError(TapedError):
    """The store of tokens cannot be used."""


class Role(StrEnum):
    """What a token allows; each role may do all that the one before it may."""

    VIEWER = "viewer"
    TRADER = "trader"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """The bearer of a valid token."""

    name: str
    role: Role

    @property
    def may_trade(self) -> bool:
        """Whether orders and other changes of state are allowed."""
        return self.role in (Role.TRADER, Role.ADMIN)


class Access:
    """The tokens of one data folder; build it with `open`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: list[tuple[bytes, Identity]] = []

    @classmethod
    async def open(cls, data: Path) -> Access:
        """Read the tokens of a data folder; the first time, make one for `admin` in DATA/admin.token.

        When the tokens were lost but the file is still there, its token is taken up again.

        Raises:
            AccessError: the database or the file cannot be read, or is open to other users.
        """
        access = cls(data / DATABASE)
        try:
            os.close(os.open(access._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            access._path.chmod(0o600)
            async with aiosqlite.connect(access._path) as database:
                await database.execute("PRAGMA journal_mode=DELETE")
                await database.execute(_TABLE)
                await database.commit()
            await access._load()
            if not access._known:
                token = _first_admin_token(data / ADMIN_TOKEN)
                await access._store("admin", Role.ADMIN, token)
        except (OSError, aiosqlite.Error) as error:
            raise AccessError(
                f"{access._path}: {error}", hint="restore it, or delete it to begin with a new admin token"
            ) from error
        return access

    async def close(self) -> None:
        """Forget the tokens; no connection is held open between calls."""
        self._known = []

    async def create_token(self, name: str, role: Role) -> str:
        """Return a new token, which is stored nowhere else.

        Raises:
            AccessError: the name is taken, or there are `MAX_TOKENS` already.
        """
        if len(self._known) >= MAX_TOKENS:
            raise AccessError(f"{self._path}: {MAX_TOKENS} tokens exist", hint="revoke one first")
        token = secrets.token_urlsafe(32)
        try:
            await self._store(name, role, token)
        except aiosqlite.IntegrityError as error:
            raise AccessError(f"a token named {name!r} exists", hint="choose another name") from error
        return token

    async def revoke(self, name: str) -> bool:
        """End a token at once; False when no valid token has that name."""
        async with aiosqlite.connect(self._path) as database:
            cursor = await database.execute(
                "UPDATE tokens SET revoked_ns = ? WHERE name = ? AND revoked_ns IS NULL",
                (time.time_ns(), name),
            )
            await database.commit()
        await self._load()
        return cursor.rowcount == 1

    def identify(self, token: str) -> Identity | None:
        """Return whose token this is; takes as long for a wrong token as for a right one."""
        found = None
        digest = _digest(token)
        for known, identity in self._known:
            if hmac.compare_digest(known, digest):
                found = identity
        return found

    async def _load(self) -> None:
        async with aiosqlite.connect(self._path) as database:
            rows = await database.execute_fetchall(
                "SELECT hash, name, role FROM tokens WHERE revoked_ns IS NULL ORDER BY token_id"
            )
        self._known = [(digest, Identity(name, Role(role))) for digest, name, role in rows]

    async def _store(self, name: str, role: Role, token: str) -> None:
        async with aiosqlite.connect(self._path) as database:
            await database.execute(
                "INSERT INTO tokens (hash, role, name, created_ns) VALUES (?, ?, ?, ?)",
                (_digest(token), role.value, name, time.time_ns()),
            )
            await database.commit()
        await self._load()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _first_admin_token(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    try:
        # O_EXCL: neither follows a link that somebody laid here nor overwrites a token.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _existing_admin_token(path)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    return token


def _existing_admin_token(path: Path) -> str:
    hint = "delete it, a new one is made at the next start"
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, encoding="ascii", errors="replace") as file:
        mode = os.fstat(descriptor)
        if not stat.S_ISREG(mode.st_mode) or mode.st_mode & 0o077 or mode.st_uid != os.geteuid():
            raise AccessError(f"{path} is open to other users, expected mode 0600 and our own", hint=hint)
        token = file.read(100).strip()
    if not _TOKEN.fullmatch(token):
        raise AccessError(f"{path} does not hold a token of 43 letters", hint=hint)
    return token
