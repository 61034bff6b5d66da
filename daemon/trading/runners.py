"""All running strategies: their hooks on the books, and what happens when one raises.

A strategy that raises is taken off everything at once and waits in `broken` until its
`StrategyStopped` is recorded; what it asked for during that input is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from operator import attrgetter
from typing import Any, Protocol

import msgspec

from daemon.trading.allocator import Allocator
from daemon.trading.books import Book
from daemon.trading.drafts import Draft
from daemon.trading.history import History, HistoryDump, Listener
from daemon.trading.orders import Order
from daemon.trading.runner import Runner, RunnerDump, reason_of
from daemon.trading.strategy import Strategy, StrategyError
from schemas.events import (
    AllocationChanged,
    Bar,
    ClockTicked,
    Event,
    NotificationQueued,
    OrderFilled,
    Scalar,
    Severity,
    StrategyParametersChanged,
    StrategyStarted,
    StrategyStopped,
)

MAX_STRATEGIES = 100
BY_CONFIGURATION = "stopped by config"
"""Reason of a stop because the configuration changed."""
COUNT_SETTING = "strategies"
CONFIGURED_SETTING = "strategy."
"""Keys of `DaemonStarted.settings`: how many strategies are configured, and before a name, how one is."""


class Money(Protocol):
    """What strategies size their orders with; the core is one."""

    def equity(self) -> Mapping[str, int]: ...  # noqa: D102
    def free_cash(self, currency: str) -> int: ...  # noqa: D102


class Runners(Mapping[str, Runner]):
    """Running strategies by id, in the order of their starts.

    Attributes:
        pending: what the strategies and the core want recorded next, oldest first.
        deaf: no orders are taken, because a decision and not an input is being told.
        broken: reasons by id of strategies that raised and are not stopped yet.
        share_ppm: part of the equity by strategy; one that is not in it has all.
        history: what strategies warm up from, and the bars they hear of.
        allocator: when shares are to be computed again, and to what.
        configured: how the daemon that started last had each strategy configured, as text by id; None
            before any has told.
        stopped: reasons by id of configured strategies that are stopped, by others than the configuration.
    """

    def __init__(self, kinds: Mapping[str, type[Strategy]], books: dict[int, Book], money: Money) -> None:
        self.kinds = kinds
        self._runners: dict[str, Runner] = {}
        self._money = money
        self.books = books
        self.pending: deque[Draft] = deque()
        self.deaf = False
        self.broken: dict[str, str] = {}
        self.share_ppm: dict[str, int] = {}
        self.history = History(books, self._tell_bar)
        self.allocator = Allocator()
        self.configured: dict[str, str] | None = None
        self.stopped: dict[str, str] = {}

    def __getitem__(self, strategy_id: str) -> Runner:
        return self._runners[strategy_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runners)

    def __len__(self) -> int:
        return len(self._runners)

    def equity(self) -> Mapping[str, int]:
        """Return the account's equity by currency."""
        return self._money.equity()

    def free_cash(self, currency: str) -> int:
        """Return the cash that working orders do not need."""
        return self._money.free_cash(currency)

    def kind(self, name: str) -> type[Strategy]:
        """Return the strategy class of a kind.

        Raises:
            StrategyError: there is none.
        """
        if name not in self.kinds:
            raise StrategyError(
                f"there is no strategy kind {name[:100]!r}", hint=f"there is {', '.join(self.kinds)}"
            )
        return self.kinds[name]

    def prepare(self, started: StrategyStarted) -> Runner:
        """Make a strategy without running it.

        Raises:
            StrategyError: it cannot be made.
        """
        try:
            instruments = [self.books[instrument_id].instrument for instrument_id in started.instrument_ids]
            return Runner(self, started, instruments)
        except StrategyError:
            raise
        except Exception as error:  # A user's class may raise anything; the core must go on.
            raise StrategyError(f"{started.kind} cannot be made: {reason_of(error)}") from error

    def start(self, seq: int, started: StrategyStarted) -> None:
        """Run a strategy; one that cannot be made counts as broken."""
        strategy_id = started.strategy_id
        self._remove(strategy_id)
        self.stopped.pop(strategy_id, None)
        try:
            runner = self.prepare(started)
        except StrategyError as error:
            self.broken[strategy_id] = error.message
            return
        runner.since = seq
        self._runners[strategy_id] = runner
        self.allocator.started(strategy_id)
        self._begin(runner)

    def change(self, event: StrategyParametersChanged) -> None:
        """Make a running strategy anew with other parameters; its holdings and orders stay."""
        runner = self._runners.get(event.strategy_id)
        if runner is None:
            return
        started = msgspec.structs.replace(runner.started, parameters=event.parameters)
        try:
            runner.make(started)
        except Exception as error:  # noqa: BLE001  # A strategy may raise anything; the core must go on.
            self.fail(event.strategy_id, error)
            return
        self._begin(runner)

    def _begin(self, runner: Runner) -> None:
        """Connect a strategy that was just made, and tell it of the past."""
        self._hook()
        self.call(runner.strategy_id, runner.strategy.on_start)
        if runner.strategy_id in self._runners:
            self.call(runner.strategy_id, runner.warm_up, self._past(runner))

    def _past(self, runner: Runner) -> list[Any]:
        """Return what is kept of the events that a strategy hears of, oldest first."""
        rows: list[Sequence[Any]] = []
        for i in runner.instrument_ids:
            if i in runner.specs:
                rows.append(self.history.series(i, runner.specs[i]).bars)
            if runner.trade_hooks[i] is not None or runner.quote_hooks[i] is not None:
                rows.append(self.history.ticks(i))
        return list(merge(*rows, key=attrgetter("received_ns")))

    def configure(self, settings: Mapping[str, Scalar]) -> None:
        """Take the settings that a daemon starts with; what was stopped and is configured anew is no more."""
        before, self.configured = self.configured or {}, None
        if COUNT_SETTING in settings:
            self.configured = {
                key.removeprefix(CONFIGURED_SETTING): str(text)
                for key, text in settings.items()
                if key.startswith(CONFIGURED_SETTING)
            }
        now = self.configured or {}
        self.stopped = {i: why for i, why in self.stopped.items() if i in now and now[i] == before.get(i)}
        self.history.configure(settings)
        self.allocator.configure(settings)
        if not self.allocator.method:
            self.share_ppm.clear()
        self._hook()

    def allocate(self, event: AllocationChanged) -> None:
        """Take the shares of the equity."""
        self.share_ppm = dict(event.share_ppm)
        self.allocator.due = False

    def define(self, instrument_id: int) -> None:
        """Take an instrument that is new."""
        self.history.define(instrument_id)
        self._hook_book(instrument_id, self.books[instrument_id])

    def forget(self, instrument_id: int) -> None:
        """Forget the market of an instrument that nobody uses."""
        self.history.forget(instrument_id)
        self._hook_book(instrument_id, self.books[instrument_id])

    def dump(self) -> list[RunnerDump]:
        """Return all runners as plain values, in the order of their starts.

        Raises:
            StrategyError: a strategy cannot be dumped.
        """
        return [runner.dump() for runner in self._runners.values()]

    def load(
        self,
        dumps: Sequence[RunnerDump],
        history: HistoryDump,
        orders: Mapping[int, Order],
        *,
        or_stop: bool = False,
    ) -> None:
        """Run the strategies of a dump, as if they had never stopped.

        One that does not take its part raises what it raises; with `or_stop` it counts as broken.
        """
        self.history.load(history)
        self.deaf = True
        for dump in dumps:
            strategy_id = dump.started.strategy_id
            try:
                self._runners[strategy_id] = Runner.load(self, dump, orders)
            except Exception as error:
                if not or_stop:
                    raise
                self.broken[strategy_id] = f"its state cannot be read: {reason_of(error)}"
        self.deaf = False
        self._hook()

    def stop(self, event: StrategyStopped) -> None:
        """Take a strategy off everything; its orders stay what they are."""
        strategy_id = event.strategy_id
        self._remove(strategy_id)
        if event.reason != BY_CONFIGURATION and strategy_id in (self.configured or {}):
            self.stopped[strategy_id] = event.reason

    def _remove(self, strategy_id: str) -> None:
        self.broken.pop(strategy_id, None)
        self._take_off(strategy_id)

    def _take_off(self, strategy_id: str) -> None:
        runner = self._runners.pop(strategy_id, None)
        self.allocator.stopped(strategy_id)
        if runner is not None:
            runner.ended = True
            self._hook()

    def call(self, strategy_id: str, callback: Callable[..., None], *arguments: object) -> None:
        """Call a strategy; when it raises, it is broken."""
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001  # A strategy may raise anything; the core must go on.
            self.fail(strategy_id, error)

    def fail(self, strategy_id: str, error: Exception) -> None:
        """Take a strategy that raised off everything and ask for its stop."""
        reason = reason_of(error)
        kept = [draft for draft in self.pending if draft.keywords.get("strategy_id") != strategy_id]
        self.pending.clear()
        self.pending.extend(kept)
        self._take_off(strategy_id)
        self.broken[strategy_id] = reason
        self.pending.extend(stop_drafts(strategy_id, reason))

    def _tell_bar(self, listener: Listener, bar: Bar) -> None:
        # One that raised at an earlier bar of the same tick is off, though its series still tells.
        if listener.strategy_id in self._runners:
            self.call(listener.strategy_id, listener.on_bar, bar)

    def tick(self, event: ClockTicked) -> None:
        """End the bars that are over, close the day of the allocation, then call the timers."""
        self.history.on_clock(event.ts_ns)
        self.allocator.on_clock(event.ts_ns, self._worths, self._money.equity)
        for strategy_id, runner in list(self._runners.items()):
            if runner.times:
                self.call(strategy_id, runner.strategy.on_timer, event)

    def clock_due_ns(self, from_ns: int, unopened_ns: int) -> int:
        """Return the first time from the given one on at which a tick of the clock may do anything.

        Arguments as of `History.clock_due_ns`.
        """
        for runner in self._runners.values():
            if runner.times:
                return from_ns
        return min(self.allocator.clock_due_ns(from_ns), self.history.clock_due_ns(from_ns, unopened_ns))

    def _worths(self) -> dict[str, dict[str, int]]:
        return {strategy_id: runner.worth() for strategy_id, runner in self._runners.items()}

    def told(self, event: Event, order: Order) -> None:
        """Keep the books of the strategy that owns the order, and tell it of a venue's report."""
        runner = self._owner(order)
        if runner is None:
            return
        if not order.status.is_terminal:
            runner.orders[order.order_id] = order
        else:
            runner.orders.pop(order.order_id, None)
        if type(event) is OrderFilled:
            try:
                runner.filled(event, order)
            except Exception as error:  # noqa: BLE001  # A strategy may raise anything; the core must go on.
                self.fail(runner.strategy_id, error)
        elif runner.follows:
            self.call(runner.strategy_id, runner.strategy.on_order, order)

    def decided(self, order: Order) -> None:
        """Keep the books of the strategy whose order was decided upon, and tell it of a denial."""
        runner = self._owner(order)
        if runner is None:
            return
        if not order.status.is_terminal:
            runner.orders[order.order_id] = order
        else:
            runner.orders.pop(order.order_id, None)
            self.call(runner.strategy_id, runner.strategy.on_denied, order)

    def _owner(self, order: Order) -> Runner | None:
        strategy_id = order.request.strategy_id
        runner = None if strategy_id is None else self._runners.get(strategy_id)
        # A strategy that took over the id of an earlier one does not inherit its orders.
        if runner is None or order.order_id < runner.since:
            return None
        return runner

    def uses(self, instrument_id: int) -> bool:
        """Return whether a strategy runs on this instrument."""
        return any(instrument_id in runner.holdings for runner in self._runners.values())

    def _hook(self) -> None:
        self.history.silence()
        for strategy_id, runner in self._runners.items():
            for instrument_id, spec in runner.specs.items():
                series = self.history.series(instrument_id, spec)
                series.listeners += (Listener(runner.strategy.on_bar, strategy_id),)
        self.history.release()
        for instrument_id, book in self.books.items():
            self._hook_book(instrument_id, book)

    def _hook_book(self, i: int, book: Book) -> None:
        runners = self._runners.items()
        # The past comes first: a bar is told before the tick that is not in it.
        kept_trades = ((hook, "") for hook in self.history.trade_hooks(i))
        kept_quotes = ((hook, "") for hook in self.history.quote_hooks(i))
        book.trade_hooks = (*kept_trades, *((t, k) for k, r in runners if (t := r.trade_hooks.get(i))))
        scans = [r.trade_scans.get(i) for k, r in runners if r.trade_hooks.get(i)]
        # What one scan passes over, another hook might have an answer to.
        book.trade_scan = scans[0] if len(scans) == len(book.trade_hooks) == 1 else None
        book.quote_hooks = (*kept_quotes, *((q, k) for k, r in runners if (q := r.quote_hooks.get(i))))
        book.bar_hooks = tuple((b, k) for k, r in runners if (b := r.bar_hooks.get(i)))


def stop_drafts(strategy_id: str, reason: str) -> list[Draft]:
    """Return what is recorded of a strategy that raised: its stop, and that somebody must hear of it."""
    return [
        partial(StrategyStopped, strategy_id=strategy_id, reason=reason),
        partial(
            NotificationQueued,
            severity=Severity.ERROR,
            subject=f"strategy {strategy_id} raised an error and was stopped",
            body=reason,
        ),
    ]
