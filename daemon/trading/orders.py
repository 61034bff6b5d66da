"""One order and its state machine; refuses every step the table below does not name.

Nothing here decides or sends: events say what happened, the order follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from schemas.errors import TapedError
from schemas.events import (
    CancelRequested,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderSubmitted,
    OrderUnknown,
)


class OrderStateError(TapedError):
    """An event does not fit the state of its order, or there is no such order."""


class OrderStatus(IntEnum):
    """Where an order stands; from DENIED on it is over."""

    REQUESTED = 1
    SUBMITTED = 2
    ACCEPTED = 3
    PARTIALLY_FILLED = 4
    PENDING_CANCEL = 5
    UNKNOWN = 6
    DENIED = 7
    REJECTED = 8
    FILLED = 9
    CANCELED = 10
    EXPIRED = 11

    is_terminal: bool
    """No event can change the order any more."""
    is_working: bool
    """The venue may have it: submitted and not over."""

    def __init__(self, value: int) -> None:
        # Worked out once: a property that names members of its class costs 0.34 us in Python 3.11.
        self.is_terminal = value >= 7  # noqa: PLR2004  # DENIED
        self.is_working = 2 <= value <= 6  # noqa: PLR2004  # SUBMITTED to UNKNOWN


_S = OrderStatus

# A fill that completes the order leads to FILLED instead. States that are absent are terminal.
# fmt: off
TRANSITIONS: dict[OrderStatus, dict[type[Event], OrderStatus]] = {
    _S.REQUESTED: {
        OrderDenied:     _S.DENIED,
        OrderSubmitted:  _S.SUBMITTED,
    },
    _S.SUBMITTED: {
        OrderAccepted:   _S.ACCEPTED,
        OrderRejected:   _S.REJECTED,
        OrderFilled:     _S.PARTIALLY_FILLED,
        CancelRequested: _S.PENDING_CANCEL,
        OrderCanceled:   _S.CANCELED,
        OrderExpired:    _S.EXPIRED,
        OrderUnknown:    _S.UNKNOWN,
    },
    _S.ACCEPTED: {
        OrderAccepted:   _S.ACCEPTED,
        OrderFilled:     _S.PARTIALLY_FILLED,
        CancelRequested: _S.PENDING_CANCEL,
        OrderCanceled:   _S.CANCELED,
        OrderExpired:    _S.EXPIRED,
        OrderUnknown:    _S.UNKNOWN,
    },
    _S.PARTIALLY_FILLED: {
        OrderAccepted:   _S.PARTIALLY_FILLED,
        OrderFilled:     _S.PARTIALLY_FILLED,
        CancelRequested: _S.PENDING_CANCEL,
        OrderCanceled:   _S.CANCELED,
        OrderExpired:    _S.EXPIRED,
        OrderUnknown:    _S.UNKNOWN,
    },
    _S.PENDING_CANCEL: {
        OrderAccepted:   _S.PENDING_CANCEL,
        OrderRejected:   _S.REJECTED,
        OrderFilled:     _S.PENDING_CANCEL,
        CancelRequested: _S.PENDING_CANCEL,
        OrderCanceled:   _S.CANCELED,
        OrderExpired:    _S.EXPIRED,
        OrderUnknown:    _S.UNKNOWN,
    },
    _S.UNKNOWN: {
        OrderAccepted:   _S.ACCEPTED,
        OrderRejected:   _S.REJECTED,
        OrderFilled:     _S.PARTIALLY_FILLED,
        CancelRequested: _S.UNKNOWN,
        OrderCanceled:   _S.CANCELED,
        OrderExpired:    _S.EXPIRED,
        OrderUnknown:    _S.UNKNOWN,
    },
}
# fmt: on

_NO_TRANSITION: dict[type[Event], OrderStatus] = {}
_ACCEPTED, _PARTIALLY_FILLED, _FILLED = _S.ACCEPTED, _S.PARTIALLY_FILLED, _S.FILLED


@dataclass(slots=True)
class Order:
    """An order as its events have left it; can be made again from stored fields.

    `filled_value` is the sum of price times quantity over the fills, in the instrument's scaled
    units, so the average price is `filled_value / filled_quantity` exactly. `trade_ids` are the
    venue's ids of the fills that counted. `reason` is that of the last denial, rejection, cancel,
    expiry or doubt.
    """

    order_id: int
    request: OrderRequested
    status: OrderStatus = OrderStatus.REQUESTED
    client_order_id: str = ""
    venue: str = ""
    venue_order_id: str = ""
    filled_quantity: int = 0
    filled_value: int = 0
    trade_ids: set[str] = field(default_factory=set)
    rule: str = ""
    reason: str = ""
    updated_ns: int = 0

    @property
    def remaining(self) -> int:
        """Quantity that is not filled."""
        return self.request.quantity - self.filled_quantity

    def apply(self, event: Event) -> bool:
        """Take one event of this order; return whether it counted.

        A fill whose venue trade id was seen before does not count, whatever the state.

        Raises:
            OrderStateError: the event is illegal now; nothing has changed.
        """
        # `isinstance` of a record costs 0.1 us where the answer is no, comparing types 0.02.
        if type(event) is OrderFilled and event.venue_trade_id in self.trade_ids:
            return False
        status = TRANSITIONS.get(self.status, _NO_TRANSITION).get(type(event))
        if status is None:
            raise OrderStateError(
                f"order {self.order_id} is {self.status.name}: {type(event).__name__} is illegal"
            )
        if type(event) is OrderSubmitted:
            self.client_order_id, self.venue = event.client_order_id, event.venue
        elif type(event) is OrderAccepted:
            self.venue_order_id = event.venue_order_id
            status = _PARTIALLY_FILLED if status is _ACCEPTED and self.filled_quantity else status
        elif type(event) is OrderFilled:
            self._fill(event)
            status = status if self.remaining else _FILLED
        elif type(event) is OrderDenied:
            self.rule, self.reason = event.rule, event.reason
        elif isinstance(event, OrderRejected | OrderCanceled | OrderExpired | OrderUnknown):
            if self.filled_quantity and type(event) is OrderRejected:
                raise OrderStateError(f"order {self.order_id} has fills: a rejection is illegal")
            self.reason = event.reason
        self.status = status
        self.updated_ns = event.ts_ns
        return True

    def _fill(self, fill: OrderFilled) -> None:
        request = self.request
        if fill.instrument_id != request.instrument_id or fill.side != request.side:
            raise OrderStateError(f"order {self.order_id}: a fill of another instrument or side")
        if not 0 < fill.quantity <= self.remaining:
            raise OrderStateError(
                f"order {self.order_id}: fill {fill.venue_trade_id} of {fill.quantity},"
                f" expected 1 to {self.remaining}"
            )
        self.trade_ids.add(fill.venue_trade_id)
        self.filled_quantity += fill.quantity
        self.filled_value += fill.price * fill.quantity
