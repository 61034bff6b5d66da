"""The thread that keeps the read model at the journal's end.

Durable batches are offered to it and never wait for it: when it falls behind, they are dropped, and
it reads them from the journal instead. A failing SQLite stops it where it stands and is tried again;
trading goes on meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from daemon.journal.reader import JournalReader
from daemon.readmodel.beginning import open_following
from daemon.readmodel.catch_up import MAX_TRANSACTION_EVENTS, in_transactions
from daemon.readmodel.database import REBUILD_HINT, ReadModelMismatchError
from daemon.readmodel.writer import ReadModelWriter
from schemas.codec import AnyEvent
from schemas.errors import TapedError

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 50_000
"""Beyond this, batches are dropped and read from the journal later (some 10 MB)."""

LINGER_SECONDS = 0.02
"""Pause between transactions while little is queued: fewer of them leave more of the processor to others."""

RETRY_SECONDS = 1.0


class Projector:
    """Owns a `ReadModelWriter` and the thread that uses it.

    Args:
        path: the read-model file.
        journal: folder of the journal: recovered, so all in it is durable, and not yet written to.
        keep_ticks: limit of the tick tables for a new file.

    Attributes:
        applied_seq: the last event in the read model.
        failed: why it stands still, or None.

    Raises:
        ReadModelMismatchError: the file is another journal's, of a newer version, or ahead of the journal.
        ReadModelError: it is damaged or cannot be opened.
        JournalError: there is no journal.
    """

    def __init__(self, path: Path, journal: Path, *, keep_ticks: int | None = None) -> None:
        self._path = path
        self._journal = JournalReader(journal)
        self._keep_ticks = keep_ticks
        self._queue: deque[tuple[int, Sequence[AnyEvent]]] = deque()
        self._queued_events = 0
        self._durable_seq = self._journal.last_seq
        self._changed = threading.Condition()
        self._hurry = threading.Event()
        self._stopping = False
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name="read-model", daemon=True)
        self._writer: ReadModelWriter | None = self._open()
        self.applied_seq = self._writer.applied_seq
        self.failed: str | None = None

    def start(self) -> None:
        """Start the thread; it first catches up from the journal."""
        self._thread.start()

    def offer(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take a durable batch; never blocks for longer than a few list operations."""
        with self._changed:
            self._durable_seq = max(self._durable_seq, first_seq + len(events) - 1)
            if self._queued_events + len(events) <= MAX_QUEUED_EVENTS:
                self._queue.append((first_seq, events))
                self._queued_events += len(events)
            if self._queued_events >= MAX_TRANSACTION_EVENTS:
                self._hurry.set()
            self._changed.notify()

    def stop(self, *, timeout_s: float = 2.0) -> bool:
        """Apply what was offered and close the file; return False when that took too long."""
        with self._changed:
            self._stopping = True
            self._hurry.set()
            self._changed.notify()
        if self._thread.ident is None:
            self._close()
            return True
        self._thread.join(timeout_s)
        # What is missing then is read from the journal at the next start.
        self._abandoned = True
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.applied_seq >= self._durable_seq

    def _run(self) -> None:
        while self._wait():
            try:
                self._work()
                self._hurry.wait(LINGER_SECONDS)
            except Exception as error:  # noqa: BLE001  # The thread's border: any cause is shown and retried.
                self._fail(error)
                self._pause()
        self._close()

    def _wait(self) -> bool:
        """Wait for something to apply; return False when it is time to end."""
        with self._changed:
            while self._durable_seq <= self.applied_seq and not self._stopping:
                self._changed.wait()
            if self._stopping and self.failed is not None:
                return False
            return self._durable_seq > self.applied_seq and not self._abandoned

    def _work(self) -> None:
        if self._writer is None:
            self._writer = self._open()
        writer = self._writer
        first_seq, events = self._take()
        if first_seq > writer.applied_seq + 1 or not events:
            self._catch_up(writer, first_seq - 1 if events else self._durable_seq)
        if events and not self._abandoned:
            writer.apply(first_seq, events)
        self._note(writer)

    def _take(self) -> tuple[int, list[AnyEvent]]:
        """Take consecutive batches from the queue, enough for one transaction."""
        with self._changed:
            taken: list[AnyEvent] = []
            first_seq = next_seq = self._queue[0][0] if self._queue else 0
            while self._queue and self._queue[0][0] == next_seq and len(taken) < MAX_TRANSACTION_EVENTS:
                _, events = self._queue.popleft()
                taken += events
                next_seq += len(events)
            self._queued_events -= len(taken)
            if self._queued_events < MAX_TRANSACTION_EVENTS and not self._stopping:
                self._hurry.clear()
            return first_seq, taken

    def _catch_up(self, writer: ReadModelWriter, last_seq: int) -> None:
        """Apply events from the journal, in transactions of their usual length."""
        batches = self._journal.batches(writer.applied_seq + 1, last_seq)
        for first_seq, events in in_transactions(batches, MAX_TRANSACTION_EVENTS):
            if self._abandoned:
                return
            writer.skip_to(first_seq - 1)
            writer.apply(first_seq, events)
            self._note(writer)

    def _note(self, writer: ReadModelWriter) -> None:
        self.applied_seq = writer.applied_seq
        if self.failed is not None:
            log.info("%s: goes on at seq %d", self._path, self.applied_seq)
            self.failed = None

    def _fail(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, TapedError) else f"{type(error).__name__}: {error}"
        if reason != self.failed:
            log.error("read model stands at seq %d: %s", self.applied_seq, reason)
        self.failed = reason
        self._close()

    def _pause(self) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait_for(lambda: self._stopping, RETRY_SECONDS)

    def _open(self) -> ReadModelWriter:
        writer = open_following(self._path, self._journal, self._keep_ticks)
        if writer.applied_seq > self._durable_seq:
            writer.close()
            raise ReadModelMismatchError(
                f"{self._path}: at seq {writer.applied_seq}, ahead of its journal, which ends at "
                f"{self._durable_seq}",
                hint=f"has the journal lost its end? If that is explained: {REBUILD_HINT}",
            )
        if self._keep_ticks not in (None, writer.keep_ticks):
            log.warning(
                "%s: keeps %d ticks as when it was made, not %s; a rebuild changes that",
                self._path,
                writer.keep_ticks,
                self._keep_ticks,
            )
        return writer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
