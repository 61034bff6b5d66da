"""All that the core keeps for risk beside orders and money: limits in force, counters, pauses.

It follows events and says which events are missing: a trading state that a broken limit asks for, a
pause after losses. What is missing is a function of the state, so it is asked for again when a decision
was lost with the end of a journal, and never twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Protocol

from daemon.trading.money import MONEY_SCALE, fee_money
from daemon.trading.orders import Order
from daemon.trading.portfolio import Account
from daemon.trading.risk.equity_watch import DAILY_LOSS, DRAWDOWN, MARGIN, EquityWatch
from daemon.trading.risk.limit_rules import ALWAYS, WHEN_OPENING, LimitRule, rules_that_are_set
from daemon.trading.risk.limits import ACTIONS, Chosen, Limits
from daemon.trading.risk.pace import Pace
from daemon.trading.risk.protections import Close, PauseKey, Protections
from daemon.trading.risk.working import Working
from daemon.trading.valuation import Exchange, Total
from schemas.decimals import decimal_text
from schemas.events import (
    CancelRequested,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    OrderAccepted,
    OrderFilled,
    OrderSubmitted,
    ReplaceDenied,
    ReplaceRequested,
    RiskLimitsChanged,
    Scalar,
    TradingPaused,
    TradingState,
    TradingStateChanged,
)

SOURCE = "risk:"
"""In front of a rule's code in the source of a state that it asked for."""

Draft = partial[Any]


class View(Protocol):
    """What is looked at beside the events; the core is one."""

    @property
    def account(self) -> Account: ...  # noqa: D102
    @property
    def instruments(self) -> Mapping[int, InstrumentDefined]: ...  # noqa: D102
    @property
    def exchange(self) -> Exchange: ...  # noqa: D102
    @property
    def trading_state(self) -> TradingState: ...  # noqa: D102
    @property
    def currency(self) -> str: ...  # noqa: D102
    def mark(self, instrument_id: int, quantity: int) -> int | None: ...  # noqa: D102
    def total(self) -> Total: ...  # noqa: D102


class Risk:
    """Follows what the rules are judged by.

    Attributes:
        chosen: limits by name, as they were configured and set.
        limits: what is in force by that.
        watches: equity is followed.
        protects: closed positions are followed.
        always_asked: rules that are set and ask every order.
        asked_when_opening: rules that are set and ask orders which open risk.
        clock_synchronized: what the last tick of the clock said since the start.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.chosen = Chosen()
        self.working = Working()
        self.watch = EquityWatch()
        self.protections = Protections()
        self.pace = Pace()
        self.clock_synchronized = False
        self._set(Limits())

    @property
    def currency(self) -> str:
        """The currency in which all is summed up; empty before the first deposit."""
        return self._view.currency or self._view.account.main_currency

    @property
    def configured(self) -> Mapping[str, Scalar]:
        """Limits of the last start, by name."""
        return self.chosen.configured

    @property
    def changed(self) -> Mapping[str, Scalar]:
        """Limits that were set since, by name; None for one that was switched off."""
        return self.chosen.changed

    def in_force(self) -> dict[str, Scalar]:
        """Return the limits that are set, by name."""
        return self.chosen.in_force()

    def _set(self, limits: Limits) -> None:
        self.limits = limits
        self.always_asked: tuple[LimitRule, ...] = rules_that_are_set(ALWAYS, limits)
        self.asked_when_opening: tuple[LimitRule, ...] = rules_that_are_set(WHEN_OPENING, limits)
        self.pace.configure(limits.max_orders_per_minute, limits.day_zone)
        self.protections.configure(limits)
        self.watches = limits.watches_equity
        self.protects = limits.protects

    def choose(self, chosen: Chosen) -> None:
        """Take other limits.

        Raises:
            LimitError: they make no sense; nothing has changed.
        """
        limits = chosen.limits()
        self.chosen = chosen
        self._set(limits)

    def daemon_started(self, event: DaemonStarted) -> None:
        """Take the configuration; a limit that it changes counts again, whatever was set meanwhile.

        Raises:
            LimitError: it makes no sense; nothing has changed.
        """
        self.clock_synchronized = False
        self.choose(self.chosen.started(event.settings))

    def limits_changed(self, event: RiskLimitsChanged) -> None:
        """Take limits that were set.

        Raises:
            LimitError: they make no sense; nothing has changed.
        """
        self.choose(self.chosen.set(event.limits))

    def ticked(self, event: ClockTicked) -> None:
        """Take a tick of the clock."""
        self.clock_synchronized = event.synchronized
        if self.watches:
            self.look(event.ts_ns)

    def look(self, ts_ns: int) -> None:
        """Look at equity; call while a limit is about it."""
        self.watch.look(ts_ns, self.currency, self._view.total(), self.limits)

    def equity(self) -> int | None:
        """Return equity in one currency, or None when it cannot be told or no limit is about it."""
        if not self.watches:
            return None
        worth, unknown = self._view.total()
        return None if unknown else worth.equity

    def cash_moved(self, before: int | None) -> None:
        """Take note that money was paid in or out; `before` is what `equity` gave before that."""
        if self.watches:
            self.watch.shift(before, self.equity())

    def decided(self, event: Event, order: Order) -> None:
        """Take our own decision about an order."""
        if type(event) is OrderSubmitted:
            self.working.follow(order)
            self.pace.count(event.ts_ns)

    def wished(self, event: CancelRequested | ReplaceRequested, order: Order) -> None:
        """Take the wish to change an order that works."""
        if type(event) is ReplaceRequested:
            self.working.follow(order)
            self.pace.count(event.ts_ns)
            if self.watches:
                self.look(event.ts_ns)

    def followed(self, event: Event, order: Order) -> None:
        """Take other news of an order than a fill."""
        if type(event) is not OrderAccepted:  # Most news by far, and nothing that counts has changed.
            self.working.follow(order)
        if type(event) is ReplaceDenied:
            self.pace.take_back()
        if self.protections.closing and order.status.is_terminal:
            self._ended(order, event.ts_ns)

    def filled(self, fill: OrderFilled, order: Order, *, held: int, profit: int) -> None:
        """Take a fill that counted.

        Args:
            fill: the fill.
            order: after it.
            held: signed quantity of the position before it.
            profit: what it realised, before its fee.
        """
        self.working.follow(order)
        if self.protects and held * int(fill.side) < 0:
            if fill.fee_currency == self._view.instruments[fill.instrument_id].quote_currency:
                profit -= fee_money(fill.fee, fill.fee_scale)
            closing = self.protections.closing
            closing[order.order_id] = closing.get(order.order_id, 0) + profit
        if self.watches:
            self.look(fill.ts_ns)
        if self.protections.closing and order.status.is_terminal:
            self._ended(order, fill.ts_ns)

    def _ended(self, order: Order, ts_ns: int) -> None:
        profit = self.protections.closing.pop(order.order_id, None)
        if profit is None:
            return
        request = order.request
        view = self._view
        instrument = view.instruments[request.instrument_id]
        worth = view.exchange.converted(profit, instrument.quote_currency, self.currency, view.mark)
        close = Close(
            ts_ns,
            request.instrument_id,
            request.strategy_id,
            # Without a price between the currencies the sign still tells whether it lost.
            (profit > 0) - (profit < 0) if worth is None else worth,
            int(request.order_type),
        )
        self.protections.closed(close, self.limits, self._equity_now())

    def _equity_now(self) -> int | None:
        if self.limits.drawdown_guard_ppm is None:
            return None
        worth, unknown = self._view.total()
        return None if unknown else worth.equity

    def state_changed(self, event: TradingStateChanged) -> None:
        """Take note of a state that a rule asked for."""
        if event.source.startswith(SOURCE):
            self.watch.acted.add(event.source.removeprefix(SOURCE))

    def paused(self, event: TradingPaused) -> None:
        """Take a recorded pause."""
        self.protections.paused(event)

    def reset(self) -> None:
        """Begin anew: equity now is the peak and the day's, no loss is remembered, no pause holds."""
        self.watch.reset()
        self.protections.lift()

    def pause_of(self, order: Order) -> tuple[str, str] | None:
        """Return code and reason of the pause that keeps an order from opening anything."""
        request = order.request
        pause = self.protections.pause_of(request.instrument_id, request.strategy_id, order.updated_ns)
        return None if pause is None else (pause.rule, pause.reason)

    def missing(self) -> Iterator[Draft]:
        """Yield what must be recorded now; each draft gives None when it is not missing any more."""
        watch = self.watch
        for code in (DAILY_LOSS, DRAWDOWN, MARGIN):
            if code in watch.broken and code not in watch.acted and self._state_for(code) is not None:
                yield partial(self._state_draft, code)
        for key in self.protections.due:
            yield partial(self._pause_draft, key)

    def _state_for(self, code: str) -> TradingState | None:
        """Return the state a broken limit asks for; None when it asks for none, or trading is as strict."""
        limits = self.limits
        actions = {MARGIN: limits.on_margin, DAILY_LOSS: limits.on_daily_loss, DRAWDOWN: limits.on_drawdown}
        state = ACTIONS[actions[code]]
        return state if state is not None and state > self._view.trading_state else None

    def _state_draft(self, code: str, *, ts_ns: int) -> Event | None:
        state = self._state_for(code)
        if state is None or code not in self.watch.broken or code in self.watch.acted:
            return None
        return TradingStateChanged(
            ts_ns=ts_ns, state=state, reason=self._reason(code), source=f"{SOURCE}{code}"
        )

    def _reason(self, code: str) -> str:
        watch = self.watch
        equity = f"equity is {_text(watch.equity)} {watch.currency}"
        if code == DAILY_LOSS:
            return f"{equity}, {_text(watch.day_equity)} when the day began"
        if code == DRAWDOWN:
            return f"{equity}, {_text(watch.peak)} at its peak"
        return f"{equity}, below the maintenance margin of {_text(watch.maintenance)}"

    def _pause_draft(self, key: PauseKey, *, ts_ns: int) -> Event | None:
        pause = self.protections.due.get(key)
        if pause is None:
            return None
        return TradingPaused(
            ts_ns=ts_ns,
            instrument_id=key[0],
            strategy_id=key[1],
            until_ns=pause.until_ns,
            rule=pause.rule,
            reason=pause.reason,
        )

    def state(self) -> dict[str, Any]:
        """Return everything as plain exact values."""
        watch, protections = self.watch, self.protections
        return {
            "configured": dict(self.chosen.configured),
            "changed": dict(self.chosen.changed),
            "clock_synchronized": self.clock_synchronized,
            "pace": (list(self.pace.times), self.pace.day_end_ns, self.pace.day_count),
            "equity": (watch.currency, watch.equity, watch.maintenance, watch.unknown),
            "peak": watch.peak,
            "day": (watch.day_equity, watch.day_end_ns),
            "broken": (sorted(watch.broken), sorted(watch.acted)),
            "closing": dict(protections.closing),
            "closes": [tuple(close) for close in protections.closes],
            "due": _plain(protections.due),
            "pauses": _plain(protections.pauses),
        }


def _plain(pauses: Mapping[PauseKey, Any]) -> list[Any]:
    return [(*key, pause.until_ns, pause.rule, pause.reason) for key, pause in pauses.items()]


def _text(amount: int | None) -> str:
    return "unknown" if amount is None else decimal_text(amount, MONEY_SCALE)
