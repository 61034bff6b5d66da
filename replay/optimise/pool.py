"""Processes of this machine that run the trials of a search. Knows nothing of what is searched.

They are started as programs of their own, not forked: at 0.2 s each they start while the parent imports
what it needs, and one that dies is replaced however many threads the parent has by then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, Protocol, Self

from replay.optimise.study import FAILED, Outcome
from replay.optimise.trial import keep_events
from replay.spec import BacktestSpec
from schemas.errors import TapedError

MAX_WORKERS = 256
MAX_DEATHS = 3
"""A trial in which so many processes died is given up."""


class PoolError(TapedError):
    """No process can run a trial."""


class Pool(Protocol):
    """Whatever runs trials."""

    workers: int

    def __enter__(self) -> Self:
        """Hold it open."""
        ...

    def __exit__(self, *_exception: object) -> None:
        """Close it."""

    @property
    def free(self) -> int:
        """How many trials can be started now."""

    def start(self, number: int, spec: BacktestSpec) -> None:
        """Start a trial."""

    def finished(self, timeout_s: float | None = None) -> list[Outcome]:
        """Wait for results; empty after the timeout, or when nothing runs."""

    def close(self) -> None:
        """Stop all that runs."""


def all_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class _Task(NamedTuple):
    number: int
    spec: BacktestSpec
    deaths: int = 0


class _Worker:
    """One process, and its task if it has one."""

    def __init__(self, kept_events: int, environment: Mapping[str, str]) -> None:
        self.pipe: Connection
        self.pipe, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  # Our own module, our own arguments.
                [sys.executable, "-m", "replay.optimise.worker", str(theirs.fileno()), str(kept_events)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **environment},
            )
        self.task: _Task | None = None

    def send(self, task: _Task) -> None:
        """Give it a task; a process that is dead already is found out when its answer is read."""
        self.task = task
        try:
            self.pipe.send((task.number, task.spec))
        except (BrokenPipeError, ConnectionResetError):
            return

    def close(self) -> None:
        """End it, whatever it does."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()


class LocalPool:
    """Worker processes on this machine.

    Args:
        workers: how many.
        kept_events: recorded events that each may keep in memory; as many as a quarter of the free memory
            holds when None.
        hash_seed: of texts in sets and tables; drawn anew for each process when None.
    """

    def __init__(self, workers: int, *, kept_events: int | None = None, hash_seed: int | None = None) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            raise PoolError(f"{workers} workers, expected 1 to {MAX_WORKERS}")
        self.workers = workers
        self._kept = keep_events(workers) if kept_events is None else kept_events
        self._environment = {} if hash_seed is None else {"PYTHONHASHSEED": str(hash_seed)}
        self._all = [_Worker(self._kept, self._environment) for _ in range(workers)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def processes(self) -> Sequence[int]:
        """Ids of the processes."""
        return [worker.process.pid for worker in self._all]

    @property
    def free(self) -> int:
        """See `Pool`."""
        return sum(worker.task is None for worker in self._all)

    def start(self, number: int, spec: BacktestSpec) -> None:
        """See `Pool`; there must be a free one."""
        next(worker for worker in self._all if worker.task is None).send(_Task(number, spec))

    def finished(self, timeout_s: float | None = None) -> list[Outcome]:
        """See `Pool`. A process that died is replaced, and its trial begun again."""
        busy = {worker.pipe: worker for worker in self._all if worker.task is not None}
        found: list[Outcome] = []
        for pipe in wait(list(busy), timeout_s) if busy else []:
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            try:
                found.append(pipe.recv())
                worker.task = None
            except (EOFError, ConnectionResetError):
                found += self._replace(worker)
        return found

    def close(self) -> None:
        """See `Pool`."""
        for worker in self._all:
            worker.close()
        self._all = []

    def _replace(self, worker: _Worker) -> list[Outcome]:
        """Put a new process in the place of a dead one; return the trial's outcome if it is given up."""
        task = worker.task
        assert task is not None
        worker.close()
        fresh = _Worker(self._kept, self._environment)
        self._all[self._all.index(worker)] = fresh
        if task.deaths + 1 < MAX_DEATHS:
            fresh.send(task._replace(deaths=task.deaths + 1))
            return []
        reason = f"{MAX_DEATHS} processes died in it, the last with exit code {worker.process.returncode}"
        return [Outcome(number=task.number, parameters=task.spec.parameters, state=FAILED, reason=reason)]
