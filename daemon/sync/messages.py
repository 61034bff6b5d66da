"""What daemon and sync process say to each other: a line of JSON each, over the process's own pipes."""

from __future__ import annotations

import msgspec


class SyncJob(msgspec.Struct, frozen=True, kw_only=True):
    """The first line to the process: what it is to ship. Where to, it reads itself, as that is secret."""

    data: str
    dsn_file: str | None
    name: str
    batch_events: int


class Ship(msgspec.Struct, frozen=True, kw_only=True):
    """Every further line: ship for at most so long, and report."""

    seconds: float


class Shipped(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far it is.

    Attributes:
        place: host, port and database.
        seq: the last event that the database has confirmed.
        append_ns: when that event was written to the journal; 0 where nothing was shipped yet.
        events: shipped this time.
        duplicates: of these, events that were there already.
        caught_up: nothing durable is left.
    """

    place: str
    seq: int
    append_ns: int
    events: int
    duplicates: int
    caught_up: bool


class Away(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The database does not answer."""

    reason: str


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Trying again helps only after somebody has looked."""

    reason: str
    hint: str


Report = Shipped | Away | Refused
