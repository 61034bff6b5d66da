"""The moving-average cross in NautilusTrader's BacktestEngine; runs in the peers' own environment.

A program of its own that knows nothing of taped: ticks come in a file, the figures go out as a line of
JSON. The clock runs while the engine does; its ticks are objects by then.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from decimal import Decimal

import nautilus_trader
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("BENCH")
NAME = InstrumentId(Symbol("BTCUSDT"), VENUE)
_FEE = Decimal("0.001")


class CrossConfig(StrategyConfig, frozen=True):  # type: ignore[call-arg,misc]
    """Ticks in the averages, and what to hold while the fast one is above."""

    fast: int
    slow: int
    quantity: str


class Cross(Strategy):  # type: ignore[misc]
    """Sums over two windows of a ring, which costs less than the indicators that come with the engine."""

    def __init__(self, config: CrossConfig) -> None:
        super().__init__(config)
        self.ring = [0.0] * config.slow
        self.oldest = self.seen = 0
        self.fast_sum = self.slow_sum = 0.0
        self.above: bool | None = None
        self.quantity = Quantity(float(config.quantity), 4)

    def on_start(self) -> None:
        """Ask for the ticks."""
        self.subscribe_trade_ticks(NAME)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Take a price; trade where the averages have crossed."""
        fast, slow = self.config.fast, self.config.slow
        price, ring, oldest = tick.price.as_double(), self.ring, self.oldest
        self.fast_sum += price - ring[oldest - fast]
        self.slow_sum += price - ring[oldest]
        ring[oldest] = price
        self.oldest = oldest + 1 if oldest + 1 < slow else 0
        self.seen += 1
        above = self.fast_sum * slow > self.slow_sum * fast
        if self.seen < slow or above is self.above:
            return
        crossed, self.above = self.above is not None, above
        if crossed and (above or not self.portfolio.is_flat(NAME)):
            side = OrderSide.BUY if above else OrderSide.SELL
            self.submit_order(self.order_factory.market(NAME, side, self.quantity))


def _ticks(path: str) -> list[TradeTick]:
    """Read times, prices in cents and quantities in ten-thousandths, one array behind the other."""
    numbers = array("q")
    with open(path, "rb") as file:  # noqa: PTH123
        numbers.frombytes(file.read())
    count = len(numbers) // 3
    return [
        TradeTick(
            NAME,
            Price(numbers[count + n] / 100, 2),
            Quantity(numbers[2 * count + n] / 10_000, 4),
            AggressorSide.BUYER,
            TradeId(str(n)),
            numbers[n],
            numbers[n],
        )
        for n in range(count)
    ]


def _instrument() -> CurrencyPair:
    return CurrencyPair(
        instrument_id=NAME,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=2,
        size_precision=4,
        price_increment=Price(0.01, 2),
        size_increment=Quantity(0.0001, 4),
        maker_fee=_FEE,
        taker_fee=_FEE,
        ts_event=0,
        ts_init=0,
    )


def _peak_mb() -> float:
    # The figure of `getrusage` begins with what the process weighed that started this one.
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run: `peer_nautilus.py TICKS FAST SLOW QUANTITY`."""
    path, fast, slow, quantity = sys.argv[1:]
    logging = LoggingConfig(bypass_logging=True)
    engine = BacktestEngine(BacktestEngineConfig(logging=logging, run_analysis=False))
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH,
        starting_balances=[Money(100_000, USDT)],
    )
    engine.add_instrument(_instrument())
    ticks = _ticks(path)
    engine.add_data(ticks)
    engine.add_strategy(Cross(CrossConfig(fast=int(fast), slow=int(slow), quantity=quantity)))
    started = time.perf_counter()
    engine.run()
    seconds = time.perf_counter() - started
    figures = {
        "version": nautilus_trader.__version__,
        "seconds": seconds,
        "events": len(ticks),
        "orders": sum(order.is_closed for order in engine.cache.orders()),
        "filled": sum(order.filled_qty == order.quantity for order in engine.cache.orders()),
        "peak_mb": _peak_mb(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
