"""A line of CSV to its cells."""

from __future__ import annotations

import csv

from daemon.venue.feeds.parsing import RejectedError


def split_cells(text: str, separator: str = ",") -> list[str]:
    """Return the cells of a line, quotes taken off.

    Raises:
        RejectedError: quotes do not match.
    """
    if '"' not in text:
        return text.split(separator)
    try:
        return next(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        raise RejectedError(f"not a row of CSV: {error}") from None
