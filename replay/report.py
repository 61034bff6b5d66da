"""What a backtest came to, as figures: of the whole run, and by strategy, instrument and tag. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum

from daemon.trading.money import MONEY_ONE
from replay.measure import ALL_DAYS, TRADING_DAYS, Costs, EquityPoint, Measures, Trip, measure
from replay.recorder import Recording
from replay.round_trips import RoundTrip

MAX_GROUPS = 100
"""So many groups are told: those of most trips."""


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
        rate = rate_of(trip)
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
GROUP_FIGURES = ("trips", "net_profit", "win_rate", "profit_factor", "expectancy", "payoff", "average_hours")


def group_figures(
    round_trips: Sequence[RoundTrip], of: Callable[[RoundTrip], str]
) -> dict[str, dict[str, float | None]]:
    """Return the figures of the trips of each group, those of most trips first.

    Args:
        round_trips: that ended.
        of: which group a trip is of.
    """
    members: dict[str, list[RoundTrip]] = {}
    for trip in round_trips:
        members.setdefault(of(trip), []).append(trip)
    ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
    found: dict[str, dict[str, float | None]] = {}
    for name, trips in ordered[:MAX_GROUPS]:
        figures = measure((), trips_of(trips))
        known = [trip for trip in trips if trip.value is not None]
        found[name] = {
            **{figure: figures[figure] for figure in GROUP_FIGURES},
            "fees": fsum(trip.fees / MONEY_ONE * rate_of(trip) for trip in known),
            "slippage": fsum(trip.slippage / MONEY_ONE * rate_of(trip) for trip in known),
        }
    return found


def rate_of(trip: RoundTrip) -> float:
    """Return how much of the reporting currency a unit of the trip's was worth at its end."""
    return trip.value / trip.net if trip.value is not None and trip.net else 1.0
