"""Equity against the begin of the day and against its peak, and which of the limits it has broken.

All is money of one currency. Equity is looked at when the clock ticks, when an order is asked for and
when one is filled: not at each tick of the market.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.trading.calendar import Calendar, always
from daemon.trading.money import PPM
from daemon.trading.risk.limits import Limits
from daemon.trading.valuation import Total

DAILY_LOSS, DRAWDOWN, MARGIN = "DAILY_LOSS", "DRAWDOWN", "MARGIN"


@dataclass(slots=True)
class EquityWatch:
    """What was seen of equity.

    Attributes:
        currency: of all the money here; another one begins anew.
        equity: when it was looked at last; None while it cannot be told.
        maintenance: margin that the positions needed then.
        peak: highest equity since the beginning or the last reset.
        day_equity: equity when the day began, or at the first look in it.
        day_end_ns: when the next day begins; zero before the first look.
        unknown: currencies that no known price leads from.
        broken: codes of limits that are broken now.
        acted: those of them for which the trading state was changed already.
    """

    currency: str = ""
    equity: int | None = None
    maintenance: int = 0
    peak: int | None = None
    day_equity: int | None = None
    day_end_ns: int = 0
    unknown: tuple[str, ...] = ()
    broken: set[str] = field(default_factory=set)
    acted: set[str] = field(default_factory=set)
    _calendar: Calendar | None = None

    def look(self, ts_ns: int, currency: str, total: Total, limits: Limits) -> None:
        """Take note of what all is worth now."""
        if currency != self.currency:
            self.reset()
            self.currency = currency
        worth, self.unknown = total
        self.maintenance = worth.maintenance
        self.equity = equity = None if self.unknown else worth.equity
        if equity is None:
            return
        if ts_ns >= self.day_end_ns or self.day_equity is None:
            if self._calendar is None or self._calendar.zone != limits.day_zone:
                self._calendar = always(limits.day_zone)
            self.day_end_ns = max(self.day_end_ns, self._calendar.session_end_ns(ts_ns))
            self.day_equity = equity
        if self.peak is None or equity > self.peak:
            self.peak = equity
        self._judge(equity, limits)

    def _judge(self, equity: int, limits: Limits) -> None:
        assert self.peak is not None
        assert self.day_equity is not None
        broken = set()
        if limits.max_daily_loss is not None and self.day_equity - equity > limits.max_daily_loss:
            broken.add(DAILY_LOSS)
        share = limits.max_drawdown_ppm
        if share is not None and (self.peak - equity) * PPM > self.peak * share:
            broken.add(DRAWDOWN)
        if limits.margin and equity < self.maintenance:
            broken.add(MARGIN)
        self.broken = broken
        self.acted &= broken

    def shift(self, before: int | None, after: int | None) -> None:
        """Take note that money was paid in or out, which is neither profit nor loss.

        The loss of the day stays what it is, and so does the share that is missing from the peak.
        """
        if before is None or after is None:
            self.reset()
            return
        self.equity = after
        if self.day_equity is not None:
            self.day_equity += after - before
        if self.peak is not None:
            self.peak = max(after, self.peak * after // before if before > 0 else after)

    def reset(self) -> None:
        """Begin anew at the next look: with its equity as the day's and as the peak."""
        self.equity = self.peak = self.day_equity = None
        self.broken, self.acted = set(), set()
