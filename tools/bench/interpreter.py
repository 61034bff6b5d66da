"""The interpreter as the daemon sets it, for what is measured without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.app import SWITCH_INTERVAL_S


@contextmanager
def switching_like_the_daemon() -> Iterator[None]:
    """Let threads take the interpreter from each other as often as in the daemon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
