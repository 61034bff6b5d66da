"""The body of a posted order: what it may hold, and in plain words what is wrong with a refused one."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from daemon.api.problems import Problem

Decimal = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}(\.[0-9]{1,18})?\Z", max_length=38)]
ClientId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}\Z", max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z", max_length=128)]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


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
_DECIMALS = frozenset({"quantity", "price"})
_WHERE = re.compile(r" - at `\$\.(\w+)`$")
_NUMBER = re.compile(r"got `(?:int|float)`")
_ABOUT_A_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)
_decoder = msgspec.json.Decoder(OrderRequest)


def parse(body: bytes) -> OrderRequest:
    """Return the request that a body holds.

    Raises:
        Problem: 400 when it is not JSON; 422 when a field is not as it must be, with what it must be.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        field, detail = _in_words(str(error))
        extra = {"field": field} if field else {}
        raise Problem(422, detail, code="invalid-order", extra=extra) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, f"the body is not JSON: {error}", code="not-json") from None


def _in_words(message: str) -> tuple[str, str]:
    """Return the field a validator's message is about ("" for the whole body), and what people are told."""
    about = _ABOUT_A_FIELD.match(message)
    if about:
        field = about[2][:64]
        told = " is missing" if about[1] == "missing required" else ": there is no such field in an order"
        return field, field + told
    where = _WHERE.search(message)
    if where is None or where[1] not in _EXPECTED:
        return "", "the body is not an object with the fields of an order"
    field = where[1]
    if field in _DECIMALS and _NUMBER.search(message):
        # A number of JSON would pass through a float in most programs, and lose digits on the way.
        return field, f'{field}: expected decimal text in quotes, such as "0.1", not a number'
    return field, f"{field}: expected {_EXPECTED[field]}"
