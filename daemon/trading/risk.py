"""Rules an order must pass before it may leave; each answers with a reason, under its own code.

Spot rules for cash: an order that opens or enlarges a long position must be covered by free cash of
the quote currency, fee included, at its limit price or at the price it would meet now. Free is what
working purchases do not already need. Sales are not checked for cash: selling short is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from daemon.trading.books import Book
from daemon.trading.money import MONEY_ONE, MONEY_SCALE, PPM, notional
from daemon.trading.order_table import MAX_WORKING_ORDERS, OrderTable
from daemon.trading.orders import Order
from daemon.trading.portfolio import Account, Position
from daemon.trading.terms import flaw
from schemas.decimals import decimal_text
from schemas.events import InstrumentDefined, Side, TradingState

# Members by short names: a look-up in an enumeration costs 0.1 us in Python 3.11, a global name 0.01.
_BUY = Side.BUY
_HALTED, _REDUCING = TradingState.HALTED, TradingState.REDUCING
MAX_VALUE = 10**12
"""Most that one order may be worth, in units of its currency: anything above is a slip, and would
lead to fees that no journal can hold."""


class View(Protocol):
    """What rules may look at; the core is one."""

    @property
    def books(self) -> Mapping[int, Book]: ...  # noqa: D102
    @property
    def orders(self) -> OrderTable: ...  # noqa: D102
    @property
    def positions(self) -> Mapping[int, Position]: ...  # noqa: D102
    @property
    def account(self) -> Account: ...  # noqa: D102
    @property
    def trading_state(self) -> TradingState: ...  # noqa: D102
    @property
    def instrument_states(self) -> Mapping[int, TradingState]: ...  # noqa: D102
    @property
    def taker_fee_ppm(self) -> int: ...  # noqa: D102


Rule = Callable[[Order, View], str | None]


def _halted(order: Order, view: View) -> str | None:
    if view.trading_state == _HALTED:
        return "trading is halted"
    instrument = _instrument(order, view)
    state = view.instrument_states.get(instrument.instrument_id)
    return f"trading of {instrument.symbol} is halted" if state == _HALTED else None


def _reducing(order: Order, view: View) -> str | None:
    states = (view.trading_state, view.instrument_states.get(order.request.instrument_id))
    if _REDUCING not in states or order.remaining <= reducible(order, view):
        return None
    return "only orders that reduce a position are allowed now"


def _reduce_only(order: Order, view: View) -> str | None:
    if not order.request.reduce_only:
        return None
    most = reducible(order, view)
    return None if order.remaining <= most else f"at most {most} would reduce the position"


def _working(order: Order, view: View) -> str | None:
    table = view.orders
    if order.order_id in table.working or len(table.working) + len(table.held) < MAX_WORKING_ORDERS:
        return None
    return f"{MAX_WORKING_ORDERS} orders are working"


def _value(order: Order, view: View) -> str | None:
    value = _cost(order, order.remaining, view)
    if value is None:
        return f"no price of {_instrument(order, view).symbol} is known to value the order with"
    return None if value <= MAX_VALUE * MONEY_ONE else f"the order is worth more than {MAX_VALUE}"


def _cash(order: Order, view: View) -> str | None:
    if order.request.side != _BUY:
        return None
    opening = order.remaining - reducible(order, view)
    if opening <= 0:
        return None
    currency = _instrument(order, view).quote_currency
    free = free_cash(currency, view, beside=order.order_id)
    needed = _cost(order, opening, view) or 0
    if needed <= free:
        return None
    return (
        f"needs {decimal_text(needed, MONEY_SCALE)} {currency},"
        f" {decimal_text(free, MONEY_SCALE)} {currency} is free"
    )


RULES: tuple[tuple[str, Rule], ...] = (
    ("HALTED", _halted),
    ("REDUCING", _reducing),
    ("REDUCE_ONLY", _reduce_only),
    ("TOO_MANY_ORDERS", _working),
    ("VALUE", _value),
    ("CASH", _cash),
)
"""Code and rule, in the order in which they are asked; the first that objects decides."""


# A child closes what its parent opened, so its parent has passed the other rules for both of them, and
# those that look at the position would look too early.
CHILD_RULES: tuple[tuple[str, Rule], ...] = (
    ("HALTED", _halted),
    ("TOO_MANY_ORDERS", _working),
    ("VALUE", _value),
)


def refusal(order: Order, view: View) -> tuple[str, str] | None:
    """Return `(code, reason)` of the first rule that refuses the order, or None when it may leave.

    The order is a new one, or one that works already, on the terms it is to be replaced by: rules
    leave the order of that id out where they count what works.
    """
    if order.request.instrument_id not in view.books:
        return "UNKNOWN_INSTRUMENT", f"instrument {order.request.instrument_id} is not known"
    refused = flaw(order, view)
    if refused is not None:
        return refused
    for code, rule in RULES if order.request.parent_id is None else CHILD_RULES:
        reason = rule(order, view)
        if reason is not None:
            return code, reason
    return None


def reducible(order: Order, view: View) -> int:
    """Return how much of the position an order of this side can still close, beside working ones."""
    request = order.request
    position = view.positions.get(request.instrument_id)
    held = 0 if position is None else position.quantity * -request.side
    if held <= 0:
        return 0
    if not view.orders.working:
        return held
    working = view.orders.working_quantity(request.instrument_id, request.side, beside=order.order_id)
    return max(0, held - working)


def free_cash(currency: str, view: View, *, beside: int = 0) -> int:
    """Return the cash that working purchases do not need; one of them may be left out."""
    free = view.account.cash.get(currency, 0)
    return free - _reserved(currency, view, beside=beside) if view.orders.working else free


def _instrument(order: Order, view: View) -> InstrumentDefined:
    return view.books[order.request.instrument_id].instrument


def _cost(order: Order, quantity: int, view: View) -> int | None:
    request = order.request
    book = view.books[request.instrument_id]
    price = order.price or order.stop_price or book.cost_price(request.side)
    if price is None:
        return None
    value = notional(book.instrument, price, quantity)
    # The fee rounds up to the unit of the fee, which is far below what this rule is about.
    return value + value * max(0, view.taker_fee_ppm) // PPM


def _reserved(currency: str, view: View, *, beside: int) -> int:
    total = 0
    for order_id, working in view.orders.working.items():
        if (
            working.request.side == _BUY
            and order_id != beside
            and _instrument(working, view).quote_currency == currency
        ):
            total += _cost(working, working.most_remaining, view) or 0
    return total
