"""What the core last saw of one instrument's market, and who listens to it. No depth, no history."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.trading.calendar import Calendar
from schemas.events import Bar, InstrumentDefined, Quote, Side, Trade

TradeHook = Callable[[Trade], None]
TradeScan = Callable[[Sequence[Trade], int], int]
"""See `Strategy.trade_scan`."""
QuoteHook = Callable[[Quote], None]
BarHook = Callable[[Bar], None]


class Book:
    """Last trade and standing quote of an instrument.

    A quote may tell one side only, so `bid` and `ask` are the last quotes that told that side. Ticks
    that the vendor doubts (`SUSPICIOUS`) are left out: nothing is filled, valued or marked at them.
    The hooks stand with the id of their strategy, in the order in which the strategies started.
    `trade_scan` takes many trades in place of the only hook there is, where that can do so.
    `calendar` tells when the instrument trades and when its day ends.
    """

    __slots__ = (
        "ask",
        "bar_hooks",
        "bid",
        "calendar",
        "instrument",
        "quote_hooks",
        "trade",
        "trade_hooks",
        "trade_scan",
    )

    def __init__(self, instrument: InstrumentDefined, calendar: Calendar) -> None:
        self.instrument = instrument
        self.calendar = calendar
        self.trade: Trade | None = None
        self.bid: Quote | None = None
        self.ask: Quote | None = None
        self.trade_hooks: tuple[tuple[TradeHook, str], ...] = ()
        self.trade_scan: TradeScan | None = None
        self.quote_hooks: tuple[tuple[QuoteHook, str], ...] = ()
        self.bar_hooks: tuple[tuple[BarHook, str], ...] = ()

    @property
    def bid_price(self) -> int | None:
        """Standing bid."""
        return None if self.bid is None else self.bid.bid_price

    @property
    def ask_price(self) -> int | None:
        """Standing ask."""
        return None if self.ask is None else self.ask.ask_price

    @property
    def last_price(self) -> int | None:
        """Price of the last trade."""
        return None if self.trade is None else self.trade.price

    def mark(self, quantity: int) -> int | None:
        """Return the price a holding of that sign is valued at."""
        return mark_price(self.last_price, self.bid_price, self.ask_price, quantity=quantity)

    def cost_price(self, side: Side) -> int | None:
        """Return the price an order of that side would meet now: opposite quote, else the last trade."""
        price = self.ask_price if side > 0 else self.bid_price
        return self.last_price if price is None else price

    def forget_market(self) -> None:
        """Drop prices, which are of no use once the scales have changed."""
        self.trade = self.bid = self.ask = None


def mark_price(last: int | None, bid: int | None, ask: int | None, *, quantity: int) -> int | None:
    """Return the price a position is valued at: last trade, else the quote it would close against.

    A long position closes at the bid, a short one at the ask; where that side is not known, the
    other one serves.
    """
    if last is not None:
        return last
    near, far = (bid, ask) if quantity >= 0 else (ask, bid)
    return far if near is None else near
