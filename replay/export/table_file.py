"""One table's file of an export: takes rows as they come, writes them in groups."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from replay.export.market import Row
from replay.export.sinks import SUFFIXES, Sink, open_sink
from replay.export.tables import Table

GROUP_ROWS = 65_536
"""Rows that are written together: a row group of Parquet, a batch of Arrow."""


class TableFile:
    """The file of one table; collects rows to groups.

    Args:
        table: what the rows are of.
        folder: where the file is made.
        kind: a format, a key of `SUFFIXES`.

    Attributes:
        path: the file.
        rows: how many were taken.
    """

    def __init__(self, table: Table, folder: Path, kind: str) -> None:
        self.path = folder / f"{table.name}{SUFFIXES[kind]}"
        self.rows = 0
        self._sink: Sink | None = open_sink(table, self.path, kind)
        self._waiting: list[Row] = []

    def take(self, rows: Iterable[Row]) -> None:
        """Take rows in their order."""
        assert self._sink is not None
        rows = iter(rows)
        while more := list(islice(rows, GROUP_ROWS - len(self._waiting))):
            self.rows += len(more)
            self._waiting += more
            if len(self._waiting) == GROUP_ROWS:
                self._sink.write(self._waiting)
                self._waiting = []

    def close(self) -> None:
        """Write what waits and finish the file; more than once is once."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            try:
                sink.write(self._waiting)
            finally:
                sink.close()
