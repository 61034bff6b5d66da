"""What a specification names, opened: events in batches, how many, and which they are. Writes nothing.

A journal is read while a daemon writes it, as far as it goes when it is opened. Files of market data
go through the parsers of the import, several merged by the time of receipt, and are never held whole.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from daemon.journal.listing import ARCHIVE
from daemon.journal.reader import Batch, JournalReader
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from replay.backtest import BacktestError, EventBatch
from replay.definitions import in_force
from replay.spec import BacktestSpec
from replay.times import seq_at
from schemas.events import Event, InstrumentDefined, Quote, SessionCalendarDefined, Trade

BATCH = 2_048
_DEFINITIONS = frozenset({InstrumentDefined, SessionCalendarDefined})


class FileIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A file by its content."""

    name: str
    sha256: str
    bytes: int


class DataIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a backtest took: equal identities are equal events.

    A journal is never rewritten, so its id and a range of numbers say it all; of files it is their
    content and the range asked for: `last_seq` is None where they are read to their end.
    """

    journal_id: str = ""
    first_seq: int
    last_seq: int | None
    from_ns: int | None = None
    to_ns: int | None = None
    files: tuple[FileIdentity, ...] = ()


class Source(Protocol):
    """Recorded events, to be read once or more often.

    Attributes:
        total: how far `position` goes.
        unit: what both count: `events` or `bytes`.
        position: how far the reading is.
    """

    total: int
    unit: str
    position: int

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events in order, definitions that were in force in front."""
        ...

    def identity(self) -> DataIdentity:
        """Return which events these are."""
        ...


def open_source(spec: BacktestSpec) -> JournalSource | FileSource:
    """Open what a spec names.

    Raises:
        BacktestError: there is no such thing, or nothing of it lies in the range.
        JournalError: the journal cannot be read.
        FormatError: a file's format cannot be told.
    """
    paths = [Path(text) for text in spec.data]
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise BacktestError(
            f"{folders[0]}: a folder beside other data", hint="one data folder, or any number of files"
        )
    return JournalSource(journal_folder(paths[0]), spec) if folders else FileSource(paths, spec)


def journal_folder(data: Path) -> Path:
    """Return the folder of segments of a data folder; it may be named itself, and so may its archive."""
    if not (data / "journal").is_dir():
        if data.name == ARCHIVE and any(data.glob("*.evl.zst")):
            return data.parent
        if (data / ARCHIVE).is_dir() or any(data.glob("*.evl")):
            return data
    return data / "journal"


class JournalSource:
    """A range of a journal; attributes as those of `Source`, the range, and how many events were read."""

    unit = "events"

    def __init__(self, directory: Path, spec: BacktestSpec) -> None:
        self._reader = JournalReader(directory)
        self.begins = self._reader.first_seq
        first, last = self.begins, self._reader.last_seq
        self.first_seq = max(first, spec.from_seq or first)
        self.last_seq = min(last, spec.to_seq or last)
        if spec.from_ns is not None:
            self.first_seq = max(self.first_seq, seq_at(self._reader, spec.from_ns, last_seq=last))
        if spec.to_ns is not None:
            self.last_seq = min(self.last_seq, seq_at(self._reader, spec.to_ns + 1, last_seq=last) - 1)
        if self.first_seq > self.last_seq:
            raise BacktestError(
                f"{directory}: nothing in the range asked for; the journal holds seq {first:,} to {last:,}",
                hint="`taped journal dump` shows events with their times",
            )
        self.total = self.last_seq - self.first_seq + 1
        self.position = self.events = 0

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events of the range, behind the definitions from before it."""
        self.position = self.events = 0
        before = in_force(self._reader, self.first_seq)
        if before:
            yield Batch(0, [*before], 0)
        for batch in self._reader.batches(self.first_seq, self.last_seq):
            self.position = batch.last_seq - self.first_seq + 1
            self.events += len(batch.events)
            yield batch

    def identity(self) -> DataIdentity:
        """Return the journal and the range."""
        return DataIdentity(
            journal_id=self._reader.journal_id, first_seq=self.first_seq, last_seq=self.last_seq
        )


class _Ticks(NamedTuple):
    """A batch of events that came from no journal."""

    events: list[Event]


class FileSource:
    """Files of market data, merged by time; attributes as those of `Source`, and how many events came."""

    unit = "bytes"

    def __init__(self, paths: list[Path], spec: BacktestSpec) -> None:
        self._paths = paths
        self._spec = spec
        self._identity: DataIdentity | None = None
        for path in paths:
            TickFile(path, InstrumentRegistry(), spec.reading).close()
        self.total = sum(path.stat().st_size for path in paths)
        self.position = self.events = 0
        self.rejected_count = 0

    def batches(self) -> Iterator[EventBatch]:
        """Yield the ticks of the range, each instrument's definition in front of its first tick."""
        registry = InstrumentRegistry()
        self.position = self.events = 0
        with ExitStack() as opened:
            files = [
                opened.enter_context(TickFile(path, registry, self._spec.reading)) for path in self._paths
            ]
            for events in self._ranged(_merged(files)):
                self.position = sum(file.source.position for file in files)
                self.events += len(events)
                yield _Ticks(events)
            self.position = self.total
            # Lines behind the last tick, or all there are, count too.
            self.rejected_count = sum(file.tally.rejected_count for file in files)

    def _ranged(self, batches: Iterator[list[Event]]) -> Iterator[list[Event]]:
        """Yield what lies in the range; definitions always do."""
        spec = self._spec
        if (spec.from_seq, spec.to_seq, spec.from_ns, spec.to_ns) == (None, None, None, None):
            yield from batches
            return
        begun = spec.from_ns is None
        seq = 0
        for events in batches:
            kept: list[Event] = []
            for event in events:
                if type(event) in _DEFINITIONS:
                    kept.append(event)
                    continue
                seq += 1
                if spec.to_seq is not None and seq > spec.to_seq:
                    yield kept
                    return
                if spec.to_ns is not None and event.ts_ns > spec.to_ns:
                    yield kept
                    return
                begun = begun or event.ts_ns >= (spec.from_ns or 0)
                if begun and seq >= (spec.from_seq or 1):
                    kept.append(event)
            yield kept

    def identity(self) -> DataIdentity:
        """Return the files' hashes and the range asked for; reads them once."""
        if self._identity is None:
            self._identity = DataIdentity(
                first_seq=self._spec.from_seq or 1,
                last_seq=self._spec.to_seq,
                from_ns=self._spec.from_ns,
                to_ns=self._spec.to_ns,
                files=tuple(_file_identity(path) for path in self._paths),
            )
        return self._identity


def _merged(files: list[TickFile]) -> Iterator[list[Event]]:
    if len(files) == 1:
        return files[0].batches()
    streams = [chain.from_iterable(file.batches()) for file in files]
    return _batched(heapq.merge(*streams, key=_arrival))


def _batched(events: Iterator[Event]) -> Iterator[list[Event]]:
    while batch := list(islice(events, BATCH)):
        yield batch


def _arrival(event: Event) -> int:
    return event.received_ns if isinstance(event, Trade | Quote) else event.ts_ns


def _file_identity(path: Path) -> FileIdentity:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileIdentity(name=path.name, sha256=digest, bytes=path.stat().st_size)


Progress = Callable[[Source], None]
"""Called behind each batch, with the source as far as it was read."""
