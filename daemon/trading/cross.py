"""Two moving averages of prices, tick by tick or many ticks at once, and when their order changes.

Averages count ticks, not time. They are compared as sums of whole numbers in floats: nothing is rounded
while prices, and `slow` times the distance from the first price, stay below 2**53 scaled units. Either
way of telling ticks comes to the same sums to the bit: where nothing was rounded in whatever order, and
where something would be, because both add up the same numbers in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import length_hint
from typing import Any, NamedTuple, Protocol

from daemon.trading.strategy import StrategyError

_FIRST, _WINDOW = 64, 512
"""Ticks of a scan's first step, which often ends it, and of those after it, which stay in the cache."""
_AHEAD = 4096
"""Ticks whose turns are found at once."""
_EXACT = 2.0**53
"""Up to here a float holds every whole number."""


class Priced(Protocol):
    """Anything that has a price; trades do."""

    @property
    def price(self) -> int: ...  # noqa: D102


class Averages(NamedTuple):
    """What can be done with two averages; `load` takes what `state` gave, `scan` is a `TradeScan`."""

    on_price: Callable[[Priced], None]
    scan: Callable[[Sequence[Priced], int], int]
    state: Callable[[], dict[str, Any]]
    load: Callable[[Mapping[str, Any]], None]


def averages(  # noqa: C901, PLR0915  # Its functions share their variables.
    fast: int, slow: int, turn: Callable[[float], bool | None]
) -> Averages:
    """Return two moving averages.

    `prices` is a ring of the last `slow` prices, less the first one ever, which moves both averages
    alike; `oldest` is the place of the next one. Until the ring is full the sums mean nothing.

    Args:
        fast: ticks in the one.
        slow: ticks in the other, more.
        turn: called with the spread, `slow * sum(fast) - fast * sum(slow)`, when its sign is not that
            of last time; returns whether the fast average counts as above (None: not known yet, ask
            again).
    """
    prices = [0.0] * slow
    oldest = 0
    fast_sum = slow_sum = 0.0
    fast_length, slow_length = float(fast), float(slow)
    base: float | None = None
    above: bool | None = None
    ahead = _Ahead()
    known: _Known | None = None
    told = 0
    refused: Sequence[Priced] = ()

    def on_price(tick: Priced) -> None:
        # Called for each tick of a live market, 0.25 us. Variables as attributes cost 0.1 more, integers
        # another 0.1, because sums of prices at a fine scale are longer than one machine word.
        # A float less an integer is a float, a tenth cheaper than making one of their difference.
        nonlocal oldest, fast_sum, slow_sum, base, above, told
        if known is not None:
            if told < known.end and known.ticks[told] is tick:
                told += 1
                fast_of_known, slow_of_known = known.sums(told)
                spread = fast_of_known * slow_length - slow_of_known * fast_length
                if (spread > 0) is not above:
                    above = turn(spread)
                return
            settle()
        if base is None:
            base = float(tick.price)
        price = tick.price - base
        # A negative index counts from the ring's end, which is where the fast window then begins.
        fast_sum += price - prices[oldest - fast]
        slow_sum += price - prices[oldest]
        prices[oldest] = price
        oldest += 1
        if oldest == slow:
            oldest = 0
        if (fast_sum * slow_length > slow_sum * fast_length) is not above:
            above = turn(fast_sum * slow_length - slow_sum * fast_length)

    def settle() -> None:
        """Put into the ring what was told of the ticks that are known ahead."""
        nonlocal prices, oldest, fast_sum, slow_sum, known
        if known is not None:
            prices = known.window(told)
            fast_sum, slow_sum = known.sums(told)
            oldest, known = 0, None

    def look_ahead(ticks: Sequence[Priced], start: int) -> None:
        """Find the turns of the ticks that come next, unless that was tried in vain."""
        nonlocal known, told, refused
        settle()
        if ticks is refused:
            return
        assert base is not None, "prices were told before"
        known = _Known.of(ticks, start, prices[oldest:] + prices[:oldest], base, (fast, slow))
        told = start
        if known is not None and known.sums(start) != (fast_sum, slow_sum):
            known = None  # They were rounded once, and stay so.
        if known is None:
            refused = ticks

    def scan(ticks: Sequence[Priced], start: int) -> int:
        nonlocal oldest, fast_sum, slow_sum, told
        most = _FIRST
        while above is not None and start < len(ticks):
            if known is None or known.ticks is not ticks or not start == told < known.end:
                look_ahead(ticks, start)
            if known is not None:
                start = told = known.turn(above, start)
                if start < known.end:
                    break
                continue
            assert base is not None, "prices were told before"
            new = ahead.prices(ticks, start, base, most)
            most = _WINDOW
            near, far = _before(prices, oldest - fast, fast, new), _before(prices, oldest, slow, new)
            keeping = _keeping_above if above else _keeping_below
            passed, fast_sum, slow_sum = keeping(
                (fast_sum, slow_sum), (fast_length, slow_length), new, near, far
            )
            oldest = _put(prices, oldest, new[:passed])
            start += passed
            if passed < len(new):
                break
        if start == len(ticks):
            settle()  # A batch that is over is not kept while the next one is read.
        return start

    def state() -> dict[str, Any]:
        settle()
        ring = prices[oldest:] + prices[:oldest]
        return {"base": base, "prices": ring, "fast_sum": fast_sum, "slow_sum": slow_sum, "above": above}

    def load(plain: Mapping[str, Any]) -> None:
        # The ring was told oldest first, so it begins anew at its start; the windows are the same.
        nonlocal oldest, fast_sum, slow_sum, base, above, known
        if len(plain["prices"]) != slow:
            raise StrategyError(f"ma_cross: {len(plain['prices'])} prices, expected {slow}")
        known = None
        prices[:] = plain["prices"]
        oldest = 0
        fast_sum, slow_sum = plain["fast_sum"], plain["slow_sum"]
        base, above = plain["base"], plain["above"]

    return Averages(on_price, scan, state, load)


class _Known:
    """All turns of some ticks at once, where no sum is rounded: what a batch costs, not what a stop costs.

    With a stop each 150 ticks a tick takes 0.19 us, and 0.22 when each scan begins anew.

    Attributes:
        ticks: of which those from `start` to before `end` are known.
        totals: sums of all prices, less the first one ever, from `slow` before the start up to each; the
            difference of two is the sum of a window.
        sides: whether the fast average is above behind each tick.
    """

    __slots__ = ("_prices", "_windows", "end", "sides", "start", "ticks", "totals")

    def __init__(
        self, ticks: Sequence[Priced], start: int, prices: list[float], windows: tuple[int, int]
    ) -> None:
        fast, slow = self._windows = windows
        self.ticks, self.start, self.end = ticks, start, start + len(prices) - slow
        self._prices = prices
        fast_length, slow_length = float(fast), float(slow)
        self.totals = totals = list(accumulate(prices, initial=0.0))
        self.sides = [
            (total - near) * slow_length > (total - far) * fast_length
            for total, near, far in zip(
                totals[slow + 1 :], totals[slow + 1 - fast :], totals[1:], strict=False
            )
        ]

    @classmethod
    def of(
        cls, ticks: Sequence[Priced], start: int, past: list[float], base: float, windows: tuple[int, int]
    ) -> _Known | None:
        """Return what is known of the ticks from `start` on; None for few, and where a sum would be rounded.

        Args:
            ticks: with those to look at.
            start: place of the first.
            past: the last prices before it, as many as the slow average takes.
            base: what each price is less.
            windows: lengths of both averages.
        """
        fast, slow = windows
        new = ticks[start : start + _AHEAD]
        if len(new) < slow:
            return None
        # An integer by one is the float nearest to it, as in `tick.price - base`, and 8 ns cheaper.
        prices = past + [tick.price / 1 - base for tick in new]
        highest, lowest = max(prices), min(prices)
        if 2 * max(highest, -lowest) * max(len(prices), fast * slow) >= _EXACT:
            return None
        return cls(ticks, start, prices, windows)

    def turn(self, above: bool, at: int) -> int:  # noqa: FBT001  # As `TradeScan` has it.
        """Return the place of the first tick from `at` on behind which it is not so; the end for none."""
        try:
            return self.start + self.sides.index(not above, at - self.start)
        except ValueError:
            return self.end

    def sums(self, at: int) -> _Pair:
        """Return the sums of both windows before a tick."""
        fast, slow = self._windows
        at += slow - self.start
        total = self.totals[at]
        return total - self.totals[at - fast], total - self.totals[at - slow]

    def window(self, at: int) -> list[float]:
        """Return the prices before a tick that the slow average takes, oldest first."""
        at -= self.start
        return self._prices[at : at + self._windows[1]]


_Pair = tuple[float, float]
"""One number of the fast average and one of the slow."""
_Kept = tuple[int, float, float]
"""How many prices were passed over, and the sums behind the last of them."""

# Two loops and not one with a flag: a price costs 70 ns in them, 80 in one. The sums are written down
# before a price is known to be passed over, since what was added to a float cannot be taken away again.


def _keeping_above(
    sums: _Pair, lengths: _Pair, new: list[float], near: list[float], far: list[float]
) -> _Kept:
    """Pass over prices while the fast average stays above; `near` and `far` leave the two windows."""
    (fast_sum, slow_sum), (fast, slow) = sums, lengths
    left = iter(new)
    for price, fast_old, slow_old in zip(left, near, far, strict=True):
        fast_next = fast_sum + (price - fast_old)
        slow_next = slow_sum + (price - slow_old)
        if fast_next * slow <= slow_next * fast:
            return len(new) - length_hint(left) - 1, fast_sum, slow_sum
        fast_sum, slow_sum = fast_next, slow_next
    return len(new), fast_sum, slow_sum


def _keeping_below(
    sums: _Pair, lengths: _Pair, new: list[float], near: list[float], far: list[float]
) -> _Kept:
    """Do the same while it does not."""
    (fast_sum, slow_sum), (fast, slow) = sums, lengths
    left = iter(new)
    for price, fast_old, slow_old in zip(left, near, far, strict=True):
        fast_next = fast_sum + (price - fast_old)
        slow_next = slow_sum + (price - slow_old)
        if fast_next * slow > slow_next * fast:
            return len(new) - length_hint(left) - 1, fast_sum, slow_sum
        fast_sum, slow_sum = fast_next, slow_next
    return len(new), fast_sum, slow_sum


class _Ahead:
    """Prices of ticks that are about to be told, converted once for all scans that end among them."""

    __slots__ = ("_known", "_start", "_ticks")

    def __init__(self) -> None:
        self._ticks: Sequence[Priced] = ()
        self._start = 0
        self._known: list[float] = []

    def prices(self, ticks: Sequence[Priced], start: int, base: float, most: int) -> list[float]:
        """Return the prices of some ticks from `start` on, less the base."""
        skipped = start - self._start
        if ticks is self._ticks and 0 <= skipped < len(self._known):
            return self._known[skipped : skipped + most]
        self._ticks, self._start = ticks, start
        # An integer by one is the float nearest to it, as in `tick.price - base`, and 8 ns cheaper.
        self._known = [tick.price / 1 - base for tick in ticks[start : start + _WINDOW]]
        return self._known[:most]


def _before(ring: list[float], begin: int, reach: int, new: list[float]) -> list[float]:
    """Return what stands `reach` places before each new price; the first of it at `begin` in the ring."""
    begin %= len(ring)
    count = min(reach, len(new))
    end = begin + count
    old = ring[begin:end] if end <= len(ring) else ring[begin:] + ring[: end - len(ring)]
    return old + new[: len(new) - count]


def _put(ring: list[float], at: int, new: list[float]) -> int:
    """Put prices into the ring from `at` on; return the place behind the last."""
    length = len(ring)
    if len(new) >= length:
        ring[:] = new[-length:]
        return 0
    end = at + len(new)
    if end <= length:
        ring[at:end] = new
    else:
        ring[at:], ring[: end - length] = new[: length - at], new[length - at :]
    return end % length
