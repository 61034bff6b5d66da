"""`taped replay backtest`: runs a strategy over recorded market data and reports what it came to."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameters
from daemon.user_strategies import load_kinds
from replay.backtest import BacktestError, BacktestResult
from replay.document import document
from replay.page import page
from replay.recorder import Recorder
from replay.report import measure_recording
from replay.run import run_spec
from replay.source import FileSource, JournalSource, Progress, Source, open_source
from replay.spec import BacktestSpec
from tools.backtest_text import print_report
from tools.output import UsageError, print_json, progress, table_lines, write_page
from tools.recording import add_record_flags, keep
from tools.spec_flags import add_spec_flags, spec_of
from tools.wording import counted

INTERRUPTED = 130
ROUNDS = 500
MAX_ROUNDS = 10_000


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "backtest",
        help="run a strategy over recorded market data",
        description="Runs a strategy over the market events of a journal, or of files of market data, with"
        " the live core and the paper venue. Changes nothing there but the catalogue of runs. Ctrl-C gives"
        " the result so far. Exit code 1 when a strategy stopped itself or trading was halted.",
        epilog=describe_strategies(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_spec_flags(parser)
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=ROUNDS,
        metavar="N",
        help="of resampling, for intervals of confidence; 0 for none (%(default)s)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page too")
    add_record_flags(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the backtest; 1 when the strategy stopped itself or trading was halted, 130 when interrupted."""
    spec = spec_of(arguments)
    kind = _kind(spec)
    source = open_source(spec)
    _tell_beginning(spec, source)
    recorder = Recorder()
    with _interrupts() as interrupts, _bar(spec, source, show=not arguments.json) as advance:
        result = run_spec(
            spec, source=source, progress=advance, stop=lambda: bool(interrupts), recorder=recorder
        )
    _check_something_came(source, result)
    recording = recorder.finish()
    measures = measure_recording(recording, rounds=arguments.rounds, seed=spec.seed)
    body = document(spec, source.identity(), result, recording, measures)
    if arguments.html is not None:
        write_page(arguments.html, page(body, recording))
    if arguments.json:
        print_json(body)
    else:
        print_report(body, result, kind)
    _tell_rejected(source)
    keep(arguments, spec, source.identity(), result, measures.values)
    if result.partial:
        return INTERRUPTED
    return 1 if result.stopped or result.trading_state != "ACTIVE" else 0


def _kind(spec: BacktestSpec) -> type[Strategy]:
    """Return the strategy's class, when its parameters fit it."""
    folder = None if spec.strategies_folder is None else Path(spec.strategies_folder)
    kinds = load_kinds(folder).classes
    if spec.strategy not in kinds:
        raise UsageError(
            f"--strategy: there is no kind {spec.strategy!r}", hint=f"there is {', '.join(kinds)}"
        )
    try:
        check_parameters(kinds[spec.strategy], spec.parameters)
    except StrategyError as error:
        hint = error.hint or f"`taped replay backtest --help` lists the parameters of {spec.strategy}"
        raise UsageError(f"--param: {error.message}", hint=hint) from error
    return kinds[spec.strategy]


def _tell_beginning(spec: BacktestSpec, source: Source) -> None:
    """Say on stderr where a journal begins whose oldest events are gone, if they were asked for."""
    asked = spec.from_seq or 1
    if isinstance(source, JournalSource) and spec.from_ns is None and asked < source.begins:
        print(
            f"taped: the journal begins at seq {source.begins:,}; what came before was let go of (retention)",
            file=sys.stderr,
        )


def _check_something_came(source: Source, result: BacktestResult) -> None:
    """Refuse to report on files that hold no tick: an empty range of a journal is refused as it is opened."""
    if isinstance(source, FileSource) and not result.partial and result.events <= len(result.instruments):
        _tell_rejected(source)
        raise BacktestError("no tick of the files was taken", hint="look at --from, --to and --columns")


def _tell_rejected(source: Source) -> None:
    if isinstance(source, FileSource) and source.rejected_count:
        rejected = counted(source.rejected_count, "line")
        print(f"taped: {rejected} of the files rejected; `taped import` tells which", file=sys.stderr)


@contextmanager
def _bar(spec: BacktestSpec, source: JournalSource | FileSource, *, show: bool) -> Iterator[Progress]:
    """Show how far the reading is, with events a second and the time left."""
    begun = time.monotonic()

    def rate() -> str:
        return f"{source.events / max(1e-9, time.monotonic() - begun):,.0f} events/s"

    label = f"Backtest {spec.strategy}"
    with progress(label, total=source.total, unit=source.unit, show=show, rate=rate) as bar:
        shown = 0

        def advance(reading: Source) -> None:
            nonlocal shown
            bar(reading.position - shown)
            shown = reading.position

        yield advance


@contextmanager
def _interrupts() -> Iterator[list[str]]:
    """Collect the first SIGINT instead of being torn out of the run; a second one ends the process."""
    caught: list[str] = []

    def catch(_number: int, _frame: FrameType | None) -> None:
        caught.append("SIGINT")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, catch)
    try:
        yield caught
    finally:
        signal.signal(signal.SIGINT, before)


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_ROUNDS):
        raise argparse.ArgumentTypeError(f"{text!r}, expected 0 to {MAX_ROUNDS:,}")
    return int(text)


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
