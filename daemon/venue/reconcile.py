"""Holds a venue's books against ours: open orders, fills, balances. Each difference becomes an event.

What can be explained is applied: a fill that was missed, an order that is over by now. What cannot (an
order that nobody knows, terms that nobody asked for, money that is not there) is told when it is seen a
second time, for a look takes time and the books move meanwhile; it halts its instrument.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from daemon.breaker import BreakerOpenError
from daemon.trading.core import Core
from daemon.trading.money import MONEY_SCALE, TENS
from daemon.trading.orders import Order
from daemon.venue.asking import NO_ANSWER, why
from daemon.venue.live import VenueBooks, VenueFill, VenueOrder, VenueRefusedError
from daemon.venue.news import filled_event, is_complete, is_writable, new_fills, news, order_id_of
from schemas.decimals import decimal_text
from schemas.events import AssetClass, Event, ReconciliationFound, ReconciliationKind

log = logging.getLogger(__name__)

FILLS_BEFORE_NS = 3_600 * 10**9
"""Fills are asked for from so long before the last look on: clocks differ, and answers may be late."""

AGAIN_SECONDS = 2.0
"""A difference that cannot be explained is looked at again after this."""

_ORDER, _FILL, _BALANCE = ReconciliationKind.ORDER, ReconciliationKind.FILL, ReconciliationKind.BALANCE
Mark = tuple[Any, ...]


class Look(NamedTuple):
    """What a venue said in one look; `found` answers for orders of ours that it did not list as open."""

    orders: Sequence[VenueOrder]
    fills: Sequence[VenueFill]
    balances: Mapping[str, int] | None
    found: Mapping[str, VenueOrder | None]


class Difference(NamedTuple):
    """One difference: what is told of it, and the events that bring our books in line."""

    told: ReconciliationFound
    events: list[Event]


def marks(core: Core) -> dict[int, Mark]:
    """Return how each working order stands; one that has moved since is not compared."""
    return {order_id: _mark(order) for order_id, order in core.orders.working.items()}


def differences(core: Core, look: Look, before: Mapping[int, Mark], *, now_ns: int) -> list[Difference]:
    """Return all differences, orders first.

    Args:
        core: our books.
        look: the venue's.
        before: `marks` from before the look, without the orders that something is under way for.
        now_ns: our clock.
    """
    listed = {order.client_order_id: order for order in look.orders}
    found = [
        _of_order(
            order, listed.get(order.client_order_id) or look.found.get(order.client_order_id), look, now_ns
        )
        for order in core.orders.working.values()
        if before.get(order.order_id) == _mark(order)
    ]
    found += [_of_stranger(core, order, now_ns) for order in look.orders]
    # Fills of orders that work are told with these; the rest came late, or are of nobody here.
    found += [_of_fill(core, fill, now_ns) for fill in look.fills]
    if look.balances is not None and before == marks(core):
        found += [_of_balance(core, asset, look.balances, now_ns) for asset in _assets(core, look.balances)]
    return [difference for difference in found if difference is not None]


def expected_balances(core: Core) -> dict[str, int]:
    """Return what the account must hold by asset, money and coins alike, at 18 decimals."""
    held = dict(core.account.cash)
    for instrument_id, position in core.positions.items():
        instrument = core.instruments[instrument_id]
        if instrument.asset_class is AssetClass.CRYPTO:
            quantity = position.quantity * TENS[MONEY_SCALE - instrument.quantity_scale]
            held[instrument.base_currency] = held.get(instrument.base_currency, 0) + quantity
    return held


class Reconciler:
    """Looks at a venue's books at the start, then and when, and when somebody asks for it.

    Args:
        books: the venue's.
        core: ours.
        report: takes what was found, as inputs: `Engine.ingest`.
        call: makes a request, through a circuit breaker for example.
        is_busy: tells of an order that something is under way for it.
    """

    def __init__(
        self,
        books: VenueBooks,
        core: Core,
        report: Callable[[list[Event]], None],
        *,
        call: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]] | None = None,
        is_busy: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._books = books
        self._core = core
        self._report = report
        self._call = call or _call
        self._is_busy = is_busy
        self._since_ns = time.time_ns()
        self._suspects: set[tuple[Any, ...]] = set()
        self._told: set[tuple[Any, ...]] = set()
        self._wanted = asyncio.Event()

    def ask(self) -> None:
        """Look as soon as possible."""
        self._wanted.set()

    async def run(self, every_s: float) -> None:
        """Look now, and again after each such time, until cancelled."""
        while True:
            try:
                await self.look()
            except (*NO_ANSWER, VenueRefusedError, BreakerOpenError) as error:
                log.warning("the venue's books were not compared: %s", why(error))
            open_suspects = self._suspects - self._told
            try:
                async with asyncio.timeout(min(every_s, AGAIN_SECONDS) if open_suspects else every_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue
            self._wanted.clear()
            await asyncio.sleep(min(every_s, AGAIN_SECONDS))

    async def look(self) -> int:
        """Compare once; return how many differences were told.

        Raises:
            VenueRefusedError, OutsideError, OSError, TimeoutError, BreakerOpenError: the venue did not tell.
        """
        core, books, started_ns = self._core, self._books, time.time_ns()
        before = {i: mark for i, mark in marks(core).items() if not self._is_busy(i)}
        orders = await self._call("orders", books.open_orders)
        since_ns = self._since_ns - FILLS_BEFORE_NS
        fills = await self._call("fills", lambda: books.fills_since(since_ns))
        balances = await self._call("balances", books.balances)
        listed = {order.client_order_id for order in orders}
        found: dict[str, VenueOrder | None] = {}
        for order_id in before:
            client_order_id = core.orders[order_id].client_order_id
            if client_order_id not in listed and core.orders[order_id].venue_order_id:
                found[client_order_id] = await self._find(client_order_id)
        self._since_ns = started_ns
        before = {i: mark for i, mark in before.items() if not self._is_busy(i)}
        return self._tell(
            differences(core, Look(orders, fills, balances, found), before, now_ns=time.time_ns())
        )

    async def _find(self, client_order_id: str) -> VenueOrder | None:
        found: VenueOrder | None = await self._call("find", lambda: self._books.find(client_order_id))
        return found

    def _tell(self, found: Sequence[Difference]) -> int:
        told = 0
        suspects: set[tuple[Any, ...]] = set()
        for told_event, events in found:
            key = (told_event.kind, told_event.order_id, told_event.expected, told_event.found)
            if not told_event.explained:
                suspects.add(key)
                if key not in self._suspects or key in self._told:
                    continue
                self._told.add(key)
            if not is_writable([told_event, *events]):
                log.error("the venue told what no journal can hold: %r", told_event)
                continue
            self._report([told_event, *events])
            told += 1
        self._suspects = suspects
        self._told &= suspects
        return told


async def _call(operation: str, function: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG001
    return await function()


def _mark(order: Order) -> Mark:
    return (order.status, order.filled_quantity, order.quantity, order.price, order.stop_price)


def _of_order(order: Order, found: VenueOrder | None, look: Look, now_ns: int) -> Difference | None:
    """Compare an order that works in our books."""
    if found is None:
        if not order.venue_order_id:
            return None  # It was sent and not answered: the gateway asks for it.
        return _unexplained(_ORDER, order, _ours(order), "nothing", "the venue does not know it", now_ns)
    events = news(order, found, look.fills, received_ns=now_ns)
    if events:
        told = _found(
            _ORDER, order, _ours(order), _theirs(found), "it went on without us", now_ns, explained=True
        )
        return Difference(told, events)
    if not is_complete(order, found):
        return _unexplained(_FILL, order, _ours(order), _theirs(found), "fills it does not tell", now_ns)
    terms = (found.quantity, found.price, found.stop_price)
    if (
        not found.is_over
        and order.replacing is None
        and terms != (order.quantity, order.price, order.stop_price)
    ):
        return _unexplained(_ORDER, order, _ours(order), _theirs(found), "terms nobody asked for", now_ns)
    return None


def _of_stranger(core: Core, found: VenueOrder, now_ns: int) -> Difference | None:
    """Tell of an order that works there and not here."""
    order_id = order_id_of(found.client_order_id, core.journal_id)
    order = None if order_id is None else core.orders.get(order_id)
    if order is not None and not order.status.is_terminal:
        return None
    expected = "nothing" if order is None else _ours(order)
    told = ReconciliationFound(
        ts_ns=now_ns,
        kind=_ORDER,
        instrument_id=found.instrument_id,
        order_id=None if order is None else order_id,
        expected=expected,
        found=_theirs(found),
        explained=False,
        detail=f"order {found.client_order_id[:80]} works at the venue and not here",
    )
    return Difference(told, [])


def _of_fill(core: Core, fill: VenueFill, now_ns: int) -> Difference | None:
    """Tell of a fill that is in none of our orders, or of one that is over."""
    order_id = order_id_of(fill.client_order_id, core.journal_id)
    order = None if order_id is None else core.orders.get(order_id)
    text = f"{fill.side.name} {fill.quantity} at {fill.price}"
    if order is None:
        told = ReconciliationFound(
            ts_ns=now_ns,
            kind=_FILL,
            instrument_id=fill.instrument_id,
            order_id=None,
            expected="nothing",
            found=text,
            explained=False,
            detail=f"fill {fill.venue_trade_id[:80]} is of no order here",
        )
        return Difference(told, [])
    if not order.status.is_terminal or not new_fills(order, [fill]):
        return None
    detail = f"fill {fill.venue_trade_id[:80]} was missed"
    told = _found(_FILL, order, _ours(order), text, detail, now_ns, explained=True)
    return Difference(told, [filled_event(order, fill, now_ns)])


def _of_balance(core: Core, asset: str, balances: Mapping[str, int], now_ns: int) -> Difference | None:
    expected, found = expected_balances(core).get(asset, 0), balances.get(asset, 0)
    if expected == found:
        return None
    of_asset = [i for i, instrument in core.instruments.items() if instrument.base_currency == asset]
    told = ReconciliationFound(
        ts_ns=now_ns,
        kind=_BALANCE,
        instrument_id=of_asset[0] if len(of_asset) == 1 else None,
        order_id=None,
        expected=f"{decimal_text(expected, MONEY_SCALE)} {asset[:40]}",
        found=f"{decimal_text(found, MONEY_SCALE)} {asset[:40]}",
        explained=False,
        detail="the account holds something else",
    )
    return Difference(told, [])


def _assets(core: Core, balances: Mapping[str, int]) -> list[str]:
    return sorted({*expected_balances(core), *balances})


def _unexplained(
    kind: ReconciliationKind, order: Order, expected: str, found: str, detail: str, now_ns: int
) -> Difference:
    return Difference(_found(kind, order, expected, found, detail, now_ns, explained=False), [])


def _found(
    kind: ReconciliationKind,
    order: Order,
    expected: str,
    found: str,
    detail: str,
    now_ns: int,
    *,
    explained: bool,
) -> ReconciliationFound:
    return ReconciliationFound(
        ts_ns=now_ns,
        kind=kind,
        instrument_id=order.request.instrument_id,
        order_id=order.order_id,
        expected=expected,
        found=found,
        explained=explained,
        detail=detail,
    )


def _ours(order: Order) -> str:
    return f"{order.status.name} {order.filled_quantity}/{order.quantity} at {order.price}"


def _theirs(order: VenueOrder) -> str:
    return f"{order.status.name} {order.filled_quantity}/{order.quantity} at {order.price}"
