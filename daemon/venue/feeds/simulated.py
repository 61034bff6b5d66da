"""A made-up market: seeded, so that the same seed gives the same ticks.

Trades and quotes of several instruments in integer prices. Activity clusters as in real markets:
each trade makes more of them likely for a while (a Hawkes process), and prices move more when there
is more going on. `SimulatedMarket` is pure; `SimulatedFeed` drives it by the clock.
"""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from daemon.venue.feeds.instruments import InstrumentDefaults, InstrumentRegistry
from schemas.errors import TapedError
from schemas.events import AssetClass, Event, Quote, Side, Trade

MAX_RATE = 50_000.0
USUAL_RATE = 200.0
STEP_S = 0.02
STEP_EVENTS = 64
"""Events made in one go, some 0.2 ms of the loop's time: beyond it the steps become shorter."""
MAX_BACKLOG_NS = 1_000_000_000
"""After a longer pause of the loop the market goes on from here, instead of making up for it."""
TRADE_SHARE = 0.3
BRANCHING = 0.5
"""Share of activity that is caused by trades before: half, so bursts end."""
_DECAY_PER_S = 2.0
_BUY, _SELL = Side.BUY, Side.SELL


class SimulationError(TapedError):
    """The simulation has no such instrument, or cannot run at such a rate."""


class SimulatedInstrument(NamedTuple):
    """One instrument of the simulation.

    Attributes:
        symbol: at venue `simulated`.
        asset_class: as it would be.
        price_scale: decimals of its prices.
        quantity_scale: decimals of its quantities.
        start_price: scaled; it stays between a quarter and four times of it.
        tick: smallest step of the price, scaled.
        spread_ticks: usual distance of bid and ask.
        quantity: typical quantity at the best price, scaled.
        weight: its share of all events.
        move: chance that a quote moves the price, in quiet times.
        step_ticks: usual length of a move at `USUAL_RATE`; shorter at higher rates, so that an hour
            is as wild at any rate.
    """

    symbol: str
    asset_class: AssetClass
    price_scale: int
    quantity_scale: int
    start_price: int
    tick: int
    spread_ticks: int
    quantity: int
    weight: float
    move: float
    step_ticks: int


INSTRUMENTS: Sequence[SimulatedInstrument] = (
    SimulatedInstrument("BTC-USDT", AssetClass.CRYPTO, 2, 5, 6_150_000, 1, 10, 40_000, 0.4, 0.5, 60),
    SimulatedInstrument("ETH-USDT", AssetClass.CRYPTO, 2, 4, 268_000, 1, 2, 80_000, 0.3, 0.4, 6),
    SimulatedInstrument("SOL-USDT", AssetClass.CRYPTO, 2, 3, 15_400, 1, 1, 150_000, 0.2, 0.2, 1),
    SimulatedInstrument("EUR/USD", AssetClass.FOREX, 5, 0, 109_200, 1, 2, 1_000_000, 0.1, 0.3, 1),
)
VENUE = "simulated"


def chosen_instruments(symbols: Iterable[str]) -> Sequence[SimulatedInstrument]:
    """Return the instruments with these symbols; all of them for none.

    Raises:
        SimulationError: a symbol that is not simulated.
    """
    wanted = list(symbols)
    known = {instrument.symbol: instrument for instrument in INSTRUMENTS}
    for symbol in wanted:
        if symbol not in known:
            raise SimulationError(f"no simulated instrument {symbol!r}", hint=f"there are {', '.join(known)}")
    return [known[symbol] for symbol in wanted] or INSTRUMENTS


class _Book:
    """Top of book of one instrument as the simulation moves it."""

    __slots__ = ("ask", "ask_quantity", "bid", "bid_quantity", "instrument_id", "step", "terms", "trend")

    def __init__(self, terms: SimulatedInstrument, instrument_id: int, rate: float) -> None:
        self.terms = terms
        self.step = terms.tick * max(1, round(terms.step_ticks * math.sqrt(USUAL_RATE / rate)))
        self.instrument_id = instrument_id
        self.bid = terms.start_price
        self.ask = self.bid + terms.tick * terms.spread_ticks
        self.bid_quantity = self.ask_quantity = terms.quantity
        self.trend = 0.0


class SimulatedMarket:
    """The market as a generator: give it a time, get everything up to then.

    The ticks depend on the seed, the instruments, the rate and the start alone, not on how the time
    is cut into steps.

    Args:
        seed: of the random numbers.
        books: instruments and their ids.
        rate: mean events a second over all instruments; bursts go to several times of it.
        start_ns: when it begins.

    Raises:
        SimulationError: a rate outside 0 to `MAX_RATE`.
    """

    def __init__(
        self, seed: int, books: Sequence[tuple[SimulatedInstrument, int]], *, rate: float, start_ns: int
    ) -> None:
        if not 0 < rate <= MAX_RATE:
            raise SimulationError(f"rate {rate} events a second, expected above 0 and at most {MAX_RATE:.0f}")
        self._random = Random(seed)  # noqa: S311 - a simulation, not a secret
        self._books = [_Book(terms, instrument_id, rate) for terms, instrument_id in books]
        self._weights = list(accumulate(terms.weight for terms, _ in books))
        self._rate = rate
        self._base = rate * (1 - BRANCHING)
        # One trade adds this much activity, which decays: `BRANCHING` events follow from each event.
        self._kick = BRANCHING * _DECAY_PER_S / TRADE_SHARE
        self._excitement = rate * BRANCHING
        self._next_ns = start_ns

    def advance(self, now_ns: int) -> list[Event]:
        """Return the ticks up to and at `now_ns` that were not returned yet."""
        events: list[Event] = []
        random, books, weights = self._random, self._books, self._weights
        while self._next_ns <= now_ns:
            book = books[bisect(weights, random.random() * weights[-1], 0, len(weights) - 1)]
            if random.random() < TRADE_SHARE:
                self._excitement = min(self._excitement + self._kick, 10 * self._rate)
                events.append(self._trade(book, self._next_ns))
            else:
                events.append(self._quote(book, self._next_ns))
            self._schedule()
        return events

    def skip_to(self, start_ns: int) -> None:
        """Leave out what would have happened before `start_ns`."""
        self._next_ns = max(self._next_ns, start_ns)

    def _schedule(self) -> None:
        wait_s = self._random.expovariate(self._base + self._excitement)
        self._excitement *= math.exp(-_DECAY_PER_S * wait_s)
        self._next_ns += max(1, int(wait_s * 1e9))

    def _trade(self, book: _Book, ts_ns: int) -> Trade:
        random, terms = self._random, book.terms
        buy = random.random() < 0.5 + book.trend
        # Takers follow each other for a while; the trend stays within a bias of 0.3.
        book.trend = 0.95 * book.trend + (0.015 if buy else -0.015)
        quantity = max(1, int(random.expovariate(4.0) * terms.quantity))
        if buy:
            price, available = book.ask, book.ask_quantity
        else:
            price, available = book.bid, book.bid_quantity
        quantity = min(quantity, available)
        left = available - quantity
        if left:
            self._take(book, buy=buy, left=left)
        else:
            self._move(book, book.step if buy else -book.step)
        return Trade(
            ts_ns=ts_ns,
            received_ns=ts_ns,
            instrument_id=book.instrument_id,
            price=price,
            quantity=quantity,
            aggressor=_BUY if buy else _SELL,
        )

    @staticmethod
    def _take(book: _Book, *, buy: bool, left: int) -> None:
        if buy:
            book.ask_quantity = left
        else:
            book.bid_quantity = left

    def _quote(self, book: _Book, ts_ns: int) -> Quote:
        random, terms = self._random, book.terms
        heat = min(4.0, (self._base + self._excitement) / self._rate)
        chance = random.random()
        if chance < terms.move * heat / 4:
            step = int(book.step * max(1.0, random.expovariate(1.0) * heat)) // terms.tick * terms.tick
            up = random.random() < 0.5 + book.trend / 3
            self._move(book, step if up else -step)
        elif chance < 0.6:  # noqa: PLR2004 - else the ask's quantity changes
            book.bid_quantity = self._new_quantity(terms)
        else:
            book.ask_quantity = self._new_quantity(terms)
        return Quote(
            ts_ns=ts_ns,
            received_ns=ts_ns,
            instrument_id=book.instrument_id,
            bid_price=book.bid,
            bid_quantity=book.bid_quantity,
            ask_price=book.ask,
            ask_quantity=book.ask_quantity,
        )

    def _new_quantity(self, terms: SimulatedInstrument) -> int:
        return max(1, int(self._random.expovariate(1.0) * terms.quantity))

    def _move(self, book: _Book, step: int) -> None:
        terms = book.terms
        if not terms.start_price // 4 < book.bid + step < terms.start_price * 4:
            step = -step
        book.bid += step
        wide = 1 + int(self._random.expovariate(2.0))
        book.ask = book.bid + terms.tick * terms.spread_ticks * wide
        book.bid_quantity = self._new_quantity(terms)
        book.ask_quantity = self._new_quantity(terms)


class SimulatedFeed:
    """The simulated market in real time.

    Args:
        seed: of the market.
        instruments: which ones.
        registry: where they get their ids.
        rate: mean events a second over all of them, at most `MAX_RATE`.
        clock_ns: wall clock.
    """

    def __init__(
        self,
        seed: int,
        instruments: Sequence[SimulatedInstrument] = INSTRUMENTS,
        *,
        registry: InstrumentRegistry | None = None,
        rate: float = 200.0,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.name = VENUE
        self._seed = seed
        self._instruments = instruments
        self._registry = InstrumentRegistry() if registry is None else registry
        self._rate = rate
        self._clock_ns = clock_ns

    async def run(self, publish: Callable[[list[Event]], Awaitable[None]]) -> None:
        """Publish the market every 20 ms or less until cancelled."""
        now_ns = self._clock_ns()
        books, definitions = self._listed(now_ns)
        market = SimulatedMarket(self._seed, books, rate=self._rate, start_ns=now_ns)
        if definitions:
            await publish(definitions)
        step_s = min(STEP_S, STEP_EVENTS / self._rate)
        while True:
            now_ns = self._clock_ns()
            market.skip_to(now_ns - MAX_BACKLOG_NS)
            events = market.advance(now_ns)
            if events:
                await publish(events)
            await asyncio.sleep(step_s)

    def _listed(self, now_ns: int) -> tuple[list[tuple[SimulatedInstrument, int]], list[Event]]:
        books: list[tuple[SimulatedInstrument, int]] = []
        definitions: list[Event] = []
        for terms in self._instruments:
            defaults = InstrumentDefaults(
                asset_class=terms.asset_class,
                price_scale=terms.price_scale,
                quantity_scale=terms.quantity_scale,
                tick_size=terms.tick,
            )
            instrument_id, definition = self._registry.resolve(terms.symbol, VENUE, defaults, ts_ns=now_ns)
            books.append((terms, instrument_id))
            if definition is not None:
                definitions.append(definition)
        return books, definitions
