"""The moving-average cross in backtrader; runs in the peers' own environment.

A program of its own that knows nothing of taped: ticks come in a file, the figures go out as a line of
JSON. The clock runs while the engine does, which makes its lines of numbers that are in memory by then.
Averages are computed for all ticks at once, as backtrader does by itself, and nothing is observed.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from datetime import UTC, datetime

import backtrader

_FEE = 0.001
_DAY_NS = 86_400 * 10**9
_EPOCH = float(datetime(1970, 1, 1, tzinfo=UTC).toordinal())


class Ticks(backtrader.feed.DataBase):  # type: ignore[misc]
    """Ticks as bars of one price each."""

    def start(self) -> None:
        """Begin at the first tick."""
        super().start()
        self._at = 0

    def _load(self) -> bool:
        at, numbers = self._at, NUMBERS
        count = len(numbers) // 3
        if at == count:
            return False
        price = numbers[count + at] / 100
        lines = self.lines
        lines.datetime[0] = _EPOCH + numbers[at] / _DAY_NS
        lines.open[0] = lines.high[0] = lines.low[0] = lines.close[0] = price
        lines.volume[0] = numbers[2 * count + at] / 10_000
        lines.openinterest[0] = 0.0
        self._at = at + 1
        return True


class Cross(backtrader.Strategy):  # type: ignore[misc]
    """Holds the quantity while the fast average is above the slow one."""

    params = (("fast", 0), ("slow", 0), ("quantity", 0.0))

    def __init__(self) -> None:
        fast = backtrader.indicators.SimpleMovingAverage(self.data.close, period=self.p.fast)
        slow = backtrader.indicators.SimpleMovingAverage(self.data.close, period=self.p.slow)
        self.cross = backtrader.indicators.CrossOver(fast, slow)
        self.orders = self.filled = 0

    def notify_order(self, order: backtrader.Order) -> None:
        """Count what was filled."""
        self.filled += order.status == order.Completed

    def next(self) -> None:
        """Trade where the averages have crossed."""
        cross = self.cross[0]
        if cross > 0:
            self.buy(size=self.p.quantity)
            self.orders += 1
        elif cross < 0 and self.position.size:
            self.sell(size=self.p.quantity)
            self.orders += 1


NUMBERS = array("q")
"""Times, prices in cents and quantities in ten-thousandths, one array behind the other."""


def _peak_mb() -> float:
    # The figure of `getrusage` begins with what the process weighed that started this one.
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123
        (line,) = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run: `peer_backtrader.py TICKS FAST SLOW QUANTITY`."""
    path, fast, slow, quantity = sys.argv[1:]
    with open(path, "rb") as file:  # noqa: PTH123
        NUMBERS.frombytes(file.read())
    engine = backtrader.Cerebro(stdstats=False)
    engine.broker.setcash(100_000.0)
    engine.broker.setcommission(commission=_FEE)
    engine.adddata(Ticks(timeframe=backtrader.TimeFrame.Ticks))
    engine.addstrategy(Cross, fast=int(fast), slow=int(slow), quantity=float(quantity))
    started = time.perf_counter()
    (strategy,) = engine.run()
    seconds = time.perf_counter() - started
    figures = {
        "version": backtrader.__version__,
        "seconds": seconds,
        "events": len(NUMBERS) // 3,
        "orders": strategy.orders,
        "filled": strategy.filled,
        "peak_mb": _peak_mb(),
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
