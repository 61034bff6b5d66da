"""A process that runs backtests for a search: `python -m replay.optimise.worker FD KEEP_EVENTS`.

It reads numbered specifications from a socket that its parent gave it, and answers each with an outcome.
It ends when the socket does, or, in the middle of a trial, when its parent is gone.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from replay.optimise.trial import Markets, run_trial


def main(fd: int, kept_events: int) -> None:
    """Answer until nobody asks."""
    # Ctrl-C reaches the whole group of processes; the parent decides what becomes of the trial.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    markets = Markets(kept_events)
    frozen = False
    with Connection(fd) as asked, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            number, spec = asked.recv()
            asked.send(run_trial(number, spec, markets, stop=lambda: os.getppid() != parent))
            if not frozen:
                # Events that are kept for good need not be looked at by every collection.
                gc.freeze()
                frozen = True


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
