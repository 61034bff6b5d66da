"""One run of `taped backup create`: made, proven, marked, told; what is found damaged is stored anew.

A backup counts when its mark is there, and the mark is put last.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from daemon.backup_state import Attempt, BackupState, GoodBackup, read_state, write_state
from daemon.trading.strategy import Strategy
from schemas.errors import TapedError
from tools.backup.create import Inputs, Made, create, scratch_folder
from tools.backup.errors import DamagedBackupError
from tools.backup.manifest import Manifest, Mark
from tools.backup.packing import Keys
from tools.backup.proof import Depth, Found, Reading, check_space, examine, restore_files
from tools.backup.source import GoneError
from tools.backup.store import Store
from tools.backup.vault import Vault

_TRIES = 3


class Proving(NamedTuple):
    """How a backup is proven.

    Attributes:
        depth: whether to replay.
        kinds: strategies by kind.
        sources: their code, as for `daemon.config.code_hash`.
        scratch: where to restore it.
        keep_ticks: limit of the read model's tick tables.
    """

    depth: Depth
    kinds: Mapping[str, type[Strategy]]
    sources: tuple[tuple[str, bytes], ...]
    scratch: Path
    keep_ticks: int | None = None


class Done(NamedTuple):
    """A backup that was made.

    Attributes:
        made: what was stored.
        found: what it came to when it was proven; None where it was not.
        proof_seconds: how long that took.
        healed: objects that were found damaged and stored anew.
    """

    made: Made
    found: Found | None
    proof_seconds: float
    healed: int


def make(
    inputs: Inputs,
    store: Store,
    *,
    keys: Keys,
    proving: Proving | None,
    advance: Callable[[int], None] | None = None,
) -> Done:
    """Make a backup and prove it. The caller holds the store.

    Args:
        inputs: what is backed up.
        store: where to.
        keys: whom to encrypt for.
        proving: how to prove it; None: it does not count yet.
        advance: called with the number of bytes that were read or restored since the last call.

    Raises:
        TapedError: it could not be made or proven; earlier backups are as they were.
    """
    distrust: frozenset[str] = frozenset()
    for left in range(_TRIES - 1, -1, -1):
        with scratch_folder(inputs.data) as scratch:
            made = create(inputs, store, scratch, keys=keys, distrust=distrust, advance=advance)
        if proving is None:
            return Done(made, None, 0.0, 0)
        vault = Vault(store, made.manifest.journal)
        started = time.perf_counter()
        try:
            reading = Reading(keys, inputs.data, made.fresh)
            found = prove(vault, made.name, made.manifest, reading=reading, proving=proving)
        except (DamagedBackupError, GoneError) as error:
            bad = error.objects if isinstance(error, DamagedBackupError) else ()
            if not left or (isinstance(error, DamagedBackupError) and not set(bad) - distrust):
                raise
            vault.remove([made.name])
            distrust |= set(bad)
            continue
        seconds = time.perf_counter() - started
        put_mark(vault, made.name, made.digest, proving.depth, found)
        return Done(made, found, seconds, len(distrust))
    raise AssertionError("the last try returns or raises")


def prove(
    vault: Vault,
    name: str,
    manifest: Manifest,
    *,
    reading: Reading,
    proving: Proving,
    advance: Callable[[int], None] | None = None,
) -> Found:
    """Restore a backup into a scratch folder and examine it; arguments as those of `restore_files`.

    Raises:
        DamagedBackupError: it is not what it should be.
        TapedError: it could not be done.
    """
    with scratch_folder(proving.scratch) as scratch:
        check_space(scratch, manifest)
        restore_files(vault, name, manifest, scratch, reading=reading, advance=advance)
        return examine(
            scratch,
            name,
            manifest,
            depth=proving.depth,
            kinds=proving.kinds,
            sources=proving.sources,
            keep_ticks=proving.keep_ticks,
            processes=max(1, len(os.sched_getaffinity(0)) // 2),
        )


def put_mark(vault: Vault, name: str, digest: str, depth: Depth, found: Found) -> None:
    """Let a backup count.

    Raises:
        TargetError: the store refused.
    """
    mark = Mark(
        manifest=digest,
        verified_ns=time.time_ns(),
        depth=depth,
        core=found.core,
        read_model=found.read_model,
    )
    vault.put(name, mark)


def tell_success(data: Path, target: str, done: Done, *, begun_ns: int) -> None:
    """Note a good backup for the daemon.

    Raises:
        OSError: the data folder refused.
    """
    manifest = done.made.manifest
    good = GoodBackup(
        name=done.made.name,
        target=target,
        journal=manifest.journal,
        last_seq=manifest.last_seq,
        made_ns=manifest.made_ns,
        verified_ns=time.time_ns(),
        length=manifest.length,
    )
    former = read_state(data) or BackupState()
    write_state(data, BackupState(good=good if done.found else former.good, attempt=_attempt(begun_ns)))


def tell_failure(data: Path, error: TapedError, *, begun_ns: int) -> None:
    """Note a failed one; the last good one stays.

    Raises:
        OSError: the data folder refused.
    """
    former = read_state(data) or BackupState()
    write_state(data, msgspec.structs.replace(former, attempt=_attempt(begun_ns, error.message)))


def _attempt(begun_ns: int, problem: str = "") -> Attempt:
    return Attempt(begun_ns=begun_ns, seconds=(time.time_ns() - begun_ns) / 1e9, problem=problem)
