"""The body of a posted order: what it may hold, and in plain words what is wrong with a refused one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from daemon.api.bodies import Body, Decimal, Id, Name, Text
from daemon.trading.links import MAX_LINKED

ClientId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z", max_length=64)]


class TakeProfit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limit order that closes a position with profit once its order has filled."""

    price: Decimal


class StopLoss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stop, stop-limit or trailing-stop order that closes a position at a loss; its terms tell which."""

    stop_price: Decimal | None = None
    price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None

    @property
    def type(self) -> Literal["stop", "stop_limit", "trailing_stop"]:
        """The type of order that has these terms."""
        if self.trail_amount is not None or self.trail_percent is not None:
            return "trailing_stop"
        return "stop" if self.price is None else "stop_limit"


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /api/v1/orders; `instrument` is a symbol or an instrument_id."""

    instrument: Name | Id
    venue: Name | None = None
    side: Literal["buy", "sell"]
    type: Literal["market", "limit", "stop", "stop_limit", "trailing_stop"]
    quantity: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: Literal["gtc", "day", "ioc", "fok", "gtd"] = "gtc"
    expire_ns: Id | None = None
    post_only: bool = False
    reduce_only: bool = False
    client_id: ClientId | None = None
    tag: Text = ""
    take_profit: TakeProfit | None = None
    stop_loss: StopLoss | None = None


def children(asked: OrderRequest) -> list[OrderRequest]:
    """Return the orders that close what this one opens: take profit, then stop loss."""
    found = []
    for kind, terms in (
        ("limit", asked.take_profit),
        (asked.stop_loss.type if asked.stop_loss else "", asked.stop_loss),
    ):
        if terms is not None:
            given = msgspec.structs.asdict(terms)
            side = "sell" if asked.side == "buy" else "buy"
            fields = {"instrument": asked.instrument, "venue": asked.venue, "quantity": asked.quantity}
            found.append(
                msgspec.convert(
                    {**fields, **given, "side": side, "type": kind, "tag": asked.tag}, OrderRequest
                )
            )
    return found


class OcoRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /api/v1/orders/oco: orders of which a fill of one takes the place of the others."""

    orders: Annotated[list[OrderRequest], msgspec.Meta(min_length=2, max_length=MAX_LINKED)]


class ReplaceRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of PATCH /api/v1/orders/{order_id}; a term that is not named stays as it is."""

    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None


_EXPECTED = {
    "instrument": "a symbol of at most 64 characters, or an instrument_id",
    "venue": "a name of at most 64 characters",
    "side": "buy or sell",
    "type": "market, limit, stop, stop_limit or trailing_stop",
    "quantity": "a decimal above zero, such as 0.1",
    "price": "a decimal above zero, such as 60000.5",
    "stop_price": "a decimal above zero, such as 59000.5",
    "trail_amount": "a decimal above zero, in units of the price, such as 150.5",
    "trail_percent": "a decimal above zero and below 100, such as 1.5",
    "time_in_force": "gtc, day, ioc, fok or gtd",
    "expire_ns": "nanoseconds since 1970 UTC",
    "post_only": "true or false",
    "reduce_only": "true or false",
    "client_id": "1 to 64 letters, digits and ._:-",
    "tag": "at most 128 characters on one line",
    "take_profit": 'an object with a price, such as {"price": "61000"}',
    "stop_loss": 'an object with a stop_price (and a price), or a trail, such as {"stop_price": "59000"}',
}
_DECIMALS = frozenset({"quantity", "price", "stop_price", "trail_amount", "trail_percent"})

ORDER = Body(
    OrderRequest,
    "an order",
    _EXPECTED,
    decimals=_DECIMALS,
    code="invalid-order",
)
"""Body of POST /api/v1/orders."""
OCO = Body(
    OcoRequest,
    "a group",
    {"orders": f"a list of 2 to {MAX_LINKED} orders, each as POST /api/v1/orders takes it"},
    code="invalid-order",
)
"""Body of POST /api/v1/orders/oco."""
REPLACE = Body(
    ReplaceRequest,
    "a replace",
    {name: _EXPECTED[name] for name in ReplaceRequest.__struct_fields__},
    decimals=_DECIMALS,
    code="invalid-order",
)
"""Body of PATCH /api/v1/orders/{order_id}."""
