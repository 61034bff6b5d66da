"""Between the engine and a venue elsewhere: effects out, each once; doubts asked after; reports in.

Each order has a lane, in which its effects go one behind the other. An order is sent in one request and
never again: when no answer comes it is UNKNOWN, and the venue is asked for it by its client order id until
it is found, or the venue has said for long enough that it never had it. Cancels and replaces that got no
answer are asked after in the same way. Every call goes through the circuit breaker of its operation; where
that is open nothing leaves, and the effect is refused at once.

What the venue tells, in whatever order and however often, is held against the core's order
(`daemon.venue.news`), and only the difference is reported.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from daemon.breaker import BreakerOpenError, Breakers
from daemon.trading.core import Core
from daemon.trading.order_states import OrderStatus
from daemon.trading.orders import Order
from daemon.venue.asking import NO_ANSWER, Asker, Patience, why
from daemon.venue.live import LiveVenue, VenueFill, VenueOrder, VenueRefusedError
from daemon.venue.news import (
    filled_event,
    has_terms,
    is_complete,
    news,
    order_id_of,
    refused,
)
from schemas.codec import AnyEvent
from schemas.events import (
    CancelRejected,
    CancelRequested,
    Event,
    OrderRejected,
    OrderSubmitted,
    OrderUnknown,
    ReplaceRejected,
    ReplaceRequested,
)

log = logging.getLogger(__name__)

MAX_LANE = 100
"""Effects of one order that wait; beyond it they are refused."""

_FILLS_LACK = "the venue has not told of all its fills"


class _Doubt(NamedTuple):
    """Something about an order, or about a replace of it, that the venue must be asked for."""

    order_id: int
    reason: str
    replace: bool = False


_Step = OrderSubmitted | CancelRequested | ReplaceRequested | _Doubt


class Gateway:
    """A venue elsewhere, as the engine knows venues.

    Args:
        venue: makes the requests.
        core: whose orders they are.
        patience: how long to wait for what.
        on_gap: called when the venue's own reports may have been missed.
    """

    def __init__(
        self,
        venue: LiveVenue,
        core: Core,
        *,
        patience: Patience = Patience(),  # noqa: B008  # a tuple, never changed
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = venue.name
        self._venue = venue
        self._core = core
        self._patience = patience
        self._on_gap = on_gap
        self._asker: Asker
        self._lanes: dict[int, deque[_Step]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, report: Callable[[list[Event]], None], breakers: Breakers) -> None:
        """Say where reports go and which breakers the calls pass; before anything else.

        Args:
            report: takes what the venue told, as inputs: `Engine.ingest`.
            breakers: those of the process.
        """
        self._asker = Asker(self._venue, self._patience, report, breakers)

    @property
    def due_ns(self) -> int | None:
        """See `Venue.due_ns`: reports come by themselves."""
        return None

    def arrive(self, core: Core, now_ns: int) -> list[Event]:  # noqa: ARG002
        """See `Venue.arrive`."""
        return []

    def on_market(self, events: Sequence[AnyEvent], first_seq: int | None = None) -> list[Event]:  # noqa: ARG002
        """See `Venue.on_market`: the venue has a market of its own."""
        return []

    def unsent(self, core: Core) -> list[tuple[int, Event]]:  # noqa: ARG002
        """See `Venue.unsent`: what had left before a restart nobody can know; see `recover`."""
        return []

    def send(self, effects: Sequence[tuple[int, Event]], core: Core, now_ns: int) -> list[Event]:  # noqa: ARG002
        """See `Venue.send`; the reports come later, through `report`."""
        for _, effect in effects:
            assert isinstance(effect, OrderSubmitted | CancelRequested | ReplaceRequested)
            self._enqueue(effect)
        return []

    def recover(self) -> None:
        """Ask after all that had left, or may have, before a restart; nothing is sent again but cancels."""
        reason = "taped ended before the venue had answered"
        for order in list(self._core.orders.working.values()):
            if not order.venue_order_id or order.status is OrderStatus.UNKNOWN:
                self._enqueue(_Doubt(order.order_id, reason))
            if order.replacing is not None:
                self._enqueue(_Doubt(order.order_id, reason, replace=True))
            if order.canceling:
                self._enqueue(CancelRequested(ts_ns=0, order_id=order.order_id, source=order.canceling))

    def is_busy(self, order_id: int) -> bool:
        """Return whether something is under way for an order, so that it may differ from the venue's."""
        return order_id in self._lanes

    async def run(self) -> None:
        """Take the venue's own reports until cancelled; after each loss of them the books are compared."""
        pause = self._patience.first_s
        while True:
            try:
                async for told in self._venue.watch():
                    pause = self._patience.first_s
                    self._hear(told)
            except NO_ANSWER as error:
                log.warning("%s: its reports ended: %s", self.name, str(error) or type(error).__name__)
            self._on_gap()
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._patience.longest_s)

    async def close(self) -> None:
        """Wait for nothing any more; what is open is asked after at the next start."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _enqueue(self, step: _Step) -> None:
        lane = self._lanes.get(step.order_id)
        if lane is None:
            self._lanes[step.order_id] = deque([step])
            task = asyncio.get_running_loop().create_task(self._drive(step.order_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif len(lane) < MAX_LANE:
            lane.append(step)
        else:
            self._refuse(step, "too many requests of this order wait for the venue")

    async def _drive(self, order_id: int) -> None:
        """Carry out what waits in a lane, one behind the other."""
        lane = self._lanes[order_id]
        try:
            while lane:
                step = lane.popleft()
                try:
                    await self._carry_out(step)
                except Exception:
                    # A venue's own code may raise anything; what it did is not known then.
                    log.exception("%s: order %d", self.name, order_id)
                    failed = _Doubt(order_id, "the venue's client failed", isinstance(step, ReplaceRequested))
                    await self._settle(self._core.orders[order_id], failed)
        finally:
            del self._lanes[order_id]

    async def _carry_out(self, step: _Step) -> None:
        order = self._core.orders.get(step.order_id)
        if order is None or not order.status.is_working:
            return
        match step:
            case OrderSubmitted():
                await self._submit(order)
            case CancelRequested() if order.canceling:
                await self._cancel(order)
            case ReplaceRequested() if order.replacing is step:
                await self._replace(order, step)
            case _Doubt():
                await self._settle(order, step)
            case _:
                pass  # It was answered while it waited.

    async def _submit(self, order: Order) -> None:
        """Send an order: the one place where a request is made for one, and it is made once."""
        try:
            found = await self._asker.call("submit", lambda: self._venue.submit(order))
        except (VenueRefusedError, BreakerOpenError) as error:
            self._reject(order, error.message)
        except NO_ANSWER as error:
            await self._settle(order, _Doubt(order.order_id, why(error)))
        else:
            await self._take_all(order, found)

    async def _cancel(self, order: Order) -> None:
        try:
            found = await self._asker.call("cancel", lambda: self._venue.cancel(order.client_order_id))
        except BreakerOpenError as error:
            self._refuse_cancel(order, str(error))
        except VenueRefusedError as error:
            # Most often because it is over: then its end is the answer.
            seen = await self._asker.look(order, forgiving=True)
            if seen is None or not seen.is_over:
                self._refuse_cancel(order, error.message)
        except NO_ANSWER as error:
            await self._outcome(order, why(error), until_gone=True)
        else:
            await self._take_all(order, found)
            if not found.is_over:
                await self._outcome(order, "the venue has not taken it out", until_gone=True)

    async def _replace(self, order: Order, wish: ReplaceRequested) -> None:
        wanted = order.with_terms(wish)
        try:
            found = await self._asker.call(
                "replace",
                lambda: self._venue.replace(
                    order.client_order_id,
                    quantity=wanted.quantity,
                    price=wanted.price,
                    stop_price=wanted.stop_price,
                ),
            )
        except (BreakerOpenError, VenueRefusedError) as error:
            self._refuse_replace(order, error.message)
        except NO_ANSWER as error:
            await self._outcome(order, why(error), until_gone=False)
        else:
            await self._take_all(order, found)
            if order.replacing is not None and order.status.is_working:
                await self._outcome(order, "the venue has not changed it", until_gone=False)

    async def _settle(self, order: Order, doubt: _Doubt) -> None:
        """Ask after an order until it is known what became of it."""
        if order.status.is_terminal:
            return
        reason = doubt.reason
        if doubt.replace:
            await self._outcome(order, reason, until_gone=False)
            return
        self._asker.tell([OrderUnknown(ts_ns=time.time_ns(), order_id=order.order_id, reason=reason)])
        until_s = time.monotonic() + self._patience.settle_s
        async for found in self._asker.asking(order):
            if order.status.is_terminal or (found is not None and is_complete(order, found)):
                return
            is_late = time.monotonic() >= until_s
            if found is None and is_late and not order.venue_order_id:
                self._reject(order, f"the venue never had it: {reason}")
                return

    async def _outcome(self, order: Order, reason: str, *, until_gone: bool) -> None:
        """Ask until a cancel or a replace has had its effect, or has had the time for it."""
        until_s = time.monotonic() + self._patience.settle_s
        async for found in self._asker.asking(order):
            open_wish = order.canceling if until_gone else order.replacing
            if not order.status.is_working or not open_wish:
                return
            if found is not None and not until_gone and has_terms(order, found):
                return
            if time.monotonic() >= until_s:
                refuse = self._refuse_cancel if until_gone else self._refuse_replace
                refuse(order, reason)
                return

    async def _take_all(self, order: Order, found: VenueOrder) -> None:
        """Report what is new of an order; what the venue has not told of is asked after."""
        await self._asker.take(order, found)
        if not is_complete(order, found):
            await self._settle(order, _Doubt(order.order_id, _FILLS_LACK))

    def _hear(self, told: VenueOrder | VenueFill) -> None:
        """Take one report of the venue."""
        order_id = order_id_of(told.client_order_id, self._core.journal_id)
        order = None if order_id is None else self._core.orders.get(order_id)
        if order is None or order.client_order_id != told.client_order_id:
            log.warning("%s told of %r, which is no order of ours", self.name, told.client_order_id[:80])
            self._on_gap()
            return
        if isinstance(told, VenueFill):
            if told.venue_trade_id not in order.trade_ids:
                self._asker.tell([filled_event(order, told, time.time_ns())])
            return
        self._asker.tell(news(order, told, received_ns=time.time_ns()))
        if not is_complete(order, told) and not self._is_doubted(order.order_id):
            self._enqueue(_Doubt(order.order_id, _FILLS_LACK))

    def _is_doubted(self, order_id: int) -> bool:
        """Return whether the order is to be asked for anyway."""
        return any(isinstance(step, _Doubt) for step in self._lanes.get(order_id, ()))

    def _reject(self, order: Order, reason: str) -> None:
        self._asker.tell([refused(OrderRejected, order, reason, time.time_ns())])

    def _refuse_cancel(self, order: Order, reason: str) -> None:
        if order.status.is_working and order.canceling:
            self._asker.tell([refused(CancelRejected, order, reason, time.time_ns())])

    def _refuse_replace(self, order: Order, reason: str) -> None:
        if order.status.is_working and order.replacing is not None:
            self._asker.tell([refused(ReplaceRejected, order, reason, time.time_ns())])

    def _refuse(self, step: _Step, reason: str) -> None:
        order = self._core.orders[step.order_id]
        if isinstance(step, CancelRequested):
            self._refuse_cancel(order, reason)
        elif isinstance(step, ReplaceRequested):
            self._refuse_replace(order, reason)
