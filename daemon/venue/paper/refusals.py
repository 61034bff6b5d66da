"""Why the paper venue rejects an order on arrival. Looks, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from daemon.trading.core import Core
from daemon.trading.money import MONEY_SCALE, PPM, notional
from daemon.venue.paper.market import Market
from daemon.venue.paper.options import VenueOptions
from daemon.venue.paper.working import Working
from schemas.decimals import decimal_text
from schemas.events import Side

_BUY = Side.BUY


class View(Protocol):
    """What is looked at; the venue is one."""

    @property
    def options(self) -> VenueOptions: ...  # noqa: D102
    @property
    def resting(self) -> Iterable[tuple[Working, Market]]: ...  # noqa: D102


def refusal(working: Working, market: Market, view: View, core: Core, now_ns: int) -> str | None:
    """Return why an order that arrives now is rejected; None when it is taken."""
    request = working.request
    if not market.calendar.is_open(now_ns):
        return "the session is closed"
    if working.end_ns is not None and working.end_ns <= now_ns:
        return "its time was over before it arrived"
    if request.post_only and would_take(working, market):
        return "post-only, and it would take"
    if request.reduce_only and not market.reducible(request.side):
        return "reduce-only, and there is nothing to reduce"
    reason = _odd_terms(working, market)
    if reason is None and view.options.check_funds and request.side == _BUY and not core.risk.limits.margin:
        return _shortfall(working, market, view, core)
    return reason


def _odd_terms(working: Working, market: Market) -> str | None:
    """Return which quantity or price the instrument does not allow."""
    tick, lot = market.instrument.tick_size, market.instrument.lot_size
    if lot > 1 and working.remaining % lot:
        return f"quantity {working.remaining} is no multiple of the lot {lot}"
    if tick > 1:
        for price in (working.limit, working.stop):
            if price is not None and price % tick:
                return f"price {price} is no multiple of the tick {tick}"
    return None


def would_take(working: Working, market: Market) -> bool:
    """Return whether an order would meet the standing quote at once."""
    price, _ = market.offer(working.request.side)
    return not working.waiting and price is not None and working.reached_by(price)


def _shortfall(working: Working, market: Market, view: View, core: Core) -> str | None:
    """Return what a purchase lacks in cash, beside the purchases that rest."""
    opening = working.remaining - market.reducible(_BUY)
    if opening <= 0:
        return None
    currency = market.instrument.quote_currency
    needed = _cost(working, opening, market)
    free = core.account.cash.get(currency, 0) - sum(
        _cost(other, other.remaining, where)
        for other, where in view.resting
        if other.order_id != working.order_id
        and other.request.side == _BUY
        and where.instrument.quote_currency == currency
    )
    if needed <= free:
        return None
    return (
        f"insufficient funds: it needs {decimal_text(needed, MONEY_SCALE)} {currency},"
        f" {decimal_text(free, MONEY_SCALE)} {currency} is free"
    )


def _cost(working: Working, quantity: int, market: Market) -> int:
    """Return what a purchase costs with its fee, at its limit or at the price it would meet now."""
    meets = next((price for price in (market.offer(_BUY)[0], market.last) if price is not None), 0)
    # A stop that is reached already is no bound: it meets the market.
    stop = working.stop if working.waiting else None
    price = working.limit if working.limit is not None else max(meets, stop or 0)
    value = notional(market.instrument, price, quantity)
    return value + value * max(0, market.fees.taker_ppm) // PPM
