"""`taped replay export DATA OUT`: writes a journal's contents as Parquet, Arrow or CSV tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.readmodel.bars import INTERVALS
from replay.export.journal import ExportRequest, ExportResult, export_journal
from replay.export.market import Span
from replay.export.sinks import SUFFIXES
from replay.export.tables import TABLES
from tools.output import UsageError, print_json, print_table, progress
from tools.points import HELP, Point, point

_DEFAULT_TABLES = "ticks,bars,orders,fills,equity"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "export",
        help="write ticks, bars, orders, fills and equity for pandas, polars or DuckDB",
        description="Writes the contents of a journal as tables, a file each, into a new folder. The journal"
        " may be in use. A folder that cannot be finished does not appear.",
        epilog=_tables_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder, with the journal in it")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--format", choices=sorted(SUFFIXES), default="parquet", help="format of the files (%(default)s)"
    )
    parser.add_argument(
        "--what", type=_names(TABLES), default=_DEFAULT_TABLES, metavar="A,B", help="tables (%(default)s)"
    )
    parser.add_argument("--from", dest="first", type=point, default=Point(), metavar="SEQ|TIME", help=HELP)
    parser.add_argument(
        "--to",
        dest="last",
        type=point,
        default=Point(),
        metavar="SEQ|TIME",
        help="the same; what it names is included",
    )
    parser.add_argument("--instruments", default="", metavar="A,B", help="symbols; all if left out")
    parser.add_argument(
        "--interval",
        type=_names(INTERVALS),
        default="1min",
        metavar="A,B",
        help=f"lengths of bars, of {', '.join(INTERVALS)} (%(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace an export that is there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Export and say what was written.

    Raises:
        UsageError: the range is empty.
        TapedError: the export cannot be made.
    """
    first, last = arguments.first, arguments.last
    span = Span(first.seq or 1, last.seq, first.ns, last.end_ns)
    backwards = last.seq is not None and last.seq < span.first_seq
    if backwards or (span.from_ns is not None and span.to_ns is not None and span.to_ns < span.from_ns):
        raise UsageError("--to lies before --from")
    request = ExportRequest(
        data=arguments.data,
        out=arguments.out,
        format=arguments.format,
        tables=arguments.what,
        span=span,
        instruments=[name for name in arguments.instruments.split(",") if name],
        intervals=arguments.interval,
        force=arguments.force,
    )
    total = None if span.from_ns or span.to_ns else _total(arguments.data, span)
    with progress("Exporting", total=total, unit="events", show=not arguments.json) as advance:
        result = export_journal(request, progress=advance, tell=_tell)
    _show(arguments.out, result, as_json=arguments.json)
    return 0


def _total(data: Path, span: Span) -> int:
    last = JournalReader(data / "journal").last_seq
    return max(0, (last if span.last_seq is None else min(last, span.last_seq)) - span.first_seq + 1)


def _tell(text: str) -> None:
    print(f"taped: {text}", file=sys.stderr)


def _show(out: Path, result: ExportResult, *, as_json: bool) -> None:
    if as_json:
        print_json({"out": str(out), **result.as_dict()})
        return
    rows = [(name, f"{count:,}", f"{result.bytes[name]:,}") for name, count in result.rows.items()]
    print_table(("table", "rows", "bytes"), rows)
    print()
    print(f"{out}: events {result.first_seq:,} to {result.last_seq:,}")


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of names."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError(f"{text!r}: expected some of {', '.join(known)}")
        return list(dict.fromkeys(names))

    return read


def _tables_text() -> str:
    lines = ["tables:"]
    for table in TABLES.values():
        lines.append(f"  {table.name:14} {table.doc}")
        lines.append(f"  {'':14} {', '.join(column.name for column in table.columns)}")
    return "\n".join(lines)
