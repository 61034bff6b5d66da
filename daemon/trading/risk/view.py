"""What rules may look at: the core as they see it, and one order as it stands before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from daemon.trading.books import Book
from daemon.trading.money import MONEY_SCALE, PPM, TENS, notional
from daemon.trading.order_table import OrderTable
from daemon.trading.orders import Order
from daemon.trading.portfolio import Account, Portfolio, Position
from daemon.trading.risk.equity_watch import EquityWatch
from daemon.trading.risk.limits import Limits
from daemon.trading.risk.pace import Pace
from daemon.trading.risk.protections import Protections
from daemon.trading.risk.working import NOTHING, Total, Working
from daemon.trading.valuation import Exchange
from schemas.events import InstrumentDefined, OrderType, Side, TradingState


class Rule(Protocol):
    """One rule with its limit."""

    code: ClassVar[str]

    def refusal(self, proposal: Proposal) -> str | None:
        """Return why the order may not leave, or None."""


class RiskView(Protocol):
    """What is kept for the rules alone."""

    @property
    def limits(self) -> Limits: ...  # noqa: D102
    @property
    def working(self) -> Working: ...  # noqa: D102
    @property
    def pace(self) -> Pace: ...  # noqa: D102
    @property
    def watch(self) -> EquityWatch: ...  # noqa: D102
    @property
    def protections(self) -> Protections: ...  # noqa: D102
    @property
    def clock_synchronized(self) -> bool: ...  # noqa: D102
    @property
    def currency(self) -> str: ...  # noqa: D102
    @property
    def always_asked(self) -> Sequence[Rule]: ...  # noqa: D102
    @property
    def asked_when_opening(self) -> Sequence[Rule]: ...  # noqa: D102
    def pause_of(self, order: Order) -> tuple[str, str] | None: ...  # noqa: D102


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
    def portfolio(self) -> Portfolio: ...  # noqa: D102
    @property
    def instruments(self) -> Mapping[int, InstrumentDefined]: ...  # noqa: D102
    @property
    def trading_state(self) -> TradingState: ...  # noqa: D102
    @property
    def instrument_states(self) -> Mapping[int, TradingState]: ...  # noqa: D102
    @property
    def taker_fee_ppm(self) -> int: ...  # noqa: D102
    @property
    def exchange(self) -> Exchange: ...  # noqa: D102
    @property
    def risk(self) -> RiskView: ...  # noqa: D102
    def mark(self, instrument_id: int, quantity: int) -> int | None: ...  # noqa: D102


class Proposal:
    """An order that is to leave: a new one, or one that works, on the terms it is to be replaced by.

    Attributes:
        order: with the terms that are proposed.
        view: the core.
        book: of its instrument.
        instrument: its instrument.
        price: most it may pay or get, by what it names and would meet now; None when nothing is known.
        beside: what else may still be traded on its side, orders left out whose place it takes.
        quantity: most that may be traded by it and those whose place it takes.
        held: signed quantity of the position.
        opening: how much of it would not close what is held.
    """

    __slots__ = (
        "beside",
        "book",
        "held",
        "instrument",
        "opening",
        "order",
        "price",
        "quantity",
        "side",
        "view",
    )

    def __init__(self, order: Order, view: View) -> None:
        request = order.request
        self.order = order
        self.view = view
        self.side = request.side
        self.book = book = view.books[request.instrument_id]
        self.instrument: InstrumentDefined = book.instrument
        self.price: int | None = _price(order, book)
        working = view.risk.working
        self.beside: Total = working.beside(order) if view.orders.working else NOTHING
        self.quantity = order.remaining
        if request.oco_group is not None:
            self.quantity = max(self.quantity, working.most_in_group(order))
        position = view.positions.get(request.instrument_id)
        self.held = 0 if position is None else position.quantity
        # A child closes what its parent opens, so it opens nothing, whatever is held by now.
        opening = 0 if request.parent_id is not None else self.quantity - self.reducible
        self.opening = max(0, opening)

    @property
    def reducible(self) -> int:
        """How much of the position an order of this side can still close, beside working ones."""
        return max(0, self.held * -self.side - self.beside.quantity)

    @property
    def is_replace(self) -> bool:
        """Whether the order works already."""
        return self.order.status.is_working

    @property
    def now_ns(self) -> int:
        """When it was asked for."""
        return self.order.updated_ns

    @property
    def position_after(self) -> int:
        """Signed quantity of the position if all that works on its side is filled, and this order too."""
        return self.held + int(self.side) * (self.beside.quantity + self.quantity)

    def cost(self, quantity: int) -> int:
        """Return what that quantity is worth at its price, with the fee of taking it; 0 without a price."""
        if self.price is None:
            return 0
        value = notional(self.instrument, self.price, quantity)
        # The fee rounds up to the unit of the fee, which is far below what rules are about.
        return value + value * max(0, self.view.taker_fee_ppm) // PPM

    def plain_quantity(self, quantity: int) -> int:
        """Return a quantity at 18 decimals, as limits of quantities are."""
        return quantity * TENS[MONEY_SCALE - self.instrument.quantity_scale]


def _price(order: Order, book: Book) -> int | None:
    """Return the most that an order may pay or get.

    Only the limit of a purchase is the worst it can meet: a sale gets what is bid above its limit, and a
    stop that is reached already pays what is asked. What closes a parent's fill meets another market.
    """
    request = order.request
    named, meets = order.price or order.stop_price, book.cost_price(request.side)
    if named is None:
        return meets
    if request.side == Side.BUY:
        if order.price is not None:
            return named
    elif order.stop_price is not None:
        named = max(named, order.stop_price)
        if request.order_type is not OrderType.TRAILING_STOP:
            return named
    return named if meets is None or request.parent_id is not None else max(named, meets)


def free_cash(currency: str, view: View, *, beside: Order | None = None) -> int:
    """Return the cash that working purchases do not need; those whose place an order takes are left out."""
    free = view.account.cash.get(currency, 0)
    if not view.orders.working:
        return free
    purchases = dict(view.risk.working.purchases())
    if beside is not None and beside.request.side == Side.BUY:
        purchases[beside.request.instrument_id] = view.risk.working.beside(beside)
    for instrument_id, total in purchases.items():
        book = view.books[instrument_id]
        if book.instrument.quote_currency == currency:
            free -= _reserved(book, total, view)
    return free


def _reserved(book: Book, total: Total, view: View) -> int:
    value = notional(book.instrument, 1, total.value)
    if total.unpriced:
        value += notional(book.instrument, book.cost_price(Side.BUY) or 0, total.unpriced)
    return value + value * max(0, view.taker_fee_ppm) // PPM
