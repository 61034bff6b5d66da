"""Batches of the journal, joined to transactions for the read model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from daemon.journal.reader import Batch
from schemas.codec import AnyEvent

MAX_TRANSACTION_EVENTS = 16_384
"""Few large transactions: each costs some ten waits for the interpreter lock, whatever its length."""


def in_transactions(
    batches: Iterable[Batch], most: int = MAX_TRANSACTION_EVENTS
) -> Iterator[tuple[int, list[AnyEvent]]]:
    """Yield `(first seq, consecutive events)`, at least `most` together where there are so many.

    Where the numbers jump, a transaction ends: the journal tells of a loss there, or the reader
    would have refused it.
    """
    first_seq = 0
    events: list[AnyEvent] = []
    for batch in batches:
        if events and batch.first_seq != first_seq + len(events):
            yield first_seq, events
            events = []
        if not events:
            first_seq = batch.first_seq
        events += batch.events
        if len(events) >= most:
            yield first_seq, events
            events = []
    if events:
        yield first_seq, events
