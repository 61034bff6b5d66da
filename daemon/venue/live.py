"""What taped asks of a venue elsewhere: orders out, and its own books back. Holds no venue.

A venue knows an order by our client order id, which is fixed before anything is sent. It tells
quantities and prices as the instrument scales them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from daemon.trading.orders import Order
from schemas.errors import TapedError
from schemas.events import Liquidity, Side


class VenueRefusedError(TapedError):
    """The venue answered, and its answer is no; nothing has changed there."""


class VenueStatus(IntEnum):
    """How an order stands at its venue; from FILLED on it is over."""

    WORKING = 1
    FILLED = 2
    CANCELED = 3
    REJECTED = 4
    EXPIRED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as its venue has it.

    `ts_ns` is when the venue last changed it; `reason` why it is over.
    """

    client_order_id: str
    venue_order_id: str
    instrument_id: int | None
    status: VenueStatus
    quantity: int
    filled_quantity: int
    price: int | None
    stop_price: int | None
    ts_ns: int
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Return whether nothing can come of it any more."""
        return self.status is not VenueStatus.WORKING


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueFill:
    """One fill as the venue has it; the fee is `fee / 10**fee_scale` of its currency."""

    client_order_id: str
    venue_trade_id: str
    instrument_id: int
    side: Side
    price: int
    quantity: int
    fee: int
    fee_scale: int
    fee_currency: str
    liquidity: Liquidity
    ts_ns: int


class VenueBooks(Protocol):
    """What a venue has of ours; the part of the protocol that changes nothing.

    Raises:
        OutsideError, OSError, TimeoutError: it does not answer; asking again is always allowed.
    """

    async def find(self, client_order_id: str) -> VenueOrder | None:
        """Return an order, working or over; None when the venue never had it."""

    async def open_orders(self) -> Sequence[VenueOrder]:
        """Return all orders that work."""

    async def fills_since(self, since_ns: int) -> Sequence[VenueFill]:
        """Return the fills from that time of the venue on, oldest first."""

    async def balances(self) -> Mapping[str, int] | None:
        """Return what is held by asset, as money at 18 decimals; None where the venue does not tell."""


class LiveVenue(VenueBooks, Protocol):
    """A venue elsewhere. Each call is one request: no retries in here, the gateway decides.

    Raises:
        VenueRefusedError: the venue answered no.
        OutsideError, OSError, TimeoutError: no answer, so whether it had an effect is not known.
    """

    name: str

    async def submit(self, order: Order) -> VenueOrder:
        """Send an order under its client order id; return it as the venue has it now."""

    async def cancel(self, client_order_id: str) -> VenueOrder:
        """Ask for an order's end; it may still work in the answer."""

    async def replace(
        self, client_order_id: str, *, quantity: int, price: int | None, stop_price: int | None
    ) -> VenueOrder:
        """Ask for other terms; the answer may still have the old ones."""

    def watch(self) -> AsyncIterator[VenueOrder | VenueFill]:
        """Yield what happens to our orders; may tell late, twice, or in another order, or not at all."""
