"""What a journal tells of imports before: instruments, files that are in it, files that were cut off."""

from __future__ import annotations

from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import MARKET_EVENTS, InstrumentDefined, OperatorCommand

_TICKS = tuple(record for record in MARKET_EVENTS if record is not InstrumentDefined)


class History:
    """What a journal holds already.

    Attributes:
        registry: its instruments.
        finished: content hashes of whole imports, with the seq at which they end.
        cut: content hashes of imports that were cut off, with the number of their ticks.
    """

    def __init__(self) -> None:
        self.registry = InstrumentRegistry()
        self.finished: dict[str, int] = {}
        self.cut: dict[str, int] = {}

    @classmethod
    def of(cls, directory: Path) -> History:
        """Read it from the journal, from its first event on."""
        history = cls()
        current: str | None = None
        for batch in JournalReader(directory).batches():
            for seq, event in enumerate(batch.events, batch.first_seq):
                if isinstance(event, _TICKS):
                    if current is not None:
                        history.cut[current] += 1
                elif isinstance(event, InstrumentDefined):
                    history.registry.add(event)
                else:
                    # An import holds the journal, so whatever is no market event ends it.
                    current = history._command(seq, event) if isinstance(event, OperatorCommand) else None
        return history

    def _command(self, seq: int, event: OperatorCommand) -> str | None:
        """Take note of an import's start or end; return the content being imported from here on."""
        sha256 = str(event.arguments.get("sha256", ""))
        if event.command == "import.start":
            resumed = event.arguments.get("resumed", 0)
            self.cut[sha256] = resumed if isinstance(resumed, int) else 0
            return sha256
        if event.command == "import.end":
            self.finished[sha256] = seq
            self.cut.pop(sha256, None)
        return None
