"""Moving-average cross: hold while the fast average of prices is above the slow one.

The rule is the double crossover method of R. Donchian (J. J. Murphy, Technical Analysis of the
Financial Markets, 1999, chapter 9). Averages count ticks, not time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from daemon.trading.bars import BarSpec, parse_spec
from daemon.trading.books import TradeScan
from daemon.trading.cross import averages
from daemon.trading.sizer import Sizer, check_sizing, sizing_parameters
from daemon.trading.strategy import Context, Parameter, Strategy, StrategyError
from schemas.events import Bar, BarSide, Quote, Trade


@dataclass(slots=True)
class _Middle:
    """Bid plus ask, where a trade's price would stand."""

    price: int


class _Cross:
    """Averages and size of one instrument."""

    __slots__ = (
        "above",
        "ask",
        "averages",
        "bid",
        "context",
        "instrument_id",
        "middle",
        "missing",
        "short",
        "sizer",
    )

    def __init__(
        self, context: Context, instrument_id: int, sizer: Sizer, *, fast: int, slow: int, short: bool
    ) -> None:
        self.context = context
        self.instrument_id = instrument_id
        self.sizer = sizer
        self.short = short
        self.averages = averages(fast, slow, self._turn)
        self.missing = slow
        self.above: bool | None = None
        self.bid = self.ask = 0
        self.middle = _Middle(0)

    def on_quote(self, quote: Quote) -> None:
        """Average the mid price, as bid plus ask so that it stays an integer."""
        if quote.bid_price is not None:
            self.bid = quote.bid_price
        if quote.ask_price is not None:
            self.ask = quote.ask_price
        if self.bid and self.ask:
            self.middle.price = self.bid + self.ask
            self.averages.on_price(self.middle)

    def _turn(self, spread: float) -> bool | None:
        """Warm up, or trade when the averages have truly crossed and not only met."""
        if self.missing:
            self.missing -= 1
            if not self.missing:
                self.above = spread > 0
        elif spread and (spread > 0) is not self.above:
            self.above = spread > 0
            self._hold()
        return self.above

    def _hold(self) -> None:
        price = self.context.book(self.instrument_id).mark(1)
        assert price is not None, "the averages have just taken one"
        quantity = self.sizer.quantity(price) if self.above or self.short else 0
        self.context.hold(self.instrument_id, quantity if self.above else -quantity)

    def state(self) -> dict[str, Any]:
        """Return what it has learned; prices oldest first."""
        return {
            **self.averages.state(),
            "missing": self.missing,
            "bid": self.bid,
            "ask": self.ask,
        }

    def load(self, plain: Mapping[str, Any], *, above: bool | None) -> None:
        """Take what `state` returned, and the last cross that counted."""
        self.averages.load(plain)
        self.missing = plain["missing"]
        self.bid, self.ask = plain["bid"], plain["ask"]
        self.above = above


class MovingAverageCross(Strategy):
    """Buys when the fast average rises above the slow one, sells when it falls below.

    No order is given before `slow` prices were seen, nor at the first comparison, which is no
    cross. An order that was refused is not repeated before the next cross. The average range of sizing
    by volatility is that of minutes.
    """

    kind: ClassVar[str] = "ma_cross"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("fast", int, "ticks in the fast average", 10, minimum=1, maximum=100_000),
        Parameter("slow", int, "ticks in the slow average, more than fast", 50, minimum=2, maximum=100_000),
        Parameter("short", bool, "be short while below", default=False),
        Parameter("source", str, "which prices to average", "trade", choices=("trade", "quote")),
        *sizing_parameters("fixed", "equity", "volatility", "kelly"),
    )

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._crosses = {
            instrument_id: _Cross(
                self.context,
                instrument_id,
                Sizer(self.context, instrument, self.values),
                fast=self.values["fast"],
                slow=self.values["slow"],
                short=self.values["short"],
            )
            for instrument_id, instrument in self.instruments.items()
        }

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`."""
        check_sizing(cls.kind, values)
        fast, slow = values["fast"], values["slow"]
        if fast >= slow:
            raise StrategyError(f"ma_cross: fast is {fast}, expected less than slow, {slow}")

    def bar_spec(self, instrument_id: int) -> BarSpec | None:
        """Return minutes where the size depends on their range."""
        if self.values["sizing"] != "volatility":
            return None
        side = BarSide.TRADE if self.values["source"] == "trade" else BarSide.MID
        return parse_spec("1m", side, quantity_scale=self.instruments[instrument_id].quantity_scale)

    def on_bar(self, bar: Bar) -> None:
        """Learn the average range."""
        self._crosses[bar.instrument_id].sizer.on_bar(bar)

    def trade_hook(self, instrument_id: int) -> Callable[[Trade], None] | None:
        """Return the instrument's own averages, which spares a look-up per trade."""
        return self._crosses[instrument_id].averages.on_price if self.values["source"] == "trade" else None

    def trade_scan(self, instrument_id: int) -> TradeScan | None:
        """Return what passes over trades at which the averages keep their order."""
        return self._crosses[instrument_id].averages.scan if self.values["source"] == "trade" else None

    def quote_hook(self, instrument_id: int) -> Callable[[Quote], None] | None:
        """Return the instrument's own averages, which spares a look-up per quote."""
        return self._crosses[instrument_id].on_quote if self.values["source"] == "quote" else None

    def state(self) -> dict[str, Any]:
        """Return the averages of each instrument."""
        return {str(instrument_id): cross.state() for instrument_id, cross in self._crosses.items()}

    def dump(self) -> Any:
        """See `Strategy.dump`."""
        return {
            str(i): [cross.state(), cross.above, cross.sizer.dump()] for i, cross in self._crosses.items()
        }

    def load(self, plain: Any) -> None:
        """See `Strategy.load`."""
        for instrument_id, cross in self._crosses.items():
            state, above, sizer = plain[str(instrument_id)]
            cross.load(state, above=above)
            cross.sizer.load(sizer)
