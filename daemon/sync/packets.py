"""What is shipped in one transaction: rows of consecutive events, made from the journal's batches.

Knows no database. A packet is bounded by events and by bytes, but holds at least one batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.journal.reader import Batch
from daemon.sync.copy_format import MISFITS
from daemon.sync.rows import Numbered, RowMaker
from daemon.sync.tables import QUOTES, TRADES, Table
from schemas.codec import AnyEvent
from schemas.events import InstrumentDefined, Quote, Trade

MAX_EVENTS = 20_000
"""Measured with 5,000 and 20,000: 190,000 and 232,000 ticks/s by one connection."""

MAX_BYTES = 8 << 20

_QUICK: frozenset[type] = frozenset((Trade, Quote))


class Gap(NamedTuple):
    """Events that the journal lost: from `first_seq` up to, not with, `next_seq`."""

    first_seq: int
    next_seq: int
    reason: str = ""


@dataclass(slots=True)
class Packet:
    """Rows of the events from `after_seq` (not with it) to `last_seq`.

    Attributes:
        chunks: encoded rows by table, without head and end of the COPY format.
        counts: rows by table.
        instruments: rows of those that were defined, each as it was last.
        gaps: losses among these events.
        ts_ns: time of the last event.
        append_ns: when the last batch was written.
        length: bytes of all rows.
    """

    after_seq: int
    last_seq: int
    ts_ns: int | None = None
    append_ns: int = 0
    length: int = 0
    chunks: dict[Table, list[bytes]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    instruments: dict[int, bytes] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    @property
    def events(self) -> int:
        """How many events it holds."""
        return self.counts.total()

    def add(self, table: Table, rows: bytes, count: int) -> None:
        """Add encoded rows of a table."""
        self.chunks.setdefault(table, []).append(rows)
        self.counts[table.name] += count
        self.length += len(rows)


class PacketMaker:
    """Makes packets from batches in order.

    Args:
        maker: makes rows of events; knows the instruments defined up to `after_seq`.
        after_seq: the last event that is shipped already.
        max_events: a packet is full at so many.
        why: tells why the journal lacks events.
    """

    def __init__(
        self,
        maker: RowMaker,
        after_seq: int,
        *,
        max_events: int = MAX_EVENTS,
        why: Callable[[Gap], str] = lambda _: "the journal lost them",
    ) -> None:
        self._maker = maker
        self._max_events = max_events
        self._why = why
        self._packet = Packet(after_seq, after_seq)

    @property
    def is_full(self) -> bool:
        """Whether the packet should go."""
        return self._packet.events >= self._max_events or self._packet.length >= MAX_BYTES

    def take(self, batch: Batch) -> None:
        """Add the events of a batch; a jump in their numbers is a loss the journal tells of."""
        packet = self._packet
        expected = packet.last_seq + 1
        assert batch.first_seq >= expected, "batches come in order"
        if batch.first_seq > expected:
            gap = Gap(expected, batch.first_seq)
            packet.gaps.append(gap._replace(reason=self._why(gap)))
        if not batch.events:
            return
        for first_seq, events in _until_defined(batch):
            self._add(first_seq, events)
        packet.last_seq, packet.append_ns = batch.last_seq, batch.append_ns
        packet.ts_ns = max(-(2**63), min(batch.events[-1].ts_ns, 2**63 - 1))

    def finish(self) -> Packet | None:
        """Return what was collected, or None when that is nothing; the next packet begins behind it."""
        packet = self._packet
        if packet.last_seq == packet.after_seq:
            return None
        self._packet = Packet(packet.last_seq, packet.last_seq, packet.ts_ns)
        return packet

    def _add(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        numbered = list(enumerate(events, first_seq))
        kinds: set[type] = set(map(type, events))
        quick: tuple[tuple[type, Table, Callable[[Numbered], bytes]], ...] = (
            (Trade, TRADES, self._maker.trades),
            (Quote, QUOTES, self._maker.quotes),
        )
        for record, table, encode in quick:
            if record not in kinds:
                continue
            of_kind = numbered if len(kinds) == 1 else [item for item in numbered if type(item[1]) is record]
            try:
                self._packet.add(table, encode(of_kind), len(of_kind))
            except MISFITS:
                self._one_by_one(of_kind)
        if kinds - _QUICK:
            self._one_by_one([item for item in numbered if type(item[1]) not in _QUICK])

    def _one_by_one(self, numbered: Numbered) -> None:
        for seq, event in numbered:
            table, row = self._maker.encode(seq, event)
            self._packet.add(table, row, 1)
            if isinstance(event, InstrumentDefined):
                defined = self._maker.define(seq, event)
                if defined is not None:
                    self._packet.instruments[event.instrument_id] = defined


def _until_defined(batch: Batch) -> Iterator[tuple[int, Sequence[AnyEvent]]]:
    """Yield the events in pieces that end with each definition: scales hold for what comes behind it."""
    if InstrumentDefined not in set[type](map(type, batch.events)):
        yield batch.first_seq, batch.events
        return
    start = 0
    for index, event in enumerate(batch.events, 1):
        if type(event) is InstrumentDefined or index == len(batch.events):
            yield batch.first_seq + start, batch.events[start:index]
            start = index
