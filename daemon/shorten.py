"""Lets the oldest segments of a journal go: what they came to is written and proven first.

The order on disk: the base state is written under another name, synced, and read back from the
device; the core and the tables made from it are compared with those it was made of; it gets its name
and its folder is synced: from here on the journal begins there; the old segments are removed.
Whatever moment a crash picks, the journal begins where it began, or at the new place with its base
state whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from daemon.journal.archive_file import header_of
from daemon.journal.base_file import BaseContent, BaseFile, draft_base, first_base, put_base
from daemon.journal.disk import DISK, Disk
from daemon.journal.errors import JournalCorruptError, JournalError
from daemon.journal.listing import ARCHIVE, list_leftovers
from daemon.journal.lock import JournalLock
from daemon.journal.reader import JournalReader
from daemon.journal.retention import Limits, Policy, RetentionPlan, plan_retention, remove_leftovers
from daemon.journal.segment import SegmentName
from daemon.readmodel.beginning import open_following
from daemon.readmodel.catch_up import in_transactions
from daemon.readmodel.database import KEEP_TICKS, remove
from daemon.readmodel.watermark import keep_ticks_of, projected_seq
from daemon.readmodel.writer import PRUNE_EVERY, ReadModelWriter
from daemon.snapshots import KEEP, sequences
from daemon.start import core_at_beginning
from daemon.trading.core import Core
from daemon.trading.dump import CoreDump, DumpError, dump
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.venue.paper.follow import Follower, resume

MOST_SEGMENTS = 16
"""Segments that go at once: a bound on the work that a stop in the middle throws away."""


def limits_of(data: Path, confirmed_seq: int | None) -> Limits:
    """Return what of a data folder's journal is still needed.

    Args:
        data: the data folder.
        confirmed_seq: the last event TimescaleDB has confirmed; None where sync is off.
    """
    base = first_base(data / "journal")
    first_seq = 1 if base is None else base.header.first_seq
    # Older ones only shorten the way to the past, and go with the segments they lead into.
    usable = [seq for seq in sequences(data)[-KEEP:] if seq >= first_seq - 1]
    return Limits(confirmed_seq, projected_seq(data) or None, min(usable, default=None))


def shorten(  # noqa: PLR0913
    data: Path,
    policy: Policy,
    limits: Limits,
    *,
    now_ns: int,
    disk: Disk = DISK,
    rest: Callable[[float], object] | None = None,
    done: Callable[[RetentionPlan], object] | None = None,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    all_kinds: bool = False,
) -> list[RetentionPlan]:
    """Let go of what the policy does not keep, some segments at a time; return what went.

    Args:
        data: the data folder; a daemon may be running on it.
        policy: what to keep.
        limits: what is kept in any case.
        now_ns: the time ages are counted to.
        disk: where base states are written and segments removed.
        rest: called after each transaction of events with the seconds it took; may sleep.
        done: called with each plan that was carried out.
        kinds: strategy classes by kind.
        all_kinds: these are all there are. A strategy that ran in what goes and cannot be made of them
            is stopped for good then; else nothing goes.

    Raises:
        JournalLockedError: somebody is archiving, or shortens it too.
        JournalError: a strategy's state cannot be kept, a segment is damaged, or the disk refused;
            nothing is lost, and it may be run again.
    """
    directory = data / "journal"
    carried_out: list[RetentionPlan] = []
    try:
        while True:
            plan = plan_retention(directory, policy, limits, now_ns=now_ns, most=MOST_SEGMENTS)
            if not plan.going and not list_leftovers(directory):
                return carried_out
            with JournalLock(directory / ARCHIVE):
                if plan.going:
                    _put_base(data, plan.first, now_ns, disk, rest, kinds, all_kinds=all_kinds)
                    carried_out.append(plan)
                remove_leftovers(directory, disk)
            if plan.going and done is not None:
                done(plan)
    except OSError as error:
        raise JournalError(
            f"{directory}: {error.strerror or error}", hint="nothing is lost; it may be run again"
        ) from error


def _put_base(
    data: Path,
    first: SegmentName,
    now_ns: int,
    disk: Disk,
    rest: Callable[[float], object] | None,
    kinds: Mapping[str, type[Strategy]],
    *,
    all_kinds: bool,
) -> None:
    directory = data / "journal"
    journal, before = JournalReader(directory), first_base(directory)
    with _scratch(data / "readmodel.db.base", journal, keep_ticks_of(data) or KEEP_TICKS) as tables:
        core = core_at_beginning(before, journal.journal_id, kinds)
        follower = resume(core)
        _pass(journal, first, follower, tables, rest)
        if not all_kinds:
            _check_strategies(core)
        draft = draft_base(
            directory,
            header_of(first),
            BaseContent(_dumped(core, follower.dump()).parts(), tables.dump(ticks_from=tables.skip_ticks_to)),
            made_ns=now_ns,
            disk=disk,
        )
        _prove(data, draft, core, tables, kinds)
    put_base(directory, draft, disk)


@contextmanager
def _scratch(path: Path, journal: JournalReader, keep_ticks: int) -> Iterator[ReadModelWriter]:
    """Make a read model that stands where the journal begins; it is gone afterwards."""
    remove(path)
    try:
        writer = open_following(path, journal, keep_ticks)
        try:
            yield writer
        finally:
            writer.close()
    finally:
        remove(path)


def _pass(
    journal: JournalReader,
    first: SegmentName,
    follower: Follower,
    tables: ReadModelWriter,
    rest: Callable[[float], object] | None,
) -> None:
    """Let core, paper venue and tables take all events before a segment."""
    last_seq = journal.last_seq
    # Tick rows that the limit at the journal's end has deleted are not needed at its beginning.
    tables.skip_ticks_to = max(0, last_seq - last_seq % PRUNE_EVERY - tables.keep_ticks)
    started = time.perf_counter()
    next_seq = follower.core.next_seq
    for first_seq, events in in_transactions(journal.batches(next_seq, first.first_seq - 1)):
        follower.skip_to(first_seq)
        follower.follow(first_seq, events)
        tables.skip_to(first_seq - 1)
        tables.apply(first_seq, events)
        if rest is not None:
            rest(time.perf_counter() - started)
        started = time.perf_counter()
    # The journal may tell of a loss right before the segment.
    follower.skip_to(first.first_seq)
    tables.skip_to(first.first_seq - 1)


def _check_strategies(core: Core) -> None:
    for strategy_id, reason in core.strategies.broken.items():
        raise JournalError(
            f"nothing goes: strategy {strategy_id} cannot be made any more: {reason}",
            hint="if its kind is of a folder of your own, name that folder",
        )


def _dumped(core: Core, venue_state: bytes) -> CoreDump:
    try:
        return dump(core, venue_state)
    except DumpError as error:
        raise JournalError(
            f"nothing goes: {error.message}", hint="stop that strategy, or keep more"
        ) from error


def _prove(
    data: Path,
    draft: BaseFile,
    core: Core,
    tables: ReadModelWriter,
    kinds: Mapping[str, type[Strategy]],
) -> None:
    """Make core and tables from the draft, and hold them against those it was made of."""
    again = core_at_beginning(draft, core.journal_id, kinds)
    pairs = zip_longest(dump(again).parts(), dump(core).parts())
    same_venue = resume(again).dump() == again.venue_state
    if not same_venue or any(one != other for one, other in pairs):
        raise JournalCorruptError(f"{draft.path}: gives another core than it was made of")
    path = data / "readmodel.db.proof"
    remove(path)
    try:
        copy = ReadModelWriter(path, core.journal_id, keep_ticks=tables.keep_ticks)
        try:
            copy.seed(draft.tables())
            same = copy.content_hash() == tables.content_hash()
        finally:
            copy.close()
    finally:
        remove(path)
    if not same:
        raise JournalCorruptError(f"{draft.path}: gives other tables than it was made of")
