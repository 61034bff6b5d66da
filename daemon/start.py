"""How a core comes back: from a snapshot, else from the base state, else from event 1; then the journal.

A snapshot is the shortest way and only that of the code that wrote it. Where the journal's oldest
events are gone, the base state stands for them whatever code runs: without one of the two there is
no start, for a state made of the rest alone would be wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from daemon.journal.base_file import BaseFile, first_base
from daemon.journal.errors import JournalCorruptError
from daemon.journal.listing import beginning
from daemon.journal.reader import JournalReader
from daemon.snapshots import load_newest
from daemon.trading.core import Core
from daemon.trading.dump import DumpError, load
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.events import Event

log = logging.getLogger(__name__)


def core_at_end(
    data: Path,
    journal_id: str,
    code_hash: str,
    last_seq: int,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
) -> Core:
    """Return the core as the journal left it. The caller holds the journal's lock.

    Args:
        data: the data folder.
        journal_id: of the journal in it.
        code_hash: of the code that runs.
        last_seq: the last event in the journal.
        kinds: as for `Core`.

    Raises:
        JournalCorruptError: what the journal begins with is damaged, and no snapshot can be used.
    """
    core = core_before_tail(data, journal_id, code_hash, last_seq, kinds)
    if last_seq > 0:
        advance(core, JournalReader(data / "journal"))
    return core


def core_before_tail(
    data: Path,
    journal_id: str,
    code_hash: str,
    last_seq: int,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
) -> Core:
    """Return the nearest core that is written down; arguments and errors as those of `core_at_end`."""
    if last_seq < 1:
        return Core(journal_id, kinds=kinds)
    begins = beginning(data / "journal")
    first_seq = 1 if begins is None else begins.first_seq
    core = load_newest(data, journal_id, code_hash, last_seq, first_seq=first_seq, kinds=kinds)
    # A base state that is damaged is missed only by a start that has no snapshot.
    return core_at_beginning(first_base(data / "journal"), journal_id, kinds) if core is None else core


def core_at_beginning(
    base: BaseFile | None, journal_id: str, kinds: Mapping[str, type[Strategy]] = STRATEGIES
) -> Core:
    """Return the core before the journal's first event: empty, or as the base state tells.

    A strategy whose state this code does not read is stopped, with that for a reason.

    Raises:
        JournalCorruptError: the base state is damaged, or of another journal, or cannot be read.
    """
    if base is None:
        return Core(journal_id, kinds=kinds)
    if base.header.journal.hex() != journal_id:
        raise JournalCorruptError(
            f"{base.path}: of journal {base.header.journal.hex()}, this is {journal_id}"
        )
    try:
        core = load(journal_id, base.core(), kinds=kinds, or_stop=True)
    except DumpError as error:
        raise JournalCorruptError(f"{base.path}: {error.message}") from error
    if core.next_seq != base.header.first_seq:
        raise JournalCorruptError(f"{base.path}: holds the state after seq {core.next_seq - 1}")
    for strategy_id, reason in core.strategies.broken.items():
        log.warning("strategy %s is stopped: %s", strategy_id, reason)
    return core


def definitions(directory: Path) -> list[Event]:
    """Return the instruments and calendars that were known before a journal's first event.

    Raises:
        JournalCorruptError: the base state is damaged or cannot be read.
    """
    base = first_base(directory)
    if base is None:
        return []
    core = core_at_beginning(base, base.header.journal.hex())
    return [*core.calendars.defined.values(), *core.instruments.values()]


def advance(core: Core, journal: JournalReader, last_seq: int | None = None) -> None:
    """Let the core take what the journal holds from its next event on, to the end or to `last_seq`."""
    for batch in journal.batches(core.next_seq, last_seq):
        # A jump is a loss the journal tells of: the reader refuses any other.
        core.next_seq = batch.first_seq
        core.replay(batch.first_seq, batch.events)
