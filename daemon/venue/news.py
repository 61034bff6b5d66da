"""What a venue's word on one order means for our books, as the events that bring them in line. Pure.

The venue may tell late, twice or out of turn, so nothing is taken from the order in which it speaks:
what it has is held against what we have, and the difference is told in the order that makes sense:
accepted, filled, replaced, over. The end of an order waits until all its fills are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from daemon.trading.money import MAX_INTEGER
from daemon.trading.order_states import OrderStatus
from daemon.trading.orders import Order
from daemon.venue.live import VenueFill, VenueOrder, VenueStatus
from schemas.codec import CODEC, CodecError
from schemas.events import (
    CancelRejected,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    ReplaceRejected,
)

Refusal = TypeVar("Refusal", OrderRejected, CancelRejected, ReplaceRejected)

MAX_REASON = 300

_ENDINGS: Mapping[VenueStatus, type[OrderCanceled | OrderExpired | OrderRejected]] = {
    VenueStatus.CANCELED: OrderCanceled,
    VenueStatus.EXPIRED: OrderExpired,
    VenueStatus.REJECTED: OrderRejected,
}


def order_id_of(client_order_id: str, journal_id: str) -> int | None:
    """Return the number of an order of this journal; None for somebody else's id."""
    start, _, number = client_order_id.rpartition("-")
    ours = bool(start) and journal_id.startswith(start) and number.isascii() and number.isdigit()
    return int(number) if ours and len(number) < 20 else None  # noqa: PLR2004  # digits of 64 bits


def told_quantity(order: Order) -> int:
    """Return how much the venue has told of as filled, over-fills included."""
    return order.filled_quantity + order.excess_quantity


def new_fills(order: Order, fills: Iterable[VenueFill]) -> list[VenueFill]:
    """Return the fills of an order that we do not have, oldest first, each once."""
    found: dict[str, VenueFill] = {}
    for fill in fills:
        if fill.client_order_id == order.client_order_id and fill.venue_trade_id not in order.trade_ids:
            found.setdefault(fill.venue_trade_id, fill)
    return sorted(found.values(), key=lambda fill: (fill.ts_ns, fill.venue_trade_id))


def lacks_fills(order: Order, found: VenueOrder) -> bool:
    """Return whether the venue has filled more than it has told us of."""
    return found.filled_quantity > told_quantity(order)


def news(
    order: Order, found: VenueOrder, fills: Iterable[VenueFill] = (), *, received_ns: int
) -> list[Event]:
    """Return the events that bring our order to where the venue has it.

    Args:
        order: as our books have it.
        found: as the venue has it.
        fills: any of the venue's; those of this order that we lack are told.
        received_ns: our clock.
    """
    filled = [filled_event(order, fill, received_ns) for fill in new_fills(order, fills)]
    if order.status.is_terminal:
        return [*filled]
    events: list[Event] = []
    is_doubted = not order.venue_order_id or order.status is OrderStatus.UNKNOWN
    if is_doubted and found.status is not VenueStatus.REJECTED:
        events.append(
            OrderAccepted(
                ts_ns=found.ts_ns,
                received_ns=received_ns,
                order_id=order.order_id,
                venue_order_id=found.venue_order_id,
            )
        )
    events += filled
    # A replace to what is filled already ends the order: without it ours would wait for the rest for ever.
    if has_terms(order, found) and (not found.is_over or found.status is VenueStatus.FILLED):
        events.append(
            OrderReplaced(
                ts_ns=found.ts_ns,
                received_ns=received_ns,
                order_id=order.order_id,
                quantity=found.quantity,
                price=found.price,
                stop_price=found.stop_price,
            )
        )
    ending = _ENDINGS.get(found.status)
    if ending is not None and found.filled_quantity <= _told_with(order, filled):
        reason = found.reason or found.status.name.lower()
        events.append(
            ending(ts_ns=found.ts_ns, received_ns=received_ns, order_id=order.order_id, reason=reason)
        )
    return events


def is_complete(order: Order, found: VenueOrder) -> bool:
    """Return whether our books say of the order what the venue does, so that nothing is left to ask."""
    if lacks_fills(order, found):
        return False
    # A filled order may still wait for the answer to a replace: that is another question.
    return order.status.is_terminal or found.status in (VenueStatus.WORKING, VenueStatus.FILLED)


def _told_with(order: Order, filled: Iterable[OrderFilled]) -> int:
    return told_quantity(order) + sum(event.quantity for event in filled)


def has_terms(order: Order, found: VenueOrder) -> bool:
    """Return whether the venue works the order on the terms that were asked for last."""
    wish = order.replacing
    if wish is None:
        return False
    wanted = order.with_terms(wish)
    return (wanted.quantity, wanted.price, wanted.stop_price) == (
        found.quantity,
        found.price,
        found.stop_price,
    )


def filled_event(order: Order, fill: VenueFill, received_ns: int) -> OrderFilled:
    """Return a fill as our books take it."""
    return OrderFilled(
        ts_ns=fill.ts_ns,
        received_ns=received_ns,
        order_id=order.order_id,
        instrument_id=fill.instrument_id,
        side=fill.side,
        price=fill.price,
        quantity=fill.quantity,
        fee=fill.fee,
        fee_scale=fill.fee_scale,
        fee_currency=fill.fee_currency,
        liquidity=fill.liquidity,
        venue_trade_id=fill.venue_trade_id,
    )


def refused(kind: type[Refusal], order: Order, reason: str, now_ns: int) -> Refusal:
    """Return the event that nothing came of an order, a cancel or a replace."""
    return kind(ts_ns=now_ns, received_ns=now_ns, order_id=order.order_id, reason=reason[:MAX_REASON])


def is_writable(events: list[Event]) -> bool:
    """Return whether the journal can hold the events; a venue may say anything."""
    try:
        CODEC.encode(events)
    except CodecError:
        return False
    return all(
        not isinstance(event, OrderFilled)
        or (max(abs(event.price), abs(event.fee)) <= MAX_INTEGER and 0 < event.quantity <= MAX_INTEGER)
        for event in events
    )
