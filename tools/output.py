"""What commands print: JSON, aligned tables and progress bars. Results go to stdout, all else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from schemas.errors import TapedError

Advance = Callable[[int], None]
"""Tells a progress bar that so many more units are done."""


class UsageError(TapedError):
    """A command was called in a way its argument parser cannot see to be wrong: exit code 2."""


class PageError(TapedError):
    """The page cannot be written."""


def print_json(value: object) -> None:
    """Print `value` as indented JSON; a Decimal becomes a string, so no digit is lost."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    print(text.decode())


def write_page(path: Path, text: str) -> None:
    """Write a page.

    Raises:
        PageError: it cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PageError(f"{path}: cannot be written: {error.strerror}") from error


def print_error(error: TapedError, *, as_json: bool = False) -> None:
    """Print an error to stderr: one line for people, one object for programs."""
    if as_json:
        body = msgspec.json.encode({"error": {"message": error.message, "hint": error.hint}})
        print(body.decode(), file=sys.stderr)
        return
    print(f"taped: {' '.join(str(error).split())}", file=sys.stderr)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under their column names; columns of numbers are aligned to the right."""
    for line in table_lines(columns, rows):
        print(line)


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table; None is shown as a dash."""
    texts = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    numeric = [
        bool(rows) and all(cell is None or _is_number(cell) for cell in column)
        for column in (zip(*rows, strict=True) if rows else ((),) * len(columns))
    ]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in [list(columns), *texts]
    ]


def _is_number(cell: object) -> bool:
    if isinstance(cell, str):
        return cell.replace(",", "").replace(".", "", 1).lstrip("+-").isdigit()
    return hasattr(cell, "__add__") and not isinstance(cell, bool)


@contextmanager
def progress(
    label: str,
    *,
    total: int | None,
    unit: str,
    show: bool = True,
    rate: Callable[[], str] | None = None,
) -> Iterator[Advance]:
    """Show a progress bar on stderr while the block runs; nothing at all when stderr is no terminal.

    Args:
        label: what is being done, such as `Importing trades.zip`.
        total: how many units there are, None when nobody knows.
        unit: what is counted, in the plural (`events`, `bytes`).
        show: False under `--json` or `--quiet`.
        rate: what to show of the speed; units a second if left out.
    """
    if not (show and sys.stderr.isatty()):
        yield _advance_nothing
        return
    # Imported here, because it costs 60 ms and most commands show no bar.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f} {task.fields[unit]}", markup=False),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        *(() if total is None else (TextColumn("left"), TimeRemainingColumn())),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=total, unit=unit, rate="")

        def advance(count: int) -> None:
            state: Any = bar.tasks[0]
            text = f"{state.speed:,.0f}/s" if state.speed else ""
            bar.update(task, advance=count, rate=text if rate is None else rate())

        yield advance


def _advance_nothing(_count: int) -> None:
    pass
