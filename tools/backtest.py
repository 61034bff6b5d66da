"""`taped replay backtest`: runs a strategy over a recorded journal and prints what it came to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.journal.reader import JournalReader
from daemon.trading.money import MONEY_SCALE, money
from daemon.trading.strategies import STRATEGIES
from replay.backtest import BacktestResult, run_backtest
from schemas.decimals import DecimalError, decimal_text
from schemas.events import Scalar
from tools.output import UsageError, print_json, print_table, progress

_MONEY = ("deposits", "cash", "equity", "fees", "realised", "unrealised")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "backtest",
        help="run a strategy over a recorded journal",
        description="Runs a strategy over the market events of a journal, with the live core and the"
        " paper venue. Writes nothing.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder, with the journal in it")
    parser.add_argument("--strategy", required=True, choices=sorted(STRATEGIES), help="kind of strategy")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the strategy; repeat"
    )
    parser.add_argument(
        "--instruments", default="", metavar="A,B", help="symbols; all that appear if left out"
    )
    parser.add_argument("--cash", default="100000", help="cash in each quote currency (%(default)s)")
    parser.add_argument("--maker-fee-ppm", type=int, default=0, help="fee in millionths (%(default)s)")
    parser.add_argument("--taker-fee-ppm", type=int, default=0, help="fee in millionths (%(default)s)")
    parser.add_argument("--from-seq", type=int, default=1, help="first event to read (%(default)s)")
    parser.add_argument("--to-seq", type=int, default=None, help="last event to read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the backtest; 1 when the strategy stopped itself or trading was halted."""
    parameters = _parameters(arguments.param)
    cash = _cash(arguments.cash)
    reader = JournalReader(arguments.data / "journal")
    last = reader.last_seq if arguments.to_seq is None else arguments.to_seq
    total = max(0, last - arguments.from_seq + 1)
    done = 0
    with progress(
        f"Backtest {arguments.strategy}", total=total, unit="events", show=not arguments.json
    ) as bar:

        def advance(events: int) -> None:
            nonlocal done
            bar(events - done)
            done = events

        result = run_backtest(
            reader.batches(arguments.from_seq, arguments.to_seq),
            strategy=arguments.strategy,
            parameters=parameters,
            instruments=[name for name in arguments.instruments.split(",") if name],
            cash=cash,
            maker_fee_ppm=arguments.maker_fee_ppm,
            taker_fee_ppm=arguments.taker_fee_ppm,
            progress=advance,
        )
    if arguments.json:
        print_json(as_json(result))
    else:
        _print(result)
    return 1 if result.stopped or result.trading_state != "ACTIVE" else 0


def as_json(result: BacktestResult) -> dict[str, Any]:
    """Return the result with money and quantities as decimal text."""
    body = asdict(result)
    body["events_per_second"] = round(result.events_per_second)
    for name in _MONEY:
        body[name] = {currency: _money(value) for currency, value in body[name].items()}
    for position in body["positions"].values():
        position["quantity"] = decimal_text(position["quantity"], position.pop("quantity_scale"))
        for name in ("cost_basis", "realised", "unrealised"):
            position[name] = _money(position[name])
    return body


def _print(result: BacktestResult) -> None:
    body = as_json(result)
    print(
        f"{result.events:,} events in {result.seconds:.2f} s ({result.events_per_second:,.0f}/s),"
        f" {result.orders} orders, {result.denied} denied, {result.fills} fills"
    )
    print()
    rows = [[currency, *(body[name].get(currency, "0") for name in _MONEY)] for currency in body["equity"]]
    print_table(["currency", *_MONEY], rows)
    if body["positions"]:
        print()
        names = ("quantity", "cost_basis", "realised", "unrealised")
        positions = [
            [symbol, *(position[name] for name in names)] for symbol, position in body["positions"].items()
        ]
        print_table(["instrument", *names], positions)
    print()
    print(f"decisions {result.decisions_sha256}")
    for strategy_id, reason in result.stopped.items():
        print(f"stopped: {strategy_id}: {reason}")
    for note in result.notifications:
        print(f"note: {note}")


def _money(value: int) -> str:
    return decimal_text(value, MONEY_SCALE)


def _cash(text: str) -> str:
    try:
        if money(text) > 0:
            return text
    except DecimalError as error:
        raise UsageError(f"--cash: {error.message}", hint=error.hint) from error
    raise UsageError(f"--cash is {text}, expected an amount above zero")


def _parameters(pairs: Sequence[str]) -> dict[str, Scalar]:
    parameters: dict[str, Scalar] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--param {pair}: expected NAME=VALUE")
        parameters[name] = _scalar(text)
    return parameters


def _scalar(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text
