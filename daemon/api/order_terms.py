"""Terms of an order as people write them, to scaled integers; a mix that makes no sense is refused."""

from __future__ import annotations

from typing import NamedTuple

from daemon.api.decimals import to_scaled
from daemon.api.order_request import OrderRequest, ReplaceRequest
from daemon.api.problems import Problem
from daemon.api.views import PERCENT_DECIMALS
from schemas.events import InstrumentDefined

_NEEDED = {
    "market": frozenset[str](),
    "limit": frozenset({"price"}),
    "stop": frozenset({"stop_price"}),
    "stop_limit": frozenset({"price", "stop_price"}),
    "trailing_stop": frozenset[str](),
}
_ALLOWED = {**_NEEDED, "trailing_stop": frozenset({"stop_price", "trail_amount", "trail_percent"})}
_PRICES = ("price", "stop_price", "trail_amount", "trail_percent")


class Terms(NamedTuple):
    """Terms of a new order, scaled; `trail_ppm` in millionths of the price."""

    quantity: int
    price: int | None
    stop_price: int | None
    trail_amount: int | None
    trail_ppm: int | None


class Replacement(NamedTuple):
    """Other terms, scaled; None for what stays."""

    quantity: int | None
    price: int | None
    stop_price: int | None


def scaled_terms(asked: OrderRequest, defined: InstrumentDefined) -> Terms:
    """Return the terms of an order.

    Raises:
        Problem: 422, a term is missing, does not belong to the type, or cannot be held exactly.
    """
    _check_mix(asked)
    percent = asked.trail_percent
    ppm = None if percent is None else to_scaled(percent, PERCENT_DECIMALS, field="trail_percent")
    if ppm is not None and not 0 < ppm < 100 * 10**PERCENT_DECIMALS:
        raise _problem("trail_percent", f"trail_percent {percent} is not above 0 and below 100")
    quantity = _scaled("quantity", asked.quantity, defined)
    assert quantity is not None
    price, stop_price, trail_amount = (
        _scaled(name, getattr(asked, name), defined) for name in ("price", "stop_price", "trail_amount")
    )
    return Terms(quantity, price, stop_price, trail_amount, ppm)


def scaled_replacement(asked: ReplaceRequest, defined: InstrumentDefined) -> Replacement:
    """Return other terms of an order.

    Raises:
        Problem: 422, nothing is to change, or a term cannot be held exactly.
    """
    if asked.quantity is None and asked.price is None and asked.stop_price is None:
        names = ", ".join(asked.__struct_fields__)
        raise Problem(422, f"nothing would change: give one of {names}", code="invalid-order")
    return Replacement(
        quantity=_scaled("quantity", asked.quantity, defined),
        price=_scaled("price", asked.price, defined),
        stop_price=_scaled("stop_price", asked.stop_price, defined),
    )


def _check_mix(asked: OrderRequest) -> None:
    kind = asked.type.replace("_", "-")
    for name in _PRICES:
        words = name.replace("_", " ")
        given = getattr(asked, name) is not None
        if given and name not in _ALLOWED[asked.type]:
            raise _problem(name, f"a {kind} order has no {words}")
        if not given and name in _NEEDED[asked.type]:
            raise _problem(name, f"a {kind} order needs a {words}")
    if asked.type == "trailing_stop" and (asked.trail_amount is None) == (asked.trail_percent is None):
        raise _problem(
            "trail_amount", "a trailing-stop order needs a trail_amount or a trail_percent, not both"
        )
    if (asked.expire_ns is None) == (asked.time_in_force == "gtd"):
        detail = (
            "a gtd order needs expire_ns" if asked.expire_ns is None else "only a gtd order has expire_ns"
        )
        raise _problem("expire_ns", detail)


def _scaled(name: str, text: str | None, defined: InstrumentDefined) -> int | None:
    if text is None:
        return None
    scale, step = defined.price_scale, defined.tick_size
    if name == "quantity":
        scale, step = defined.quantity_scale, defined.lot_size
    value = to_scaled(text, scale, field=name, step=step)
    if value == 0:
        raise Problem(422, f"{name} must be above zero", code="not-positive", extra={"field": name})
    return value


def _problem(field: str, detail: str) -> Problem:
    return Problem(422, detail, code="price" if field == "price" else "terms", extra={"field": field})
