"""Exports a range of a journal as tables: reads the events once, holds a group of rows of each table.

Changes nothing in the data folder, so a daemon may be writing it. Market tables come from the events
themselves, so no limit of the read model cuts them; orders, fills and equity come from the read model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daemon.journal.reader import JournalReader
from daemon.readmodel.bars import INTERVALS
from daemon.readmodel.database import ReadModelError
from daemon.start import definitions
from replay.export.bars import BarMaker
from replay.export.books import Books, definitions_in
from replay.export.current import read_model_at
from replay.export.folder import MANIFEST, new_folder
from replay.export.market import (
    ExportError,
    Market,
    Row,
    Selected,
    Span,
    instrument_rows,
    quote_rows,
    received_bar_rows,
    tick_rows,
    trade_rows,
)
from replay.export.sinks import SUFFIXES, load_pyarrow
from replay.export.table_file import TableFile
from replay.export.tables import BARS, INSTRUMENTS, TABLES
from replay.times import DISORDER_NS, TimesError, seq_at
from schemas.codec import AnyEvent
from schemas.events import InstrumentDefined

_FROM_EVENTS: dict[str, Callable[[Selected], list[Row]]] = {
    "ticks": tick_rows,
    "trades": trade_rows,
    "quotes": quote_rows,
    "bars_received": received_bar_rows,
}
_FROM_BOOKS = ("orders", "fills", "equity")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to be exported.

    Attributes:
        data: data folder with the journal.
        out: folder to make.
        format: a key of `SUFFIXES`.
        tables: names of `TABLES`; instruments come always.
        span: which events.
        instruments: `SYMBOL` or `SYMBOL@VENUE`; none means all.
        intervals: of bars, names of `INTERVALS`.
        force: replace an export that is there.
    """

    data: Path
    out: Path
    format: str = "parquet"
    tables: Sequence[str] = ("ticks", "bars", "orders", "fills", "equity")
    span: Span = field(default_factory=Span)
    instruments: Sequence[str] = ()
    intervals: Sequence[str] = ("1min",)
    force: bool = False

    def __post_init__(self) -> None:
        assert self.format in SUFFIXES
        assert set(self.tables) <= set(TABLES)
        assert set(self.intervals) <= set(INTERVALS)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What was exported: the events that were read, and the rows of each table."""

    journal_id: str
    first_seq: int
    last_seq: int
    rows: dict[str, int]
    bytes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def export_journal(
    request: ExportRequest,
    *,
    progress: Callable[[int], None] = lambda _count: None,
    tell: Callable[[str], None] = lambda _text: None,
) -> ExportResult:
    """Make an export.

    Args:
        request: what is wanted.
        progress: told how many events were read since the last call.
        tell: told what takes longer than usual.

    Raises:
        ExportError: it cannot be made as asked for; then nothing was made.
        JournalError: the journal cannot be read.
        ReadModelError: SQLite failed.
    """
    if request.format != "csv":
        load_pyarrow()
    journal = JournalReader(request.data / "journal")
    with (
        new_folder(request.out, force=request.force) as folder,
        tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder.parent) as scratch,
    ):
        export = _Export(request, journal, folder, Path(scratch), progress, tell)
        result = export.run()
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(result.as_dict())) + b"\n")
    return result


class _Export:
    """One export under way."""

    def __init__(
        self,
        request: ExportRequest,
        journal: JournalReader,
        folder: Path,
        scratch: Path,
        progress: Callable[[int], None],
        tell: Callable[[str], None],
    ) -> None:
        self._request = request
        self._journal = journal
        self._folder = folder
        self._scratch = scratch
        self._progress = progress
        self._tell = tell
        span = request.span
        self._first, self._last = _range(journal, span)
        self._market = Market(request.instruments, span, self._earlier)
        self._earlier_definitions: dict[int, InstrumentDefined] | None = None
        self._tables: dict[str, TableFile] = {}
        self._bars: BarMaker | None = None

    def run(self) -> ExportResult:
        """Write every table."""
        request = self._request
        names = [name for name in TABLES if name in request.tables and name != INSTRUMENTS.name]
        self._tables = {name: TableFile(TABLES[name], self._folder, request.format) for name in names}
        try:
            if BARS.name in self._tables:
                self._bars = BarMaker(self._scratch / "bars.db", request.intervals)
            self._read_events()
            if self._bars is not None:
                self._tables[BARS.name].take(self._bars.rows())
            self._read_books()
            missing = self._market.missing()
            if missing:
                raise ExportError(f"no instrument {', '.join(missing)} in these events")
            self._write_instruments()
        finally:
            if self._bars is not None:
                self._bars.close()
            for table in self._tables.values():
                table.close()
        return ExportResult(
            self._journal.journal_id,
            self._first,
            self._last,
            {name: table.rows for name, table in self._tables.items()},
            {name: table.path.stat().st_size for name, table in self._tables.items()},
        )

    def _read_events(self) -> None:
        for defined in definitions(self._journal.directory):
            if isinstance(defined, InstrumentDefined):
                self._market.define(defined)
        for batch in self._journal.batches(self._first, self._last):
            self._take(batch.first_seq, batch.events)
            self._progress(len(batch.events))

    def _take(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take events; where one defines an instrument, those before it go first."""
        start = 0
        for place, event in enumerate(events):
            if isinstance(event, InstrumentDefined):
                self._write_market(first_seq + start, events[start:place])
                self._market.define(event)
                start = place + 1
        self._write_market(first_seq + start, events[start:])

    def _write_market(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        selected = self._market.select(first_seq, events)
        if not selected:
            return
        for name, rows_of in _FROM_EVENTS.items():
            if name in self._tables:
                self._tables[name].take(rows_of(selected))
        if self._bars is not None:
            self._bars.take(selected)

    def _earlier(self, instrument_id: int) -> InstrumentDefined | None:
        """Return the definition of an instrument from before the first event."""
        if self._earlier_definitions is None:
            self._earlier_definitions = self._definitions_before()
        return self._earlier_definitions.get(instrument_id)

    def _definitions_before(self) -> dict[int, InstrumentDefined]:
        try:
            found = definitions_in(self._request.data / "readmodel.db", self._first)
        except ReadModelError:
            found = []
        if not found:
            self._tell("reading the events before for the definitions of instruments")
            for batch in self._journal.batches(self._journal.first_seq, self._first - 1):
                found += [event for event in batch.events if isinstance(event, InstrumentDefined)]
        return {item.instrument_id: item for item in found}

    def _read_books(self) -> None:
        wanted = [name for name in _FROM_BOOKS if name in self._tables]
        if not wanted:
            return
        request = self._request
        path = read_model_at(request.data, self._journal, self._last, self._scratch, self._tell)
        span = request.span._replace(first_seq=self._first, last_seq=self._last)
        with Books(path, span, request.instruments) as books:
            for name in wanted:
                self._tables[name].take(getattr(books, name)())

    def _write_instruments(self) -> None:
        table = self._tables[INSTRUMENTS.name] = TableFile(INSTRUMENTS, self._folder, self._request.format)
        defined = sorted(self._market.definitions.values(), key=lambda item: item.instrument_id)
        table.take(instrument_rows(defined))


def _range(journal: JournalReader, span: Span) -> tuple[int, int]:
    """Return the first and last event to read, by number; `Market` leaves out what the times do."""
    end = journal.last_seq
    first = max(span.first_seq, journal.first_seq)
    last = end if span.last_seq is None else min(span.last_seq, end)
    try:
        if span.from_ns is not None:
            first = max(first, seq_at(journal, span.from_ns, last_seq=end))
        if span.to_ns is not None:
            last = min(last, seq_at(journal, span.to_ns + DISORDER_NS + 1, last_seq=end) - 1)
    except TimesError:
        # Ticks that do not come in order of time have no range of numbers: all are looked at.
        pass
    if first > last:
        raise ExportError(f"{journal.directory}: no event in the range asked for; it ends at seq {end:,}")
    return first, last
