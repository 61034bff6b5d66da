"""Flags that tell a `BacktestSpec`, for commands that run many backtests; and the flags of a spec."""

from __future__ import annotations

import argparse
from dataclasses import replace

from replay.backtest import FEES
from replay.spec import DAEMON_VENUE, MAX_SEED, BacktestSpec, SpecError
from tools.output import UsageError
from tools.parameters import parse_pairs


def add_spec_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command."""
    parser.add_argument("data", nargs="+", metavar="DATA", help="data folder, or files of market data")
    parser.add_argument("--strategy", required=True, metavar="KIND", help="kind of strategy")
    parser.add_argument("--strategies-folder", metavar="DIR", help="folder of strategies of your own")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter that stays; repeat"
    )
    parser.add_argument(
        "--instruments", default="", metavar="A,B", help="symbols; all that appear if left out"
    )
    parser.add_argument("--cash", default="100000", help="cash in each quote currency (%(default)s)")
    parser.add_argument("--maker-fee-ppm", type=int, default=FEES.maker_fee_ppm, metavar="PPM")
    parser.add_argument("--taker-fee-ppm", type=int, default=FEES.taker_fee_ppm, metavar="PPM")
    parser.add_argument("--from-seq", type=int, metavar="N", help="first event")
    parser.add_argument("--to-seq", type=int, metavar="N", help="last event")
    parser.add_argument("--seed", type=int, default=1, help=f"of every draw, 0 to {MAX_SEED} (%(default)s)")


def spec_of(arguments: argparse.Namespace) -> BacktestSpec:
    """Return the spec that the flags tell.

    Raises:
        UsageError: they tell none.
    """
    try:
        return BacktestSpec(
            data=tuple(arguments.data),
            strategy=arguments.strategy,
            parameters=parse_pairs(arguments.param),
            instruments=tuple(name for name in arguments.instruments.split(",") if name),
            from_seq=arguments.from_seq,
            to_seq=arguments.to_seq,
            cash=arguments.cash,
            venue=replace(
                DAEMON_VENUE, maker_fee_ppm=arguments.maker_fee_ppm, taker_fee_ppm=arguments.taker_fee_ppm
            ),
            seed=arguments.seed,
            strategies_folder=arguments.strategies_folder,
        )
    except SpecError as error:
        raise UsageError(error.message, hint=error.hint) from error


def flags_of(spec: BacktestSpec) -> list[str]:
    """Return the flags that make a backtest's spec, less data, strategy and parameters."""
    given = {
        "--strategies-folder": (spec.strategies_folder, None),
        "--instruments": (",".join(spec.instruments), ""),
        "--cash": (spec.cash, "100000"),
        "--maker-fee-ppm": (spec.venue.maker_fee_ppm, DAEMON_VENUE.maker_fee_ppm),
        "--taker-fee-ppm": (spec.venue.taker_fee_ppm, DAEMON_VENUE.taker_fee_ppm),
        "--from-seq": (spec.from_seq, None),
        "--to-seq": (spec.to_seq, None),
    }
    return [
        word for flag, (value, default) in given.items() if value != default for word in (flag, str(value))
    ]
