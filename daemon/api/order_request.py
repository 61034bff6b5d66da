"""The body of a posted order: what it may hold, and in plain words what is wrong with a refused one."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from daemon.api.bodies import Body, Decimal, Id, Name, Text

ClientId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z", max_length=64)]


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
REPLACE = Body(
    ReplaceRequest,
    "a replace",
    {name: _EXPECTED[name] for name in ReplaceRequest.__struct_fields__},
    decimals=_DECIMALS,
    code="invalid-order",
)
"""Body of PATCH /api/v1/orders/{order_id}."""
