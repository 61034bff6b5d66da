"""Two moving averages of prices, tick by tick or many ticks at once, and when their order changes.

Averages count ticks, not time. They are compared as sums of whole numbers in floats: nothing is rounded
while prices, and `slow` times the distance from the first price, stay below 2**53 scaled units. Either
way of telling ticks adds up the same numbers in the same order, so the sums are equal to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import length_hint
from typing import Any, NamedTuple, Protocol

from daemon.trading.strategy import StrategyError

_FIRST, _WINDOW = 64, 512
"""Ticks of a scan's first step, which often ends it, and of those after it, which stay in the cache."""


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


def averages(  # noqa: C901  # Its functions share their variables.
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

    def on_price(tick: Priced) -> None:
        # Called for each tick of a live market, 0.25 us. Variables as attributes cost 0.1 more, integers
        # another 0.1, because sums of prices at a fine scale are longer than one machine word.
        # A float less an integer is a float, a tenth cheaper than making one of their difference.
        nonlocal oldest, fast_sum, slow_sum, base, above
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

    def scan(ticks: Sequence[Priced], start: int) -> int:
        nonlocal oldest, fast_sum, slow_sum
        most = _FIRST
        while above is not None and start < len(ticks):
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
        return start

    def state() -> dict[str, Any]:
        ring = prices[oldest:] + prices[:oldest]
        return {"base": base, "prices": ring, "fast_sum": fast_sum, "slow_sum": slow_sum, "above": above}

    def load(plain: Mapping[str, Any]) -> None:
        # The ring was told oldest first, so it begins anew at its start; the windows are the same.
        nonlocal oldest, fast_sum, slow_sum, base, above
        if len(plain["prices"]) != slow:
            raise StrategyError(f"ma_cross: {len(plain['prices'])} prices, expected {slow}")
        prices[:] = plain["prices"]
        oldest = 0
        fast_sum, slow_sum = plain["fast_sum"], plain["slow_sum"]
        base, above = plain["base"], plain["above"]

    return Averages(on_price, scan, state, load)


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
