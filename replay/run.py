"""Runs a specification: opens its data, loads its strategies, and watches over the run.

Prints nothing and reads no arguments, so that a worker process can call it as a command does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from daemon.trading.core import Core
from daemon.user_strategies import load_kinds
from replay.backtest import JOURNAL_ID, BacktestError, BacktestResult, EventBatch, run_backtest
from replay.recorder import Recorder
from replay.source import Progress, Source, open_source
from replay.spec import BacktestSpec


def run_spec(
    spec: BacktestSpec,
    *,
    source: Source | None = None,
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    recorder: Recorder | None = None,
) -> BacktestResult:
    """Run a backtest.

    Args:
        spec: what it is to be.
        source: what `open_source` returned for the spec, where the caller has it already.
        progress: called behind each batch, with the source.
        stop: asked behind each batch; True ends the run there, and the result is partial.
        recorder: takes note of the run; its `finish` is called by who made it.

    Raises:
        BacktestError: the data is not there, the strategy cannot be started, or a named instrument never
            appeared.
        UserStrategyError: a strategy of one's own cannot be loaded.
        JournalError: the journal cannot be read.
    """
    folder = None if spec.strategies_folder is None else Path(spec.strategies_folder)
    watched = _Watched(open_source(spec) if source is None else source, progress, stop)
    result = run_backtest(
        watched.batches(),
        strategy=spec.strategy,
        parameters=spec.parameters,
        instruments=spec.instruments,
        cash=spec.cash,
        venue=spec.venue,
        core=Core(JOURNAL_ID, kinds=load_kinds(folder).classes),
        currency=spec.currency,
        recorder=recorder,
        warm=warm_batches(spec),
    )
    result.partial = watched.stopped
    return result


def warm_batches(spec: BacktestSpec) -> Iterator[EventBatch]:
    """Yield what was recorded right before the spec's beginning; nothing where no warm-up is asked for."""
    if not spec.warmup_ns or spec.from_ns is None:
        return
    begin_ns, end_ns = max(1, spec.from_ns - spec.warmup_ns), spec.from_ns - 1
    before = msgspec.structs.replace(spec, from_ns=begin_ns, to_ns=end_ns, to_seq=None, warmup_ns=0)
    try:
        source = open_source(before)
    except BacktestError:
        return  # The data begin later.
    yield from source.batches()


class _Watched:
    """A source whose reading is told of, and can be stopped."""

    def __init__(self, source: Source, progress: Progress | None, stop: Callable[[], bool] | None) -> None:
        self._source = source
        self._progress = progress
        self._stop = stop
        self.stopped = False

    def batches(self) -> Iterator[EventBatch]:
        """Yield the source's batches until it ends or is stopped."""
        for batch in self._source.batches():
            yield batch
            if self._progress is not None:
                self._progress(self._source)
            if self._stop is not None and self._stop():
                self.stopped = True
                return
