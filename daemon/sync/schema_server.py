"""Finds out what a database server can do: PostgreSQL, TimescaleDB, its edition; and says what is missing.

TimescaleDB comes in two editions. The Community edition (`timescaledb.license = timescale`) has the
columnstore, continuous aggregates and policies; the Apache edition, which some distributions package,
has hypertables only.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from daemon.sync.schema import Connection, SchemaError

OLDEST_POSTGRES = 140_000
OLDEST_TIMESCALE = (2, 18, 1)
"""Older ones lose rows when a batch with a duplicate meets a compressed chunk (timescaledb#7672)."""

LATER = "run `taped sync init` again afterwards: it changes what is there, and loses nothing"


class Edition(StrEnum):
    """How much of TimescaleDB there is to use."""

    PLAIN = "PostgreSQL without TimescaleDB"
    APACHE = "TimescaleDB, Apache edition"
    COMMUNITY = "TimescaleDB, Community edition"


class Server(msgspec.Struct, frozen=True):
    """What one database of a server has.

    Attributes:
        postgres: server_version_num, 150020 for 15.20.
        installed: TimescaleDB's version in this database, or None.
        available: the version its files on the server have, or None.
        licence: `timescale` or `apache`, where it is installed.
    """

    postgres: int
    installed: str | None
    available: str | None
    licence: str | None

    @property
    def edition(self) -> Edition:
        """What may be used; a version that loses rows counts as none."""
        if self.installed is None or version_of(self.installed) < OLDEST_TIMESCALE:
            return Edition.PLAIN
        return Edition.COMMUNITY if self.licence == "timescale" else Edition.APACHE

    @property
    def name(self) -> str:
        """Name and versions, for people."""
        postgres = f"PostgreSQL {self.postgres // 10_000}.{self.postgres % 10_000}"
        if self.installed is None:
            return postgres
        edition = "Apache" if self.licence == "apache" else "Community"
        return f"{postgres}, TimescaleDB {self.installed} ({edition})"

    def warning(self) -> str | None:
        """Return what is missing, what that means, and what to do; None when nothing is."""
        without = "tables stay plain, bars are computed whenever they are read, nothing is compressed"
        if self.installed is None and self.available is None:
            return f"the server has no TimescaleDB: {without}. To have it, install it; {LATER}"
        if self.installed is None:
            return (
                f"TimescaleDB {self.available} is on the server, but not in this database: {without}."
                f" As a superuser: CREATE EXTENSION timescaledb; {LATER}"
            )
        if version_of(self.installed) < OLDEST_TIMESCALE:
            oldest = ".".join(map(str, OLDEST_TIMESCALE))
            return (
                f"TimescaleDB {self.installed} may lose rows of a batch that meets compressed ones, so it is"
                f" not used: {without}. Upgrade it to {oldest} or newer; {LATER}"
            )
        if self.edition is Edition.APACHE:
            return (
                "TimescaleDB is here in its Apache edition (timescaledb.license = apache): tables are cut"
                " into chunks, but nothing is compressed or removed, and bars are computed whenever they are"
                f" read. The Community edition has the rest; {LATER}"
            )
        return None


def version_of(text: str) -> tuple[int, ...]:
    """Return a version's numbers: `2.30.0-dev` is (2, 30, 0)."""
    return tuple(int(part) for part in text.split("-", maxsplit=1)[0].split(".") if part.isdigit())


async def probe(connection: Connection) -> Server:
    """Ask the server what it is.

    Raises:
        SchemaError: PostgreSQL is too old for taped's tables.
    """
    (row,) = await connection.fetch(
        "SELECT current_setting('server_version_num')::integer AS postgres,"
        " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS installed,"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb') AS available,"
        " current_setting('timescaledb.license', true) AS licence"
    )
    server = Server(row["postgres"], row["installed"], row["available"], row["licence"] or None)
    if server.postgres < OLDEST_POSTGRES:
        raise SchemaError(
            f"the server is {server.name}, expected {OLDEST_POSTGRES // 10_000} or newer",
            hint="upgrade PostgreSQL",
        )
    return server
