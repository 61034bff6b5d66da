"""Asks a venue elsewhere: calls through circuit breakers, pauses that grow, and what is new told.

Sends nothing by itself; the gateway decides what is called.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from daemon.breaker import BreakerOpenError, Breakers, OutsideError
from daemon.trading.orders import Order
from daemon.venue.live import LiveVenue, VenueFill, VenueOrder, VenueRefusedError
from daemon.venue.news import MAX_REASON, is_writable, lacks_fills, news
from schemas.errors import TapedError
from schemas.events import Event

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_CALLS = 16
"""Requests under way at one time; the others wait in their lanes."""

FILLS_BEFORE_NS = 3_600 * 10**9
"""Fills of an order are asked for from so long before its request on: clocks differ."""

NO_ANSWER = (TimeoutError, OSError, OutsideError)
"""What leaves open whether a call had an effect."""

OPERATIONS = ("submit", "cancel", "replace", "find", "fills", "orders", "balances")


class Patience(NamedTuple):
    """How long the gateway waits for what.

    Attributes:
        answer_s: for the answer to one request.
        settle_s: how long after a request the venue may still come to know of it; what it does not have
            then, it never had.
        first_s: pause before the first question after a doubt; it doubles each time.
        longest_s: longest pause.
    """

    answer_s: float = 5.0
    settle_s: float = 10.0
    first_s: float = 0.2
    longest_s: float = 30.0


class Asker:
    """Calls to one venue.

    Args:
        venue: makes the requests.
        patience: how long to wait for what.
        report: takes what the venue told, as inputs: `Engine.ingest`.
        breakers: those of the process.
    """

    def __init__(
        self,
        venue: LiveVenue,
        patience: Patience,
        report: Callable[[list[Event]], None],
        breakers: Breakers,
    ) -> None:
        self.name = venue.name
        self._venue = venue
        self._patience = patience
        self._report = report
        self._breakers = breakers
        self._calls = asyncio.Semaphore(MAX_CALLS)
        for operation in OPERATIONS:
            breakers.add(f"{self.name}.{operation}")

    async def asking(self, order: Order) -> AsyncIterator[VenueOrder | None]:
        """Yield each answer of the venue to who asks for the order; pauses grow between the questions."""
        pause = self._patience.first_s
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._patience.longest_s)
            try:
                found = await self.look(order)
            except BreakerOpenError as error:
                pause = min(max(pause, error.wait_s), self._patience.longest_s)
            except (*NO_ANSWER, VenueRefusedError) as error:
                log.warning("%s: order %d: %s", self.name, order.order_id, why(error))
            else:
                yield found

    async def look(self, order: Order, *, forgiving: bool = False) -> VenueOrder | None:
        """Ask for an order and report what is new; None when the venue never had it."""
        try:
            found = await self.call("find", lambda: self._venue.find(order.client_order_id))
        except (*NO_ANSWER, VenueRefusedError, BreakerOpenError):
            if forgiving:
                return None
            raise
        if found is not None:
            await self.take(order, found)
        return found

    async def take(self, order: Order, found: VenueOrder) -> None:
        """Report what is new of an order, with the fills that led there."""
        fills: Sequence[VenueFill] = ()
        if lacks_fills(order, found):
            since_ns = order.request.ts_ns - FILLS_BEFORE_NS
            try:
                fills = await self.call("fills", lambda: self._venue.fills_since(since_ns))
            except (*NO_ANSWER, VenueRefusedError, BreakerOpenError) as error:
                log.warning("%s: fills of order %d: %s", self.name, order.order_id, why(error))
        self.tell(news(order, found, fills, received_ns=time.time_ns()))

    async def call(self, operation: str, function: Callable[[], Awaitable[T]]) -> T:
        """Make one request through the breaker of its operation.

        Raises:
            BreakerOpenError: nothing was called.
            VenueRefusedError: the answer is no.
            OutsideError, OSError, TimeoutError: no answer.
        """
        async with self._calls:
            return await self._breakers.call(
                f"{self.name}.{operation}", function, timeout_s=self._patience.answer_s
            )

    def tell(self, events: list[Event]) -> None:
        """Report events, unless a venue made them of what no journal can hold."""
        if not events:
            return
        if not is_writable(events):
            log.error("%s told what no journal can hold: %r", self.name, events)
            return
        self._report(events)


def why(error: BaseException) -> str:
    """Return what a failed call says for itself."""
    text = error.message if isinstance(error, TapedError) else str(error)
    return (text or "no answer in time")[:MAX_REASON]
