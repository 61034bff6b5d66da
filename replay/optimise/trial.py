"""One backtest of a search, in whatever process: the market is read once there and kept while memory allows.

The curve of a run has the same times whatever trades on the market, so that returns of different trials lie
side by side.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from time import perf_counter

import msgspec

from replay.backtest import EventBatch
from replay.measure import METRICS as MEASURES
from replay.measure import EquityPoint, growth_of
from replay.optimise.study import FAILED, Outcome
from replay.recorder import Recorder
from replay.report import equity_points, measure_recording
from replay.run import run_spec
from replay.source import DataIdentity, open_source
from replay.spec import BacktestSpec
from schemas.errors import TapedError

METRICS = {
    **{name: metric.better >= 0 for name, metric in MEASURES.items()},
    "orders": True,
    "fills": True,
    "denied": False,
}
"""What a trial is measured by, and whether more of it is better."""
PERIODS = 240
"""Returns of a trial: 20 for each of the pieces of time that a probability of overfitting combines."""
EVENT_BYTES = 280
"""Measured: a decoded trade of SPY takes 273 bytes of resident memory."""
MAX_KEPT_BYTES = 1 << 30
_DIGITS = 9


class Kept:
    """A `Source` whose events stay in memory from the first whole reading on, if they are few enough.

    Measured on 451,545 trades of SPY and a moving-average cross without a recorder: a trial took 0.41 s
    of CPU reading the journal, 0.28 s with its events at hand.

    Args:
        spec: what to read.
        keep_events: so many at most are kept; more are read again each time.

    Attributes:
        kept_events: how many are in memory.
    """

    def __init__(self, spec: BacktestSpec, keep_events: int) -> None:
        self._source = open_source(spec)
        self._most = keep_events
        self._batches: list[EventBatch] = []
        self.kept_events = 0
        self.total, self.unit, self.position = self._source.total, self._source.unit, 0

    def batches(self) -> Iterator[EventBatch]:
        """Yield the events in order."""
        if self._batches:
            self.position = self.total
            return iter(self._batches)
        return self._read()

    def identity(self) -> DataIdentity:
        """Return which events these are."""
        return self._source.identity()

    def _read(self) -> Iterator[EventBatch]:
        count = 0
        read: list[EventBatch] = []
        for batch in self._source.batches():
            count += len(batch.events)
            if count <= self._most:
                read.append(batch)
            else:
                read = []
            self.position = self._source.position
            yield batch
        if count <= self._most:
            self._batches, self.kept_events = read, count


class Markets:
    """The markets that this process read last, within a budget of events."""

    def __init__(self, keep_events: int) -> None:
        self._most = keep_events
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    @property
    def kept(self) -> list[Kept]:
        """Return them, those used longest ago first."""
        return list(self._kept.values())

    def of(self, spec: BacktestSpec) -> Kept:
        """Return the market of a spec; those used longest ago make room."""
        key = _market_of(spec)
        if key not in self._kept:
            # How big a market is shows when it is read; it gets half of the budget or more.
            while self._kept and sum(kept.kept_events for kept in self.kept) * 2 > self._most:
                self._kept.popitem(last=False)
            left = self._most - sum(kept.kept_events for kept in self.kept)
            self._kept[key] = Kept(spec, left)
        self._kept.move_to_end(key)
        return self._kept[key]


def keep_events(workers: int) -> int:
    """Return how many events each of so many processes may keep: a quarter of the free memory together."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    return min(MAX_KEPT_BYTES, free // 4 // workers) // EVENT_BYTES


def run_trial(
    number: int, spec: BacktestSpec, markets: Markets, *, stop: Callable[[], bool] | None = None
) -> Outcome:
    """Return what a backtest came to; one that cannot run is an outcome too."""
    begun = perf_counter()
    try:
        recorder = Recorder()
        result = run_spec(spec, source=markets.of(spec), recorder=recorder, stop=stop)
        recording = recorder.finish()
    except TapedError as error:
        return _failed(number, spec, str(error), begun)
    if result.partial:
        return _failed(number, spec, "stopped before its end", begun)
    if result.stopped:
        strategy_id, reason = next(iter(result.stopped.items()))
        return _failed(number, spec, f"{strategy_id} stopped: {reason}", begun)
    counts = {"orders": result.orders, "fills": result.fills, "denied": result.denied}
    return Outcome(
        number=number,
        parameters=spec.parameters,
        metrics={**measure_recording(recording).values, **counts},
        returns=[round(value, _DIGITS) for value in returns_of(equity_points(recording))],
        seconds=round(perf_counter() - begun, 3),
        result_sha256=result.result_sha256,
    )


def _failed(number: int, spec: BacktestSpec, reason: str, begun: float) -> Outcome:
    return Outcome(
        number=number,
        parameters=spec.parameters,
        state=FAILED,
        reason=reason,
        seconds=round(perf_counter() - begun, 3),
    )


def returns_of(curve: Sequence[EquityPoint]) -> list[float]:
    """Return the returns of at most `PERIODS` periods with equally many points of the curve."""
    growth = growth_of(curve)
    count = min(PERIODS, len(growth) - 1)
    levels = [growth[at * (len(growth) - 1) // count][1] for at in range(count + 1)] if count > 0 else []
    return [after / before - 1 if before > 0 else 0.0 for before, after in pairwise(levels)]


def _market_of(spec: BacktestSpec) -> bytes:
    """Return what tells one market from another, whatever trades on it."""
    return msgspec.json.encode(
        [spec.data, spec.from_seq, spec.to_seq, spec.from_ns, spec.to_ns, spec.reading]
    )
