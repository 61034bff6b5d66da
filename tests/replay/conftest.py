"""A data folder that real daemons traded in, one of them killed."""

from __future__ import annotations

import signal

import pytest

from daemon.user_strategies import load_kinds
from tests.replay.journals import Session


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    """Three strategies, one of them of a folder, traded; one daemon was killed, one ended in good order."""
    session = Session(tmp_path_factory.mktemp("session"))
    session.run(1.5, signal.SIGKILL)
    session.run(1.0, signal.SIGTERM)
    return session


@pytest.fixture(scope="session")
def kinds(session):
    return load_kinds(session.strategies).classes
