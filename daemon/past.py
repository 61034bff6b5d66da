"""Core and paper venue as they were behind any event: from the nearest state, and what came after it.

States are the base state, the snapshots that the daemon keeps, and those kept here for journals that
have none: a look that has to replay far leaves some on its way, in `DATA/snapshots/past`. Reads a
journal that a daemon is writing, and takes no lock of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from daemon import snapshot_file
from daemon.journal.base_file import first_base
from daemon.journal.disk import DISK
from daemon.journal.errors import JournalError
from daemon.journal.listing import list_journal
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.snapshot_file import OtherCodeError, listed
from daemon.snapshots import EVERY_EVENTS, PAST, prune
from daemon.start import core_at_beginning
from daemon.trading.core import Core
from daemon.trading.dump import DumpError, dump
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.venue.paper import PaperVenue
from daemon.venue.paper.follow import Follower, resume
from schemas.errors import TapedError
from schemas.events import Event

log = logging.getLogger(__name__)


class PastError(TapedError):
    """The journal does not hold that event."""


class Past(NamedTuple):
    """What was known behind an event.

    Attributes:
        core: as all events up to `seq` leave it.
        venue: the paper venue as it was then.
        pending: reports it had made by then, and the core was not told.
        seq: the event.
        from_seq: the state it was made from is that behind this event.
        origin: which state that is, in words.
    """

    core: Core
    venue: PaperVenue
    pending: list[Event]
    seq: int
    from_seq: int
    origin: str


class _State(NamedTuple):
    core: Core
    origin: str
    is_own: bool


def past(
    data: Path,
    seq: int,
    *,
    code_hash: str,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    any_code: bool = False,
    keep: bool = False,
    every: int = EVERY_EVENTS,
) -> Past:
    """Return core and venue as they were behind an event.

    It is all Python and no waiting: within a process that has other things to do, call it in a worker
    process, or in a thread (`asyncio.to_thread`) and one at a time.

    Args:
        data: the data folder.
        seq: the event; 0 for what was before the first one.
        code_hash: of the code that runs.
        kinds: strategy classes by kind.
        any_code: also begin with a snapshot of other code: orders, positions and money are the same, and
            a strategy that this code cannot read is stopped. For looks, not for decisions.
        keep: leave states on a long way, for the next look.
        every: events between those.

    Raises:
        PastError: the journal begins later, or ends before it.
        JournalError: the journal cannot be read.
    """
    journal = JournalReader(data / "journal")
    begins = journal.first_seq
    if seq < begins - 1:
        raise PastError(
            f"{data}: the journal begins at seq {begins:,}, seq {seq:,} is gone",
            hint="retention let go of it; a backup may have it",
        )
    state = _nearest(data, journal, seq, begins, code_hash, kinds, any_code=any_code)
    follower, from_seq = resume(state.core), state.core.next_seq - 1
    keeper = _Keeper(data, journal, code_hash, every) if keep and state.is_own else None
    if from_seq < seq:
        for batch in journal.batches(from_seq + 1, seq):
            follower.skip_to(batch.first_seq)
            follower.follow(batch.first_seq, batch.events)
            if keeper is not None:
                keeper.look(follower)
    # An event that a repair gave up has no number behind it, and yet a place: what came before it.
    if follower.core.next_seq <= seq and journal.last_seq < seq:
        raise PastError(f"{data}: the journal ends at seq {journal.last_seq:,}, before seq {seq:,}")
    return Past(follower.core, follower.venue, follower.pending, seq, from_seq, state.origin)


def _nearest(
    data: Path,
    journal: JournalReader,
    seq: int,
    begins: int,
    code_hash: str,
    kinds: Mapping[str, type[Strategy]],
    *,
    any_code: bool,
) -> _State:
    """Return the last state there is of the time up to an event."""
    for at, path in _snapshots(data, begins - 1, seq):
        try:
            try:
                return _State(
                    snapshot_file.read(path, journal.journal_id, code_hash, kinds=kinds),
                    f"the snapshot at seq {at:,}",
                    is_own=True,
                )
            except OtherCodeError:
                if not any_code:
                    continue
            core = snapshot_file.read(path, journal.journal_id, None, kinds=kinds)
        except (TapedError, OSError) as error:
            log.info("%s is not used: %s", path, error)
        else:
            return _State(core, f"the snapshot of other code at seq {at:,}", is_own=False)
    core = core_at_beginning(first_base(journal.directory), journal.journal_id, kinds)
    origin = "the beginning" if core.next_seq == 1 else f"the base state at seq {core.next_seq - 1:,}"
    return _State(core, origin, is_own=True)


def _snapshots(data: Path, first: int, last: int) -> Iterator[tuple[int, Path]]:
    """Yield the snapshots within two events, newest first."""
    found = [*listed(data / "snapshots"), *listed(_folder(data))]
    yield from sorted((item for item in found if first <= item[0] <= last), reverse=True)


def _folder(data: Path) -> Path:
    return data / "snapshots" / PAST


class _Keeper:
    """Leaves states on a long way; whatever keeps it from that, the look goes on without.

    Only finished segments are gone by: the end of the one that is being written may yet be lost, and its
    numbers be given to other events.
    """

    def __init__(self, data: Path, journal: JournalReader, code_hash: str, every: int) -> None:
        self._folder = _folder(data)
        self._code_hash = code_hash
        self._every = every
        self._begins = journal.first_seq
        self._finished = list_journal(journal.directory)[-1].first_seq - 1
        there_are = {at for at, _ in _snapshots(data, 0, self._finished)}
        self._last = 0
        self._there_are = there_are

    def look(self, follower: Follower) -> None:
        """Leave the state, if it is time for one."""
        seq = follower.core.next_seq - 1
        if seq - self._last < self._every or seq > self._finished:
            return
        nearest = max((at for at in self._there_are if at <= seq), default=0)
        self._last = seq
        if seq - nearest < self._every:
            return
        # A snapshot that cannot be written costs the next look some time, and nothing else.
        with suppress(DumpError, JournalError, OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with JournalLock(self._folder):
                snapshot_file.write(DISK, self._folder, dump(follower.core, follower.dump()), self._code_hash)
                prune(self._folder, self._finished, every=self._every // 2, first_seq=self._begins)
        self._there_are.add(seq)
