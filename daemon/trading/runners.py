"""Running strategies: their hooks on the books, their way to give orders, and what happens when one raises.

A strategy that raises is taken off everything at once and waits in `broken` until its
`StrategyStopped` is recorded; what it asked for during that input is dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from daemon.trading.books import Book
from daemon.trading.money import MAX_INTEGER
from daemon.trading.orders import Order
from daemon.trading.strategy import Strategy, StrategyError, check_parameters
from schemas.events import (
    CancelRequested,
    ClockTicked,
    Event,
    InstrumentDefined,
    OrderFilled,
    OrderRequested,
    OrderType,
    Scalar,
    Side,
    StrategyStarted,
    StrategyStopped,
    TimeInForce,
)

MAX_STRATEGIES = 100
MAX_ORDERS_PER_INPUT = 1_000
MAX_TAG = 200

_NO_DUMP = b"\xc0"
"""None in msgpack."""

Draft = partial[Any]
"""An event that lacks only its `ts_ns`."""


class RunnerDump(msgspec.Struct, array_like=True, frozen=True):
    """A running strategy as plain values.

    `instruments` are those it was made with: they may have been defined anew since, with another
    lot for example. Quantities are decimal texts, for sums may be longer than 64 bits.
    """

    started: StrategyStarted
    since: int
    instruments: list[InstrumentDefined]
    quantities: dict[int, str]
    orders: list[int]
    strategy: msgspec.Raw


class Runner:
    """One running strategy; the `Context` it sees the core through.

    Raises:
        StrategyError: unknown kind, or parameters that do not fit.
    """

    def __init__(
        self, runners: Runners, started: StrategyStarted, instruments: Sequence[InstrumentDefined]
    ) -> None:
        self._runners = runners
        self.since = 0
        self.started = started
        self.instruments = list(instruments)
        self.strategy_id = started.strategy_id
        self.kind = started.kind
        self.instrument_ids = list(started.instrument_ids)
        self.parameters: dict[str, Scalar] = dict(started.parameters)
        self.quantities = dict.fromkeys(self.instrument_ids, 0)
        self.orders: dict[int, Order] = {}
        kind = runners.kind(started.kind)
        self.strategy = kind(self, instruments, check_parameters(kind, started.parameters))
        self.times = kind.on_timer is not Strategy.on_timer
        self.follows = kind.on_order is not Strategy.on_order
        strategy, ids = self.strategy, self.instrument_ids
        self.trade_hooks = {i: strategy.trade_hook(i) for i in ids}
        self.quote_hooks = {i: strategy.quote_hook(i) for i in ids}
        self.bar_hooks = {i: strategy.bar_hook(i) for i in ids}

    def submit(  # noqa: PLR0913
        self,
        instrument_id: int,
        side: Side,
        quantity: int,
        *,
        order_type: OrderType = OrderType.MARKET,
        price: int | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        reduce_only: bool = False,
        tag: str = "",
    ) -> None:
        """See `Context.submit`.

        Raises:
            StrategyError: not one of its instruments, a value the journal cannot hold, too many orders,
                or not the time for it.
        """
        if instrument_id not in self.quantities:
            raise StrategyError(f"{self.strategy_id} was not started on instrument {instrument_id}")
        _check_values(quantity, price, tag)
        self._emit(
            partial(
                OrderRequested,
                instrument_id=instrument_id,
                side=side if type(side) is Side else Side(side),
                order_type=order_type if type(order_type) is OrderType else OrderType(order_type),
                quantity=quantity,
                price=price,
                time_in_force=time_in_force
                if type(time_in_force) is TimeInForce
                else TimeInForce(time_in_force),
                post_only=bool(post_only),
                reduce_only=bool(reduce_only),
                source=f"strategy:{self.strategy_id}",
                strategy_id=self.strategy_id,
                tag=tag,
            )
        )

    def cancel(self, order_id: int) -> None:
        """See `Context.cancel`.

        Raises:
            StrategyError: the order is not one of its own that works.
        """
        if order_id not in self.orders:
            raise StrategyError(f"{self.strategy_id} has no working order {order_id}")
        self._emit(cancel_draft(order_id, self.strategy_id))

    def quantity(self, instrument_id: int) -> int:
        """See `Context.quantity`."""
        return self.quantities[instrument_id]

    def working(self, instrument_id: int) -> list[Order]:
        """See `Context.working`."""
        if not self.orders:
            return []
        return [order for order in self.orders.values() if order.request.instrument_id == instrument_id]

    def book(self, instrument_id: int) -> Book:
        """See `Context.book`."""
        return self._runners.books[instrument_id]

    def _emit(self, draft: Draft) -> None:
        if self._runners.deaf:
            raise StrategyError("orders cannot be given in on_start and on_denied")
        if len(self._runners.pending) >= MAX_ORDERS_PER_INPUT:
            raise StrategyError(f"more than {MAX_ORDERS_PER_INPUT} orders in answer to one event")
        self._runners.pending.append(draft)

    def dump(self) -> RunnerDump:
        """Return what `Runners.load` makes this runner of.

        Raises:
            StrategyError: its strategy cannot be dumped.
        """
        try:
            plain = msgspec.msgpack.encode(self.strategy.dump())
        except Exception as error:  # A user's class may raise anything; the core must go on.
            raise StrategyError(f"{self.strategy_id} cannot be dumped: {_reason(error)}") from error
        if plain == _NO_DUMP:
            raise StrategyError(f"{self.strategy_id} cannot be dumped: {self.kind} gives no dump")
        return RunnerDump(
            self.started,
            self.since,
            self.instruments,
            {instrument_id: str(quantity) for instrument_id, quantity in self.quantities.items()},
            list(self.orders),
            msgspec.Raw(plain),
        )

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "kind": self.kind,
            "parameters": dict(self.parameters),
            "quantities": dict(self.quantities),
            "orders": list(self.orders),
            "strategy": self.strategy.state(),
        }


class Runners(Mapping[str, Runner]):
    """Running strategies by id, in the order of their starts.

    Attributes:
        pending: what the strategies and the core want recorded next, oldest first.
        deaf: no orders are taken, because a decision and not an input is being told.
        broken: reasons by id of strategies that raised and are not stopped yet.
    """

    def __init__(self, kinds: Mapping[str, type[Strategy]], books: dict[int, Book]) -> None:
        self.kinds = kinds
        self._runners: dict[str, Runner] = {}
        self.books = books
        self.pending: deque[Draft] = deque()
        self.deaf = False
        self.broken: dict[str, str] = {}

    def __getitem__(self, strategy_id: str) -> Runner:
        return self._runners[strategy_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runners)

    def __len__(self) -> int:
        return len(self._runners)

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
            raise StrategyError(f"{started.kind} cannot be made: {_reason(error)}") from error

    def start(self, seq: int, started: StrategyStarted) -> None:
        """Run a strategy; one that cannot be made counts as broken."""
        strategy_id = started.strategy_id
        self.remove(strategy_id)
        try:
            runner = self.prepare(started)
        except StrategyError as error:
            self.broken[strategy_id] = error.message
            return
        runner.since = seq
        self._runners[strategy_id] = runner
        self._hook()
        self.call(strategy_id, runner.strategy.on_start)

    def dump(self) -> list[RunnerDump]:
        """Return all runners as plain values, in the order of their starts.

        Raises:
            StrategyError: a strategy cannot be dumped.
        """
        return [runner.dump() for runner in self._runners.values()]

    def load(self, dumps: Sequence[RunnerDump], orders: Mapping[int, Order]) -> None:
        """Run the strategies of a dump, as if they had never stopped."""
        self.deaf = True
        for dump in dumps:
            runner = Runner(self, dump.started, dump.instruments)
            runner.since = dump.since
            runner.quantities = {i: int(quantity) for i, quantity in dump.quantities.items()}
            runner.orders = {order_id: orders[order_id] for order_id in dump.orders}
            runner.strategy.load(msgspec.msgpack.decode(dump.strategy))
            self._runners[runner.strategy_id] = runner
        self.deaf = False
        self._hook()

    def remove(self, strategy_id: str) -> None:
        """Take a strategy off everything; its orders stay what they are."""
        self.broken.pop(strategy_id, None)
        if self._runners.pop(strategy_id, None) is not None:
            self._hook()

    def call(self, strategy_id: str, callback: Callable[..., None], *arguments: object) -> None:
        """Call a strategy; when it raises, it is broken."""
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001  # A strategy may raise anything; the core must go on.
            self.fail(strategy_id, error)

    def fail(self, strategy_id: str, error: Exception) -> None:
        """Take a strategy that raised off everything and ask for its stop."""
        reason = _reason(error)
        kept = [draft for draft in self.pending if draft.keywords.get("strategy_id") != strategy_id]
        self.pending.clear()
        self.pending.extend(kept)
        self._runners.pop(strategy_id, None)
        self._hook()
        self.broken[strategy_id] = reason
        self.pending.append(partial(StrategyStopped, strategy_id=strategy_id, reason=reason))

    def tick(self, event: ClockTicked) -> None:
        """Call the timers."""
        for strategy_id, runner in list(self._runners.items()):
            if runner.times:
                self.call(strategy_id, runner.strategy.on_timer, event)

    def told(self, event: Event, order: Order) -> None:
        """Keep the books of the strategy that owns the order, and tell it of a venue's report."""
        runner = self._owner(order)
        if runner is None:
            return
        if order.status.is_working:
            runner.orders[order.order_id] = order
        else:
            runner.orders.pop(order.order_id, None)
        if type(event) is OrderFilled:
            runner.quantities[event.instrument_id] += event.side * event.quantity
            self.call(runner.strategy_id, runner.strategy.on_fill, event, order)
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
        return any(instrument_id in runner.quantities for runner in self._runners.values())

    def _hook(self) -> None:
        runners = self._runners.items()
        for i, book in self.books.items():
            book.trade_hooks = tuple((t, k) for k, r in runners if (t := r.trade_hooks.get(i)))
            book.quote_hooks = tuple((q, k) for k, r in runners if (q := r.quote_hooks.get(i)))
            book.bar_hooks = tuple((b, k) for k, r in runners if (b := r.bar_hooks.get(i)))


def cancel_draft(order_id: int, strategy_id: str) -> Draft:
    """Return the request that takes out an order of a strategy."""
    return partial(
        CancelRequested, order_id=order_id, source=f"strategy:{strategy_id}", strategy_id=strategy_id
    )


def _check_values(quantity: int, price: int | None, tag: str) -> None:
    if type(quantity) is not int or abs(quantity) > MAX_INTEGER:
        raise StrategyError(f"a quantity must be a 64-bit integer, not {quantity!r:.50}")
    if price is not None and (type(price) is not int or abs(price) > MAX_INTEGER):
        raise StrategyError(f"a price must be a 64-bit integer, not {price!r:.50}")
    if not isinstance(tag, str) or len(tag) > MAX_TAG:
        raise StrategyError(f"a tag is a text of at most {MAX_TAG} characters")
    tag.encode()


def _reason(error: Exception) -> str:
    text = error.message if isinstance(error, StrategyError) else f"{type(error).__name__}: {error}"
    return text[:500].encode("utf-8", "replace").decode("utf-8")
