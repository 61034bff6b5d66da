"""The paper venue's state beside what the core knows anyway, as bytes and back; made between two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from daemon.trading.core import Core
from daemon.venue.paper.market import Market, Taken
from daemon.venue.paper.options import read_recorded, recorded
from daemon.venue.paper.venue import PaperVenue
from daemon.venue.paper.working import working_order
from schemas.codec import CODEC, AnyEvent, CodecError
from schemas.errors import TapedError
from schemas.events import Event, Scalar, Side


class VenueDumpError(TapedError):
    """Bytes are no dump of a paper venue, or one that does not fit the core."""


class _Order(msgspec.Struct, omit_defaults=True):
    order_id: int
    remaining: int
    limit: int | None = None
    stop: int | None = None
    fills: int = 0
    waiting: bool = False
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
    position: int = 0
    orders: list[_Order] = []
    taken: list[_Taken] = []


class _Venue(msgspec.Struct, omit_defaults=True):
    options: dict[str, Scalar] = {}
    markets: list[_Market] = []
    pending: msgspec.Raw = msgspec.Raw(b"\x90")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Venue).decode


def dump(venue: PaperVenue, pending: Sequence[AnyEvent] = ()) -> bytes:
    """Return the venue's state; what is under way to it is not part of it: the core knows that.

    Args:
        venue: between two inputs.
        pending: reports it has made that the core has not been told yet.
    """
    plain = _plain(venue)
    plain.pending = msgspec.Raw(CODEC.encode(list(pending)))
    return _encode(plain)


def load(venue: PaperVenue, plain: bytes | memoryview, core: Core) -> list[Event]:
    """Bring a venue to the state that was dumped together with the core; return the pending reports.

    Raises:
        VenueDumpError: the bytes are something else, or speak of orders that the core does not have.
    """
    try:
        found = _decode(plain)
        venue.configure(read_recorded(found.options))
        venue.clear()
        for part in found.markets:
            _load_market(venue, part, core)
        return [event for event in CODEC.decode(bytes(found.pending)) if isinstance(event, Event)]
    except (msgspec.MsgspecError, CodecError, KeyError, ValueError) as error:
        raise VenueDumpError(f"no dump of a paper venue: {type(error).__name__}: {error}") from error


def state(venue: PaperVenue) -> dict[str, Any]:
    """Return what `dump` holds, and what each market sees, as plain values for comparison."""
    plain: dict[str, Any] = msgspec.to_builtins(_plain(venue))
    for part, market in zip(plain.get("markets", ()), _busy(venue), strict=True):
        if market.orders:
            part.update(
                last=market.last, bid=msgspec.to_builtins(market.bid), ask=msgspec.to_builtins(market.ask)
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
        market.position if market.orders else 0,
        [
            _Order(
                order.order_id,
                order.remaining,
                order.limit,
                order.stop,
                order.fills,
                order.waiting,
                order.ahead,
                order.reference,
                order.end_ns,
            )
            for order in market.orders.values()
        ],
        [_Taken(side, taken.price, taken.shown, taken.quantity) for side, taken in market.taken.items()],
    )


def _load_market(venue: PaperVenue, part: _Market, core: Core) -> None:
    market = venue.wake(part.instrument_id, core)
    market.position = part.position
    for taken in part.taken:
        market.taken[taken.side] = Taken(taken.price, taken.shown, taken.quantity)
    for plain in part.orders:
        working = working_order(core.orders[plain.order_id])
        working.remaining, working.fills, working.waiting = plain.remaining, plain.fills, plain.waiting
        working.limit, working.stop = plain.limit, plain.stop
        working.ahead, working.reference, working.end_ns = plain.ahead, plain.reference, plain.end_ns
        venue.put(working, market)
