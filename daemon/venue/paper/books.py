"""The paper venue's own books, as a venue elsewhere would tell them: a check on what brings it back.

It keeps neither past fills nor money: both are the core's alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from daemon.trading.core import Core
from daemon.venue.live import VenueFill, VenueOrder, VenueStatus
from daemon.venue.paper.venue import PaperVenue
from daemon.venue.paper.working import Working


class PaperBooks:
    """See `VenueBooks`; answers at once, so that core and venue have seen the same events."""

    def __init__(self, venue: PaperVenue, core: Core) -> None:
        self._venue = venue
        self._core = core

    async def find(self, client_order_id: str) -> VenueOrder | None:
        """See `VenueBooks.find`; an order that is over is forgotten."""
        return next((order for order in self._orders() if order.client_order_id == client_order_id), None)

    async def open_orders(self) -> Sequence[VenueOrder]:
        """See `VenueBooks.open_orders`."""
        return self._orders()

    async def fills_since(self, since_ns: int) -> Sequence[VenueFill]:  # noqa: ARG002
        """See `VenueBooks.fills_since`: fills are told once, and kept in the journal alone."""
        return []

    async def balances(self) -> Mapping[str, int] | None:
        """See `VenueBooks.balances`: it holds no money."""
        return None

    def _orders(self) -> list[VenueOrder]:
        return [self._told(working) for working in self._venue.matching.working.values()]

    def _told(self, working: Working) -> VenueOrder:
        order = self._core.orders[working.order_id]
        filled = order.filled_quantity
        return VenueOrder(
            client_order_id=order.client_order_id,
            venue_order_id=f"P{working.order_id}",
            instrument_id=working.request.instrument_id,
            status=VenueStatus.WORKING,
            quantity=working.remaining + filled,
            filled_quantity=filled,
            price=working.limit,
            stop_price=working.stop,
            ts_ns=order.updated_ns,
        )
