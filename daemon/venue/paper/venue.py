"""The paper venue: takes orders, lets them meet the market's ticks, and reports. No clock, no chance.

What it does is a function of the journal: of the ticks in their order, of where among them an order
arrived, which its `OrderAccepted` or `OrderRejected` tells, and of the options that a `DaemonStarted`
recorded. `daemon.venue.paper.follow` uses that to bring it back after a stop of any kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

from daemon.trading.core import Core
from daemon.trading.orders import Order
from daemon.venue.paper.latency import latency_ns
from daemon.venue.paper.market import Market
from daemon.venue.paper.matching import Matching, Times
from daemon.venue.paper.options import VenueOptions
from daemon.venue.paper.refusals import refusal
from daemon.venue.paper.working import Working, end_ns, working_order
from schemas.codec import AnyEvent
from schemas.events import (
    SUSPICIOUS,
    CancelRequested,
    ClockTicked,
    Event,
    InstrumentDefined,
    OrderAccepted,
    OrderExpired,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    Quote,
    ReplaceRejected,
    ReplaceRequested,
    SessionCalendarDefined,
    Trade,
)

NEVER = 2**63 - 1


class PaperVenue:
    """Works orders against market events.

    Args:
        options: how it fills.
        maker_fee_ppm: where nothing but fees is to be chosen: of fills that rested.
        taker_fee_ppm: of fills that took.
    """

    name = "paper"

    def __init__(
        self, options: VenueOptions | None = None, *, maker_fee_ppm: int = 0, taker_fee_ppm: int = 0
    ) -> None:
        self.options = options or VenueOptions(maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm)
        self.matching = Matching(self.options)
        self.markets: dict[int, Market] = {}
        self._under_way: list[tuple[int, int, Event]] = []
        self._last_arrival_ns = 0
        self._last_sent = 0
        self._seen = 0
        self._next_seq = 1
        self._next_end_ns = NEVER
        self._concern: dict[type, Callable[[Any, list[Event]], None]] = {
            Trade: self._on_trade,
            Quote: self._on_quote,
            ClockTicked: self._on_clock,
            InstrumentDefined: self._on_definition,
            SessionCalendarDefined: self._on_calendar,
        }

    @property
    def idle(self) -> bool:
        """No order works or is under way, so no event can cause a report."""
        return not self.matching.working and not self._under_way

    @property
    def due_ns(self) -> int | None:
        """See `Venue.due_ns`."""
        return self._under_way[0][0] if self._under_way else None

    @property
    def next_end_ns(self) -> int:
        """When the time of a working order is over first, or earlier; NEVER for none."""
        return self._next_end_ns if self.matching.working else NEVER

    def configure(self, options: VenueOptions) -> None:
        """Fill by other options from here on."""
        self.options = self.matching.options = options
        for market in self.markets.values():
            market.fees = options.fees_of(market.instrument)

    def send(self, effects: Sequence[tuple[int, Event]], core: Core, now_ns: int) -> list[Event]:
        """See `Venue.send`; with latency the effects are under way first."""
        reports: list[Event] = []
        options = self.options
        is_instant = not (options.latency_us or options.latency_spread_us)
        for seq, event in effects:
            if seq <= self._last_sent:
                continue
            self._last_sent = seq
            if is_instant:
                self.take(event, core, Times(event.ts_ns, now_ns), reports)
                continue
            # One connection: nothing overtakes what was sent before it.
            arrival_ns = max(event.ts_ns + latency_ns(options, seq), self._last_arrival_ns)
            self._last_arrival_ns = arrival_ns
            heappush(self._under_way, (arrival_ns, seq, event))
        return reports

    def arrive(self, core: Core, now_ns: int) -> list[Event]:
        """See `Venue.arrive`."""
        reports: list[Event] = []
        arrival_ns, _, event = heappop(self._under_way)
        self.take(event, core, Times(arrival_ns, now_ns), reports)
        return reports

    def take(self, event: Event, core: Core, at: Times, reports: list[Event]) -> None:
        """Let an order or a request arrive, where core and venue have seen the same events."""
        self._seen = core.next_seq - 1
        matching = self.matching
        if type(event) is OrderSubmitted:
            if event.order_id not in matching.working:
                self._arrive(core.orders[event.order_id], core, at, reports)
        elif type(event) is CancelRequested:
            # An order that is not there is over: its report is on its way.
            working = matching.working.get(event.order_id)
            if working is not None:
                matching.cancel(working, self.market_of(working), "requested", at, reports)
        elif type(event) is ReplaceRequested:
            self._replace(event, core, at, reports)

    def on_market(self, events: Sequence[AnyEvent], first_seq: int | None = None) -> list[Event]:
        """See `Venue.on_market`."""
        seq = self._next_seq if first_seq is None else first_seq
        self._next_seq = seq + len(events)
        reports: list[Event] = []
        if not self.matching.working:
            return reports
        if seq <= self._seen:
            # What was there before an order arrived is no news to it.
            events = events[self._seen + 1 - seq :]
        concern = self._concern.get
        for event in events:
            meet = concern(type(event))
            if meet is not None:
                meet(event, reports)
        return reports

    def on_event(self, event: AnyEvent, seq: int) -> list[Event]:
        """Do what `on_market` does with one event."""
        self._next_seq = seq + 1
        reports: list[Event] = []
        meet = self._concern.get(type(event))
        if meet is not None and seq > self._seen and self.matching.working:
            meet(event, reports)
        return reports

    @property
    def resting(self) -> Iterator[tuple[Working, Market]]:
        """Every order at the venue, with its market."""
        for working in self.matching.working.values():
            yield working, self.market_of(working)

    def unsent(self, core: Core) -> list[tuple[int, Event]]:
        """See `Venue.unsent`: this venue lives and dies with the process."""
        found: list[Event] = []
        for order in core.orders.working.values():
            if not order.venue_order_id:
                found.append(submission(order))
            if order.replacing is not None:
                found.append(order.replacing)
            if order.canceling:
                found.append(cancellation(order))
        return list(enumerate(found, 1))

    def market_of(self, working: Working) -> Market:
        """Return the market an order works on."""
        return self.markets[working.request.instrument_id]

    def wake(self, instrument_id: int, core: Core) -> Market:
        """Return an instrument's market, as the core knows it when no order works on it."""
        market = self.markets.get(instrument_id)
        if market is None:
            book = core.books[instrument_id]
            market = self.markets[instrument_id] = Market(book, self.options.fees_of(book.instrument))
        if not market.orders:
            held = core.positions.get(instrument_id)
            market.wake(0 if held is None else held.quantity)
        return market

    def put(self, working: Working, market: Market) -> None:
        """Let an order work that arrived before."""
        self.matching.working[working.order_id] = working
        market.add(working)
        self._mind_end(working)

    def clear(self) -> None:
        """Forget all orders and all that was taken of quotes."""
        self.matching.working.clear()
        self.markets.clear()

    def _mind_end(self, working: Working) -> None:
        if working.end_ns is not None and working.end_ns < self._next_end_ns:
            self._next_end_ns = working.end_ns

    def _arrive(self, order: Order, core: Core, at: Times, reports: list[Event]) -> None:
        request = order.request
        market = self.wake(request.instrument_id, core)
        working = working_order(order)
        working.end_ns = end_ns(request, market.calendar, at.ts_ns)
        reason = refusal(working, market, self, core, at.ts_ns)
        if reason is not None:
            reports.append(
                OrderRejected(
                    ts_ns=at.ts_ns, received_ns=at.received_ns, order_id=order.order_id, reason=reason
                )
            )
            return
        reports.append(accepted(order.order_id, at))
        self._join(working, market, at, reports)
        self._mind_end(working)

    def _join(self, working: Working, market: Market, at: Times, reports: list[Event]) -> None:
        if working.waiting:
            self.matching.wait(working, market, at, reports)
        else:
            self.matching.enter(working, market, at, reports)

    def _replace(self, wish: ReplaceRequested, core: Core, at: Times, reports: list[Event]) -> None:
        """Work an order on other terms, from its old place where only less of it is wanted."""
        order = core.orders[wish.order_id]
        working = self.matching.working.get(wish.order_id)
        if working is None:
            if order.status.is_working:
                reports.append(_refused(wish, "the order is over", at))
            return
        market = self.market_of(working)
        wanted = order.with_terms(wish)
        changed = working_order(wanted)
        changed.waiting, changed.reference, changed.end_ns = (
            working.waiting,
            working.reference,
            working.end_ns,
        )
        reason = "so much is filled by now" if wanted.remaining <= 0 else None
        reason = reason or refusal(changed, market, self, core, at.ts_ns)
        if reason is not None:
            reports.append(_refused(wish, reason, at))
            return
        reports.append(_replaced(wanted, at))
        if (changed.limit, changed.stop) == (working.limit, working.stop) and (
            changed.remaining <= working.remaining
        ):
            working.remaining = changed.remaining
            return
        self.matching.leave(working, market)
        self._join(changed, market, at, reports)

    def _expire(self, ts_ns: int, received_ns: int, reports: list[Event]) -> None:
        """End the orders whose time is over, and find the next time."""
        next_ns = NEVER
        for working in list(self.matching.working.values()):
            end = working.end_ns
            if end is None:
                continue
            if end <= ts_ns:
                self.matching.remove(working, self.market_of(working))
                reason = f"{working.request.time_in_force.name}: its time is over"
                reports.append(
                    OrderExpired(
                        ts_ns=ts_ns, received_ns=received_ns, order_id=working.order_id, reason=reason
                    )
                )
            else:
                next_ns = min(next_ns, end)
        self._next_end_ns = next_ns

    def _on_trade(self, trade: Trade, reports: list[Event]) -> None:
        if trade.ts_ns >= self._next_end_ns:
            self._expire(trade.ts_ns, trade.received_ns, reports)
        market = self.markets.get(trade.instrument_id)
        if market is None or not market.orders or trade.conditions & SUSPICIOUS:
            return
        if market.concerned_by_trade(trade):
            self.matching.on_trade(trade, market, reports)
        else:
            market.last = trade.price

    def _on_quote(self, quote: Quote, reports: list[Event]) -> None:
        if quote.ts_ns >= self._next_end_ns:
            self._expire(quote.ts_ns, quote.received_ns, reports)
        market = self.markets.get(quote.instrument_id)
        if market is None or not market.orders or quote.conditions & SUSPICIOUS:
            return
        if market.concerned_by_quote(quote):
            self.matching.on_quote(quote, market, reports)
        else:
            market.stand(quote)

    def _on_clock(self, tick: ClockTicked, reports: list[Event]) -> None:
        if tick.ts_ns >= self._next_end_ns:
            self._expire(tick.ts_ns, tick.ts_ns, reports)

    def _on_definition(self, event: InstrumentDefined, reports: list[Event]) -> None:  # noqa: ARG002
        """Take over another tick or lot; the core refuses other scales while orders work."""
        market = self.markets.get(event.instrument_id)
        if market is not None and _terms(market.instrument) == _terms(event):
            market.instrument = event
            market.fees = self.options.fees_of(event)

    def _on_calendar(self, event: SessionCalendarDefined, reports: list[Event]) -> None:  # noqa: ARG002
        """Take over the hours that the core works with by now."""
        for market in self.markets.values():
            market.calendar = market.book.calendar


def accepted(order_id: int, at: Times) -> OrderAccepted:
    """Return the report that an order arrived."""
    return OrderAccepted(
        ts_ns=at.ts_ns, received_ns=at.received_ns, order_id=order_id, venue_order_id=f"P{order_id}"
    )


def _replaced(order: Order, at: Times) -> OrderReplaced:
    return OrderReplaced(
        ts_ns=at.ts_ns,
        received_ns=at.received_ns,
        order_id=order.order_id,
        quantity=order.quantity,
        price=order.price,
        stop_price=order.stop_price,
    )


def _refused(wish: ReplaceRequested, reason: str, at: Times) -> ReplaceRejected:
    return ReplaceRejected(ts_ns=at.ts_ns, received_ns=at.received_ns, order_id=wish.order_id, reason=reason)


def submission(order: Order) -> OrderSubmitted:
    """Return the submission of an order that has not arrived."""
    return OrderSubmitted(
        ts_ns=order.updated_ns,
        order_id=order.order_id,
        client_order_id=order.client_order_id,
        venue=order.venue,
    )


def cancellation(order: Order) -> CancelRequested:
    """Return the request that has not reached an order."""
    return CancelRequested(ts_ns=order.updated_ns, order_id=order.order_id, source="core:restart")


def _terms(instrument: InstrumentDefined) -> tuple[int, int, int, str]:
    return (
        instrument.price_scale,
        instrument.quantity_scale,
        instrument.multiplier,
        instrument.quote_currency,
    )
