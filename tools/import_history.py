"""What a journal tells of imports before: instruments, files that are in it, files that were cut off.

Reads the read model where it is at the journal's end, else the whole journal. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from daemon.journal.reader import Batch, JournalReader
from daemon.readmodel.database import ReadModelError
from daemon.readmodel.queries import ReadModelQueries, Row
from daemon.readmodel.watermark import projected_seq
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import MARKET_EVENTS, AssetClass, InstrumentDefined, OperatorCommand

OPTION = "option."
"""In front of the names in the arguments of import.start that say how the file was read."""
_TICKS = tuple(record for record in MARKET_EVENTS if record is not InstrumentDefined)


class History:
    """What a journal holds already.

    An import that accepted nothing is none: its file may come again, with other options.

    Attributes:
        registry: its instruments.
        finished: content hashes of whole imports, with the seq at which they end.
        cut: content hashes of imports that were cut off, with the number of their ticks.
        readings: for the same imports, how their file was read: as `TickFile.reading`.
    """

    def __init__(self) -> None:
        self.registry = InstrumentRegistry()
        self.finished: dict[str, int] = {}
        self.cut: dict[str, int] = {}
        self.readings: dict[str, dict[str, object]] = {}

    @classmethod
    def of(cls, data: Path, last_seq: int) -> History:
        """Read it from a data folder whose journal ends at `last_seq` and is held by the caller."""
        history = cls()
        if not last_seq:
            return history
        reader = JournalReader(data / "journal")
        path = data / "readmodel.db"
        if projected_seq(data) == last_seq:
            try:
                queries = ReadModelQueries(path)
            except ReadModelError:
                pass  # Then the journal has to tell; a broken read model is reported by whoever writes it.
            else:
                try:
                    history._take_tables(queries, reader)
                finally:
                    queries.close()
                return history
        if reader.first_seq > 1:
            raise ReadModelError(
                f"{path}: is not at the journal's end, and the journal's oldest events are gone: which files "
                "were imported cannot be told",
                hint="`taped replay rebuild` brings it there",
            )
        history._scan(reader.batches(), to_end_of_import=False)
        return history

    def _take_tables(self, queries: ReadModelQueries, reader: JournalReader) -> None:
        for row in queries.instruments():
            self.registry.add(_definition(row))
        last: dict[str, Row] = {}
        for row in queries.imports():
            sha256 = row["sha256"]
            last[sha256] = row
            if row["finished"] and row["events"] != 0:
                self.finished[sha256] = row["last_seq"] + 1
        for row in last.values():
            if not row["finished"]:
                self._scan(reader.batches(row["start_seq"]), to_end_of_import=True)

    def _scan(self, batches: Iterable[Batch], *, to_end_of_import: bool) -> None:
        """Take note of recorded events, up to where the first import in them ends or to their end."""
        current: str | None = None
        for batch in batches:
            for seq, event in enumerate(batch.events, batch.first_seq):
                if isinstance(event, _TICKS):
                    if current is not None:
                        self.cut[current] += 1
                elif isinstance(event, InstrumentDefined):
                    self.registry.add(event)
                elif to_end_of_import and current is not None:
                    return
                else:
                    # An import holds the journal, so whatever is no market event ends it.
                    current = self._command(seq, event) if isinstance(event, OperatorCommand) else None

    def _command(self, seq: int, event: OperatorCommand) -> str | None:
        """Take note of an import's start or end; return the content being imported from here on."""
        sha256 = str(event.arguments.get("sha256", ""))
        if event.command == "import.start":
            resumed = event.arguments.get("resumed", 0)
            self.cut[sha256] = resumed if isinstance(resumed, int) else 0
            self.readings[sha256] = {
                name.removeprefix(OPTION): value
                for name, value in event.arguments.items()
                if name.startswith(OPTION)
            }
            return sha256
        if event.command == "import.end":
            if event.arguments.get("events") != 0:
                self.finished[sha256] = seq
            self.cut.pop(sha256, None)
            self.readings.pop(sha256, None)
        return None


def _definition(row: Row) -> InstrumentDefined:
    fields = {name: value for name, value in row.items() if name in InstrumentDefined.__struct_fields__}
    fields["asset_class"] = AssetClass(fields["asset_class"])
    return InstrumentDefined(ts_ns=row["defined_ns"], **fields)
