"""One round of shipping: from the database's watermark to the journal's durable end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.sync.packets import MAX_EVENTS, Packet
from daemon.sync.rows import RowMaker
from daemon.sync.shipper import Shipper, Step
from daemon.sync.source import JournalSource, check_history


@dataclass(frozen=True, slots=True)
class Target:
    """Where a journal is shipped to.

    Attributes:
        dsn: the database, with its secrets.
        name: of this machine, for people.
        max_events: in one transaction.
        at: called at each step of a transaction.
    """

    dsn: str
    name: str = ""
    max_events: int = MAX_EVENTS
    at: Callable[[Step], object] = lambda _: None


class Round:
    """A connection and a journal that is read while the database works.

    Any failure leaves it unusable; a new one begins where the database says.

    Attributes:
        shipper: the connection.
        append_ns: when the last event that is shipped was written; 0 where nobody knows.
    """

    def __init__(self, shipper: Shipper, source: JournalSource, append_ns: int) -> None:
        self.shipper = shipper
        self.append_ns = append_ns
        self._source = source
        self._next: asyncio.Task[Packet | None] | None = None

    @classmethod
    async def begin(cls, directory: Path, target: Target) -> Round:
        """Connect, and find where to go on.

        Raises:
            DatabaseAwayError: the database does not answer.
            SyncError: it refuses us, or the journal is not the one that was shipped.
            JournalError: there is no journal, or it cannot be read.
        """
        journal = await asyncio.to_thread(JournalReader, directory)
        shipper = await Shipper.connect(
            target.dsn, journal.journal_id, name=target.name, first_seq=journal.first_seq, at=target.at
        )
        try:
            mark = shipper.watermark
            append_ns = await asyncio.to_thread(check_history, directory, mark.seq, mark.ts_ns)
            maker = RowMaker(shipper.scales)
            source = await asyncio.to_thread(
                lambda: JournalSource(directory, mark.seq, maker, max_events=target.max_events)
            )
        except BaseException:
            shipper.terminate()
            raise
        return cls(shipper, source, append_ns)

    async def ship_next(self) -> Packet | None:
        """Ship one packet, and read the next one meanwhile; return None when there was none.

        Raises:
            DatabaseAwayError: the line or the server failed.
            SyncError: somebody else shipped, or the database refused a row.
            JournalError: the journal cannot be read.
        """
        packet, self._next = await self._next if self._next else None, None
        if packet is None:
            # What was read ahead of need may be older than the journal's end.
            packet = await self._read()
        if packet is None:
            return None
        self._next = self._read()
        await self.shipper.ship(packet)
        self.append_ns = packet.append_ns
        return packet

    def _read(self) -> asyncio.Task[Packet | None]:
        return asyncio.create_task(asyncio.to_thread(self._source.next_packet))

    async def close(self) -> None:
        """Let line and journal go; the thread that reads comes to its end first."""
        if self._next is not None:
            await asyncio.wait({self._next})
            self._next.exception()
            self._next = None
        self._source.close()
        await self.shipper.close()


async def ship_all(
    directory: Path, target: Target, *, progress: Callable[[Packet], object] = lambda _: None
) -> int:
    """Ship everything durable, and return how many events that were.

    Raises:
        DatabaseAwayError: the line or the server failed.
        SyncError: it was refused.
        JournalError: the journal cannot be read.
    """
    shipping = await Round.begin(directory, target)
    events = 0
    try:
        while packet := await shipping.ship_next():
            events += packet.events
            progress(packet)
        while await shipping.shipper.ship_derived(directory.parent):
            pass
    finally:
        await shipping.close()
    return events
