"""What a backtest came to, as figures: of the whole run, and by strategy, instrument and tag. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.trading.money import MONEY_ONE
from replay.measure import ALL_DAYS, TRADING_DAYS, Costs, EquityPoint, Measures, Trip, measure
from replay.recorder import Recording
from replay.round_trips import RoundTrip


def measure_recording(recording: Recording, *, rounds: int = 0, seed: int = 1) -> Measures:
    """Return every figure of a run.

    Args:
        recording: what a recorder returned when the run had finished.
        rounds: of resampling, for the intervals; 0 for none.
        seed: of the resampling.
    """
    return measure(
        equity_points(recording),
        trips_of(recording.trips),
        Costs(
            traded=recording.traded / MONEY_ONE,
            fees=recording.fees / MONEY_ONE,
            slippage=recording.slippage / MONEY_ONE,
            in_market_ns=recording.in_market_ns,
        ),
        days_per_year=ALL_DAYS if recording.around_the_clock else TRADING_DAYS,
        rounds=rounds,
        seed=seed,
    )


def equity_points(recording: Recording) -> list[EquityPoint]:
    """Return the curve as numbers of the reporting currency."""
    return [
        EquityPoint(point.ts_ns, point.equity / MONEY_ONE, point.flow / MONEY_ONE, point.gross / MONEY_ONE)
        for point in recording.curve
    ]


def trips_of(round_trips: Sequence[RoundTrip]) -> list[Trip]:
    """Return the trips that ended and whose money is known in the reporting currency."""
    found: list[Trip] = []
    for trip in round_trips:
        if trip.closed_ns is None or trip.value is None:
            continue
        # In another currency the way there is converted as the end is.
        rate = trip.value / trip.net if trip.net else 1.0
        found.append(
            Trip(
                trip.opened_ns,
                trip.closed_ns,
                trip.value / MONEY_ONE,
                trip.adverse / MONEY_ONE * rate,
                trip.favourable / MONEY_ONE * rate,
            )
        )
    return found


GROUPS: dict[str, Callable[[RoundTrip], str]] = {
    "strategy": lambda trip: trip.strategy_id,
    "instrument": lambda trip: trip.instrument,
    "tag": lambda trip: trip.tag,
}
"""What trips are told apart by."""
