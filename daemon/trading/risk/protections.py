"""Pauses after losses: cool-down, stop guard, low profit, drawdown of what was closed. Bounded.

A *close* is an order that reduced a position, counted once when the order is over, with the profit of
all its fills in one currency, fees of that currency taken off. After each close the protections that
are set are asked; what they want becomes a `TradingPaused`, and until its end orders that open risk are
refused. Each window holds at most `MAX_CLOSES` closes; the oldest fall out first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from daemon.trading.money import MONEY_SCALE, PPM
from daemon.trading.risk.limits import Limits
from schemas.decimals import decimal_text
from schemas.events import OrderType, TradingPaused

MAX_CLOSES = 10_000
SECOND_NS = 10**9
COOLDOWN, STOP_GUARD, LOW_PROFIT, DRAWDOWN_GUARD = "COOLDOWN", "STOP_GUARD", "LOW_PROFIT", "DRAWDOWN_GUARD"
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP})

PauseKey = tuple[int | None, str | None]
"""Instrument and strategy that are paused; None stands for all."""


class Close(NamedTuple):
    """An order that closed something.

    `profit` is money; `order_type` that of the order, by number.
    """

    ts_ns: int
    instrument_id: int
    strategy_id: str | None
    profit: int
    order_type: int


@dataclass(slots=True)
class Pause:
    """Until when nothing may be opened, by which protection, and why."""

    until_ns: int
    rule: str
    reason: str


class Protections:
    """Closes that matter still, and the pauses they led to.

    Attributes:
        closing: profit so far of orders that close something and are not over, by order id.
        closes: of the longest window, oldest first.
        due: pauses that were found necessary and are not recorded yet.
        pauses: those that were recorded, by what they concern.
    """

    def __init__(self) -> None:
        self.closing: dict[int, int] = {}
        self.closes: deque[Close] = deque()
        self.due: dict[PauseKey, Pause] = {}
        self.pauses: dict[PauseKey, Pause] = {}
        # Parts of `closes`, so that no protection walks over a whole window.
        self._losses: dict[int | None, deque[Close]] = {}
        self._sums: dict[int, Sum] = {}
        self._curve = Curve()

    def closed(self, close: Close, limits: Limits, equity: int | None) -> None:
        """Take a close, and note the pauses that must follow it."""
        if self.closes and close.ts_ns < self.closes[-1].ts_ns:
            # The clocks of venues differ; windows need times that do not go back.
            close = close._replace(ts_ns=self.closes[-1].ts_ns)
        self._add(close, limits)
        for key, pause in self._wanted(close, limits, equity):
            known = self.due.get(key) or self.pauses.get(key)
            if known is None or pause.until_ns > known.until_ns:
                self.due[key] = pause

    def _add(self, close: Close, limits: Limits) -> None:
        now_ns, closes = close.ts_ns, self.closes
        closes.append(close)
        longest_s = max(
            limits.stop_guard_window_s, limits.low_profit_window_s, limits.drawdown_guard_window_s
        )
        while closes[0].ts_ns <= now_ns - longest_s * SECOND_NS or len(closes) > MAX_CLOSES:
            self._drop_oldest()
        if limits.stop_guard_losses is not None and close.profit < 0:
            scope = close.instrument_id if limits.stop_guard_per_instrument else None
            if scope not in self._losses:
                self._losses[scope] = deque(maxlen=limits.stop_guard_losses)
            self._losses[scope].append(close)
        if limits.low_profit is not None:
            total = self._sums.setdefault(close.instrument_id, Sum())
            total.add(close, limits.low_profit_window_s * SECOND_NS)
        if limits.drawdown_guard_ppm is not None:
            self._curve.add(close, limits.drawdown_guard_window_s * SECOND_NS)

    def _drop_oldest(self) -> None:
        oldest = self.closes.popleft()
        for scope in (None, oldest.instrument_id):
            losses = self._losses.get(scope)
            if losses and losses[0] is oldest:
                losses.popleft()
        if oldest.instrument_id in self._sums:
            self._sums[oldest.instrument_id].drop(oldest)
        self._curve.drop(oldest)

    def _wanted(self, close: Close, limits: Limits, equity: int | None) -> Iterator[tuple[PauseKey, Pause]]:
        if close.profit < 0:
            yield from self._after_loss(close, limits)
        now_ns, instrument_id = close.ts_ns, close.instrument_id
        if limits.low_profit is not None:
            total = self._sums[instrument_id]
            if len(total.closes) >= limits.low_profit_closes and total.profit < limits.low_profit:
                came_to = decimal_text(total.profit, MONEY_SCALE)
                reason = f"{len(total.closes)} closes within {limits.low_profit_window_s} s came to {came_to}"
                yield (
                    (instrument_id, None),
                    Pause(now_ns + limits.low_profit_pause_s * SECOND_NS, LOW_PROFIT, reason),
                )
        if limits.drawdown_guard_ppm is not None and equity is not None:
            fallen = self._curve.fallen
            # Before it fell there was so much more.
            if fallen * PPM > max(0, equity + fallen) * limits.drawdown_guard_ppm:
                lost = decimal_text(fallen, MONEY_SCALE)
                reason = f"what was closed within {limits.drawdown_guard_window_s} s fell by {lost}"
                yield (
                    (None, None),
                    Pause(now_ns + limits.drawdown_guard_pause_s * SECOND_NS, DRAWDOWN_GUARD, reason),
                )

    def _after_loss(self, close: Close, limits: Limits) -> Iterator[tuple[PauseKey, Pause]]:
        now_ns, instrument_id = close.ts_ns, close.instrument_id
        if limits.cooldown_s is not None and close.order_type in _STOPS:
            reason = f"a stop lost {decimal_text(-close.profit, MONEY_SCALE)}"
            yield (
                (instrument_id, close.strategy_id),
                Pause(now_ns + limits.cooldown_s * SECOND_NS, COOLDOWN, reason),
            )
        if limits.stop_guard_losses is not None:
            scope = instrument_id if limits.stop_guard_per_instrument else None
            losses = self._losses[scope]
            after_ns = now_ns - limits.stop_guard_window_s * SECOND_NS
            if len(losses) == limits.stop_guard_losses and losses[0].ts_ns > after_ns:
                reason = f"{len(losses)} losing closes within {limits.stop_guard_window_s} s"
                yield (
                    (scope, None),
                    Pause(now_ns + limits.stop_guard_pause_s * SECOND_NS, STOP_GUARD, reason),
                )

    def paused(self, event: TradingPaused) -> None:
        """Take a recorded pause; those that were over by then are forgotten."""
        key = (event.instrument_id, event.strategy_id)
        self.due.pop(key, None)
        self.pauses = {k: pause for k, pause in self.pauses.items() if pause.until_ns > event.ts_ns}
        self.pauses[key] = Pause(event.until_ns, event.rule, event.reason)

    def pause_of(self, instrument_id: int, strategy_id: str | None, now_ns: int) -> Pause | None:
        """Return the pause that keeps an order from opening anything; None when none does."""
        for key in ((None, None), (instrument_id, None), (instrument_id, strategy_id), (None, strategy_id)):
            pause = self.pauses.get(key)
            if pause is not None and pause.until_ns > now_ns:
                return pause
        return None

    def configure(self, limits: Limits) -> None:
        """Take other limits; windows are made anew from the closes that are remembered."""
        closes = list(self.closes) if limits.protects else []
        if not limits.protects:
            self.closing.clear()
        self._forget_closes()
        for close in closes:
            self._add(close, limits)

    def lift(self) -> None:
        """Forget all pauses, and the closes that led to them."""
        self.due, self.pauses = {}, {}
        self._forget_closes()

    def _forget_closes(self) -> None:
        self.closes.clear()
        self._losses, self._sums, self._curve = {}, {}, Curve()

    def load(self, closes: Sequence[Close], limits: Limits) -> None:
        """Take the closes of a dump."""
        self.closes.extend(closes)
        self.configure(limits)


class Sum:
    """Profit of the closes in a sliding window."""

    __slots__ = ("closes", "profit")

    def __init__(self) -> None:
        self.closes: deque[Close] = deque()
        self.profit = 0

    def add(self, close: Close, window_ns: int) -> None:
        """Add a close, and leave out those that the window has passed."""
        self.closes.append(close)
        self.profit += close.profit
        while self.closes[0].ts_ns <= close.ts_ns - window_ns:
            self.drop(self.closes[0])

    def drop(self, close: Close) -> None:
        """Leave out a close if it is the oldest one here."""
        if self.closes and self.closes[0] is close:
            self.closes.popleft()
            self.profit -= close.profit


class Curve:
    """How far the sum of profits has fallen from its highest point in a sliding window.

    The high points that may still matter stand in a queue, each below the one before: O(1) amortised.
    """

    __slots__ = ("_peaks", "_sum")

    def __init__(self) -> None:
        self._sum = 0
        self._peaks: deque[tuple[Close, int]] = deque()

    def add(self, close: Close, window_ns: int) -> None:
        """Go on by one close."""
        # Where the sum stood before the close belongs to the window too: a single loss is a fall.
        for height in (self._sum, self._sum + close.profit):
            while self._peaks and self._peaks[-1][1] <= height:
                self._peaks.pop()
            self._peaks.append((close, height))
        self._sum += close.profit
        while self._peaks[0][0].ts_ns <= close.ts_ns - window_ns:
            self._peaks.popleft()

    def drop(self, close: Close) -> None:
        """Leave out what belongs to a close if that is the oldest one here."""
        while self._peaks and self._peaks[0][0] is close:
            self._peaks.popleft()

    @property
    def fallen(self) -> int:
        """How far; zero at a new high."""
        return self._peaks[0][1] - self._sum if self._peaks else 0
