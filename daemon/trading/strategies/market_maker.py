"""Market making, as an example that uses quotes: a bid and an ask of its own around the middle.

M. Avellaneda, S. Stoikov, "High-Frequency Trading in a Limit Order Book", Quantitative Finance 8:3, 2008:
quotes lie around a price that moves against what is held, so that the holding comes back to nothing. Here
that price moves in proportion to the holding, and the distance of the quotes is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any, ClassVar

from daemon.trading.bars import BarSpec, parse_spec
from daemon.trading.orders import Order, OrderStatus
from daemon.trading.sizer import Sizer, check_sizing, sizing_parameters
from daemon.trading.strategy import Parameter, Strategy
from schemas.events import Bar, BarSide, OrderType, Quote, Side

_BASIS_POINT = 1e-4
_BUSY = frozenset({OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_REPLACE, OrderStatus.UNKNOWN})


class MarketMaker(Strategy):
    """Keeps one post-only bid and one post-only ask at `spread` from the middle, moved against its holding.

    A quote of its own that is off by more than `step` is replaced; one that would take the holding over
    `most` times the quantity is canceled. Its quantity is that of sizing, at each quote anew. The average
    range of sizing by volatility is that of minutes.
    """

    kind: ClassVar[str] = "market_maker"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("spread", str, "from middle to quote, basis points", "10", maximum=10_000, decimal=True),
        Parameter(
            "skew",
            str,
            "both quotes move so far for one quantity held, basis points",
            "2",
            minimum=0,
            maximum=10_000,
            decimal=True,
        ),
        Parameter(
            "step",
            str,
            "a quote stays while it is off by no more, basis points",
            "1",
            minimum=0,
            maximum=10_000,
            decimal=True,
        ),
        Parameter("most", int, "most quantities held", 5, minimum=1, maximum=1_000_000),
        Parameter("short", bool, "hold them short too", default=False),
        *sizing_parameters("fixed", "equity", "volatility", "kelly"),
    )
    remembers: ClassVar[tuple[str, ...]] = ("_sizers",)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._sizers = {i: Sizer(self.context, one, self.values) for i, one in self.instruments.items()}
        self._spread, self._skew, self._step = (
            float(self.values[name]) * _BASIS_POINT for name in ("spread", "skew", "step")
        )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`."""
        check_sizing(cls.kind, values)

    def bar_spec(self, instrument_id: int) -> BarSpec | None:
        """Return minutes where the size depends on their range."""
        if self.values["sizing"] != "volatility":
            return None
        return parse_spec("1m", BarSide.MID, quantity_scale=self.instruments[instrument_id].quantity_scale)

    def on_bar(self, bar: Bar) -> None:
        """Learn the average range."""
        self._sizers[bar.instrument_id].on_bar(bar)

    def on_quote(self, quote: Quote) -> None:
        """Bring both quotes to where they should be."""
        i = quote.instrument_id
        book = self.context.book(i)
        bid, ask = book.bid_price, book.ask_price
        if bid is None or ask is None or bid >= ask:
            return
        middle = (bid + ask) / 2
        size = self._sizers[i].quantity(round(middle))
        if not size:
            return
        held, tick = self.context.quantity(i), max(1, self.instruments[i].tick_size)
        centre = middle * (1 - self._skew * held / size)
        # Rounded away from the middle, and never at the other side's price: they are to rest.
        lowest, highest = bid // tick * tick + tick, -(-ask // tick) * tick - tick
        ours_bid = min(floor((centre - middle * self._spread) / tick) * tick, highest)
        ours_ask = max(ceil((centre + middle * self._spread) / tick) * tick, lowest)
        room = self.values["most"] * size
        self._quote(i, Side.BUY, ours_bid, size if held + size <= room else 0)
        least = -room if self.values["short"] else 0
        self._quote(i, Side.SELL, ours_ask, size if held - size >= least else 0)

    def _quote(self, instrument_id: int, side: Side, price: int, quantity: int) -> None:
        order = self._standing(instrument_id, side)
        if order is None:
            if quantity and price > 0:
                self.context.submit(
                    instrument_id, side, quantity, order_type=OrderType.LIMIT, price=price, post_only=True
                )
        elif order.status in _BUSY or order.price is None:
            return
        elif not quantity:
            self.context.cancel(order.order_id)
        elif price > 0 and abs(order.price - price) > self._step * price:
            self.context.replace(order.order_id, price=price)

    def _standing(self, instrument_id: int, side: Side) -> Order | None:
        for order in self.context.working(instrument_id):
            if order.request.side is side:
                return order
        return None
