"""Rows to CSV, Parquet and Arrow files, some tens of thousands at a time.

Knows formats, and nothing of what the rows mean. Only CSV works without pyarrow (extra `research`), which is
imported where it is used.

| column  | CSV                              | Parquet, Arrow        |
|---------|----------------------------------|-----------------------|
| integer | digits                           | int64                 |
| decimal | shortest exact text              | decimal128(38, 18)    |
| time    | `2024-08-08T23:54:14.087896568Z` | timestamp[ns], in UTC |
| text    | as it is, quoted where it must   | string                |
| flag    | true, false                      | bool                  |
| number  | shortest text of the double      | double                |
| none    | empty                            | null                  |
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from replay.export.market import ExportError, Row
from replay.export.tables import DECIMALS, Column, Kind, Table
from replay.export.times import IsoText
from schemas.decimals import decimal_text

SUFFIXES = {"parquet": ".parquet", "arrow": ".arrow", "csv": ".csv"}
_DECIMAL_BYTES = 16
_DECIMAL_DIGITS = 38


class Sink(Protocol):
    """One file that takes rows."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write rows, which become a group of their own where the format has such."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


def open_sink(table: Table, path: Path, kind: str) -> Sink:
    """Return a sink for a new file.

    Args:
        table: what the rows are of.
        path: the file, with the right suffix.
        kind: a key of `SUFFIXES`.

    Raises:
        ExportError: the format needs a library that is not there.
    """
    return CsvSink(table, path) if kind == "csv" else ArrowSink(table, path, kind)


class CsvSink:
    """A CSV file with a header line, UTF-8, lines ended by a newline."""

    def __init__(self, table: Table, path: Path) -> None:
        # The csv module ends lines itself, and must not have newlines in text translated.
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._converters = [_csv_converter(column.kind) for column in table.columns]
        self._writer.writerow([column.name for column in table.columns])

    def write(self, rows: Sequence[Row]) -> None:
        """See `Sink.write`."""
        if rows:
            columns = zip(*rows, strict=True)
            converted = [
                values if convert is None else [None if value is None else convert(value) for value in values]
                for convert, values in zip(self._converters, columns, strict=True)
            ]
            self._writer.writerows(zip(*converted, strict=True))

    def close(self) -> None:
        """See `Sink.close`."""
        self._file.close()


def _csv_converter(kind: Kind) -> Callable[[Any], object] | None:
    if kind is Kind.DECIMAL:
        return lambda value: decimal_text(value, DECIMALS)
    if kind is Kind.TIME:
        return IsoText().text
    if kind is Kind.FLAG:
        return lambda value: "true" if value else "false"
    return None


class ArrowSink:
    """A Parquet file (zstd) or an Arrow IPC file (not compressed, so that it can be mapped)."""

    def __init__(self, table: Table, path: Path, kind: str) -> None:
        self._arrow = load_pyarrow()
        self._columns = table.columns
        self._path = path
        types = _arrow_types(self._arrow)
        self._schema = self._arrow.schema(
            [self._field(column, types) for column in table.columns],
            metadata={"taped.table": table.name, "taped.doc": table.doc},
        )
        if kind == "parquet":
            parquet: Any = import_module("pyarrow.parquet")
            self._writer: Any = parquet.ParquetWriter(path, self._schema, compression="zstd")
        else:
            self._writer = self._arrow.ipc.new_file(str(path), self._schema)

    def _field(self, column: Column, types: Mapping[Kind, Any]) -> Any:
        return self._arrow.field(column.name, types[column.kind], metadata={"doc": column.doc})

    def write(self, rows: Sequence[Row]) -> None:
        """See `Sink.write`.

        Raises:
            ExportError: a value is larger than its column can hold.
        """
        if not rows:
            return
        arrays = []
        for column, field, values in zip(self._columns, self._schema, zip(*rows, strict=True), strict=True):
            try:
                arrays.append(_arrow_array(self._arrow, column.kind, field.type, values))
            except (OverflowError, self._arrow.ArrowInvalid) as error:
                raise ExportError(
                    f"{self._path}: a value of {column.name} does not fit a {column.kind.value}: {error}",
                    hint="--format csv has no such limit",
                ) from error
        self._writer.write_batch(self._arrow.record_batch(arrays, schema=self._schema))

    def close(self) -> None:
        """See `Sink.close`."""
        self._writer.close()


def load_pyarrow() -> Any:
    """Return the library.

    Raises:
        ExportError: it is not installed.
    """
    try:
        return import_module("pyarrow")
    except ImportError as error:
        raise ExportError(
            "Parquet and Arrow need pyarrow, which is not installed",
            hint="install the extra `research`, or take --format csv",
        ) from error


def _arrow_types(arrow: Any) -> dict[Kind, Any]:
    # Times have no zone: DuckDB 1.3 to 1.5 read those that have one as microseconds.
    return {
        Kind.INTEGER: arrow.int64(),
        Kind.DECIMAL: arrow.decimal128(_DECIMAL_DIGITS, DECIMALS),
        Kind.TIME: arrow.timestamp("ns"),
        Kind.TEXT: arrow.string(),
        Kind.FLAG: arrow.bool_(),
        Kind.NUMBER: arrow.float64(),
    }


def _arrow_array(arrow: Any, kind: Kind, type_: Any, values: Sequence[Any]) -> Any:
    if kind is Kind.DECIMAL:
        return _decimal_array(arrow, type_, values)
    if kind is Kind.TIME:
        return arrow.array(values, arrow.int64()).view(type_)
    return arrow.array(values, type_)


def _decimal_array(arrow: Any, type_: Any, values: Sequence[int | None]) -> Any:
    """Make decimals of scaled integers: their bytes are what the array holds.

    By way of `Decimal` objects it took four times as long.
    """
    if all(value is None for value in values):
        return arrow.nulls(len(values), type_)
    limit = 10**_DECIMAL_DIGITS
    if any(value is not None and not -limit < value < limit for value in values):
        raise OverflowError("over 20 digits before the point")
    zero = bytes(_DECIMAL_BYTES)
    packed = b"".join(
        zero if value is None else value.to_bytes(_DECIMAL_BYTES, "little", signed=True) for value in values
    )
    mask = arrow.array([value is not None for value in values], arrow.bool_()) if None in values else None
    validity = None if mask is None else mask.buffers()[1]
    return arrow.Decimal128Array.from_buffers(type_, len(values), [validity, arrow.py_buffer(packed)])
