"""Flags and words of commands that record their runs in a catalogue."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from replay.backtest import BacktestResult
    from replay.runs.record import Origin
    from replay.source import DataIdentity
    from replay.spec import BacktestSpec


def add_record_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags to a command."""
    group = parser.add_argument_group("catalogue", "see `taped replay runs`")
    group.add_argument("--no-record", action="store_true", help="do not record the run")
    group.add_argument("--note", type=_note, default="", metavar="TEXT", help="words to find it by")


def keep(
    arguments: argparse.Namespace,
    spec: BacktestSpec,
    identity: DataIdentity,
    result: BacktestResult,
    metrics: Mapping[str, float | None],
    *,
    origin: Origin = "backtest",
) -> None:
    """Record a run that reached its end, unless the flags say no; tell its number, or why not, on stderr."""
    # Imported here: a search is to start its first trial before it thinks of what it will record.
    from replay.runs.catalogue import catalogue_of  # noqa: PLC0415
    from replay.runs.record import run_of  # noqa: PLC0415
    from replay.runs.recording import record  # noqa: PLC0415

    if arguments.no_record or result.partial:
        return
    run = run_of(spec, identity, result, metrics, now_ns=time.time_ns(), origin=origin, note=arguments.note)
    # Where both go to one pipe, what was found comes before what became of it.
    sys.stdout.flush()
    kept = record(run, _tell)
    if kept is not None and not arguments.json:
        _tell(f"recorded as run {kept.number} in {catalogue_of(kept.spec.data).path}")


def _tell(text: str) -> None:
    print(f"taped: {text}", file=sys.stderr)


def _note(text: str) -> str:
    from replay.runs.record import MAX_NOTE  # noqa: PLC0415 - as in `keep`

    if len(text) > MAX_NOTE or not text.isprintable():
        raise argparse.ArgumentTypeError(f"expected up to {MAX_NOTE} printable characters")
    return text
