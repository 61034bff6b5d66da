"""Which part of the equity each strategy may size its orders with: kept up by the clock and its day. Pure.

Once a day, at a set time (UTC), each running strategy gets a return: what it earned since, by its own fills
and at market, as part of the account's equity then. From the last returns follow the shares, by one of
`daemon.trading.allocation.METHODS`. They are recomputed then, and when a strategy starts or stops; each
time as an event, and between two of them they hold.

A day on which nobody saw the clock at that time has no return of its own: it is in that of the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from math import fsum
from typing import Any

import msgspec

from daemon.trading.allocation import METHODS, shares
from daemon.trading.bars import NEVER
from daemon.trading.money import PPM
from schemas.events import Scalar

METHOD_SETTING = "allocation.method"
DAYS_SETTING = "allocation.days"
LEAST_DAYS_SETTING = "allocation.least_days"
CAP_SETTING = "allocation.cap_ppm"
FLOOR_SETTING = "allocation.floor_ppm"
AT_SETTING = "allocation.at_s"
"""Keys of `DaemonStarted.settings`; the time of day is in seconds since midnight UTC."""

MAX_DAYS = 1_000
_SECOND = 10**9
_DAY_NS = 86_400 * _SECOND

Money = Mapping[str, int]
"""Amounts by currency."""


class AllocationTerms(msgspec.Struct, array_like=True, frozen=True):
    """How shares are computed; without a method there are none, and each strategy has all."""

    method: str = ""
    days: int = 30
    least_days: int = 10
    cap_ppm: int = PPM
    floor_ppm: int = 0
    at_s: int = 0


class AllocatorDump(msgspec.Struct, array_like=True, frozen=True):
    """An allocator as plain values; money is decimal text."""

    terms: AllocationTerms = AllocationTerms()
    due: bool = False
    next_ns: int | None = None
    returns: dict[str, list[float]] = {}
    worth: dict[str, dict[str, str]] = {}
    equity: dict[str, str] = {}


class Allocator:
    """Returns of the running strategies, and when their shares are to be computed again.

    Attributes:
        due: shares are to be computed; until an event says they were.
    """

    def __init__(self) -> None:
        self.due = False
        self._terms = AllocationTerms()
        self._next_ns: int | None = None
        self._returns: dict[str, deque[float]] = {}
        self._worth: dict[str, Money] = {}
        self._equity: Money = {}

    @property
    def method(self) -> str:
        """How shares are computed; empty for not at all."""
        return self._terms.method

    def configure(self, settings: Mapping[str, Scalar]) -> None:
        """Take the settings that a daemon starts with."""
        terms = _terms(settings)
        if terms == self._terms:
            return
        if terms.at_s != self._terms.at_s or not terms.method:
            self._next_ns = None
        self._terms = terms
        self._returns = {name: deque(row, terms.days) for name, row in self._returns.items()}
        self.due = bool(terms.method)

    def started(self, strategy_id: str) -> None:
        """Count a strategy from here on."""
        self._returns[strategy_id] = deque(maxlen=self._terms.days)
        self._worth[strategy_id] = {}
        self.due = bool(self._terms.method)

    def stopped(self, strategy_id: str) -> None:
        """Forget a strategy."""
        if self._returns.pop(strategy_id, None) is not None:
            del self._worth[strategy_id]
            self.due = bool(self._terms.method)

    def on_clock(
        self, ts_ns: int, worth: Callable[[], Mapping[str, Money]], equity: Callable[[], Money]
    ) -> None:
        """Close the day when it is time.

        Args:
            ts_ns: now.
            worth: returns what each running strategy has earned so far.
            equity: returns the account's equity.
        """
        if not self._terms.method or (self._next_ns is not None and ts_ns < self._next_ns):
            return
        at_ns = self._terms.at_s * _SECOND
        now = worth()
        if self._next_ns is not None:
            for name, row in self._returns.items():
                row.append(_return(self._worth[name], now.get(name, {}), self._equity))
            self.due = True
        self._worth = {name: dict(now.get(name, {})) for name in self._returns}
        self._equity = dict(equity())
        self._next_ns = ((ts_ns - at_ns) // _DAY_NS + 1) * _DAY_NS + at_ns

    def clock_due_ns(self, from_ns: int) -> int:
        """Return the first time from the given one on at which a tick of the clock closes a day."""
        return max(from_ns, self._next_ns or 0) if self._terms.method else NEVER

    def share_ppm(self) -> dict[str, int]:
        """Return each running strategy's share, rounded down."""
        terms = self._terms
        found = shares(
            terms.method,
            self._returns,
            least_days=terms.least_days,
            cap=terms.cap_ppm / PPM,
            floor=terms.floor_ppm / PPM,
        )
        return {name: int(share * PPM) for name, share in found.items()}

    def dump(self) -> AllocatorDump:
        """Return all of it as plain values."""
        return AllocatorDump(
            self._terms,
            self.due,
            self._next_ns,
            {name: list(row) for name, row in self._returns.items()},
            {name: _texts(money) for name, money in self._worth.items()},
            _texts(self._equity),
        )

    def load(self, dump: AllocatorDump) -> None:
        """Become what was dumped."""
        self._terms, self.due, self._next_ns = dump.terms, dump.due, dump.next_ns
        self._returns = {name: deque(row, dump.terms.days) for name, row in dump.returns.items()}
        self._worth = {name: _amounts(money) for name, money in dump.worth.items()}
        self._equity = _amounts(dump.equity)

    def state(self) -> Any:
        """Return everything as plain values."""
        return msgspec.to_builtins(self.dump())


def _terms(settings: Mapping[str, Scalar]) -> AllocationTerms:
    method = settings.get(METHOD_SETTING)
    if not isinstance(method, str) or method not in METHODS:
        return AllocationTerms()
    return AllocationTerms(
        method,
        max(2, min(_integer(settings, DAYS_SETTING, AllocationTerms().days), MAX_DAYS)),
        max(1, _integer(settings, LEAST_DAYS_SETTING, AllocationTerms().least_days)),
        max(0, _integer(settings, CAP_SETTING, PPM)),
        max(0, min(_integer(settings, FLOOR_SETTING, 0), PPM)),
        max(0, _integer(settings, AT_SETTING, 0)) % 86_400,
    )


def _integer(settings: Mapping[str, Scalar], key: str, default: int) -> int:
    value = settings.get(key)
    return value if type(value) is int else default


def _return(before: Money, now: Money, equity: Money) -> float:
    """Return what was earned as part of the equity; a currency without any has no part in it."""
    earned = {currency: now[currency] - before.get(currency, 0) for currency in now}
    return fsum(
        amount / equity[currency] for currency, amount in earned.items() if equity.get(currency, 0) > 0
    )


def _texts(money: Money) -> dict[str, str]:
    return {currency: str(amount) for currency, amount in money.items()}


def _amounts(texts: Mapping[str, str]) -> dict[str, int]:
    return {currency: int(text) for currency, text in texts.items()}
