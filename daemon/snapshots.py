"""Snapshots of the core on disk, so that a start replays the journal's tail and not all of it.

A snapshot is only ever a shorter way to what the journal says. One that is damaged, or of other code
or another journal, is passed over with a line in the log; nothing here makes a start or a running
daemon fail. None is written before the journal holds all its events durably.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from daemon import snapshot_file
from daemon.journal.disk import DISK, Disk
from daemon.journal.listing import beginning
from daemon.snapshot_file import OtherCodeError, listed, remove
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, DumpError, dump
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy

log = logging.getLogger(__name__)

EVERY_EVENTS = 100_000
"""Events between two snapshots; about so many at most are replayed after a crash, or to look into the past.

With one strategy that looks at every tick an event takes 0.8 us. With 50,000 closed orders a snapshot
takes 3 to 5 ms of the loop, 60 ms of a thread and 0.5 MB of the disk.
"""

KEEP = 3
"""The newest, for starts."""

LADDER_BYTES = 256 << 20
"""Older ones make up a ladder, for looks into the past; so much disk they may take with the newest."""

MAX_FILES = 2_000

PAST = "past"
"""Folder beside the snapshots for those that looks into the past have left."""


class Snapshots:
    """Takes snapshots of a running core, in two steps: on the loop, then on disk once that is allowed.

    Args:
        data: the data folder.
        code_hash: of the code that runs.
        last_seq: up to where the core came from a snapshot; 0 when it did not.
        every: events between two snapshots.
        venue_state: gives the state of a venue that lives in this process, where there is one.
        disk: where they are written.
    """

    def __init__(
        self,
        data: Path,
        code_hash: str,
        *,
        last_seq: int = 0,
        every: int = EVERY_EVENTS,
        venue_state: Callable[[], bytes] = bytes,
        disk: Disk = DISK,
    ) -> None:
        self._folder = data / "snapshots"
        self._journal = data / "journal"
        self._code_hash = code_hash
        self._last_seq = last_seq
        self._every = every
        self._venue_state = venue_state
        self._disk = disk
        self._taken: CoreDump | None = None
        self._thread: threading.Thread | None = None
        self._told = ""

    def due(self, seq: int) -> bool:
        """Return whether it is time for a snapshot and none is under way."""
        if seq - self._last_seq < self._every or self._taken is not None:
            return False
        return self._thread is None or not self._thread.is_alive()

    def take(self, core: Core) -> CoreDump | None:
        """Return the core's state as it is now, for `write`; None while it cannot be dumped.

        Call on the core's thread, between two inputs. Takes 3 to 7 ms with 50,000 closed orders.
        """
        self._last_seq = core.next_seq - 1
        try:
            return dump(core, self._venue_state())
        except DumpError as error:
            if error.message != self._told:
                log.warning("no snapshot: %s; a start replays from the last one", error)
                self._told = error.message
            return None

    def write(self, taken: CoreDump) -> bool:
        """Write what was taken, on any thread; return whether that is durable now.

        Call when the journal is durable up to `taken.seq`.
        """
        try:
            snapshot_file.write(self._disk, self._folder, taken, self._code_hash)
            prune(self._folder, taken.seq, every=self._every, first_seq=self._first_seq(), disk=self._disk)
        except (OSError, DumpError) as error:
            log.warning("no snapshot at seq %d: %s", taken.seq, error)
            return False
        log.info("snapshot at seq %d", taken.seq)
        return True

    def _first_seq(self) -> int:
        """Return where the journal begins by now."""
        begins = beginning(self._journal) if self._journal.is_dir() else None
        return 1 if begins is None else begins.first_seq

    def on_durable(self, durable_seq: int, core: Core) -> None:
        """Do what is due now; call on the loop after each batch that became durable.

        The core runs ahead of the disk: its state is taken now and written after a later batch.
        """
        if self._taken is None and self.due(core.next_seq - 1):
            self._taken = self.take(core)
        taken = self._taken
        if taken is not None and taken.seq <= durable_seq:
            self._taken = None
            self._thread = threading.Thread(
                target=self.write, args=(taken,), name="taped-snapshot", daemon=True
            )
            self._thread.start()

    def close(self, core: Core, durable_seq: int, *, timeout_s: float | None = None) -> None:
        """Write a last snapshot, when the core holds something new and all of it is durable.

        Call when nothing feeds the core any more. Blocks until the disk has answered.

        Args:
            core: in its last state.
            durable_seq: up to where the journal is durable.
            timeout_s: how long to wait for a snapshot that is being written; with that one under way
                after it, there is no other.
        """
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return
        waiting, self._taken = self._taken, None
        last_seq = core.next_seq - 1
        if last_seq <= durable_seq and (waiting is not None or self._last_seq < last_seq):
            taken = self.take(core)
            if taken is not None:
                self.write(taken)


def save(data: Path, core: Core, code_hash: str, *, disk: Disk = DISK) -> bool:
    """Write a snapshot of a core whose events are all durable; return whether there is one now."""
    snapshots = Snapshots(data, code_hash, disk=disk)
    taken = snapshots.take(core)
    return taken is not None and snapshots.write(taken)


def load_newest(
    data: Path,
    journal_id: str,
    code_hash: str,
    last_seq: int,
    *,
    first_seq: int = 1,
    venue: str = "paper",
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
) -> Core | None:
    """Return the core of the newest snapshot that can be used, or None: then the journal tells all.

    Only who holds the journal's lock may call it: snapshots beyond the journal's end are removed.
    They tell of events that a repair has cut off, and would be wrong once other events have their
    numbers.

    Args:
        data: the data folder.
        journal_id: of the journal in it.
        code_hash: of the code that runs; other code may decide otherwise.
        last_seq: the last event in the journal.
        first_seq: the first one; a snapshot that ends before it has no way to the journal's end.
        venue: as for `Core`.
        kinds: as for `Core`.
    """
    folder = data / "snapshots"
    told = False
    remove(DISK, folder / PAST, [path for seq, path in listed(folder / PAST) if seq > last_seq])
    for seq, path in reversed(listed(folder)):
        if seq > last_seq:
            log.warning("%s: the journal ends before it, at %d; removed", path, last_seq)
            remove(DISK, folder, [path])
            continue
        if seq < first_seq - 1:
            log.warning("%s is not used: the journal begins at %d by now", path, first_seq)
            return None
        try:
            core = snapshot_file.read(path, journal_id, code_hash, venue=venue, kinds=kinds)
        except OtherCodeError as error:
            # After an upgrade that holds for the whole ladder, and is said once.
            log.log(logging.DEBUG if told else logging.WARNING, "%s is not used: %s", path, error)
            told = True
        except Exception as error:  # noqa: BLE001  # Whatever it is, the journal knows better.
            log.warning("%s is not used: %s", path, error)
        else:
            log.info("core from the snapshot at seq %d of %d", seq, last_seq)
            return core
    return None


def sequences(data: Path) -> list[int]:
    """Return up to where the snapshots in a data folder reach, oldest first, by their names alone."""
    return [seq for seq, _ in listed(data / "snapshots")]


def prune(
    folder: Path,
    newest: int,
    *,
    every: int = EVERY_EVENTS,
    first_seq: int = 1,
    most_bytes: int = LADDER_BYTES,
    disk: Disk = DISK,
) -> None:
    """Keep the newest snapshots, and of the older ones a ladder whose steps are about equally far apart.

    Args:
        folder: with the snapshots.
        newest: the one just written; any above it are of a journal that is gone.
        every: two neighbours may be so far apart when the one between them goes.
        first_seq: where the journal begins; what ends before it leads nowhere.
        most_bytes: what the folder may take; beyond it the rung goes whose neighbours are nearest.
        disk: where they are removed.
    """
    found = listed(folder)
    kept = {seq: _size(path) for seq, path in found if first_seq - 1 <= seq <= newest}
    rungs = list(kept)[:-KEEP]
    below = first_seq - 1
    for rung, above in zip(rungs, list(kept)[1:], strict=False):
        if above - below <= every:
            del kept[rung]
        else:
            below = rung
    while len(kept) > KEEP and (sum(kept.values()) > most_bytes or len(kept) > MAX_FILES):
        del kept[_least_missed(list(kept), first_seq - 1)]
    remove(disk, folder, [path for seq, path in found if seq not in kept])


def _least_missed(seqs: Sequence[int], below: int) -> int:
    """Return the rung without which the longest stretch is shortest; the newest ones are none."""
    lower, rungs, upper = [below, *seqs], seqs[:-KEEP], seqs[1:]
    return min(zip(lower, rungs, upper, strict=False), key=lambda step: step[2] - step[0])[1]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
