"""Rules that hold always, without any limit being set; each answers with a reason, under its own code.

Spot rules for cash: an order that opens or enlarges a long position must be covered by free cash of
the quote currency, fee included, at its limit price or at the price it would meet now. Free is what
working purchases do not already need. Sales are not checked for cash: selling short is allowed. Where
margin is on, the rule of margin takes the place of that of cash.
"""

from __future__ import annotations

from collections.abc import Callable

from daemon.trading.money import MONEY_ONE, MONEY_SCALE, PPM, notional
from daemon.trading.order_table import MAX_WORKING_ORDERS
from daemon.trading.orders import Order
from daemon.trading.risk.view import Proposal, View, free_cash
from daemon.trading.terms import is_plain
from schemas.decimals import decimal_text
from schemas.events import OrderType, Side, TradingState

# Members by short names: a look-up in an enumeration costs 0.1 us in Python 3.11, a global name 0.01.
_BUY = Side.BUY
_ACTIVE, _HALTED, _REDUCING = TradingState.ACTIVE, TradingState.HALTED, TradingState.REDUCING
_MARKET = OrderType.MARKET
MAX_VALUE = 10**12
"""Most that one order may be worth, in units of its currency: anything above is a slip, and would
lead to fees that no journal can hold."""

OrderRule = Callable[[Proposal], str | None]


def _halted(proposal: Proposal) -> str | None:
    view, instrument = proposal.view, proposal.instrument
    if view.trading_state == _HALTED:
        return "trading is halted"
    state = view.instrument_states.get(instrument.instrument_id)
    return f"trading of {instrument.symbol} is halted" if state == _HALTED else None


def _reducing(proposal: Proposal) -> str | None:
    view = proposal.view
    states = (view.trading_state, view.instrument_states.get(proposal.instrument.instrument_id))
    if _REDUCING not in states or proposal.quantity <= proposal.reducible:
        return None
    return "only orders that reduce a position are allowed now"


def _reduce_only(proposal: Proposal) -> str | None:
    if not proposal.order.request.reduce_only or not proposal.opening:
        return None
    return f"at most {proposal.reducible} would reduce the position"


def _working(proposal: Proposal) -> str | None:
    table = proposal.view.orders
    if proposal.order.order_id in table.working:
        return None
    full = len(table.working) + len(table.held) >= MAX_WORKING_ORDERS
    return f"{MAX_WORKING_ORDERS} orders are working" if full else None


def _value(proposal: Proposal) -> str | None:
    if proposal.price is None:
        return f"no price of {proposal.instrument.symbol} is known to value the order with"
    value = proposal.cost(proposal.order.remaining)
    return None if value <= MAX_VALUE * MONEY_ONE else f"the order is worth more than {MAX_VALUE}"


def _cash(proposal: Proposal) -> str | None:
    view = proposal.view
    if proposal.side != _BUY or not proposal.opening or view.risk.limits.margin:
        return None
    currency = proposal.instrument.quote_currency
    free = free_cash(currency, view, beside=proposal.order)
    needed = proposal.cost(proposal.opening)
    if needed <= free:
        return None
    return (
        f"needs {decimal_text(needed, MONEY_SCALE)} {currency},"
        f" {decimal_text(free, MONEY_SCALE)} {currency} is free"
    )


ORDER_RULES: tuple[tuple[str, OrderRule], ...] = (
    ("HALTED", _halted),
    ("REDUCING", _reducing),
    ("REDUCE_ONLY", _reduce_only),
    ("TOO_MANY_ORDERS", _working),
    ("VALUE", _value),
    ("CASH", _cash),
)
"""Code and rule, in the order in which they are asked; the first that objects decides."""


def passes_at_once(order: Order, view: View) -> bool:
    """Return whether no rule of any kind can object, as one look tells: 1.5 us, where asking all takes 4.5.

    So it is with a plain market order that all the cash would cover, while nothing works and no limit is
    set; whether any other order may leave, the rules must be asked.
    """
    request, risk, table = order.request, view.risk, view.orders
    if (
        request.order_type is not _MARKET
        or request.reduce_only
        or view.trading_state is not _ACTIVE
        or view.instrument_states
        or table.working
        or table.held
        or risk.always_asked
        or risk.asked_when_opening
        or risk.protections.pauses
    ):
        return False
    book, side = view.books[request.instrument_id], request.side
    instrument = book.instrument
    price = book.cost_price(side)
    if price is None or price <= 0 or not is_plain(order, instrument):
        return False
    value = notional(instrument, price, order.quantity)
    value += value * max(0, view.taker_fee_ppm) // PPM
    return value <= MAX_VALUE * MONEY_ONE and (
        side is not _BUY or value <= view.account.cash.get(instrument.quote_currency, 0)
    )
