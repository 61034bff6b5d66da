"""The same backtest on venues a little different: other latency, other slippage, drawn by the seed. Pure."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec

from replay.spec import MAX_SEED, BacktestSpec

MAX_RUNS = 10_000
LATENCY_US = 100_000
SLIPPAGE_PPM = 20


def noisy_specs(
    spec: BacktestSpec, runs: int, *, latency_us: int = LATENCY_US, slippage_ppm: int = SLIPPAGE_PPM
) -> list[BacktestSpec]:
    """Return so many specs whose venues are worse than the spec's by chance.

    Orders take longer by an exponential time whose mean is drawn evenly for each run, up to `latency_us`;
    taking fills are worse by an even draw up to `slippage_ppm`, or, where the spec has a slippage already,
    by up to twice its amount instead of that amount.

    Args:
        spec: the backtest.
        runs: how many.
        latency_us: highest mean of what is added to an order's way.
        slippage_ppm: highest slippage where the spec has none, in millionths of the price.
    """
    chance = Random(f"{spec.seed}/venue")  # noqa: S311
    found = []
    for number in range(runs):
        venue = spec.venue
        spread = venue.latency_spread_us + chance.randint(0, latency_us)
        has_slippage = venue.slippage != "none"
        worst = 2 * venue.slippage_amount if has_slippage else slippage_ppm
        noisy = replace(
            venue,
            latency_spread_us=spread,
            latency_shape="exponential",
            slippage=venue.slippage if has_slippage else "ppm",
            slippage_amount=chance.randint(0, worst),
        )
        seed = (spec.seed + number + 1) % MAX_SEED
        found.append(msgspec.structs.replace(spec, venue=noisy, seed=seed))
    return found
