"""`taped replay runs`: the catalogue of backtests: list, show, compare, repeat, export and forget them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from replay.export.run import export_run
from replay.export.sinks import SUFFIXES
from replay.measure import METRICS
from replay.runs.catalogue import DATABASE, Catalogue, users_catalogue, wait_for
from replay.runs.record import Run
from replay.runs.repeat import repeat, spec_to_repeat
from replay.source import Progress, Source, open_source
from tools.event_text import time_text
from tools.output import UsageError, print_json, print_table, progress
from tools.wording import counted, grouped

SHOWN_METRICS = (
    "total_return", "sharpe", "sortino", "max_drawdown", "profit_factor", "win_rate", "trips", "turnover",
    "fees",
)  # fmt: skip
DEFAULT_DATA = "taped-data"
_SHORT = 12
_MAX_PARAMETERS = 40
_ROUNDED_FROM = 100
_COLUMNS = (
    "run", "ended", "by", "strategy", "parameters", "events", "return", "sharpe", "drawdown", "note",
)  # fmt: skip


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "runs",
        help="backtests that were run: list, show, compare, repeat, forget",
        description="Each backtest is recorded in runs.db of its data folder, those over files in that of the"
        " user. A recorded run can be repeated, and gives the same result.",
    )
    actions = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = actions.add_parser("list", help="runs, newest first")
    listing.add_argument("--strategy", metavar="KIND", help="only runs of this kind of strategy")
    listing.add_argument("--limit", type=_count, default=20, metavar="N", help="at most (%(default)s)")
    listing.set_defaults(run=_list)
    show = actions.add_parser("show", help="all that is known of a run")
    show.add_argument("number", type=_count, metavar="RUN", help="its number")
    show.set_defaults(run=_show)
    compare = actions.add_parser("compare", help="choices and figures of some runs side by side")
    compare.add_argument("numbers", type=_count, nargs="+", metavar="RUN", help="two or more")
    compare.add_argument("--all", action="store_true", help="every figure, and choices that are equal")
    compare.set_defaults(run=_compare)
    again = actions.add_parser("repeat", help="run again, and hold the result against the recorded one")
    again.add_argument("number", type=_count, metavar="RUN", help="its number")
    again.set_defaults(run=_repeat)
    tables = actions.add_parser("export", help="write fills, equity and round trips of a run as tables")
    tables.add_argument("number", type=_count, metavar="RUN", help="its number")
    tables.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    tables.add_argument(
        "--format", choices=sorted(SUFFIXES), default="parquet", help="format of the files (%(default)s)"
    )
    tables.add_argument("--force", action="store_true", help="replace an export that is there")
    tables.set_defaults(run=_export)
    remove = actions.add_parser("rm", help="forget runs")
    remove.add_argument("numbers", type=_count, nargs="+", metavar="RUN", help="one or more")
    remove.set_defaults(run=_remove)
    for action in (listing, show, compare, again, tables, remove):
        action.add_argument(
            "--data", type=Path, metavar="DATA", help="data folder; runs over files if there is none"
        )
        action.add_argument("--json", action="store_true", help="print JSON")


def catalogue_for(data: Path | None) -> tuple[Catalogue, Path | None]:
    """Return the catalogue that is asked for, and the data folder it lies in.

    Raises:
        UsageError: there is no such folder.
    """
    if data is None:
        usual = Path(os.environ.get("TAPED_DATA") or DEFAULT_DATA)
        if not (usual / DATABASE).exists():
            return users_catalogue(), None
        data = usual
    if not data.is_dir():
        raise UsageError(f"--data {data}: there is no such folder")
    return Catalogue(data / DATABASE), data


def _list(arguments: argparse.Namespace) -> int:
    catalogue, _ = catalogue_for(arguments.data)
    if not catalogue.path.exists():
        if arguments.json:
            print_json([])
        else:
            print(f"no run is recorded in {catalogue.path}")
        return 0
    found = wait_for(catalogue.runs(strategy=arguments.strategy, limit=arguments.limit))
    if arguments.json:
        print_json([_as_json(run) for run in found.runs])
    else:
        print_table(_COLUMNS, [_row(run) for run in found.runs])
    if found.unreadable:
        numbers = ", ".join(map(str, found.unreadable[:10]))
        print(f"taped: {counted(len(found.unreadable), 'run')} cannot be read: {numbers}", file=sys.stderr)
    return 0


def _row(run: Run) -> list[object]:
    parameters = " ".join(f"{name}={_text(value)}" for name, value in sorted(run.spec.parameters.items()))
    return [
        run.number,
        _moment(run.recorded_ns),
        run.origin,
        run.spec.strategy,
        parameters if len(parameters) <= _MAX_PARAMETERS else f"{parameters[:_MAX_PARAMETERS]}...",
        f"{run.events:,}",
        _percent(run.metrics.get("total_return")),
        _figure(run.metrics.get("sharpe")),
        _percent(run.metrics.get("max_drawdown")),
        run.note[:30] or None,
    ]


def _show(arguments: argparse.Namespace) -> int:
    catalogue, _ = catalogue_for(arguments.data)
    (run,) = wait_for(catalogue.get([arguments.number]))
    if arguments.json:
        print_json(_as_json(run))
        return 0
    identity = run.identity
    where = f"journal {identity.journal_id}, seq {identity.first_seq:,} to {identity.last_seq or 0:,}"
    if not identity.journal_id:
        where = ", ".join(f"{file.name} ({file.sha256[:_SHORT]})" for file in identity.files)
    rows = [
        ("run", str(run.number)),
        ("ended", time_text(run.recorded_ns)),
        ("by", run.origin),
        ("note", run.note or None),
        *((name, value) for name, value in _choices(run).items() if name not in ("code", "Python")),
        ("events", f"{run.events:,} in {run.seconds:.2f} s"),
        ("data", where),
        ("data's hash", run.data_sha256 or None),
        ("code", run.code_sha256),
        ("Python", run.python),
        ("host", run.host),
        ("orders", f"{run.orders:,}, {run.denied:,} denied, {run.fills:,} fills"),
        *((f"equity {currency}", grouped(amount)) for currency, amount in run.equity.items()),
        *((name, _figure(run.metrics.get(name))) for name in METRICS if run.metrics.get(name) is not None),
        ("result", run.result_sha256),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {'-' if value is None else value}")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    if len(set(arguments.numbers)) < 2:  # noqa: PLR2004 - a pair
        raise UsageError("compare needs two runs or more")
    catalogue, _ = catalogue_for(arguments.data)
    runs = wait_for(catalogue.get(arguments.numbers))
    choices = [_choices(run) for run in runs]
    names = list(dict.fromkeys(name for chosen in choices for name in chosen))
    told = {name: [chosen.get(name) for chosen in choices] for name in names}
    different = {name: values for name, values in told.items() if len(set(values)) > 1}
    if arguments.json:
        print_json({"runs": [_as_json(run) for run in runs], "different": different})
        return 0
    columns = ["", *(f"run {run.number}" for run in runs)]
    shown = told if arguments.all else different
    if shown:
        print_table(columns, [[name, *values] for name, values in shown.items()])
    else:
        print("the same was chosen for all of them")
    print()
    metrics = list(METRICS) if arguments.all else SHOWN_METRICS
    rows: list[list[object]] = [[name, *(_figure(run.metrics.get(name)) for run in runs)] for name in metrics]
    rows.append(["result", *(run.result_sha256[:_SHORT] for run in runs)])
    print_table(columns, rows)
    return 0


def _choices(run: Run) -> dict[str, str | None]:
    """Return what was chosen for a run, by the names that people give it."""
    spec = run.spec
    identity = run.identity
    venue = msgspec.to_builtins(spec.venue)
    return {
        "strategy": spec.strategy,
        **{f"param {name}": _text(value) for name, value in sorted(spec.parameters.items())},
        "instruments": ",".join(spec.instruments) or "all",
        "events from": f"{identity.first_seq:,}",
        "events to": None if identity.last_seq is None else f"{identity.last_seq:,}",
        "path": " ".join(spec.data),
        "cash": spec.cash,
        "seed": str(spec.seed),
        **{f"venue {name}": _text(value) for name, value in venue.items() if name != "seed"},
        "code": run.code_sha256[:_SHORT],
        "Python": run.python,
    }


def _repeat(arguments: argparse.Namespace) -> int:
    catalogue, folder = catalogue_for(arguments.data)
    (run,) = wait_for(catalogue.get([arguments.number]))
    source = open_source(spec_to_repeat(run, folder))
    with _bar(run, source, show=not arguments.json) as advance:
        done = repeat(run, folder, source=source, progress=advance)
    if arguments.json:
        print_json(
            {
                "run": run.number,
                "equal": done.equal,
                "recorded": run.result_sha256,
                "result_sha256": done.result.result_sha256,
                "differences": done.differences,
            }
        )
    else:
        print(f"recorded  {run.result_sha256}")
        print(f"again     {done.result.result_sha256}")
        for difference in done.differences:
            print(f"differs   {difference}")
        print(_verdict(equal=done.equal, differences=done.differences))
    return 0 if done.equal else 1


@contextmanager
def _bar(run: Run, source: Source, *, show: bool) -> Iterator[Progress]:
    """Show how far the reading is."""
    with progress(f"Run {run.number} again", total=source.total, unit=source.unit, show=show) as bar:
        shown = 0

        def advance(reading: Source) -> None:
            nonlocal shown
            bar(reading.position - shown)
            shown = reading.position

        yield advance


def _export(arguments: argparse.Namespace) -> int:
    catalogue, folder = catalogue_for(arguments.data)
    (run,) = wait_for(catalogue.get([arguments.number]))
    source = open_source(spec_to_repeat(run, folder))
    with _bar(run, source, show=not arguments.json) as advance:
        rows = export_run(
            run,
            folder,
            arguments.out,
            form=arguments.format,
            force=arguments.force,
            source=source,
            progress=advance,
        )
    if arguments.json:
        print_json({"run": run.number, "out": str(arguments.out), "rows": rows})
    else:
        print_table(("table", "rows"), [(name, f"{count:,}") for name, count in rows.items()])
    return 0


def _verdict(*, equal: bool, differences: Sequence[str]) -> str:
    if equal:
        return "equal"
    return "DIFFERENT" if differences else "DIFFERENT, though data, code and Python are the same"


def _remove(arguments: argparse.Namespace) -> int:
    catalogue, _ = catalogue_for(arguments.data)
    numbers = list(dict.fromkeys(arguments.numbers))
    wait_for(catalogue.remove(numbers))
    if arguments.json:
        print_json({"removed": numbers})
    else:
        print(f"forgotten: {', '.join(map(str, numbers))}")
    return 0


def _as_json(run: Run) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(run)
    return body


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _figure(value: float | None) -> str | None:
    if value is None:
        return None
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) >= _ROUNDED_FROM else f"{value:.4g}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value * 100:,.2f} %"


def _moment(ns: int) -> str:
    return (time_text(ns) or "")[:19].replace("T", " ")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) >= 1):  # noqa: PLR2004 - int64
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number from 1")
    return int(text)
