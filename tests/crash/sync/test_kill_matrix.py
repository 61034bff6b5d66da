"""A hundred cuts of the sync; `kill_matrix` makes any number."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from tests.crash.sync.kill_matrix import run
from tests.daemon.sync.conftest import GIVEN_DSN, dsn, server_dsn

__all__ = ["dsn", "server_dsn"]

ROUNDS = 20


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_cut_wherever_the_database_ends_with_each_event_once(seed, request):
    # Of a server that is there already only lines and processes are cut.
    there = request.getfixturevalue("dsn") if GIVEN_DSN is not None else None
    with tempfile.TemporaryDirectory(prefix="taped-kill-") as folder:
        done = asyncio.run(run(Path(folder), ROUNDS, seed, there))
    assert done.total() == ROUNDS
