"""Rules that hold when their limit is set. Each is a small pure class with its own code.

Rules of the first kind ask every order, for they are about slips and about when a venue trades; those
of the second kind ask only orders that open risk, and are not asked about an order that merely reduces
a position. An order counts with all that works on its side, as if all of it were filled; what works on
the other side would only take away from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from daemon.trading.books import Book
from daemon.trading.money import MONEY_SCALE, PPM, notional
from daemon.trading.risk.equity_watch import DAILY_LOSS, DRAWDOWN, MARGIN
from daemon.trading.risk.limits import Limits, of_instrument
from daemon.trading.risk.view import Proposal, View, free_cash
from daemon.trading.valuation import margin, worth_by_currency
from schemas.decimals import decimal_text
from schemas.events import InstrumentDefined, OrderType, Side

_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})
MILLISECOND_NS = 1_000_000


class LimitRule:
    """One rule; made only while its limit is set.

    Attributes:
        code: of its refusals.
        setting: name of its limit.
        limit: what that is set to.
    """

    code: ClassVar[str]
    setting: ClassVar[str]

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.limit: Any = getattr(limits, self.setting)

    def refusal(self, proposal: Proposal) -> str | None:
        """Return why the order may not leave, or None."""
        raise NotImplementedError


# --- about every order ------------------------------------------------------------------------------


class TradingHours(LimitRule):
    """The instrument must be in a session of its calendar."""

    code = "TRADING_HOURS"
    setting = "trading_hours"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        if proposal.book.calendar.is_open(proposal.now_ns):
            return None
        return f"{proposal.instrument.symbol} is closed now"


class MaxOrderQuantity(LimitRule):
    """What is left of one order to fill, at most."""

    code = "MAX_ORDER_QUANTITY"
    setting = "max_order_quantity"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        most = of_instrument(self.limit, proposal.instrument)
        quantity = proposal.plain_quantity(proposal.order.remaining)
        return (
            None if most is None or quantity <= most else f"quantity {_text(quantity)}, at most {_text(most)}"
        )


class MaxOrderValue(LimitRule):
    """What one order is worth, at most."""

    code = "MAX_ORDER_VALUE"
    setting = "max_order_value"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        price = proposal.price or 0
        value = notional(proposal.instrument, price, proposal.order.remaining)
        return _above(self.limit, value, proposal)


class PriceCollar(LimitRule):
    """How far beyond the last price an order may pay, or sell below it; a resting order never does.

    Where nothing was traded yet, the middle of the quote stands for the last price. The limit of a stop
    is held against its stop, which is what the last price will be when it counts.
    """

    code = "PRICE_COLLAR"
    setting = "price_collar_ppm"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        order, book, side = proposal.order, proposal.book, proposal.side
        if order.request.order_type in _STOPS:
            price, last = order.price, order.stop_price
            if price is None or last is None:
                return None
        else:
            last = _last_price(book)
            if last is None:
                return f"no price of {proposal.instrument.symbol} is known"
            price = order.price or book.cost_price(side) or last
        if (price - last) * side * PPM <= last * self.limit:
            return None
        way = "above" if side > 0 else "below"
        return f"price {price} is more than {self.limit} ppm {way} {last}"


# --- about orders that open risk --------------------------------------------------------------------


class SynchronizedClock(LimitRule):
    """The clock must be kept right, as the last tick of it said."""

    code = "CLOCK"
    setting = "synchronized_clock"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        return None if proposal.view.risk.clock_synchronized else "the clock is not synchronised"


class MarketData(LimitRule):
    """How old the newest tick of the instrument may be, by the times of the events."""

    code = "MARKET_DATA"
    setting = "max_data_age_ms"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        book = proposal.book
        ticks = [tick for tick in (book.trade, book.bid, book.ask) if tick is not None]
        if not ticks:
            return f"no tick of {proposal.instrument.symbol} came yet"
        # The venue's clock and ours differ: the later of both is the age nobody can doubt.
        newest_ns = max(max(tick.ts_ns, tick.received_ns) for tick in ticks)
        age_ns = proposal.now_ns - newest_ns
        if age_ns <= self.limit * MILLISECOND_NS:
            return None
        return f"the newest tick is {age_ns // MILLISECOND_NS} ms old, at most {self.limit}"


class OrdersPerMinute(LimitRule):
    """Orders and replaces that may leave within 60 s."""

    code = "ORDERS_PER_MINUTE"
    setting = "max_orders_per_minute"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        pace = proposal.view.risk.pace
        full = pace.minute_is_full(proposal.now_ns, self.limit, counted=proposal.is_replace)
        return f"{self.limit} orders left within a minute" if full else None


class OrdersPerDay(LimitRule):
    """Orders and replaces that may leave on one day."""

    code = "ORDERS_PER_DAY"
    setting = "max_orders_per_day"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        count = proposal.view.risk.pace.today(proposal.now_ns, counted=proposal.is_replace)
        return f"{count} orders left today" if count >= self.limit else None


class MaxPositionQuantity(LimitRule):
    """Quantity of a position, with all that works on the side of the order."""

    code = "MAX_POSITION_QUANTITY"
    setting = "max_position_quantity"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        most = of_instrument(self.limit, proposal.instrument)
        after = proposal.plain_quantity(abs(proposal.position_after))
        return None if most is None or after <= most else f"position {_text(after)}, at most {_text(most)}"


class MaxPositionValue(LimitRule):
    """Value of a position, with all that works on the side of the order."""

    code = "MAX_POSITION_VALUE"
    setting = "max_position_value"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        return _above(self.limit, _value_after(proposal), proposal)


class MaxConcentration(LimitRule):
    """Value of a position as a share of the equity that the order would leave."""

    code = "CONCENTRATION"
    setting = "max_concentration_ppm"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        value, equity = _converted(_value_after(proposal), proposal), _equity_after(proposal)
        if value is None or equity is None:
            return _unknown(proposal)
        if value * PPM <= equity * self.limit:
            return None
        return f"position worth {_text(value)} of equity {_text(equity)}, at most {self.limit} ppm"


class MaxExposure(LimitRule):
    """Value of all positions without signs, each with all that works on its larger side."""

    code = "MAX_EXPOSURE"
    setting = "max_exposure"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        exposure = _sum_after(proposal, lambda value, _: value)
        if exposure is None:
            return _unknown(proposal)
        return None if exposure <= self.limit else f"exposure {_text(exposure)}, at most {_text(self.limit)}"


class MinCash(LimitRule):
    """Free cash that a purchase must leave, by currency."""

    code = "MIN_CASH"
    setting = "min_cash"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        currency = proposal.instrument.quote_currency
        least = self.limit.get(currency)
        if least is None or proposal.side != Side.BUY:
            return None
        left = free_cash(currency, proposal.view, beside=proposal.order) - proposal.cost(proposal.opening)
        return None if left >= least else f"leaves {_text(left)} {currency}, at least {_text(least)}"


class Margin(LimitRule):
    """Equity must cover the initial margin of all positions, each with what works on its larger side."""

    code = MARGIN
    setting = "margin"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        rates = self.limits.margin_rates
        needed = _sum_after(proposal, lambda value, instrument: margin(value, rates(instrument)[0]))
        equity = _equity_after(proposal)
        if needed is None or equity is None:
            return _unknown(proposal)
        return None if needed <= equity else f"needs margin of {_text(needed)}, equity is {_text(equity)}"


class DailyLoss(LimitRule):
    """How much equity may have fallen since the day began."""

    code = DAILY_LOSS
    setting = "max_daily_loss"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        watch = proposal.view.risk.watch
        if watch.equity is None or watch.day_equity is None:
            return _unknown(proposal)
        if DAILY_LOSS not in watch.broken:
            return None
        return f"equity fell from {_text(watch.day_equity)} to {_text(watch.equity)} today"


class Drawdown(LimitRule):
    """How much equity may have fallen from its peak."""

    code = DRAWDOWN
    setting = "max_drawdown_ppm"

    def refusal(self, proposal: Proposal) -> str | None:
        """See `LimitRule`."""
        watch = proposal.view.risk.watch
        if watch.equity is None or watch.peak is None:
            return _unknown(proposal)
        if DRAWDOWN not in watch.broken:
            return None
        return f"equity fell from its peak of {_text(watch.peak)} to {_text(watch.equity)}"


ALWAYS: tuple[type[LimitRule], ...] = (TradingHours, MaxOrderQuantity, MaxOrderValue, PriceCollar)
WHEN_OPENING: tuple[type[LimitRule], ...] = (
    SynchronizedClock,
    MarketData,
    OrdersPerMinute,
    OrdersPerDay,
    DailyLoss,
    Drawdown,
    MaxPositionQuantity,
    MaxPositionValue,
    MinCash,
    MaxConcentration,
    MaxExposure,
    Margin,
)
"""In the order in which they are asked: the cheap ones first."""


def rules_that_are_set(kinds: Sequence[type[LimitRule]], limits: Limits) -> tuple[LimitRule, ...]:
    """Return those of the rules whose limit is set."""
    return tuple(kind(limits) for kind in kinds if getattr(limits, kind.setting))


def _last_price(book: Book) -> int | None:
    if book.last_price is not None:
        return book.last_price
    sides = [price for price in (book.bid_price, book.ask_price) if price is not None]
    return sum(sides) // len(sides) if sides else None


# --- what the order would lead to -------------------------------------------------------------------


def _value_after(proposal: Proposal) -> int:
    """Return the value of the position after all, without sign, at its mark or the order's price.

    The higher of both: the position will be valued at the one, and was paid for at the other.
    """
    after = proposal.position_after
    mark = proposal.view.mark(proposal.instrument.instrument_id, after)
    return abs(notional(proposal.instrument, max(mark or 0, proposal.price or 0), after))


def _sum_after(proposal: Proposal, part: Callable[[int, InstrumentDefined], int]) -> int | None:
    """Return a sum over the values of all positions after all; None where a price leads nowhere."""
    view, own = proposal.view, proposal.instrument.instrument_id
    own_value = max(_value_after(proposal), _worst_value(own, view))
    sums = {proposal.instrument.quote_currency: part(own_value, proposal.instrument)}
    concerned = {key for key, position in view.positions.items() if position.quantity}
    concerned.update(view.risk.working.instruments())
    for instrument_id in concerned:
        if instrument_id != own:
            instrument = view.books[instrument_id].instrument
            currency = instrument.quote_currency
            value = _worst_value(instrument_id, view)
            sums[currency] = sums.get(currency, 0) + part(value, instrument)
    total = 0
    for currency, amount in sums.items():
        converted = view.exchange.converted(amount, currency, view.risk.currency, view.mark)
        if converted is None:
            return None
        total += converted
    return total


def _worst_value(instrument_id: int, view: View) -> int:
    """Return the value of a position, if all that works on its larger side is filled."""
    position = view.positions.get(instrument_id)
    held = 0 if position is None else position.quantity
    working = view.risk.working
    long = held + working.total(instrument_id, Side.BUY).quantity
    short = held - working.total(instrument_id, Side.SELL).quantity
    worst = long if abs(long) >= abs(short) else short
    book = view.books[instrument_id]
    price = book.mark(worst)
    if price is None:
        return 0 if position is None else abs(position.cost_basis)
    return abs(notional(book.instrument, price, worst))


def _equity_after(proposal: Proposal) -> int | None:
    """Return equity in one currency, less the fee of the order and what it pays beyond the mark."""
    view, instrument = proposal.view, proposal.instrument
    worths = worth_by_currency(view.portfolio, view.instruments, view.mark)
    total = view.exchange.total(worths, view.risk.currency, view.mark)
    quantity = proposal.order.remaining
    mark = view.mark(instrument.instrument_id, quantity * int(proposal.side))
    spent = proposal.cost(quantity) - notional(instrument, proposal.price or 0, quantity)
    if mark is not None and proposal.price is not None:
        spent += max(0, notional(instrument, (proposal.price - mark) * int(proposal.side), quantity))
    lost = _converted(spent, proposal)
    return None if total.unknown or lost is None else total.worth.equity - lost


def _converted(amount: int, proposal: Proposal) -> int | None:
    view = proposal.view
    return view.exchange.converted(amount, proposal.instrument.quote_currency, view.risk.currency, view.mark)


def _above(most: int, value: int, proposal: Proposal) -> str | None:
    converted = _converted(value, proposal)
    if converted is None:
        return _unknown(proposal)
    return None if converted <= most else f"worth {_text(converted)}, at most {_text(most)}"


def _unknown(proposal: Proposal) -> str:
    return f"no known price leads to {proposal.view.risk.currency or 'a currency'} to sum up in"


def _text(amount: int) -> str:
    return decimal_text(amount, MONEY_SCALE)
