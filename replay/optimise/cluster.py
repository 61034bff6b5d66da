"""Trials on the workers of a Dask cluster that runs already. Starts neither scheduler nor worker.

A worker must have the same data at the same path, the same strategies and the same version of taped; each
is asked for hashes of all of that, at the start and again by its first trial, so that one that joins later
is held to the same. Whoever may talk to a Dask scheduler may run code on its workers: it belongs into a
trusted network.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import msgspec

from daemon.config import code_hash
from daemon.user_strategies import load_kinds
from replay.optimise.search import ResearchMissingError
from replay.optimise.study import FAILED, Outcome
from replay.optimise.trial import Markets, keep_events, run_trial
from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.codec import CODEC, AnyEvent
from schemas.errors import TapedError

CONNECT_S = 10.0
PATIENCE_S = 120.0
"""A cluster without any worker for so long is given up; what is done is kept in the study."""
_LOOK_S = 1.0
_CHUNK = 1_024


class ClusterError(TapedError):
    """The cluster is not there, or its workers do not have what this machine has."""


class Holdings(msgspec.Struct, frozen=True):
    """What a process has: equal holdings give equal results.

    Attributes:
        code: hash of taped's code and of the strategies' that did not come with it.
        data: identity of the recorded events, in words.
        events: hash of the events themselves.
    """

    code: str
    data: str
    events: str


def holdings(spec: BacktestSpec) -> Holdings:
    """Return what this process has of a spec; reads all of its events once.

    Raises:
        TapedError: the data or the strategies are not here.
    """
    kinds = load_kinds(None if spec.strategies_folder is None else Path(spec.strategies_folder))
    source = open_source(spec)
    digest = sha256()
    waiting: list[AnyEvent] = []
    for batch in source.batches():
        waiting += batch.events
        # Chunks of a fixed length, for a live journal, its copy and its archive are cut differently.
        while len(waiting) >= _CHUNK:
            digest.update(CODEC.encode(waiting[:_CHUNK]))
            del waiting[:_CHUNK]
    digest.update(CODEC.encode(waiting))
    identity = msgspec.json.encode(source.identity()).decode()
    return Holdings(code=code_hash([*_replay(), *kinds.sources]), data=identity, events=digest.hexdigest())


def _replay() -> list[tuple[str, bytes]]:
    """Return the code that makes figures of a run; the daemon's is in the hash anyway."""
    root = Path(__file__).resolve().parent.parent
    return [(str(path.relative_to(root)), path.read_bytes()) for path in sorted(root.rglob("*.py"))]


def everywhere(spec: BacktestSpec) -> BacktestSpec:
    """Return the spec with paths that mean the same from any folder."""
    folder = spec.strategies_folder
    return msgspec.structs.replace(
        spec,
        data=tuple(str(Path(text).resolve()) for text in spec.data),
        strategies_folder=None if folder is None else str(Path(folder).resolve()),
    )


def look(spec_json: bytes) -> tuple[str, bytes]:
    """Return what a worker has, or what is wrong there: `("", holdings)` or `(reason, b"")`."""
    try:
        return "", msgspec.json.encode(holdings(BacktestSpec.from_json(spec_json)))
    except (TapedError, OSError) as error:
        return str(error), b""


_one_at_a_time = threading.Lock()
"""Threads of one worker share its markets, and gain nothing by running side by side."""
_markets: list[Markets] = []
_found: dict[tuple[bytes, bytes], str] = {}


def run_remote(number: int, spec_json: bytes, whole_json: bytes, expected: bytes) -> bytes:
    """Run a trial on a worker, if it has what is expected; return the outcome's JSON.

    Args:
        number: of the trial.
        spec_json: the backtest.
        whole_json: the spec that `expected` is of.
        expected: holdings, as JSON.
    """
    spec = BacktestSpec.from_json(spec_json)
    with _one_at_a_time:
        key = (whole_json, expected)
        if key not in _found:
            reason, mine = look(whole_json)
            _found[key] = reason or ("" if mine == expected else _unlike(expected, mine))
        if _found[key]:
            outcome = _failed(number, spec, f"a worker on {os.uname().nodename} was refused: {_found[key]}")
        else:
            if not _markets:
                _markets.append(Markets(keep_events(os.cpu_count() or 1)))
            outcome = run_trial(number, spec, _markets[0])
    return msgspec.json.encode(outcome)


class ClusterPool:
    """The workers of a cluster, one trial each at a time; see `Pool`.

    A worker that dies loses nothing: the scheduler gives its trial to another, up to the number of deaths
    that it is set to allow.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.5:8786`.
        spec: all whose data the trials are on.

    Attributes:
        workers: how many there were at the start.

    Raises:
        ResearchMissingError: distributed is not installed.
        ClusterError: there is no scheduler, no worker, or a worker lacks what this machine has.
    """

    def __init__(self, address: str, spec: BacktestSpec) -> None:
        self._distributed = _distributed()
        self._whole = everywhere(spec)
        try:
            self._client = self._distributed.Client(address, timeout=CONNECT_S)
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(
                f"--cluster {address}: no scheduler answers", hint="`dask scheduler` starts one"
            ) from error
        try:
            self._expected = self._agreed(address)
        except BaseException:
            self._client.close()
            raise
        self.workers = len(self._addresses())
        self._running: dict[Any, tuple[int, BacktestSpec]] = {}
        self._alone_since: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def free(self) -> int:
        """See `Pool`."""
        return max(0, self.workers - len(self._running))

    def start(self, number: int, spec: BacktestSpec) -> None:
        """See `Pool`."""
        future = self._client.submit(
            run_remote,
            number,
            everywhere(spec).json(),
            self._whole.json(),
            self._expected,
            key=f"taped-{os.getpid()}-{id(self)}-{number}-{time.monotonic_ns()}",
            pure=False,
        )
        self._running[future] = (number, spec)

    def finished(self, timeout_s: float | None = None) -> list[Outcome]:
        """See `Pool`.

        Raises:
            ClusterError: there has been no worker for `PATIENCE_S`.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self._running:
            try:
                done = self._distributed.wait(
                    list(self._running), timeout=_LOOK_S, return_when="FIRST_COMPLETED"
                ).done
            except TimeoutError:
                self._check_workers()
                if end is not None and time.monotonic() >= end:
                    return []
                continue
            self._alone_since = None
            return [self._outcome(future) for future in done]
        return []

    def close(self) -> None:
        """See `Pool`; the cluster goes on for others."""
        for future in self._running:
            future.cancel()
        self._running.clear()
        self._client.close()

    def _outcome(self, future: Any) -> Outcome:
        number, spec = self._running.pop(future)
        if future.status == "finished":
            outcome = msgspec.json.decode(future.result(), type=Outcome)
            # Paths are told as they were given here.
            return msgspec.structs.replace(outcome, parameters=spec.parameters)
        return _failed(number, spec, f"the cluster gave it up: {future.exception()!r:.300}")

    def _addresses(self) -> list[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _agreed(self, address: str) -> bytes:
        """Return what this machine has and every worker too."""
        reason, mine = look(self._whole.json())
        if reason:
            raise ClusterError(f"this machine itself: {reason}")
        if not self._addresses():
            raise ClusterError(f"--cluster {address}: no worker", hint="`dask worker ADDRESS` starts some")
        try:
            found: Mapping[str, tuple[str, bytes]] = self._client.run(look, self._whole.json())
        except Exception as error:
            raise ClusterError(
                f"--cluster {address}: a worker cannot run taped: {error!r:.300}",
                hint="install the same version of taped[research] on every worker",
            ) from error
        for worker, (wrong, theirs) in found.items():
            if wrong or theirs != mine:
                raise ClusterError(
                    f"worker {worker}: {wrong or _unlike(mine, theirs)}",
                    hint="every worker needs the same data at the same path, strategies and version of taped",
                )
        return mine

    def _check_workers(self) -> None:
        """Give up when there has been no worker for long."""
        if self._addresses():
            self._alone_since = None
            return
        now = time.monotonic()
        self._alone_since = now if self._alone_since is None else self._alone_since
        if now - self._alone_since > PATIENCE_S:
            raise ClusterError(f"no worker for {PATIENCE_S:.0f} s", hint="start some; --study goes on then")


def _failed(number: int, spec: BacktestSpec, reason: str) -> Outcome:
    return Outcome(number=number, parameters=spec.parameters, state=FAILED, reason=reason)


def _unlike(mine: bytes, theirs: bytes) -> str:
    """Return in what two holdings differ."""
    one, other = (msgspec.json.decode(text, type=Holdings) for text in (mine, theirs))
    if one.code != other.code:
        return f"runs other code: {other.code[:12]}, expected {one.code[:12]}"
    if one.data != other.data:
        return f"has other data: {other.data}, expected {one.data}"
    return f"has other events under the same name: {other.events[:12]}, expected {one.events[:12]}"


def _distributed() -> Any:
    try:
        # Heavy, and only clusters need it.
        return import_module("distributed")
    except ImportError as error:
        raise ResearchMissingError("distributed", "--cluster") from error
