"""The list of mutations follows the code; running them is a command (`python -m tools.mutations`)."""

from __future__ import annotations

import pytest

from tools.mutations import MUTATIONS


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.safeguard)
def test_each_safeguard_to_be_taken_away_is_there_once(project_root, mutation):
    assert (project_root / mutation.file).read_text().count(mutation.old) == 1
    assert all((project_root / test).is_file() for test in mutation.tests)
