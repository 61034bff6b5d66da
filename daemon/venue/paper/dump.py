"""The paper venue's state beside what the core knows anyway, as bytes and back; made between two inputs."""

from __future__ import annotations

from typing import Any

import msgspec

from daemon.trading.core import Core
from daemon.venue.paper.market import Market, Taken
from daemon.venue.paper.options import read_recorded, recorded
from daemon.venue.paper.venue import PaperVenue
from daemon.venue.paper.working import working_order
from schemas.errors import TapedError
from schemas.events import Scalar, Side


class VenueDumpError(TapedError):
    """Bytes are no dump of a paper venue, or one that does not fit the core."""


class _Order(msgspec.Struct, omit_defaults=True):
    order_id: int
    ahead: int | None = 0
    reference: int | None = None
    end_ns: int | None = None


class _Taken(msgspec.Struct):
    side: Side
    price: int
    shown: int
    quantity: int


class _Market(msgspec.Struct, omit_defaults=True):
    instrument_id: int
    orders: list[_Order] = []
    taken: list[_Taken] = []


class _Venue(msgspec.Struct, omit_defaults=True):
    options: dict[str, Scalar] = {}
    markets: list[_Market] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Venue).decode


def dump(venue: PaperVenue) -> bytes:
    """Return the venue's state; what is under way to it is not part of it: the core knows that."""
    return _encode(_plain(venue))


def load(venue: PaperVenue, plain: bytes | memoryview, core: Core) -> None:
    """Bring a venue to the state that was dumped together with the core.

    Raises:
        VenueDumpError: the bytes are something else, or speak of orders that the core does not have.
    """
    try:
        found = _decode(plain)
        venue.configure(read_recorded(found.options))
        venue.clear()
        for part in found.markets:
            _load_market(venue, part, core)
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise VenueDumpError(f"no dump of a paper venue: {type(error).__name__}: {error}") from error


def state(venue: PaperVenue) -> dict[str, Any]:
    """Return what `dump` holds as plain values, for comparison."""
    plain: dict[str, Any] = msgspec.to_builtins(_plain(venue))
    for part, market in zip(plain.get("markets", ()), _busy(venue), strict=True):
        for order, working in zip(part.get("orders", ()), market.orders.values(), strict=True):
            order.update(
                limit=working.limit,
                stop=working.stop,
                waiting=working.waiting,
                remaining=working.remaining,
                fills=working.fills,
            )
        if market.orders:
            part.update(
                position=market.position,
                last=market.last,
                bid=msgspec.to_builtins(market.bid),
                ask=msgspec.to_builtins(market.ask),
            )
    return plain


def _plain(venue: PaperVenue) -> _Venue:
    return _Venue(recorded(venue.options), [_plain_market(market) for market in _busy(venue)])


def _busy(venue: PaperVenue) -> list[Market]:
    """Return the markets that hold anything the core does not know."""
    return [market for _, market in sorted(venue.markets.items()) if market.orders or market.taken]


def _plain_market(market: Market) -> _Market:
    return _Market(
        market.instrument.instrument_id,
        [
            _Order(order.order_id, order.ahead, order.reference, order.end_ns)
            for order in market.orders.values()
        ],
        [_Taken(side, taken.price, taken.shown, taken.quantity) for side, taken in market.taken.items()],
    )


def _load_market(venue: PaperVenue, part: _Market, core: Core) -> None:
    market = venue.wake(part.instrument_id, core)
    for taken in part.taken:
        market.taken[taken.side] = Taken(taken.price, taken.shown, taken.quantity)
    for plain in part.orders:
        working = working_order(core.orders[plain.order_id])
        working.ahead, working.reference, working.end_ns = plain.ahead, plain.reference, plain.end_ns
        venue.put(working, market)
