"""What a strategy asks for, as events that lack only their time: checked for what a journal can hold.

Whether an order may leave is the risk rules' business; here stands only what it is.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from daemon.trading.money import MAX_INTEGER
from daemon.trading.strategy import StrategyError
from schemas.events import (
    CancelRequested,
    OrderRequested,
    OrderType,
    ReplaceRequested,
    Side,
    TimeInForce,
)

MAX_TAG = 200
_MARKET = OrderType.MARKET

Draft = partial[Any]
"""An event that lacks only its `ts_ns`; `strategy_id` is among its keywords where it is a strategy's."""


def order_draft(  # noqa: PLR0913
    strategy_id: str,
    instrument_id: int,
    side: Side,
    quantity: int,
    *,
    order_type: OrderType = OrderType.MARKET,
    price: int | None = None,
    stop_price: int | None = None,
    trail_amount: int | None = None,
    trail_ppm: int | None = None,
    time_in_force: TimeInForce = TimeInForce.GTC,
    expire_ns: int | None = None,
    post_only: bool = False,
    reduce_only: bool = False,
    tag: str = "",
) -> Draft:
    """Return the request for an order.

    Raises:
        StrategyError: a value that the journal cannot hold.
    """
    check_quantity(quantity)
    for value in (price, stop_price, trail_amount, trail_ppm, expire_ns):
        check_price(value)
    _check_tag(tag)
    return partial(
        OrderRequested,
        instrument_id=instrument_id,
        # Asking for the type costs less than making one member of another.
        side=side if type(side) is Side else Side(side),
        order_type=order_type if type(order_type) is OrderType else OrderType(order_type),
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        trail_amount=trail_amount,
        trail_ppm=trail_ppm,
        time_in_force=time_in_force if type(time_in_force) is TimeInForce else TimeInForce(time_in_force),
        expire_ns=expire_ns,
        post_only=bool(post_only),
        reduce_only=bool(reduce_only),
        source=f"strategy:{strategy_id}",
        strategy_id=strategy_id,
        tag=tag,
    )


def market_draft(strategy_id: str, instrument_id: int, side: Side, quantity: int, *, tag: str = "") -> Draft:
    """Return the request for a market order; nine in ten are such, and it costs a third of `order_draft`.

    Raises:
        StrategyError: a value that the journal cannot hold.
    """
    check_quantity(quantity)
    _check_tag(tag)
    return partial(
        OrderRequested,
        instrument_id=instrument_id,
        side=side if type(side) is Side else Side(side),
        order_type=_MARKET,
        quantity=quantity,
        source=f"strategy:{strategy_id}",
        strategy_id=strategy_id,
        tag=tag,
    )


def replace_draft(
    strategy_id: str, order_id: int, *, quantity: int | None, price: int | None, stop_price: int | None
) -> Draft:
    """Return the request for other terms of an order.

    Raises:
        StrategyError: a value that the journal cannot hold.
    """
    if quantity is not None:
        check_quantity(quantity)
    check_price(price)
    check_price(stop_price)
    return partial(
        ReplaceRequested,
        order_id=order_id,
        quantity=quantity,
        price=price,
        stop_price=stop_price,
        source=f"strategy:{strategy_id}",
        strategy_id=strategy_id,
    )


def cancel_draft(order_id: int, strategy_id: str) -> Draft:
    """Return the request that takes out an order of a strategy."""
    return partial(
        CancelRequested, order_id=order_id, source=f"strategy:{strategy_id}", strategy_id=strategy_id
    )


def check_quantity(quantity: int) -> None:
    """Refuse what is no integer of 64 bits.

    Raises:
        StrategyError: it is not.
    """
    if type(quantity) is not int or abs(quantity) > MAX_INTEGER:
        raise StrategyError(f"a quantity must be a 64-bit integer, not {quantity!r:.50}")


def check_price(price: int | None) -> None:
    """Refuse what is neither None nor an integer of 64 bits.

    Raises:
        StrategyError: it is not.
    """
    if price is not None and (type(price) is not int or abs(price) > MAX_INTEGER):
        raise StrategyError(f"a price must be a 64-bit integer, not {price!r:.50}")


def _check_tag(tag: str) -> None:
    if not isinstance(tag, str) or len(tag) > MAX_TAG:
        raise StrategyError(f"a tag is a text of at most {MAX_TAG} characters")
    tag.encode()
