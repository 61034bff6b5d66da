"""Base states of earlier releases are read by this code, and say what they said then."""

from __future__ import annotations

import json

import pytest

from daemon.journal.base_file import BaseFile
from tests.daemon.golden_base import FOLDER, facts

PATHS = sorted(FOLDER.glob("*.base"))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_base_state_of_an_earlier_release_is_read(path, tmp_path):
    BaseFile(path).check()
    assert facts(path, tmp_path) == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_the_first_one_is_there():
    assert FOLDER / "1.base" in PATHS
