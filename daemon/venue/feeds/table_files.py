"""Parquet and Arrow files to lines of CSV, a block at a time; bounded memory.

What reads CSV reads them like that: the first line names the columns, integers and decimals are exact, times
are ISO 8601 in UTC. Columns of other kinds (lists, bytes) are empty. Needs pyarrow (extra `research`),
imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from daemon.venue.feeds.parsing import Tally
from daemon.venue.feeds.sources import Block, SourceError

PARQUET, ARROW = b"PAR1", b"ARROW1"
ROWS = 4_096
"""Of a block; it parses in some 15 ms."""
MAX_COLUMNS = 1_000
_HEAD_ROWS = 100
_QUOTED = frozenset('",\n\r')


def is_table_file(path: Path) -> bool:
    """Return whether a file is one that is read here; one that cannot be opened is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(ARROW)).startswith((PARQUET, ARROW))
    except OSError:
        return False


class TableFile:
    """One Parquet or Arrow file; attributes and methods as those of `Source`.

    Raises:
        SourceError: it cannot be read, or the library is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        try:
            self._arrow: Any = import_module("pyarrow")
        except ImportError as error:
            raise SourceError(
                path,
                "Parquet and Arrow need pyarrow, which is not installed",
                hint="install the extra `research`",
            ) from error
        self.total_bytes = path.stat().st_size
        self._file = path.open("rb")
        try:
            with self._telling_damage():
                self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        is_parquet = self._file.read(len(PARQUET)) == PARQUET
        self._file.seek(0)
        if is_parquet:
            parquet: Any = import_module("pyarrow.parquet")
            self._parquet: Any = parquet.ParquetFile(self._file)
            self._schema: Any = self._parquet.schema_arrow
        else:
            self._parquet = None
            self._reader: Any = self._arrow.ipc.open_file(self._file)
            self._schema = self._reader.schema
        if not 1 <= len(self._schema) <= MAX_COLUMNS:
            raise SourceError(self.path, f"{len(self._schema)} columns, expected 1 to {MAX_COLUMNS}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def head(self) -> tuple[str, list[bytes]]:
        """Return no member, and the header with the first rows; reading starts over afterwards."""
        rows = next(self._blocks(), [])
        self.position = 0
        return "", [self._header(), *rows[:_HEAD_ROWS]]

    def blocks(self, _tally: Tally) -> Iterator[Block]:
        """Yield the header, then the rows in order, as lines of CSV.

        Raises:
            SourceError: the file is damaged here; what came before is good.
        """
        yield Block("", 1, [self._header()])
        number = 2
        for lines in self._blocks():
            yield Block("", number, lines)
            number += len(lines)
        self.position = self.total_bytes

    def _header(self) -> bytes:
        return _line(self._schema.names).encode("utf-8", "replace")

    def _blocks(self) -> Iterator[list[bytes]]:
        with self._telling_damage():
            for batch, share in self._batches():
                for start in range(0, batch.num_rows, ROWS):
                    part = batch.slice(start, ROWS)
                    columns = [self._texts(column) for column in part.columns]
                    self.position = int(self.total_bytes * share)
                    yield [_line(row).encode("utf-8", "replace") for row in zip(*columns, strict=True)]

    def _batches(self) -> Iterator[tuple[Any, float]]:
        """Yield batches, each with the share of the file up to its end."""
        if self._parquet is not None:
            total, done = max(1, self._parquet.metadata.num_rows), 0
            for batch in self._parquet.iter_batches(batch_size=ROWS):
                done += batch.num_rows
                yield batch, done / total
            return
        count = self._reader.num_record_batches
        for number in range(count):
            yield self._reader.get_batch(number), (number + 1) / count

    def _texts(self, column: Any) -> Sequence[str]:
        """Return a column as text, nothing as empty text."""
        arrow, kind = self._arrow, column.type
        types = arrow.types
        if types.is_dictionary(kind):
            return self._texts(column.dictionary_decode())
        if types.is_timestamp(kind):
            # A cast to text would leave out what the unit cannot show; nanoseconds show all.
            column = import_module("pyarrow.compute").strftime(
                column.cast(arrow.timestamp(kind.unit)).cast(arrow.timestamp("ns")),
                format="%Y-%m-%dT%H:%M:%SZ",
            )
        elif types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
            return [""] * len(column)
        texts = [text or "" for text in column.cast(arrow.string()).to_pylist()]
        if types.is_floating(kind) or types.is_decimal(kind):
            return [_plain(text) for text in texts]
        return texts

    @contextmanager
    def _telling_damage(self) -> Iterator[None]:
        try:
            yield
        except (self._arrow.ArrowException, OSError) as error:
            text = " ".join(str(error).split())[:200]
            raise SourceError(self.path, f"the file is cut or damaged: {text}") from error


def _plain(text: str) -> str:
    """Return a number without the exponent that small and large ones have."""
    return format(Decimal(text), "f") if "e" in text or "E" in text else text


def _line(cells: Sequence[str]) -> str:
    return ",".join(
        cell if _QUOTED.isdisjoint(cell) else '"' + cell.replace('"', '""') + '"' for cell in cells
    )
