"""Applies durable batches to the read model: one transaction each, with `applied_seq` in it.

The rows depend on the events alone, not on how they were cut into batches: whatever looks at the
state as a whole (the limits of tables) happens at sequence numbers that are multiples of
`PRUNE_EVERY`, even in the middle of a batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from daemon.readmodel.content import connection_hash
from daemon.readmodel.database import ReadModelError, named_errors, open_reader, open_writer, storable
from daemon.readmodel.history import HistoryProjection
from daemon.readmodel.market import MarketProjection, Numbered
from daemon.readmodel.tables import dump_tables, load_tables
from daemon.readmodel.trading import TradingProjection
from schemas.codec import AnyEvent, UnknownEvent
from schemas.events import Bar, Quote, Trade

log = logging.getLogger(__name__)

PRUNE_EVERY = 16_384
_TICKS: set[type] = {Trade, Quote}


class ReadModelWriter:
    """The one writer of a read-model file. One thread at a time may use it.

    Args:
        path: the file; made where it is absent.
        journal_id: the journal that it is made from.
        keep_ticks: tick rows of the last so many sequence numbers stay; an existing file keeps its own.

    Attributes:
        applied_seq: the last event in the file.
        keep_ticks: the limit in force.
        ticks_from: up to where tick rows were left out when it was filled, 0 where none were.
        skip_ticks_to: tick rows up to here are not written. For a caller who knows that so many more
            events follow that they would be deleted again.

    Raises:
        ReadModelMismatchError: the file belongs to another journal or a newer version.
        ReadModelError: it is damaged or cannot be opened.
    """

    def __init__(self, path: Path, journal_id: str, *, keep_ticks: int | None = None) -> None:
        self.path = path
        self.applied_seq = 0
        self.skip_ticks_to = self.ticks_from = 0
        self._connection = open_writer(path, journal_id, keep_ticks)
        with named_errors(path, "open"):
            self.keep_ticks: int = self._meta("keep_ticks")
            self._load()

    @staticmethod
    def applied_seq_of(path: Path, journal_id: str | None = None) -> int:
        """Return the last event in a file that need not be there.

        0 also where it cannot be read, or belongs to another journal than the one named.
        """
        if not path.exists():
            return 0
        try:
            connection = open_reader(path)
        except ReadModelError:
            # Whoever opens it for writing says what is wrong with it.
            return 0
        try:
            meta = dict(connection.execute("SELECT name, value FROM meta"))
            return int(meta["applied_seq"]) if journal_id in (None, meta["journal_id"]) else 0
        finally:
            connection.close()

    def apply(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take consecutive events in one transaction; those already in the file are passed over.

        Raises:
            ReadModelError: an event between the last one and these is missing, or SQLite failed;
                the file stands where it stood and the call can be repeated.
        """
        if first_seq > self.applied_seq + 1:
            raise ReadModelError(
                f"{self.path}: events begin at seq {first_seq}, expected {self.applied_seq + 1}",
                hint="the missing ones are in the journal",
            )
        events = events[self.applied_seq + 1 - first_seq :]
        if not events:
            return
        try:
            self._transaction(events, careful=False)
        except OverflowError:
            # Something needs more than SQLite's 64 signed bits: a volume, or an event that makes no sense.
            self._transaction([_fitting(event) for event in events], careful=True)

    def seed(self, parts: Iterable[bytes]) -> None:
        """Fill a fresh file with what `dump_tables` gave, in one transaction.

        Raises:
            ReadModelError: the rows are not known here, or SQLite failed; the file stays empty.
        """
        assert not self.applied_seq, "only a fresh read model is filled"
        with named_errors(self.path, "fill"), self._connection:
            self.ticks_from = load_tables(self._connection, parts)
            self._load()
            # The rows may have been kept under a higher limit than this file's.
            self._market.prune_ticks(self.applied_seq - self.applied_seq % PRUNE_EVERY, self.keep_ticks)

    def dump(self, *, ticks_from: int = 0) -> Iterator[bytes]:
        """Yield all rows, for `seed` of another file; nothing may be applied meanwhile."""
        with named_errors(self.path, "read"):
            yield from dump_tables(self._connection, ticks_from=ticks_from)

    def content_hash(self) -> str:
        """Return the fingerprint of what was applied, as `daemon.readmodel.content` makes it."""
        with named_errors(self.path, "hash"):
            return connection_hash(self._connection)

    def skip_to(self, seq: int) -> None:
        """Go on behind a number, because the journal tells that what lies before it is lost.

        Raises:
            ReadModelError: SQLite failed.
        """
        if seq <= self.applied_seq:
            return
        with named_errors(self.path, "apply"):
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'applied_seq'", (seq,))
        self.applied_seq = seq

    def _transaction(self, events: Sequence[AnyEvent], *, careful: bool) -> None:
        execute = self._connection.execute
        with named_errors(self.path, "apply"):
            execute("BEGIN IMMEDIATE")
            try:
                last_seq = self._project(events, careful=careful)
                execute(
                    "UPDATE meta SET value = iif(name = 'applied_seq', ?, ?)"
                    " WHERE name IN ('applied_seq', 'applied_ns')",
                    (last_seq, storable(events[-1].ts_ns)),
                )
                execute("COMMIT")
            except BaseException:
                # What the projections remember is ahead of the file now; the file is right.
                if self._connection.in_transaction:
                    execute("ROLLBACK")
                self._load()
                raise
        self.applied_seq = last_seq

    def _project(self, events: Sequence[AnyEvent], *, careful: bool) -> int:
        seq, start = self.applied_seq, 0
        while start < len(events):
            end = start + PRUNE_EVERY - seq % PRUNE_EVERY
            part = events if start == 0 and end >= len(events) else events[start:end]
            self._part(seq + 1, part)
            seq, start = seq + len(part), end
            self._market.flush(careful=careful)
            self._trading.flush()
            self._history.flush()
            if seq % PRUNE_EVERY == 0:
                self._market.prune(seq, self.keep_ticks)
                self._trading.prune()
                self._history.prune()
        return seq

    def _part(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        numbered = list(enumerate(events, first_seq))
        if _TICKS.issuperset(map(type, events)):
            self._ticks(numbered)
            return
        start = 0
        for index, (seq, event) in enumerate(numbered):
            if type(event) in _TICKS:
                continue
            # What follows an order or a clock tick must not change what was seen at it.
            self._ticks(numbered[start:index])
            start = index + 1
            self._other(seq, event)
        self._ticks(numbered[start:])

    def _ticks(self, numbered: Numbered) -> None:
        if not numbered:
            return
        rows = numbered[-1][0] > self.skip_ticks_to
        trades = [item for item in numbered if type(item[1]) is Trade]
        if trades:
            self._market.trades(trades, rows=rows)
        quotes = numbered if not trades else [item for item in numbered if type(item[1]) is Quote]
        if quotes:
            self._market.quotes(quotes, rows=rows)

    def _other(self, seq: int, event: AnyEvent) -> None:
        if isinstance(event, Bar):
            self._market.bar(seq, event)
            return
        self._trading.event(seq, event)
        self._history.event(seq, event)

    def _load(self) -> None:
        self.applied_seq = self._meta("applied_seq")
        self._market = MarketProjection(self._connection)
        self._trading = TradingProjection(self._connection, self._market)
        self._history = HistoryProjection(self._connection)

    def _meta(self, name: str) -> Any:
        return self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).get

    def close(self) -> None:
        """Let the file go; what was applied stays."""
        try:
            self._connection.execute("PRAGMA optimize")
        except apsw.Error as error:
            log.warning("%s: optimize: %s", self.path, error)
        self._connection.close()


def _fitting(event: AnyEvent) -> AnyEvent:
    """Return the event, or one that is only shown where its integers do not fit 64 signed bits."""
    if isinstance(event, UnknownEvent):
        return event
    if isinstance(event, Trade) and isinstance(event.trade_id, int):
        event = msgspec.structs.replace(event, trade_id=storable(event.trade_id))
    if all(_fits(getattr(event, name)) for name in event.__struct_fields__):
        return event
    return UnknownEvent(msgspec.to_builtins(event))


def _fits(value: object) -> bool:
    return not isinstance(value, int) or storable(value) == value
