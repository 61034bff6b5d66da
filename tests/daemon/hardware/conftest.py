"""A machine in a folder, for every test of what reads or drives one."""

from __future__ import annotations

import pytest

from daemon.hardware.simulated import SimulatedBoard


@pytest.fixture
def board(tmp_path):
    """A simulated board at 45 °C."""
    return SimulatedBoard(tmp_path / "machine")
