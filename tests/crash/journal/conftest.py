"""Folders to attack, in memory where there is room: what is tested is not the machine's disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Path]:
    """Empty folder in memory (in the ordinary scratch folder where /dev/shm is not to be had)."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="taped-crash-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def journal(arena: Path) -> Path:
    """Where a journal may be made."""
    return arena / "journal"
