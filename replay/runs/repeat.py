"""Runs a recorded run again, and tells what differs where the result does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from replay.backtest import BacktestResult
from replay.recorder import Recorder
from replay.run import run_spec
from replay.runs.catalogue import CatalogueError
from replay.runs.data_hash import data_sha256
from replay.runs.record import Run, code_of, pinned, python_version
from replay.source import Progress, Source, open_source
from replay.spec import BacktestSpec


class Repeated(NamedTuple):
    """What came of a repetition.

    Attributes:
        result: of the new run.
        equal: whether it has the hash of the recorded one.
        differences: what is known to be otherwise, as `what: then, now`; also where the result is equal.
    """

    result: BacktestResult
    equal: bool
    differences: list[str]


def spec_to_repeat(run: Run, folder: Path | None) -> BacktestSpec:
    """Return the spec that takes the same events, from where they are now.

    Args:
        run: a recorded run.
        folder: data folder that the catalogue lies in, which may have been moved since; None for none.
    """
    spec = pinned(run.spec, run.identity)
    if run.identity.journal_id and folder is not None:
        spec = msgspec.structs.replace(spec, data=(str(folder),))
    return spec


def repeat(
    run: Run,
    folder: Path | None = None,
    *,
    source: Source | None = None,
    progress: Progress | None = None,
    recorder: Recorder | None = None,
) -> Repeated:
    """Run again.

    Args:
        run: a recorded run.
        folder: as for `spec_to_repeat`.
        source: what `open_source` returned for `spec_to_repeat`, where the caller has it already.
        progress: as for `run_spec`.
        recorder: as for `run_spec`.

    Raises:
        CatalogueError: its events are not there any more, or are those of another journal.
        BacktestError: as `run_spec`.
    """
    spec = spec_to_repeat(run, folder)
    source = open_source(spec) if source is None else source
    found = source.identity()
    if run.identity.journal_id and found != run.identity:
        raise CatalogueError(
            f"run {run.number}: took seq {run.identity.first_seq:,} to {run.identity.last_seq:,} of journal"
            f" {run.identity.journal_id}; {spec.data[0]} has seq {found.first_seq:,} to {found.last_seq:,} of"
            f" {found.journal_id}",
            hint="retention let go of the rest, or it is another journal",
        )
    result = run_spec(spec, source=source, progress=progress, recorder=recorder)
    equal = result.result_sha256 == run.result_sha256
    differences = _differences(run, spec)
    # Files were hashed for their identity; a journal is hashed only where that can explain something.
    if not equal or not run.identity.journal_id:
        now = data_sha256(spec.data, found)
        if run.data_sha256 and now != run.data_sha256:
            differences.append(f"data: {run.data_sha256[:12]}, {now[:12] or 'not to be read'}")
    return Repeated(result, equal, differences)


def _differences(run: Run, spec: BacktestSpec) -> list[str]:
    code, python = code_of(spec), python_version()
    told = []
    if code != run.code_sha256:
        told.append(f"code: {run.code_sha256[:12]}, {code[:12]}")
    if python != run.python:
        told.append(f"Python: {run.python}, {python}")
    return told
