"""Backups beside `cp`: a gigabyte of sealed segments, plain and archived, to the same disk and synced.

`cp` copies the same files, and each copy is synced, as every object of a backup is. Sources are in memory
for both. The proof is not part of it; what it takes stands in the details.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from daemon.journal.archive import archive_journal
from daemon.journal.listing import list_journal
from daemon.journal.writer import JournalWriter
from daemon.trading.strategies import STRATEGIES
from tools.backup.create import Inputs, create, scratch_folder
from tools.backup.packing import Keys
from tools.backup.proof import Reading
from tools.backup.run import Proving, prove
from tools.backup.store import FolderStore
from tools.backup.vault import Vault
from tools.bench.report import Result, in_turn
from tools.bench.samples import trades

_BYTES = 1_000_000_000
_SEGMENT_BYTES = 64 << 20
_FRAME = 4096
_ROUNDS = 5


def measure(scratch: Path, *, market_data: Path | None, quick: bool) -> list[Result]:
    """Return `backup.segments`, `backup.archives` and `backup.nothing_new`; market data is not used."""
    del market_data
    data = scratch / "data"
    _fill(data / "journal", _BYTES // (10 if quick else 1))
    results = [_beside_cp(scratch, data, "segments", quick=quick), *_incremental(scratch, data)]
    archive_journal(data / "journal")
    return [results[0], _beside_cp(scratch, data, "archives", quick=quick), *results[1:]]


def _fill(directory: Path, length: int) -> None:
    """Write a journal of sealed segments; the last of them is sealed too."""
    events = list(trades(_FRAME * 16))
    with JournalWriter.open(directory, segment_bytes=_SEGMENT_BYTES) as writer:
        while writer.bytes_written < length:
            for at in range(0, len(events), _FRAME):
                writer.append(events[at : at + _FRAME])


def _beside_cp(scratch: Path, data: Path, name: str, *, quick: bool) -> Result:
    files = [segment.path for segment in list_journal(data / "journal")]
    length = sum(path.stat().st_size for path in files)
    found = in_turn(
        {
            "backup": lambda: length / _backup(scratch, data),
            "cp": lambda: length / _cp(scratch, files),
        },
        rounds=2 if quick else _ROUNDS,
    )
    return Result(
        name=f"backup.{name}",
        unit="MB/s",
        value=found["backup"] / 1e6,
        ratios={"cp": found["backup"] / found["cp"]},
        detail={"bytes": length, "cp": found["cp"] / 1e6},
    )


def _backup(scratch: Path, data: Path) -> float:
    target = scratch / "target"
    target.mkdir()
    started = time.perf_counter()
    with scratch_folder(data) as folder:
        create(Inputs(data), FolderStore(target), folder, keys=Keys())
    seconds = time.perf_counter() - started
    shutil.rmtree(target)
    return seconds


def _cp(scratch: Path, files: list[Path]) -> float:
    copies = scratch / "copies"
    copies.mkdir()
    started = time.perf_counter()
    subprocess.run(["cp", *files, copies], check=True)  # noqa: S603, S607  # What everybody has.
    for path in (*copies.iterdir(), copies):
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    seconds = time.perf_counter() - started
    shutil.rmtree(copies)
    return seconds


def _incremental(scratch: Path, data: Path) -> list[Result]:
    target = scratch / "target"
    target.mkdir()
    store = FolderStore(target)
    with scratch_folder(data) as folder:
        create(Inputs(data), store, folder, keys=Keys())
    with scratch_folder(data) as folder:
        again = create(Inputs(data), store, folder, keys=Keys())
    started = time.perf_counter()
    proving = Proving("journal", STRATEGIES, (), scratch)
    prove(
        Vault(store, again.manifest.journal),
        again.name,
        again.manifest,
        reading=Reading(Keys()),
        proving=proving,
    )
    proof_s = time.perf_counter() - started
    shutil.rmtree(target)
    return [
        Result(
            name="backup.nothing_new",
            unit="s",
            value=again.seconds,
            detail={"new_bytes": again.fresh_bytes, "proof_without_replay_s": proof_s},
        )
    ]
