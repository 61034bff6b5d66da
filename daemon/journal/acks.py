"""Futures that wait for sequence numbers to become durable. Belongs to one event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class Acknowledgements:
    """Waiters in order of their sequence numbers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    def wait_for(self, seq: int) -> asyncio.Future[None]:
        """Return a future that resolves when everything up to `seq` is durable.

        One that asks for an earlier number than the one before it resolves together with that.
        """
        # `loop.create_future` makes the same, one Python call later.
        future: asyncio.Future[None] = asyncio.Future(loop=self._loop)
        self._waiters.append((seq, future))
        return future

    def resolve(self, durable_seq: int) -> None:
        """Resolve whoever waits for up to that number."""
        waiters = self._waiters
        while waiters:
            seq, future = waiters[0]
            if seq > durable_seq:
                return
            waiters.popleft()
            if not future.done():
                future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Fail whoever waits."""
        waiters, self._waiters = self._waiters, deque()
        for _, future in waiters:
            if not future.done():
                future.set_exception(error)
