"""Core and paper venue as the journal left them: from what is written down, and what came after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from daemon.journal.reader import JournalReader
from daemon.start import core_before_tail
from daemon.trading.core import Core
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.venue.paper import PaperVenue
from daemon.venue.paper.follow import resume
from schemas.events import Event


class Rebuilt(NamedTuple):
    """What a start goes on with.

    Attributes:
        core: as all events of the journal leave it.
        venue: the paper venue as it was then.
        missing: reports that the venue had made and the journal lacks; they come first.
    """

    core: Core
    venue: PaperVenue
    missing: list[Event]


def rebuild(
    data: Path,
    journal_id: str,
    code_hash: str,
    last_seq: int,
    kinds: Mapping[str, type[Strategy]] = STRATEGIES,
) -> Rebuilt:
    """Return core and venue at the journal's end; arguments and errors as those of `core_at_end`."""
    core = core_before_tail(data, journal_id, code_hash, last_seq, kinds)
    follower = resume(core)
    if last_seq > 0:
        for batch in JournalReader(data / "journal").batches(core.next_seq):
            # A jump is a loss the journal tells of: the reader refuses any other.
            follower.skip_to(batch.first_seq)
            follower.follow(batch.first_seq, batch.events)
    return Rebuilt(core, follower.venue, follower.pending)
