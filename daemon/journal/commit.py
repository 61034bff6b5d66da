"""Group commit: one thread that turns whatever waits into one frame and one sync.

The loop's thread submits; events that arrive while a sync runs form the next frame. Ticks alone may
linger to share a frame; anything urgent goes at once and takes the ticks along. A hand-off between
threads costs far more than an event, so there is one each way per frame.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from daemon.journal.reader import Batch
from daemon.journal.writer import JournalWriter
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.frame import MAX_EVENTS

log = logging.getLogger(__name__)

MARK_AFTER_S = 1.0

PAGE_EVENTS = 80
"""About so many ticks fill a page. Fewer cost the disk as much, so they wait longer for company:
10 ticks/s with 20 ms alone write 7 GB a day, zero filling included, and 1.2 GB with 0.6 s."""


class CommitThread:
    """Owns a `JournalWriter` and calls it from its own thread.

    Args:
        writer: an open journal; closed by `close`.
        on_durable: called on the commit thread with each batch that became durable.
        on_failure: called on the commit thread, once, with the reason the journal stopped.
        linger_s: how long ticks alone may wait for company.
        quiet_linger_s: how long they may wait while they do not fill a page of the disk.
        max_frame_events: events that end the linger early.

    Attributes:
        next_seq: the number the next submitted event gets.
        durable_seq: everything up to here is written and synced.
        pending: events submitted and not yet durable.
        failed: why the journal stopped, or None.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        on_durable: Callable[[Batch], None],
        on_failure: Callable[[str], None],
        linger_s: float = 0.02,
        quiet_linger_s: float = 0.6,
        max_frame_events: int = 4096,
    ) -> None:
        self._writer = writer
        self._on_durable = on_durable
        self._on_failure = on_failure
        self._linger_s = linger_s
        self._quiet_linger_s = max(linger_s, quiet_linger_s)
        self._max_frame_events = min(max_frame_events, MAX_EVENTS)
        self.next_seq = writer.next_seq
        self.durable_seq = writer.next_seq - 1
        self.failed: str | None = None
        self._lock = threading.Lock()
        # Entering the lock itself is a C call; entering the condition around it costs 0.15 us more.
        self._condition = threading.Condition(self._lock)
        self._full: list[list[AnyEvent]] = []
        self._frame: list[AnyEvent] = []
        self._taken_seq = self._look_seq = writer.next_seq
        self._first_submitted = 0.0
        self._urgent = False
        self._closing = False
        self._certified = True
        self.progress_ns = time.monotonic_ns()
        self._thread = threading.Thread(target=self._run, name="taped-journal", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Events submitted and not yet durable."""
        return self.next_seq - 1 - self.durable_seq

    @property
    def sync_ns(self) -> int:
        """How long the last frame's write and sync took."""
        return self._writer.sync_ns

    @property
    def bytes_written(self) -> int:
        """Bytes of frames since the start."""
        return self._writer.bytes_written

    @property
    def bytes_filled(self) -> int:
        """Zeros that segments were filled with ahead of need, since the start."""
        return self._writer.bytes_filled

    def submit(self, events: Sequence[AnyEvent], *, urgent: bool) -> int:
        """Hand over events, which stay together in one frame; return the number of the first.

        Call from one thread only.
        """
        # One more event for a frame that is on its way is the common case: 0.2 us.
        with self._lock:
            first_seq = self.next_seq
            self.next_seq = next_seq = first_seq + len(events)
            if next_seq >= self._look_seq or (urgent and not self._urgent):
                self._look(first_seq, next_seq, urgent=urgent)
            self._frame += events
        return first_seq

    def _look(self, first_seq: int, next_seq: int, *, urgent: bool) -> None:
        """Begin a frame where events would overfill one; wake the thread for what it waits for.

        It sleeps until something begins to wait, fills a page, fills a frame or turns urgent.
        """
        if first_seq == self._taken_seq:
            self._first_submitted = time.monotonic()
        self._urgent = self._urgent or urgent
        frame_seq = first_seq - len(self._frame)
        if self._frame and next_seq > frame_seq + self._max_frame_events:
            self._full.append(self._frame)
            self._frame, frame_seq = [], first_seq
        page_seq = self._taken_seq + PAGE_EVENTS
        self._look_seq = frame_seq + self._max_frame_events
        if next_seq < page_seq:
            self._look_seq = min(self._look_seq, page_seq)
        self._condition.notify()

    def close(self, *, timeout_s: float | None = None) -> None:
        """Write what waits, seal the segment and let the journal go.

        Raises:
            JournalPoisonedError: that failed.
            TapedError: the disk did not answer within the time.
        """
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TapedError(
                f"the journal's last sync has not returned after {timeout_s} s",
                hint="is the disk hanging? nothing acknowledged is lost",
            )
        self._writer.close()

    def _run(self) -> None:
        try:
            while self._take_and_write():
                pass
        except Exception as error:
            # Whatever it was, no later frame may be promised: the loop is told, and waits in vain no more.
            self.failed = str(error)
            log.exception("the journal stopped")
            self._on_failure(self.failed)

    def _take_and_write(self) -> bool:
        frames = self._take()
        if frames is None:
            return False
        if not frames:
            self._writer.mark()
            self._certified = True
            return True
        for events in frames:
            first_seq = self._writer.append(events)
            self._certified = False
            self.durable_seq = self._writer.next_seq - 1
            self.progress_ns = time.monotonic_ns()
            self._on_durable(Batch(first_seq, events, time.time_ns()))
        return True

    def _take(self) -> list[list[AnyEvent]] | None:
        """Wait until there is something to write.

        Returns:
            None when closing and nothing is left; nothing when the last frame is to be certified.
        """
        with self._condition:
            while self._taken_seq == self.next_seq:
                if self._closing:
                    return None
                woken = self._condition.wait(MARK_AFTER_S)
                self.progress_ns = time.monotonic_ns()
                if not woken and not self._certified:
                    return []
            self._linger()
            taken, self._full, self._frame = [*self._full, self._frame], [], []
            self._taken_seq = self._look_seq = self.next_seq
            self._urgent = False
        return taken

    def _linger(self) -> None:
        while not (self._urgent or self._closing):
            waiting = self.next_seq - self._taken_seq
            if waiting >= self._max_frame_events:
                return
            linger_s = self._linger_s if waiting >= PAGE_EVENTS else self._quiet_linger_s
            left = self._first_submitted + linger_s - time.monotonic()
            if left <= 0:
                return
            self._condition.wait(left)
