"""One backtest of a search, in whatever process: the market is read once there and kept while memory allows.

A trial's equity is looked at between pieces of the market, which are the same for all trials, so that
returns of different trials lie side by side and the strategy pays nothing for it.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import msgspec

from daemon.trading.core import Core
from daemon.trading.money import MONEY_ONE
from daemon.user_strategies import load_kinds
from replay.backtest import JOURNAL_ID, BacktestError, BacktestResult, run_backtest
from replay.optimise.measures import Curve, metrics_of
from replay.optimise.study import FAILED, Outcome
from replay.source import open_source
from replay.spec import BacktestSpec
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.events import Bar, Quote, Trade

PERIODS = 240
"""Returns of a trial: 20 for each of the pieces of time that a probability of overfitting combines."""
PIECE = 2_048
_LEAST_PIECE = 16
_TICKS = frozenset({Trade, Quote, Bar})
EVENT_BYTES = 280
"""Measured: a decoded trade of SPY takes 273 bytes of resident memory."""
MAX_KEPT_BYTES = 1 << 30
_DIGITS = 9


class Piece(NamedTuple):
    """Some events in a row, and the time of the last tick among them; 0 when there is none."""

    events: Sequence[AnyEvent]
    ts_ns: int


class Kept:
    """Recorded events in pieces, kept in memory from the first reading on if they are few enough.

    Measured on 451,545 trades of SPY and a moving-average cross: a trial took 0.41 s of CPU reading the
    journal, 0.28 s with its events at hand.

    Args:
        spec: what to read.
        keep_events: so many at most are kept; more are read again each time.
    """

    def __init__(self, spec: BacktestSpec, keep_events: int) -> None:
        self._source = open_source(spec)
        self._most = keep_events
        self._whole = False
        self._pieces: list[Piece] = []
        in_events = self._source.unit == "events"
        self._length = (
            max(_LEAST_PIECE, min(PIECE, self._source.total // PERIODS)) if in_events else PIECE // 4
        )

    @property
    def kept_events(self) -> int:
        """Return how many are in memory."""
        return sum(len(piece.events) for piece in self._pieces)

    def pieces(self) -> Iterator[Piece]:
        """Yield the events in order."""
        return iter(self._pieces) if self._whole else self._read()

    def _read(self) -> Iterator[Piece]:
        count = 0
        keeping = True
        self._pieces = []
        for batch in self._source.batches():
            for at in range(0, len(batch.events), self._length):
                events = batch.events[at : at + self._length]
                piece = Piece(events, _last_tick_ns(events))
                count += len(piece.events)
                keeping = keeping and count <= self._most
                if keeping:
                    self._pieces.append(piece)
                yield piece
        self._whole = keeping
        if not keeping:
            self._pieces = []


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
        result, curve = run_watched(spec, markets.of(spec), stop=stop)
    except TapedError as error:
        return Outcome(
            number=number,
            parameters=spec.parameters,
            state=FAILED,
            reason=str(error),
            seconds=round(perf_counter() - begun, 3),
        )
    failed = next(iter(result.stopped.items()), None)
    return Outcome(
        number=number,
        parameters=spec.parameters,
        state=FAILED if failed else "complete",
        reason=f"{failed[0]} stopped: {failed[1]}" if failed else "",
        metrics=metrics_of(result, curve),
        returns=[round(value, _DIGITS) for value in returns_of(curve)],
        seconds=round(perf_counter() - begun, 3),
        result_sha256=result.result_sha256,
    )


def run_watched(
    spec: BacktestSpec, market: Kept, *, stop: Callable[[], bool] | None = None
) -> tuple[BacktestResult, Curve]:
    """Return a backtest's result, and its equity behind each piece of the market.

    Raises:
        BacktestError: it cannot run, or was stopped.
        UserStrategyError: a strategy of one's own cannot be loaded.
    """
    folder = None if spec.strategies_folder is None else Path(spec.strategies_folder)
    core = Core(JOURNAL_ID, kinds=load_kinds(folder).classes)
    curve: Curve = []

    def watched() -> Iterator[Piece]:
        for piece in market.pieces():
            yield piece
            if piece.ts_ns:
                curve.append((piece.ts_ns, _equity(core, spec.currency)))
            if stop is not None and stop():
                raise BacktestError("stopped")

    result = run_backtest(
        watched(),
        strategy=spec.strategy,
        parameters=spec.parameters,
        instruments=spec.instruments,
        cash=spec.cash,
        venue=spec.venue,
        core=core,
    )
    return result, curve


def returns_of(curve: Curve) -> list[float]:
    """Return the returns of at most `PERIODS` periods with equally many pieces; none after a total loss."""
    count = min(PERIODS, len(curve) - 1)
    levels = [curve[at * (len(curve) - 1) // count][1] for at in range(count + 1)] if count > 0 else []
    return [
        after / before - 1 if before > 0 and after > 0 else -1.0 if before > 0 else 0.0
        for before, after in pairwise(levels)
    ]


def _last_tick_ns(events: Sequence[AnyEvent]) -> int:
    """Return the time of the last tick; marks of an import bear the time of the import."""
    return next((event.ts_ns for event in reversed(events) if type(event) in _TICKS), 0)


def _equity(core: Core, currency: str) -> float:
    """Return the equity in a currency, of the first instrument when empty; 0 before there is any."""
    worth = core.equity()
    if not currency:
        currency = next((item.quote_currency for item in core.instruments.values()), "")
    return float(worth.get(currency, 0) / MONEY_ONE)


def _market_of(spec: BacktestSpec) -> bytes:
    """Return what tells one market from another, whatever trades on it."""
    return msgspec.json.encode(
        [spec.data, spec.from_seq, spec.to_seq, spec.from_ns, spec.to_ns, spec.reading]
    )
