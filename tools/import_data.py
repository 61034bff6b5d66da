"""`taped import DATA FILE...`: brings recorded market data into a journal.

Owns the order of an import: commands around each file, ticks in batches, durable as they go, the
read model last. Formats and parsers are those of `daemon.venue.feeds`.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from daemon.journal.disk import make_folder
from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from daemon.readmodel.beginning import open_following
from daemon.readmodel.catch_up import in_transactions
from daemon.readmodel.watermark import projected_seq
from daemon.venue.feeds.columns import ColumnError
from daemon.venue.feeds.formats import FORMATS, OptionError, ReadOptions, TickFile
from daemon.venue.feeds.instruments import MAX_SCALE_SUM, MAX_TERM, InstrumentRegistry
from schemas.errors import TapedError
from schemas.events import Bar, Event, InstrumentDefined, OperatorCommand, Quote, Scalar, Trade
from tools.import_history import OPTION, History
from tools.import_report import Report, show
from tools.output import Advance, UsageError, print_error, progress
from tools.wording import counted

DEFAULT_BATCH = 4_096
MAX_BATCH = 65_536
"""A frame's limit."""
INTERRUPTED = 130
_PRICED = (Trade, Quote, Bar)
_HELP = {
    "--symbol": "instrument of the ticks, where the file does not say, or the only one to accept",
    "--venue": "venue of the ticks, where the file does not say",
    "--base-currency": "of new instruments whose symbol does not show it",
    "--quote-currency": "of new instruments whose symbol does not show it",
    "--columns": "CSV: where things stand, as ts=COLUMN[@s|ms|us|ns|iso],price=COLUMN,quantity=COLUMN,...",
}


class ImportRefusedError(TapedError):
    """The same content is in the journal already, or a part of it that was read otherwise."""


class InterruptedImportError(TapedError):
    """The operator stopped an import; what was imported is durable."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "import",
        help="bring recorded market data into a journal",
        description="Bring recorded market data into the journal of a data folder. The format is told from "
        "the file; damaged lines are reported, the others kept. An import that was cut off goes on where "
        "it stopped when the command is given again. Exit code 1 when any line was rejected.",
    )
    parser.add_argument("data", type=_path, metavar="DATA", help="data folder; made when absent")
    parser.add_argument(
        "files", type=_path, nargs="+", metavar="FILE", help="plain, gzip, zip, Parquet or Arrow"
    )
    parser.add_argument("--format", choices=FORMATS, help="format of the files, where it cannot be told")
    for option, text in _HELP.items():
        parser.add_argument(option, type=_text, help=text)
    scale = _between(0, MAX_SCALE_SUM)
    parser.add_argument(
        "--price-scale", type=scale, metavar="N", help="decimals of prices, for new instruments"
    )
    parser.add_argument(
        "--quantity-scale", type=scale, metavar="N", help="decimals of quantities, for new instruments"
    )
    parser.add_argument(
        "--multiplier",
        type=_between(1, MAX_TERM),
        metavar="N",
        help="value of one price unit of a contract, for new instruments",
    )
    parser.add_argument("--again", action="store_true", help="import content that is in the journal already")
    parser.add_argument(
        "--batch",
        type=_between(1, MAX_BATCH),
        default=DEFAULT_BATCH,
        metavar="N",
        help="events made durable together (4096)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _between(low: int, high: int) -> Callable[[str], int]:
    """Return what reads an integer of these limits, in plain digits."""

    def read(text: str) -> int:
        plain = text.isascii() and text.isdigit() and len(text) <= len(str(high))
        if not plain or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected {low} to {high}")
        return int(text)

    return read


def _text(text: str) -> str:
    """Refuse what the shell gave as bytes that are no text: neither journal nor JSON can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("is not UTF-8 text") from None
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def run(arguments: argparse.Namespace) -> int:
    """Import the files in their order; return 1 when a line was rejected."""
    options = ReadOptions(
        **{
            name: getattr(arguments, name)
            for name in ReadOptions.__struct_fields__
            if getattr(arguments, name) is not None
        }
    )
    _check(arguments.files, options)
    data: Path = arguments.data
    make_folder(data)
    report = Report()
    try:
        with (
            _stop_signals() as stopped,
            JournalWriter.open(data / "journal", watermark=projected_seq(data)) as writer,
        ):
            importer = Importer(
                writer,
                History.of(data, writer.next_seq - 1),
                report=report,
                options=options,
                batch=arguments.batch,
                stopped=stopped,
            )
            contents = importer.contents_of(arguments.files, again=arguments.again)
            for path, sha256 in contents:
                with progress(
                    f"Importing {path.name}",
                    total=path.stat().st_size,
                    unit="bytes",
                    show=not arguments.json,
                ) as advance:
                    importer.import_file(path, sha256, again=arguments.again, advance=advance)
    except InterruptedImportError as error:
        print_error(error, as_json=arguments.json)
        return INTERRUPTED
    finally:
        if report.first_seq is not None:
            _catch_up(data)
    show(report, as_json=arguments.json)
    return 1 if report.rejected_count else 0


def _check(paths: Sequence[Path], options: ReadOptions) -> None:
    """Find out, before anything is written, that all formats can be told and all options fit.

    Raises:
        UsageError: an option is missing, or does not fit the file.
    """
    for path in paths:
        try:
            TickFile(path, InstrumentRegistry(), options).close()
        except (OptionError, ColumnError) as error:
            raise UsageError(error.message, hint=error.hint) from error


class Importer:
    """Writes files into an open journal.

    Args:
        writer: of the journal.
        history: what it holds already.
        report: where to take note.
        options: what the operator says of the files.
        batch: events made durable together.
        stopped: empty until the operator asks to stop.
    """

    def __init__(
        self,
        writer: JournalWriter,
        history: History,
        *,
        report: Report,
        options: ReadOptions,
        batch: int,
        stopped: list[str],
    ) -> None:
        self._writer = writer
        self._history = history
        self._report = report
        self._options = options
        self._batch = batch
        self._stopped = stopped
        self._start: Event | None = None

    def contents_of(self, paths: Sequence[Path], *, again: bool) -> list[tuple[Path, str]]:
        """Return the files with their content hashes, before any is imported.

        Raises:
            ImportRefusedError: `again` is not set, and a content was imported before, is named twice, or
                was cut off when it was read with other options.
        """
        contents: list[tuple[Path, str]] = []
        for path in paths:
            sha256 = _sha256(path)
            if not again and sha256 in self._history.finished:
                raise ImportRefusedError(
                    f"{path}: its content was imported before, up to seq {self._history.finished[sha256]:,}",
                    hint="give --again to import it once more",
                )
            if not again and sha256 in (other for _, other in contents):
                raise ImportRefusedError(
                    f"{path}: its content is named twice", hint="give --again to import it twice"
                )
            if not again and sha256 in self._history.cut:
                self._check_reading(path, sha256)
            contents.append((path, sha256))
        return contents

    def _check_reading(self, path: Path, sha256: str) -> None:
        """Refuse to go on with an import that was read otherwise: its ticks would not be those counted."""
        then = self._history.readings[sha256]
        with TickFile(path, InstrumentRegistry(), self._options) as file:
            now = file.reading
        different = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if different:
            told = "; ".join(
                f"{name.replace('_', ' ')} {then.get(name, 'none')} then, {now.get(name, 'none')} now"
                for name in different
            )
            raise ImportRefusedError(
                f"{path}: its import was cut off after {counted(self._history.cut[sha256], 'tick')},"
                f" and was read otherwise: {told}",
                hint="give the options of then to go on, or --again to import it from its start",
            )

    def import_file(self, path: Path, sha256: str, *, again: bool, advance: Advance) -> None:
        """Import one file between its two commands; one that was cut off goes on unless `again`.

        Raises:
            InterruptedImportError: the operator stopped it.
            ImportRefusedError: it was cut off after more ticks than it gives now.
        """
        history = self._history
        resumed = 0 if again else history.cut.get(sha256, 0)
        with TickFile(path, history.registry, self._options) as file:
            told: dict[str, Scalar | list[Scalar]] = {
                "file": path.name,
                "sha256": sha256,
                "format": file.format,
                **{OPTION + name: value for name, value in file.reading.items()},
            }
            if resumed:
                told["resumed"] = resumed
                print(
                    f"taped: {path}: going on after the {counted(resumed, 'tick')}"
                    " imported before it was cut off",
                    file=sys.stderr,
                )
            self._start = _command("import.start", told)
            accepted = self._import_ticks(file, resumed, advance)
            if accepted:
                self._append([_command("import.end", {"sha256": sha256, "events": accepted})])
                history.finished[sha256] = self._writer.next_seq - 1
            self._report.finished(file, sha256, resumed=resumed, recorded=accepted > 0)

    def _import_ticks(self, file: TickFile, resumed: int, advance: Advance) -> int:
        """Append all ticks but the first `resumed`; return their number with those, 0 for none at all."""
        pending: list[Event] = []
        seen = shown = 0
        # What comes before the first tick waits for it: a gap alone is no import.
        any_tick = resumed > 0
        for events in file.batches():
            fresh = events
            if seen < resumed:
                fresh = _after(events, resumed - seen)
            seen += sum(type(event) is not InstrumentDefined for event in events)
            any_tick = any_tick or any(isinstance(event, _PRICED) for event in events)
            pending += fresh
            while any_tick and len(pending) >= self._batch:
                self._append(pending[: self._batch])
                del pending[: self._batch]
            position = file.source.position
            advance(position - shown)
            shown = position
            if self._stopped:
                if any_tick:
                    self._append(pending)
                raise InterruptedImportError(
                    f"{file.path}: import stopped by {self._stopped[0]} after {counted(seen, 'tick')},"
                    " which are kept",
                    hint="give the same command again to go on",
                )
        if seen < resumed:
            raise ImportRefusedError(
                f"{file.path}: gives {counted(seen, 'tick')}, but {counted(resumed, 'tick')} of it"
                " were imported before it was cut off",
                hint="give --again to import it from its start",
            )
        if not any_tick:
            return 0
        self._append(pending)
        return seen

    def _append(self, events: list[Event]) -> None:
        """Make events durable; the command that starts the import goes in front of its first ones."""
        if not events:
            return
        if self._start is not None:
            start, self._start = self._start, None
            self._append([start])
        self._report.wrote(self._writer.append(events), events)


def _after(events: list[Event], count: int) -> list[Event]:
    """Return the events without their first `count` ticks; definitions stay."""
    kept: list[Event] = []
    for event in events:
        if type(event) is InstrumentDefined or count <= 0:
            kept.append(event)
        else:
            count -= 1
    return kept


def _command(command: str, arguments: dict[str, Scalar | list[Scalar]]) -> OperatorCommand:
    return OperatorCommand(
        ts_ns=time.time_ns(), who=_user(), role="admin", command=command, arguments=arguments
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # An id without a name, as in containers.
        return f"uid {os.getuid()}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _stop_signals() -> Iterator[list[str]]:
    """Collect SIGINT and SIGTERM instead of being torn out of a write."""
    caught: list[str] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        caught.append(signal.Signals(number).name)

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _catch_up(data: Path) -> None:
    """Bring the read model to the journal's end; where that fails, the daemon will do it."""
    reader = JournalReader(data / "journal")
    try:
        readmodel = open_following(data / "readmodel.db", reader)
        try:
            for first_seq, events in in_transactions(reader.batches(readmodel.applied_seq + 1)):
                readmodel.skip_to(first_seq - 1)
                readmodel.apply(first_seq, events)
        finally:
            readmodel.close()
    except TapedError as error:
        print(f"taped: the journal holds the import, the read model does not: {error}", file=sys.stderr)
