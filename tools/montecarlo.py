"""`taped replay montecarlo`: what else could have come of a backtest's trades, and how likely ruin is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from daemon.trading.money import MONEY_ONE
from replay.montecarlo import MAX_STEPS, METHODS, MonteCarloError, Odds, Path, Stakes, odds, simulate, walk_of
from replay.optimise.pool import LocalPool, all_cores
from replay.optimise.study import COMPLETE
from replay.recorder import Recorder, Recording
from replay.run import run_spec
from replay.runs.record import pinned
from replay.source import open_source
from replay.spec import BacktestSpec
from replay.venue_noise import LATENCY_US, MAX_RUNS, SLIPPAGE_PPM, noisy_specs
from tools.backtest import describe_strategies
from tools.optimise import kind_of
from tools.output import print_json, print_table, progress
from tools.spec_flags import add_spec_flags, between, spec_of
from tools.wording import counted

PATHS = 2_000
RUIN, TARGET = 50.0, 20.0
MAX_NOISE = 1_000_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "montecarlo",
        help="tell the odds of ruin and gain from a backtest's trades",
        description="Runs a backtest, draws its trades anew in other orders and numbers, and tells the odds."
        " With --runs the backtest itself is repeated on venues that are slower and dearer by chance.",
        epilog=describe_strategies(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_flags(parser)
    group = parser.add_argument_group("simulation")
    group.add_argument(
        "--methods",
        default=",".join(METHODS),
        metavar="A,B",
        help="shuffle: another order; bootstrap: drawn anew; block: in runs of neighbours (%(default)s)",
    )
    group.add_argument(
        "--paths", type=between(1, MAX_STEPS), default=PATHS, metavar="N", help="of each method (%(default)s)"
    )
    group.add_argument(
        "--block", type=between(1, MAX_STEPS), metavar="N", help="mean length of a run; cube root if left out"
    )
    group.add_argument(
        "--compound", action="store_true", help="results are shares of the equity, not amounts of money"
    )
    group.add_argument(
        "--ruin", type=float, default=RUIN, metavar="PERCENT", help="loss that is ruin (%(default)s)"
    )
    group.add_argument(
        "--target",
        type=float,
        default=TARGET,
        metavar="PERCENT",
        help="gain that is the target (%(default)s)",
    )
    group.add_argument(
        "--runs",
        type=between(0, MAX_RUNS),
        default=0,
        metavar="N",
        help="backtests on slower and dearer venues (%(default)s)",
    )
    group.add_argument(
        "--latency-noise-us",
        type=between(0, MAX_NOISE),
        default=LATENCY_US,
        metavar="US",
        help="highest mean (%(default)s)",
    )
    group.add_argument(
        "--slippage-noise-ppm",
        type=between(0, MAX_NOISE),
        default=SLIPPAGE_PPM,
        metavar="PPM",
        help="highest (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run, draw and print."""
    spec = spec_of(arguments)
    kind_of(spec)
    spec = pinned(spec, open_source(spec).identity())
    recorder = Recorder()
    run_spec(spec, recorder=recorder)
    recording = recorder.finish()
    stakes = _stakes(recording, arguments)
    results = _results(recording, stakes)
    found = [
        simulate(results, stakes, method=method, paths=arguments.paths, block=arguments.block, seed=spec.seed)
        for method in _methods(arguments.methods)
    ]
    if arguments.runs:
        found.append(_on_other_venues(spec, stakes, arguments, trades=len(results)))
    if arguments.json:
        print_json(as_json(found, stakes, recording.currency))
    else:
        _print(found, stakes, recording.currency, trades=len(results))
    return 0


def _methods(text: str) -> list[Any]:
    wanted = text.split(",")
    wrong = [name for name in wanted if name not in METHODS]
    if wrong:
        raise MonteCarloError(f"there is no method {wrong[0]!r}", hint=f"there is {', '.join(METHODS)}")
    return wanted


def _stakes(recording: Recording, arguments: argparse.Namespace) -> Stakes:
    """Return what is at stake: the equity that the run began with, and what ruin and target are of it."""
    start = recording.curve[0].equity / MONEY_ONE if recording.curve else 0.0
    if start <= 0:
        raise MonteCarloError("the backtest saw no market, so there is nothing to draw from")
    return Stakes(
        start=start,
        ruin=start * (1 - arguments.ruin / 100),
        target=start * (1 + arguments.target / 100),
        compound=arguments.compound,
    )


def _results(recording: Recording, stakes: Stakes) -> list[float]:
    """Return what each round trip came to: money, or its share of the equity before it."""
    amounts = [trip.value / MONEY_ONE for trip in recording.trips if trip.value is not None]
    if not stakes.compound:
        return amounts
    before = list(accumulate(amounts, initial=stakes.start))
    if min(before) <= 0:
        raise MonteCarloError("the backtest lost all, so its results are no shares of an equity")
    return [amount / equity for amount, equity in zip(amounts, before, strict=False)]


def _on_other_venues(
    spec: BacktestSpec, stakes: Stakes, arguments: argparse.Namespace, *, trades: int
) -> Odds:
    """Return the odds over backtests on noisy venues."""
    specs = noisy_specs(
        spec, arguments.runs, latency_us=arguments.latency_noise_us, slippage_ppm=arguments.slippage_noise_ppm
    )
    paths: list[Path] = []
    with (
        LocalPool(min(all_cores(), len(specs))) as pool,
        progress("Other venues", total=len(specs), unit="runs", show=not arguments.json) as bar,
    ):
        waiting = list(enumerate(specs))
        while waiting or pool.free < pool.workers:
            while waiting and pool.free:
                pool.start(*waiting.pop(0))
            for outcome in pool.finished():
                bar(1)
                if outcome.state != COMPLETE:
                    raise MonteCarloError(f"a run on another venue failed: {outcome.reason}")
                paths.append(walk_of(_levels(outcome.returns, stakes.start)))
    return odds("venue", paths, stakes, trades=trades)


def _levels(returns: Sequence[float], start: float) -> list[float]:
    return list(accumulate(returns, lambda equity, gain: equity * (1 + gain), initial=start))


def as_json(found: Sequence[Odds], stakes: Stakes, currency: str) -> dict[str, Any]:
    """Return the odds as plain values; quantiles by their share as text."""
    bodies = []
    for one in found:
        body = asdict(one)
        for name in ("final_equity", "max_drawdown"):
            body[name] = {f"{share:g}": value for share, value in body[name].items()}
        bodies.append(body)
    return {"currency": currency, "stakes": asdict(stakes), "odds": bodies}


def _print(found: Sequence[Odds], stakes: Stakes, currency: str, *, trades: int) -> None:
    print(
        f"{counted(trades, 'round trip')}; start {stakes.start:,.0f} {currency},"
        f" ruin at {stakes.ruin:,.0f}, target {stakes.target:,.0f}"
    )
    print()
    columns = ["method", "paths", "ruin", "target", "loss"]
    columns += ["end 5 %", "median", "95 %", "drawdown median", "95 %", "99 %"]
    rows = [
        [
            one.method,
            f"{one.paths:,}",
            *(f"{share:.1%}" for share in (one.ruin, one.target, one.loss)),
            *(f"{one.final_equity[share]:,.2f}" for share in (0.05, 0.5, 0.95)),
            *(f"{one.max_drawdown[share]:.2%}" for share in (0.5, 0.95, 0.99)),
        ]
        for one in found
    ]
    print_table(columns, rows)
