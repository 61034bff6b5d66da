"""What a comparison of journal and database names."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """The first place where journal and database tell different things.

    `journal` and `database` are the field's values as text; `field` is `row` where all of it is missing.
    """

    seq: int
    table: str
    field: str
    journal: str
    database: str
