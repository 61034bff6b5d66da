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
    type: Literal["market", "limit"]
    quantity: Decimal
    price: Decimal | None = None
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    post_only: bool = False
    reduce_only: bool = False
    client_id: ClientId | None = None
    tag: Text = ""


_EXPECTED = {
    "instrument": "a symbol of at most 64 characters, or an instrument_id",
    "venue": "a name of at most 64 characters",
    "side": "buy or sell",
    "type": "market or limit",
    "quantity": "a decimal above zero, such as 0.1",
    "price": "a decimal above zero, such as 60000.5",
    "time_in_force": "gtc, ioc or fok",
    "post_only": "true or false",
    "reduce_only": "true or false",
    "client_id": "1 to 64 letters, digits and ._:-",
    "tag": "at most 128 characters on one line",
}

ORDER = Body(
    OrderRequest,
    "an order",
    _EXPECTED,
    decimals=frozenset({"quantity", "price"}),
    code="invalid-order",
)
"""Body of POST /api/v1/orders."""
