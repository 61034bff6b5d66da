"""The paper venue: fills orders against quotes and trades by fixed rules. No clock, no chance.

An order meets the standing quote of the other side when it arrives, and after that only events with
a higher number than the last one before its arrival.

    order            meets a quote                            meets a trade
    market           fills at the quote's price, as taker     only while no quote of the other side is
                                                              known: fills at the trade's price, as taker
    limit, arriving  fills at the quote's price when that     -
                     is at the limit or better, as taker
    limit, resting   fills at its limit when the quote        fills at its limit when the trade's price
                     reaches the limit, as maker              is better than the limit, as maker: a trade
                                                              at the limit may have been another's turn
    IOC and FOK      fill as when arriving; what is left is canceled. Where no quote is known they wait
                     for the next tick and end there; a trade at the limit or better then fills them.

No fill is larger than the quote's quantity, less what our orders took of it before, or than the
trade's quantity; a quote without quantity is taken as deep enough. FOK fills in one piece or not at
all. Post-only orders that would take from the standing quote are rejected. Our own orders are served in
order of arrival. Ticks that the vendor doubts fill nothing and do not become the standing quote. An
order whose next fill no journal could hold, because price or fee are beyond 64 bits, is canceled.

What our orders took of the standing quote is not in the journal: a fill does not say which tick it met.
After a restart the quote of before counts as untouched, until the next one replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from daemon.trading.core import Core
from daemon.trading.gate import may_leave, withheld
from daemon.trading.money import MAX_INTEGER, MONEY_SCALE, PPM, TENS, notional
from daemon.trading.orders import Order, OrderStatus
from schemas.codec import AnyEvent
from schemas.events import (
    SUSPICIOUS,
    CancelRequested,
    Event,
    InstrumentDefined,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    Quote,
    ReplaceRejected,
    ReplaceRequested,
    Side,
    TimeInForce,
    Trade,
)

FEE_SCALE = 8
# Members by short names: a look-up in an enumeration costs 0.1 us in Python 3.11, a global name 0.01.
_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
_FOK = TimeInForce.FOK
_TYPES = (OrderType.MARKET, OrderType.LIMIT)
_TIMES_IN_FORCE = (TimeInForce.GTC, *_IMMEDIATE)
_BUY = Side.BUY
_MAKER, _TAKER = Liquidity.MAKER, Liquidity.TAKER


@dataclass(slots=True, eq=False)
class _Working:
    """An order at the venue.

    `arrival` is the last number it must not see; any tick may concern an `eager` one, whatever its price.
    """

    order_id: int
    request: OrderRequested
    instrument: InstrumentDefined
    arrival: int
    remaining: int
    fills: int
    immediate: bool
    eager: bool
    quoted: bool = False

    def reached_by(self, price: int) -> bool:
        """Return whether a price is at the order's limit or better."""
        limit = self.request.price
        return limit is None or (price - limit) * self.request.side <= 0


class _Resting:
    """An instrument's working orders in order of arrival, and which prices concern any of them.

    A tick away from every limit costs two comparisons, however many orders rest: with 600 of them,
    asking each took a whole core at 20,000 events/s.
    """

    __slots__ = ("_eager", "_highest_buy", "_lowest_sell", "orders")

    def __init__(self) -> None:
        self.orders: dict[int, _Working] = {}
        self._eager = 0
        self._highest_buy: float = -inf
        self._lowest_sell: float = inf

    def add(self, working: _Working) -> None:
        self.orders[working.order_id] = working
        if working.eager:
            self._eager += 1
        elif working.request.side == _BUY:
            self._highest_buy = max(self._highest_buy, _limit(working))
        else:
            self._lowest_sell = min(self._lowest_sell, _limit(working))

    def remove(self, working: _Working) -> None:
        del self.orders[working.order_id]
        if working.eager:
            self._eager -= 1
            return
        side, limit = working.request.side, _limit(working)
        if limit in (self._highest_buy, self._lowest_sell):
            limits = [_limit(o) for o in self.orders.values() if o.request.side == side and not o.eager]
            if side == _BUY:
                self._highest_buy = max(limits, default=-inf)
            else:
                self._lowest_sell = min(limits, default=inf)

    def concerned_by(self, tick: Trade | Quote) -> bool:
        """Return whether the tick may fill or end an order."""
        if self._eager:
            return True
        if isinstance(tick, Trade):
            return tick.price < self._highest_buy or tick.price > self._lowest_sell
        ask, bid = tick.ask_price, tick.bid_price
        return (ask is not None and ask <= self._highest_buy) or (
            bid is not None and bid >= self._lowest_sell
        )


def _limit(working: _Working) -> int:
    assert working.request.price is not None, "an order without a limit is eager"
    return working.request.price


@dataclass(slots=True)
class _Taken:
    """How much of a quote's side our orders took."""

    quote: Quote
    quantity: int = 0


class PaperVenue:
    """Works orders against market events.

    Args:
        maker_fee_ppm: fee of a fill that rested, in millionths of its value; below zero is a rebate.
        taker_fee_ppm: fee of a fill that took.
    """

    name = "paper"

    def __init__(self, *, maker_fee_ppm: int = 0, taker_fee_ppm: int = 0) -> None:
        self._fee_ppm = {_MAKER: maker_fee_ppm, _TAKER: taker_fee_ppm}
        self._working: dict[int, _Working] = {}
        self._by_instrument: dict[int, _Resting] = {}
        self._taken: dict[tuple[int, Side], _Taken] = {}
        self._sent_seq = 0
        self._next_seq = 1

    @property
    def idle(self) -> bool:
        """No order works, so no event can cause a report."""
        return not self._working

    def send(self, effects: Sequence[tuple[int, Event]], core: Core, now_ns: int) -> list[Event]:
        """See `Venue.send`; orders meet the standing quotes of the core."""
        reports: list[Event] = []
        for seq, event in effects:
            # What is nothing of this was sent before, or is over and its report is on its way.
            if type(event) is OrderSubmitted and seq > self._sent_seq:
                self._sent_seq = seq
                self._arrive(core.orders[event.order_id], core, now_ns, reports)
            elif type(event) is CancelRequested and event.order_id in self._working:
                self._end(self._working[event.order_id], "requested", now_ns, now_ns, reports)
            elif type(event) is ReplaceRequested and event.order_id in self._working:
                reason = "this venue replaces no orders"
                reports.append(
                    ReplaceRejected(ts_ns=now_ns, received_ns=now_ns, order_id=event.order_id, reason=reason)
                )
        return reports

    def on_market(self, events: Sequence[AnyEvent], first_seq: int | None = None) -> list[Event]:
        """See `Venue.on_market`."""
        seq = self._next_seq if first_seq is None else first_seq
        self._next_seq = seq + len(events)
        reports: list[Event] = []
        if not self._working:
            return reports
        for event in events:
            if type(event) is Trade or type(event) is Quote:
                resting = self._by_instrument.get(event.instrument_id)
                if resting is not None and resting.concerned_by(event) and not event.conditions & SUSPICIOUS:
                    seen = [order for order in resting.orders.values() if seq > order.arrival]
                    if type(event) is Trade:
                        self._on_trade(event, seen, reports)
                    elif type(event) is Quote:
                        self._on_quote(event, seen, reports)
            seq += 1
        return reports

    def restore(self, core: Core) -> list[Event]:
        """See `Venue.restore`; an order that was submitted and not accepted arrives now."""
        self._next_seq = core.next_seq
        self._sent_seq = core.next_seq - 1
        reports: list[Event] = []
        for order in list(core.orders.working.values()):
            at_ns = order.updated_ns
            if order.status == OrderStatus.SUBMITTED:
                if may_leave(order, core):
                    self._arrive(order, core, at_ns, reports)
                else:
                    reports.append(withheld(order, at_ns))
                continue
            working = _working(order, core)
            self._rest(working)
            if order.status == OrderStatus.PENDING_CANCEL:
                self._end(working, "requested", at_ns, at_ns, reports)
            elif order.status == OrderStatus.UNKNOWN:
                reports.append(_accepted(working, at_ns))
        return reports

    def _arrive(self, order: Order, core: Core, now_ns: int, reports: list[Event]) -> None:
        working = _working(order, core)
        request = order.request
        book = core.books[request.instrument_id]
        quote = book.ask if request.side == _BUY else book.bid
        price = None if quote is None else _offer(quote, request.side)[0]
        crosses = price is not None and working.reached_by(price)
        reason = _unknown_terms(request)
        if request.post_only and crosses:
            reason = "post-only, and it would take"
        if reason is not None:
            reports.append(
                OrderRejected(ts_ns=now_ns, received_ns=now_ns, order_id=order.order_id, reason=reason)
            )
            return
        reports.append(_accepted(working, now_ns))
        self._rest(working)
        if quote is None or price is None:
            return
        working.quoted = True
        if crosses:
            self._take(working, quote, price, _TAKER, (now_ns, now_ns), reports)
        if working.remaining and working.immediate:
            self._end(working, _unfilled(working), now_ns, now_ns, reports)

    def _on_quote(self, quote: Quote, orders: list[_Working], reports: list[Event]) -> None:
        times = (quote.ts_ns, quote.received_ns)
        for working in orders:
            price, _ = _offer(quote, working.request.side)
            if price is None:
                continue
            working.quoted = True
            if working.reached_by(price):
                limit = working.request.price
                if limit is None or working.immediate:
                    self._take(working, quote, price, _TAKER, times, reports)
                else:
                    self._take(working, quote, limit, _MAKER, times, reports)
            if working.remaining and working.immediate:
                self._end(working, _unfilled(working), *times, reports)

    def _take(
        self,
        working: _Working,
        quote: Quote,
        price: int,
        liquidity: Liquidity,
        times: tuple[int, int],
        reports: list[Event],
    ) -> None:
        """Fill from a quote as far as it goes."""
        request = working.request
        _, offered = _offer(quote, request.side)
        quantity = working.remaining
        if offered is not None:
            key = (request.instrument_id, request.side)
            taken = self._taken.get(key)
            if taken is None or taken.quote is not quote:
                taken = self._taken[key] = _Taken(quote)
            quantity = _part(working, offered - taken.quantity)
            if quantity > 0:
                taken.quantity += self._fill(working, price, quantity, liquidity, times, reports)
            return
        self._fill(working, price, quantity, liquidity, times, reports)

    def _on_trade(self, trade: Trade, orders: list[_Working], reports: list[Event]) -> None:
        times = (trade.ts_ns, trade.received_ns)
        left = trade.quantity
        for working in orders:
            limit = working.request.price
            takes = limit is None or working.immediate
            if takes and working.quoted:
                continue
            fits = working.reached_by(trade.price) and (takes or trade.price != limit)
            quantity = _part(working, left) if fits else 0
            if quantity > 0:
                if takes or limit is None:
                    left -= self._fill(working, trade.price, quantity, _TAKER, times, reports)
                else:
                    left -= self._fill(working, limit, quantity, _MAKER, times, reports)
            if working.remaining and working.immediate:
                self._end(working, _unfilled(working), *times, reports)

    def _fill(
        self,
        working: _Working,
        price: int,
        quantity: int,
        liquidity: Liquidity,
        times: tuple[int, int],
        reports: list[Event],
    ) -> int:
        """Fill, and return the quantity; when the journal could not hold the fill, end the order instead."""
        fee, fee_scale = _fee(notional(working.instrument, price, quantity), self._fee_ppm[liquidity])
        if abs(fee) > MAX_INTEGER or abs(price) > MAX_INTEGER:
            self._end(working, "the price or fee of its fill is beyond 64 bits", *times, reports)
            return 0
        working.fills += 1
        working.remaining -= quantity
        reports.append(
            OrderFilled(
                ts_ns=times[0],
                received_ns=times[1],
                order_id=working.order_id,
                instrument_id=working.request.instrument_id,
                side=working.request.side,
                price=price,
                quantity=quantity,
                fee=fee,
                fee_scale=fee_scale,
                fee_currency=working.instrument.quote_currency,
                liquidity=liquidity,
                venue_trade_id=f"P{working.order_id}-{working.fills}",
            )
        )
        if not working.remaining:
            self._remove(working)
        return quantity

    def _end(
        self, working: _Working, reason: str, ts_ns: int, received_ns: int, reports: list[Event]
    ) -> None:
        self._remove(working)
        working.remaining = 0
        reports.append(
            OrderCanceled(ts_ns=ts_ns, received_ns=received_ns, order_id=working.order_id, reason=reason)
        )

    def _rest(self, working: _Working) -> None:
        self._working[working.order_id] = working
        instrument_id = working.request.instrument_id
        resting = self._by_instrument.get(instrument_id)
        if resting is None:
            resting = self._by_instrument[instrument_id] = _Resting()
        resting.add(working)

    def _remove(self, working: _Working) -> None:
        del self._working[working.order_id]
        self._by_instrument[working.request.instrument_id].remove(working)


def _working(order: Order, core: Core) -> _Working:
    request = order.request
    immediate = request.time_in_force in _IMMEDIATE
    return _Working(
        order_id=order.order_id,
        request=request,
        instrument=core.instruments[request.instrument_id],
        arrival=core.next_seq - 1,
        remaining=order.remaining,
        fills=len(order.trade_ids),
        immediate=immediate,
        eager=immediate or request.price is None,
    )


def _unknown_terms(request: OrderRequested) -> str | None:
    """Return what this venue cannot do of what was asked for."""
    if request.order_type not in _TYPES:
        return f"this venue takes no {request.order_type.name} orders"
    if request.time_in_force not in _TIMES_IN_FORCE:
        return f"this venue takes no {request.time_in_force.name} orders"
    return None


def _accepted(working: _Working, now_ns: int) -> OrderAccepted:
    order_id = working.order_id
    return OrderAccepted(ts_ns=now_ns, received_ns=now_ns, order_id=order_id, venue_order_id=f"P{order_id}")


def _offer(quote: Quote, side: Side) -> tuple[int | None, int | None]:
    """Return price and quantity an order of that side meets."""
    if side == _BUY:
        return quote.ask_price, quote.ask_quantity
    return quote.bid_price, quote.bid_quantity


def _part(working: _Working, available: int) -> int:
    """Return how much an order fills of what is there."""
    if working.request.time_in_force == _FOK and available < working.remaining:
        return 0
    return max(0, min(working.remaining, available))


def _unfilled(working: _Working) -> str:
    return f"{working.request.time_in_force.name}: the rest could not be filled at once"


def _fee(value: int, ppm: int) -> tuple[int, int]:
    """Return fee and fee scale, rounded up in the venue's favour, fine as a 64-bit integer allows.

    A fee that is too large even without decimals is returned all the same.
    """
    scale = FEE_SCALE
    while True:
        fee = -(-value * ppm // (PPM * TENS[MONEY_SCALE - scale]))
        if abs(fee) <= MAX_INTEGER or not scale:
            return fee, scale
        scale -= 1
