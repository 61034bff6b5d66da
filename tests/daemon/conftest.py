"""Fills a disk up."""

from __future__ import annotations

import errno
import os


def fill_up(path):
    """Write until nothing more goes in."""
    with path.open("wb", buffering=0) as file:
        for step in (1 << 20, 4096):
            try:
                while file.write(bytes(step)) == step:
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # The loop ends no other way.
        os.fsync(file.fileno())
