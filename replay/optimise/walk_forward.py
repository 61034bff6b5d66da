"""Walk-forward: the winner of each search tried on the time behind it, and all these trials joined.

What the joined curve shows was never looked at by the search that chose the parameters. (R. Pardo, The
Evaluation and Optimization of Trading Strategies, 2nd edition, 2008, chapter 11, whose walk-forward
efficiency is the yearly profit out of sample by that in sample; here growth a year, so that lengths and
compounding do not matter.)

A winner runs from the beginning of its search's time, so that its indicators are warm when its test
begins; only what happens from there on counts. A position that it holds by then is taken over at its mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import msgspec

from replay.measure import ALL_DAYS, TRADING_DAYS, Costs, EquityPoint, Measures, Trip, growth_of, measure
from replay.optimise.folds import Fold
from replay.optimise.run import Found
from replay.optimise.study import Outcome
from replay.recorder import Recorder, Recording
from replay.report import equity_points, trips_of
from replay.run import run_spec
from replay.source import Source
from replay.spec import BacktestSpec


@dataclass(frozen=True)
class Attempt:
    """One fold: what its search found and what became of the winner.

    Attributes:
        fold: the times.
        found: what the search found; `best` is not empty.
        curve: growth behind the search's time, 1 at its beginning.
        trips: round trips that ended there.
        around_the_clock: whether the market never closes.
    """

    fold: Fold
    found: Found
    curve: list[EquityPoint]
    trips: list[Trip]
    around_the_clock: bool

    @property
    def winner(self) -> Outcome:
        """The best of the search."""
        return self.found.best[0]

    @property
    def inside(self) -> float | None:
        """Growth of the winner in the search's time, as a fraction."""
        return self.winner.metrics["total_return"]

    @property
    def outside(self) -> float:
        """Growth of the winner behind it."""
        return self.curve[-1].equity - 1 if self.curve else 0.0


@dataclass(frozen=True)
class Joined:
    """All tests in a row.

    Attributes:
        measures: of the joined curve and its trips, as if the start had been 1.
        efficiency: growth a year outside by that inside; None where inside nothing grew.
        won: folds whose winner grew outside.
    """

    measures: Measures
    curve: list[EquityPoint]
    efficiency: float | None
    won: int


def try_winner(spec: BacktestSpec, fold: Fold, found: Found, source: Source | None = None) -> Attempt:
    """Run a search's winner through the time of its search and its test."""
    whole = msgspec.structs.replace(
        spec,
        parameters=found.best[0].parameters,
        from_ns=fold.train_from_ns,
        to_ns=fold.test_to_ns,
    )
    recorder = Recorder()
    run_spec(whole, source=source, recorder=recorder)
    recording = recorder.finish()
    return Attempt(
        fold=fold,
        found=found,
        curve=_behind(recording, fold.test_from_ns),
        trips=_trips_behind(recording, fold.test_from_ns),
        around_the_clock=recording.around_the_clock,
    )


def join(tested: Sequence[Attempt]) -> Joined:
    """Return the tests as one curve: each begins with the growth that the one before ended with."""
    curve: list[EquityPoint] = []
    trips: list[Trip] = []
    for test in tested:
        before = curve[-1].equity if curve else 1.0
        # The first point of a test is the state that the last one ended with.
        points = test.curve if not curve else test.curve[1:]
        curve += [
            point._replace(equity=before * point.equity, gross=before * point.gross) for point in points
        ]
        trips += test.trips
    always = any(test.around_the_clock for test in tested)
    return Joined(
        measures=measure(curve, trips, Costs(), days_per_year=ALL_DAYS if always else TRADING_DAYS),
        curve=curve,
        efficiency=_efficiency(tested),
        won=sum(test.outside > 0 for test in tested),
    )


def _behind(recording: Recording, from_ns: int) -> list[EquityPoint]:
    """Return the growth from a time on, 1 at the last point before it."""
    points = equity_points(recording)
    growth = growth_of(points)
    start = max((at for at, (ts_ns, _) in enumerate(growth) if ts_ns <= from_ns), default=0)
    base = growth[start][1] if growth else 1.0
    if base <= 0:
        return [EquityPoint(from_ns, 1.0)]
    return [
        EquityPoint(ts_ns, value / base, gross=_gross(points[at], value / base))
        for at, (ts_ns, value) in enumerate(growth)
        if at >= start
    ]


def _gross(point: EquityPoint, growth: float) -> float:
    return point.gross / point.equity * growth if point.equity > 0 else 0.0


def _trips_behind(recording: Recording, from_ns: int) -> list[Trip]:
    """Return the trips that ended behind a time, money as a share of what was paid in."""
    points = equity_points(recording)
    start = points[0].equity if points and points[0].equity > 0 else 1.0
    return [
        trip._replace(
            profit=trip.profit / start, adverse=trip.adverse / start, favourable=trip.favourable / start
        )
        for trip in trips_of(recording.trips)
        if trip.closed_ns >= from_ns
    ]


def _efficiency(tested: Sequence[Attempt]) -> float | None:
    """Return growth a year in all tests by that in all searches' winners."""
    inside = outside = 0.0
    inside_ns = outside_ns = 0
    for test in tested:
        if test.inside is None or test.inside <= -1 or test.outside <= -1:
            return None
        inside += log1p(test.inside)
        outside += log1p(test.outside)
        inside_ns += test.fold.train_to_ns - test.fold.train_from_ns
        outside_ns += test.fold.test_to_ns - test.fold.test_from_ns
    if inside <= 0 or not outside_ns:
        return None
    return outside / outside_ns * inside_ns / inside
