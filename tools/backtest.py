"""`taped replay backtest`: runs a strategy over a recorded journal and prints what it came to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from daemon.config_values import DECLARED, allowed
from daemon.journal.reader import Batch, JournalReader
from daemon.start import definitions
from daemon.trading.core import Core
from daemon.trading.money import MONEY_SCALE, money
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameters
from daemon.user_strategies import load_kinds
from replay.backtest import FEES, JOURNAL_ID, BacktestResult, Unheard, run_backtest
from schemas.decimals import DecimalError, decimal_text
from tools.beginning import begin_at
from tools.output import UsageError, print_json, print_table, progress, table_lines
from tools.parameters import parse_pairs
from tools.wording import counted, grouped

_MONEY = ("deposits", "cash", "equity", "fees", "realised", "unrealised")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "backtest",
        help="run a strategy over a recorded journal",
        description="Runs a strategy over the market events of a journal, with the live core and the"
        " paper venue. Writes nothing.",
        epilog=describe_strategies(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder, with the journal in it")
    parser.add_argument("--strategy", required=True, metavar="KIND", help="kind of strategy")
    parser.add_argument(
        "--strategies-folder", type=Path, metavar="DIR", help="folder of strategies of your own"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the strategy; repeat"
    )
    parser.add_argument(
        "--instruments", default="", metavar="A,B", help="symbols; all that appear if left out"
    )
    parser.add_argument("--cash", default="100000", help="cash in each quote currency (%(default)s)")
    for name in ("maker_fee_ppm", "taker_fee_ppm"):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_fee(f"venue.{name}"),
            default=getattr(FEES, name),
            metavar="PPM",
            help="fee in millionths (%(default)s, as the daemon's)",
        )
    parser.add_argument("--from-seq", type=_seq, default=1, metavar="N", help="first event (%(default)s)")
    parser.add_argument("--to-seq", type=_seq, default=None, metavar="N", help="last event")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the backtest; 1 when the strategy stopped itself or trading was halted."""
    kinds = load_kinds(arguments.strategies_folder).classes
    if arguments.strategy not in kinds:
        raise UsageError(
            f"--strategy: there is no kind {arguments.strategy!r}", hint=f"there is {', '.join(kinds)}"
        )
    parameters = parse_pairs(arguments.param)
    try:
        check_parameters(kinds[arguments.strategy], parameters)
    except StrategyError as error:
        hint = error.hint or f"`taped replay backtest --help` lists the parameters of {arguments.strategy}"
        raise UsageError(f"--param: {error.message}", hint=hint) from error
    cash = _cash(arguments.cash)
    reader = JournalReader(arguments.data / "journal")
    from_seq = begin_at(reader, arguments.from_seq)
    if arguments.to_seq is not None and arguments.to_seq < from_seq:
        begin = f"--from-seq {from_seq}" if from_seq == arguments.from_seq else f"the first event, {from_seq}"
        raise UsageError(f"--to-seq {arguments.to_seq} lies before {begin}")
    last = reader.last_seq if arguments.to_seq is None else arguments.to_seq
    total = max(0, last - from_seq + 1)
    done = 0
    with progress(
        f"Backtest {arguments.strategy}", total=total, unit="events", show=not arguments.json
    ) as bar:

        def advance(events: int) -> None:
            nonlocal done
            bar(events - done)
            done = events

        result = run_backtest(
            chain(_defined(reader, from_seq), reader.batches(from_seq, arguments.to_seq)),
            strategy=arguments.strategy,
            parameters=parameters,
            instruments=[name for name in arguments.instruments.split(",") if name],
            cash=cash,
            maker_fee_ppm=arguments.maker_fee_ppm,
            taker_fee_ppm=arguments.taker_fee_ppm,
            core=Core(JOURNAL_ID, kinds=kinds),
            progress=advance,
        )
    if arguments.json:
        print_json(as_json(result))
    else:
        _print(result, kinds[arguments.strategy])
    return 1 if result.stopped or result.trading_state != "ACTIVE" else 0


def _defined(reader: JournalReader, from_seq: int) -> list[Batch]:
    """Return what was defined before the journal's first event, if the run begins there."""
    return [Batch(0, [*definitions(reader.directory)], 0)] if from_seq == reader.first_seq else []


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


def describe_strategies() -> str:
    """Return each strategy kind with its parameters, defaults and meanings, as text."""
    lines: list[str] = []
    for kind, strategy in sorted(STRATEGIES.items()):
        summary = (strategy.__doc__ or "").partition("\n")[0]
        rows = [
            (f"  {item.name}", allowed_values(item), _default(item), item.doc) for item in strategy.parameters
        ]
        table = table_lines((f"  --param of {kind}", "is", "default", "meaning"), rows)
        lines += [f"strategy {kind}: {summary}", *table, ""]
    return "\n".join(lines).rstrip()


def allowed_values(parameter: Parameter) -> str:
    """Return what a parameter may be, in words."""
    if parameter.choices:
        return " or ".join(parameter.choices)
    if parameter.form:
        return parameter.form
    if parameter.decimal:
        least = "decimal above 0" if parameter.minimum is None else f"decimal from {parameter.minimum:,}"
        return least if parameter.maximum is None else f"{least} to {parameter.maximum:,}"
    if parameter.type is bool:
        return "true or false"
    if parameter.minimum is not None and parameter.maximum is not None:
        return f"{parameter.minimum:,} to {parameter.maximum:,}"
    return {int: "whole number", str: "text"}[parameter.type]


def _default(parameter: Parameter) -> str:
    default = parameter.default
    if default is None:
        return "must be given"
    return str(default).lower() if isinstance(default, bool) else str(default) or "none"


def _print(result: BacktestResult, kind: type[Strategy]) -> None:
    body = as_json(result)
    print(
        f"{counted(result.events, 'event')} in {result.seconds:.2f} s ({result.events_per_second:,.0f}/s),"
        f" {counted(result.orders, 'order')}, {result.denied:,} denied, {counted(result.fills, 'fill')}"
    )
    print(f"fees: {result.maker_fee_ppm:,} ppm resting, {result.taker_fee_ppm:,} ppm taking")
    for name, unheard in result.unheard.items():
        missed = " or ".join(unheard.listens)
        print(f"note: {name}: no {missed} events, which {kind.kind} listens to{_try(unheard, kind)}")
    print()
    rows = [
        [currency, *(grouped(body[name].get(currency, "0")) for name in _MONEY)]
        for currency in body["equity"]
    ]
    print_table(["currency", *_MONEY], rows)
    if body["positions"]:
        print()
        names = ("quantity", "cost_basis", "realised", "unrealised")
        positions = [
            [symbol, *(grouped(position[name]) for name in names)]
            for symbol, position in body["positions"].items()
        ]
        print_table(["instrument", *names], positions)
    if result.denials:
        print()
        rows = [[rule, f"{denials.count:,}", denials.example] for rule, denials in result.denials.items()]
        print_table(["denied by", "orders", "the first"], rows)
    print()
    print(f"decisions {result.decisions_sha256}")
    for strategy_id, reason in result.stopped.items():
        print(f"stopped: {strategy_id}: {reason}")
    for note in result.notifications:
        print(f"note: {note}")


def _try(unheard: Unheard, kind: type[Strategy]) -> str:
    """Return the parameter that makes a strategy listen to what did come, where it has one."""
    for parameter in kind.parameters:
        for saw in unheard.saw:
            if saw.lower() in parameter.choices:
                return f"; try --param {parameter.name}={saw.lower()}"
    return ""


def _money(value: int) -> str:
    return decimal_text(value, MONEY_SCALE)


def _cash(text: str) -> str:
    try:
        if money(text) > 0:
            return text
    except DecimalError as error:
        raise UsageError(f"--cash: {error.message}", hint=error.hint) from error
    raise UsageError(f"--cash is {text}, expected an amount above zero")


def _fee(key: str) -> Callable[[str], int]:
    declared = DECLARED[key]

    def fee(text: str) -> int:
        low, high = declared.rule.minimum, declared.rule.maximum
        assert low is not None
        assert high is not None
        if not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}, expected {allowed(declared)}")
        return int(text)

    return fee


def _seq(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected 1 or more")
    return number
