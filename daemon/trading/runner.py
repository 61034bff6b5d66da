"""One running strategy: what it sees of the core, how it gives orders, and its own books.

Orders are drafts: the core numbers and records them, and asks the risk rules, right behind the input
that the strategy answered. While a strategy warms up, its orders are dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from daemon.trading.bars import BarSpec
from daemon.trading.books import BarHook, Book, QuoteHook, TradeHook, TradeScan
from daemon.trading.brackets import bracket
from daemon.trading.drafts import (
    Draft,
    cancel_draft,
    check_price,
    check_quantity,
    market_draft,
    order_draft,
    replace_draft,
)
from daemon.trading.holdings import Holding
from daemon.trading.money import PPM, fee_money, notional
from daemon.trading.orders import Order
from daemon.trading.strategy import Strategy, StrategyError, check_parameters
from schemas.events import (
    Bar,
    BarSide,
    InstrumentDefined,
    OrderFilled,
    OrderType,
    Quote,
    Scalar,
    Side,
    StrategyStarted,
    Trade,
)

MAX_ORDERS_PER_INPUT = 1_000
MAX_PROFITS = 100
"""Round trips whose profit is remembered."""

_NO_DUMP = b"\xc0"
"""None in msgpack."""
_BUY, _SELL, _MARKET = Side.BUY, Side.SELL, OrderType.MARKET


class Desk(Protocol):
    """What all runners share; `Runners` is one.

    Attributes:
        books: of all instruments.
        pending: what is to be recorded next.
        deaf: no orders are taken, because a decision and not an input is being told.
        share_ppm: part of the equity by strategy; one that is not in it has all.
    """

    books: dict[int, Book]
    pending: deque[Draft]
    deaf: bool
    share_ppm: dict[str, int]

    def equity(self) -> Mapping[str, int]: ...  # noqa: D102
    def free_cash(self, currency: str) -> int: ...  # noqa: D102
    def kind(self, name: str) -> type[Strategy]: ...  # noqa: D102


class HoldingDump(msgspec.Struct, array_like=True, frozen=True):
    """A holding as decimal texts, for sums may be longer than 64 bits."""

    quantity: str
    flow: str
    earned: str


class RunnerDump(msgspec.Struct, array_like=True, frozen=True):
    """A running strategy as plain values.

    `instruments` are those it was made with: they may have been defined anew since, with another
    lot for example.
    """

    started: StrategyStarted
    since: int
    instruments: list[InstrumentDefined]
    holdings: dict[int, HoldingDump]
    targets: dict[int, int]
    profits: list[str]
    orders: list[int]
    strategy: msgspec.Raw


class Runner:
    """One running strategy; the `Context` it sees the core through.

    Attributes:
        since: number of its start; older orders under its id are another's.
        started: kind, instruments and present parameters.
        holdings: by instrument.
        targets: what `hold` was asked for last.
        profits: of the last round trips, oldest first.
        orders: those that are not over.
        warming: it is told of the past, and what it orders is dropped.
        ended: it was taken off, and what it still orders is dropped.

    Raises:
        StrategyError: unknown kind, or parameters that do not fit.
    """

    def __init__(
        self, desk: Desk, started: StrategyStarted, instruments: Sequence[InstrumentDefined]
    ) -> None:
        self._desk = desk
        self.since = 0
        self.instruments = list(instruments)
        self.strategy_id = started.strategy_id
        self.kind = started.kind
        self.instrument_ids = list(started.instrument_ids)
        self.holdings = {instrument_id: Holding() for instrument_id in self.instrument_ids}
        self.targets: dict[int, int] = {}
        self.profits: deque[int] = deque(maxlen=MAX_PROFITS)
        self.orders: dict[int, Order] = {}
        self.warming = False
        self.ended = False
        self.make(started)

    def make(self, started: StrategyStarted) -> None:
        """Make the strategy, with parameters that may differ from those it had."""
        kind = self._desk.kind(started.kind)
        strategy = kind(self, self.instruments, check_parameters(kind, started.parameters))
        self.started = started
        self.strategy = strategy
        self.times = kind.on_timer is not Strategy.on_timer
        self.follows = kind.on_order is not Strategy.on_order
        ids = self.instrument_ids
        self.trade_hooks: dict[int, TradeHook | None] = {i: strategy.trade_hook(i) for i in ids}
        scans = scans_trades(kind)
        self.trade_scans: dict[int, TradeScan | None] = {
            i: strategy.trade_scan(i) if scans else None for i in ids
        }
        self.quote_hooks: dict[int, QuoteHook | None] = {i: strategy.quote_hook(i) for i in ids}
        specs = {i: strategy.bar_spec(i) for i in ids}
        self.specs: dict[int, BarSpec] = {i: spec for i, spec in specs.items() if spec is not None}
        # One that says which bars the core is to make hears of none from outside.
        outside = kind.bar_spec is Strategy.bar_spec
        self.bar_hooks: dict[int, BarHook | None] = {
            i: strategy.bar_hook(i) if outside else None for i in ids
        }

    @property
    def parameters(self) -> dict[str, Scalar]:
        """Present parameters, as they were given."""
        return dict(self.started.parameters)

    def listens(self, instrument_id: int) -> list[type[Trade | Quote | Bar]]:
        """Return the events of an instrument it hears of, itself or by the bars made of them."""
        spec = self.specs.get(instrument_id)
        by_trades = spec is not None and spec.side is BarSide.TRADE
        by_quotes = spec is not None and spec.side is not BarSide.TRADE
        hears: list[tuple[type[Trade | Quote | Bar], bool]] = [
            (Trade, by_trades or self.trade_hooks[instrument_id] is not None),
            (Quote, by_quotes or self.quote_hooks[instrument_id] is not None),
            (Bar, self.bar_hooks[instrument_id] is not None),
        ]
        return [kind for kind, does in hears if does]

    def submit(
        self,
        instrument_id: int,
        side: Side,
        quantity: int,
        *,
        take_profit: int | None = None,
        stop_loss: int | None = None,
        **terms: Any,
    ) -> None:
        """See `Context.submit`.

        Raises:
            StrategyError: not one of its instruments, a value the journal cannot hold, too many orders,
                or not the time for it.
        """
        self._check_instrument(instrument_id)
        draft = order_draft(self.strategy_id, instrument_id, side, quantity, **terms)
        if take_profit is None and stop_loss is None:
            self._emit(draft)
            return
        check_price(take_profit)
        check_price(stop_loss)
        self._emit(*bracket(draft, self.orders, take_profit=take_profit, stop_loss=stop_loss))

    def hold(self, instrument_id: int, target: int, *, tag: str = "") -> None:
        """See `Context.hold`.

        Raises:
            StrategyError: as for `submit`.
        """
        self._check_instrument(instrument_id)
        check_quantity(target)
        if self.warming:
            return
        self.targets[instrument_id] = target
        self._reach(instrument_id, tag)

    def _reach(self, instrument_id: int, tag: str = "") -> None:
        """Order what is missing to the target, unless a market order of its own is under way."""
        pending = self._desk.pending
        missing = self.targets[instrument_id] - self.holdings[instrument_id].quantity
        if not missing and not pending:
            return
        for order in self.orders.values():
            request = order.request
            if request.instrument_id == instrument_id and request.order_type is _MARKET:
                return
        if pending:
            # An earlier target of the same callback is not asked for any more.
            for draft in [draft for draft in pending if self._is_market_draft(draft, instrument_id)]:
                pending.remove(draft)
        if missing:
            side = _BUY if missing > 0 else _SELL
            self._emit(market_draft(self.strategy_id, instrument_id, side, abs(missing), tag=tag))

    def _is_market_draft(self, draft: Draft, instrument_id: int) -> bool:
        keywords = draft.keywords
        return (
            keywords.get("strategy_id") == self.strategy_id
            and keywords.get("instrument_id") == instrument_id
            and keywords.get("order_type") is _MARKET
        )

    def cancel(self, order_id: int) -> None:
        """See `Context.cancel`.

        Raises:
            StrategyError: the order is not one of its own that works.
        """
        self._check_own(order_id)
        self._emit(cancel_draft(order_id, self.strategy_id))

    def replace(
        self,
        order_id: int,
        *,
        quantity: int | None = None,
        price: int | None = None,
        stop_price: int | None = None,
    ) -> None:
        """See `Context.replace`.

        Raises:
            StrategyError: the order is not one of its own that works, or a value the journal cannot hold.
        """
        self._check_own(order_id)
        self._emit(
            replace_draft(self.strategy_id, order_id, quantity=quantity, price=price, stop_price=stop_price)
        )

    def _check_instrument(self, instrument_id: int) -> None:
        if instrument_id not in self.holdings:
            raise StrategyError(f"{self.strategy_id} was not started on instrument {instrument_id}")

    def _check_own(self, order_id: int) -> None:
        if order_id not in self.orders:
            raise StrategyError(f"{self.strategy_id} has no working order {order_id}")

    def quantity(self, instrument_id: int) -> int:
        """See `Context.quantity`."""
        return self.holdings[instrument_id].quantity

    def target(self, instrument_id: int) -> int:
        """See `Context.target`."""
        return self.targets.get(instrument_id, 0)

    def working(self, instrument_id: int) -> list[Order]:
        """See `Context.working`."""
        if not self.orders:
            return []
        return [order for order in self.orders.values() if order.request.instrument_id == instrument_id]

    def book(self, instrument_id: int) -> Book:
        """See `Context.book`."""
        return self._desk.books[instrument_id]

    def equity(self, currency: str) -> int:
        """See `Context.equity`."""
        whole = self._desk.equity().get(currency, 0)
        return whole * self._desk.share_ppm.get(self.strategy_id, PPM) // PPM

    def free_cash(self, currency: str) -> int:
        """See `Context.free_cash`."""
        return self._desk.free_cash(currency)

    def filled(self, fill: OrderFilled, order: Order) -> None:
        """Book one of its fills and tell the strategy; then go on to its target, if it has one."""
        instrument_id = fill.instrument_id
        instrument = self._desk.books[instrument_id].instrument
        quantity = fill.side * fill.quantity
        ours = fill.fee_currency == instrument.quote_currency
        profit = self.holdings[instrument_id].apply(
            quantity,
            notional(instrument, fill.price, quantity),
            fee_money(fill.fee, fill.fee_scale) if ours else 0,
        )
        if profit is not None:
            self.profits.append(profit)
        self.strategy.on_fill(fill, order)
        if instrument_id in self.targets and order.status.is_terminal:
            self._reach(instrument_id)

    def warm_up(self, events: Sequence[Trade | Quote | Bar]) -> None:
        """Tell the strategy of the past; whatever it orders meanwhile is dropped."""
        self.warming = True
        try:
            for event in events:
                hook = self._hook_for(event)
                if hook is not None:
                    hook(event)
        finally:
            self.warming = False

    def _hook_for(self, event: Trade | Quote | Bar) -> Callable[[Any], None] | None:
        if type(event) is Bar:
            return self.strategy.on_bar
        hooks: Mapping[int, Callable[[Any], None] | None]
        hooks = self.trade_hooks if type(event) is Trade else self.quote_hooks
        return hooks[event.instrument_id]

    def worth(self) -> dict[str, int]:
        """Return all it has earned by currency, what it holds at market; without a price at what was paid."""
        total: dict[str, int] = {}
        for instrument_id, holding in self.holdings.items():
            book = self._desk.books[instrument_id]
            price = book.mark(holding.quantity)
            value = -holding.flow if price is None else notional(book.instrument, price, holding.quantity)
            currency = book.instrument.quote_currency
            total[currency] = total.get(currency, 0) + holding.worth(value)
        return total

    def _emit(self, *drafts: Draft) -> None:
        if self.warming or self.ended:
            return
        desk = self._desk
        if desk.deaf:
            raise StrategyError("orders cannot be given in on_start and on_denied")
        if len(desk.pending) + len(drafts) > MAX_ORDERS_PER_INPUT:
            raise StrategyError(f"more than {MAX_ORDERS_PER_INPUT} orders in answer to one event")
        desk.pending.extend(drafts)

    def dump(self) -> RunnerDump:
        """Return what `load` makes this runner of.

        Raises:
            StrategyError: its strategy cannot be dumped.
        """
        try:
            plain = msgspec.msgpack.encode(self.strategy.dump())
        except Exception as error:  # A user's class may raise anything; the core must go on.
            raise StrategyError(f"{self.strategy_id} cannot be dumped: {reason_of(error)}") from error
        if plain == _NO_DUMP:
            raise StrategyError(f"{self.strategy_id} cannot be dumped: {self.kind} gives no dump")
        return RunnerDump(
            self.started,
            self.since,
            self.instruments,
            {
                i: HoldingDump(str(held.quantity), str(held.flow), str(held.earned))
                for i, held in self.holdings.items()
            },
            self.targets,
            list(map(str, self.profits)),
            list(self.orders),
            msgspec.Raw(plain),
        )

    @classmethod
    def load(cls, desk: Desk, dump: RunnerDump, orders: Mapping[int, Order]) -> Runner:
        """Return the runner that was dumped."""
        runner = cls(desk, dump.started, dump.instruments)
        runner.since = dump.since
        for i, held in dump.holdings.items():
            runner.holdings[i] = Holding(int(held.quantity), int(held.flow), int(held.earned))
        runner.targets.update(dump.targets)
        runner.profits.extend(map(int, dump.profits))
        runner.orders = {order_id: orders[order_id] for order_id in dump.orders}
        runner.strategy.load(msgspec.msgpack.decode(dump.strategy))
        return runner

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "kind": self.kind,
            "parameters": self.parameters,
            "holdings": {i: (held.quantity, held.flow, held.earned) for i, held in self.holdings.items()},
            "targets": dict(self.targets),
            "profits": list(self.profits),
            "orders": list(self.orders),
            "strategy": self.strategy.state(),
        }


def scans_trades(kind: type[Strategy]) -> bool:
    """Return whether a class's scan is that of its hook: a class above it may know nothing of the hook."""
    for parent in kind.__mro__:
        if "trade_scan" in vars(parent):
            return True
        if "trade_hook" in vars(parent) or "on_trade" in vars(parent):
            return False
    return False


def reason_of(error: Exception) -> str:
    """Return what a strategy raised, as text that a journal holds."""
    text = error.message if isinstance(error, StrategyError) else f"{type(error).__name__}: {error}"
    return text[:500].encode("utf-8", "replace").decode("utf-8")
