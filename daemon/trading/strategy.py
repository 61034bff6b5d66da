"""What a strategy is: callbacks in, orders out. It knows neither venue nor clock nor journal.

A strategy must be a pure function of its callbacks: no clock, no randomness, no iteration over
sets, no input or output. Then the same journal always gives the same orders, and after a restart
its state is rebuilt by calling it again with what was recorded. How to write one stands in
`daemon/trading/strategies/README.md`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from daemon.trading import memory
from daemon.trading.bars import BarSpec
from daemon.trading.books import Book, TradeScan
from daemon.trading.money import MONEY_ONE, money
from daemon.trading.orders import Order
from schemas.decimals import DecimalError
from schemas.errors import TapedError
from schemas.events import (
    Bar,
    ClockTicked,
    InstrumentDefined,
    OrderFilled,
    OrderType,
    Quote,
    Scalar,
    Side,
    TimeInForce,
    Trade,
)


class StrategyError(TapedError):
    """A strategy cannot be made with these parameters, or did what it must not do."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy kind.

    Attributes:
        name: as it is given.
        type: bool, int or str.
        doc: what it is for.
        default: None means that it must be given.
        minimum: of an integer or decimal.
        maximum: of an integer or decimal.
        choices: all that a text may be.
        decimal: a decimal text, for quantities and percentages; above zero unless `minimum` is 0.
        form: what else a text must be, in words.
        check: raises a `TapedError` for a text that is not of that form.
    """

    name: str
    type: type[bool | int | str]
    doc: str
    default: Scalar = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    decimal: bool = False
    form: str = ""
    check: Callable[[str], None] | None = None


class Context(Protocol):
    """What a strategy may ask and do. Orders can be given in callbacks that answer an input.

    Prices and quantities are the instrument's scaled integers, money is at 18 decimals
    (`daemon.trading.money`). While the strategy warms up, what it orders is dropped.
    """

    strategy_id: str
    profits: deque[int]
    """Money of its last 100 round trips that are over, oldest first, fees in the quote currency included."""
    warming: bool
    """It is told of the past."""

    def submit(  # noqa: PLR0913
        self,
        instrument_id: int,
        side: Side,
        quantity: int,
        *,
        order_type: OrderType = OrderType.MARKET,
        price: int | None = None,
        stop_price: int | None = None,
        trail_amount: int | None = None,
        trail_ppm: int | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        expire_ns: int | None = None,
        post_only: bool = False,
        reduce_only: bool = False,
        take_profit: int | None = None,
        stop_loss: int | None = None,
        tag: str = "",
    ) -> None:
        """Ask for an order; it passes the risk rules right after this callback.

        With a `take_profit` (a limit price) or a `stop_loss` (a stop price) it is a bracket: orders of the
        other side that wait in `working` as HELD, leave as far as this one fills, and take each other's
        place.
        """

    def hold(self, instrument_id: int, target: int, *, tag: str = "") -> None:
        """Bring its holding to that signed quantity by market orders, one at a time.

        While one is under way the target is only noted; what is missing after its last fill is ordered
        then. An order that was refused or canceled is not repeated before the next `hold`.
        """

    def cancel(self, order_id: int) -> None:
        """Ask for one of its orders to be taken out."""

    def replace(
        self,
        order_id: int,
        *,
        quantity: int | None = None,
        price: int | None = None,
        stop_price: int | None = None,
    ) -> None:
        """Ask for other terms of one of its orders; None leaves a term as it is."""

    def quantity(self, instrument_id: int) -> int:
        """Return what this strategy holds by its own fills, signed."""

    def target(self, instrument_id: int) -> int:
        """Return what `hold` was asked for last; 0 before that."""

    def working(self, instrument_id: int) -> list[Order]:
        """Return this strategy's orders that are not over, oldest first."""

    def book(self, instrument_id: int) -> Book:
        """Return what was last seen of the instrument's market; not to be changed."""

    def equity(self, currency: str) -> int:
        """Return the money it may size its orders with: its share of the account's equity."""

    def free_cash(self, currency: str) -> int:
        """Return the account's cash that no working order needs."""


class Strategy:
    """Base of all strategies; override the callbacks you need, and `__init__(self, *given)` for a memory.

    In `on_start` and `on_denied` no orders can be given. An exception in a callback stops the
    strategy, with the exception as the reason, and takes its orders out. Trades and quotes that the
    vendor doubts (`SUSPICIOUS` in their conditions) are recorded and not told: a strategy sees the
    market that orders are valued and filled at.

    When it starts, it warms up: right after `on_start` it is told of the bars, trades and quotes that
    are kept, as far as it hears of such, in the order in which they came.

    Attributes:
        kind: name of the class in configuration and journal.
        parameters: what it can be told.
        remembers: names of the attributes that later callbacks depend on, for snapshots: made of plain
            values, lists, dicts, dataclasses and indicators, and all there once `__init__` is done. None
            says that it cannot be part of a snapshot: while it runs none is taken, and a start replays
            from the last one.

    Args:
        context: its way to the core.
        instruments: those it was started on.
        parameters: complete and checked by `check_parameters`.
    """

    kind: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    remembers: ClassVar[tuple[str, ...] | None] = None

    def __init__(
        self, context: Context, instruments: Sequence[InstrumentDefined], parameters: Mapping[str, Scalar]
    ) -> None:
        self.context = context
        self.instruments = {instrument.instrument_id: instrument for instrument in instruments}
        self.values: dict[str, Any] = dict(parameters)

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """Refuse parameters that do not fit each other; each by itself is checked already.

        Raises:
            StrategyError: what does not fit, and what would.
        """

    def bar_spec(self, instrument_id: int) -> BarSpec | None:  # noqa: ARG002
        """Return the bars that the core is to make of this instrument for `on_bar`; None for none.

        A class without this method hears of bars that come from outside.
        """
        return None

    def on_start(self) -> None:
        """The strategy runs from here on."""

    def on_trade(self, trade: Trade) -> None:
        """One of its instruments traded."""

    def on_quote(self, quote: Quote) -> None:
        """One of its instruments has new best prices."""

    def on_bar(self, bar: Bar) -> None:
        """A bar of one of its instruments is complete."""

    def on_timer(self, tick: ClockTicked) -> None:
        """A second passed."""

    def on_fill(self, fill: OrderFilled, order: Order) -> None:
        """One of its orders was filled, in part or to the end; `order` is already up to date."""

    def on_order(self, order: Order) -> None:
        """The venue accepted, rejected, canceled or expired one of its orders, or lost track of it."""

    def on_denied(self, order: Order) -> None:
        """A risk rule refused one of its orders."""

    def state(self) -> dict[str, Any]:
        """Return everything it has learned, as exact plain values."""
        return dict(zip(names, memory.dump(self, names), strict=True)) if (names := self.remembers) else {}

    def dump(self) -> Any:
        """Return all that later callbacks depend on, for `load` in another process.

        Made of None, booleans, integers of 64 bits, floats, texts, bytes, lists and dicts with texts
        as keys. None says that there is no dump.
        """
        return None if self.remembers is None else memory.dump(self, self.remembers)

    def load(self, plain: Any) -> None:
        """Take what `dump` returned; called instead of `on_start`, on a strategy made the same way.

        Every later callback must do what it would have done in the strategy that was dumped.
        """
        if self.remembers is None:
            raise NotImplementedError(f"{self.kind} gives a dump and takes none")
        memory.load(self, self.remembers, plain)

    def trade_hook(self, instrument_id: int) -> Callable[[Trade], None] | None:  # noqa: ARG002
        """Return what is called with each trade of this instrument; None when nothing is."""
        return self.on_trade if type(self).on_trade is not Strategy.on_trade else None

    def trade_scan(self, instrument_id: int) -> TradeScan | None:  # noqa: ARG002
        """Return what passes over trades that `trade_hook` would give no order at; None when nothing does.

        It makes backtests faster. It is called with trades and the place to begin at, takes all up to
        the first that it cannot be sure of, and returns the place of that one, which is then told to the
        hook; their number when there is none. Taking one must leave the strategy as the hook
        would have left it, and it may ask nothing of its context. It is not asked where anybody else
        hears of these trades.
        """
        return None

    def quote_hook(self, instrument_id: int) -> Callable[[Quote], None] | None:  # noqa: ARG002
        """Return what is called with each quote of this instrument; None when nothing is."""
        return self.on_quote if type(self).on_quote is not Strategy.on_quote else None

    def bar_hook(self, instrument_id: int) -> Callable[[Bar], None] | None:  # noqa: ARG002
        """Return what is called with each bar of this instrument; None when nothing is."""
        return self.on_bar if type(self).on_bar is not Strategy.on_bar else None


def check_parameters(kind: type[Strategy], given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the complete parameters of a strategy: those given, checked, and defaults for the rest.

    Raises:
        StrategyError: an unknown, missing, mistyped or out-of-range parameter.
    """
    known = {parameter.name: parameter for parameter in kind.parameters}
    for name in given:
        if name not in known:
            raise StrategyError(f"{kind.kind} has no parameter {name!r}", hint=f"it has {', '.join(known)}")
    values = {name: check_parameter(kind, parameter, given.get(name)) for name, parameter in known.items()}
    kind.check(values)
    return values


def check_parameter(kind: type[Strategy], parameter: Parameter, given: Scalar) -> Scalar:
    """Return one parameter of a strategy: the one given, checked, or its default.

    Raises:
        StrategyError: it is missing, mistyped or out of range.
    """
    where = f"{kind.kind}: {parameter.name}"
    value = parameter.default if given is None else given
    if value is None:
        raise StrategyError(f"{where} must be given: {parameter.doc}")
    if parameter.decimal:
        return _decimal(where, parameter, value)
    if type(value) is not parameter.type:
        raise StrategyError(f"{where} is {value!r}, expected {parameter.type.__name__}")
    if parameter.choices and value not in parameter.choices:
        raise StrategyError(f"{where} is {value!r}, expected one of {', '.join(parameter.choices)}")
    if isinstance(value, int):
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise StrategyError(f"{where} is {value}, expected {low} to {high}")
    elif parameter.check is not None:
        try:
            parameter.check(str(value))
        except TapedError as error:
            raise StrategyError(f"{where}: {error.message}", hint=error.hint) from error
    return value


def _decimal(where: str, parameter: Parameter, value: Scalar) -> str:
    # The shortest text of a float is the number somebody wrote into a file; no digit is invented.
    text = value if isinstance(value, str) else repr(value)
    try:
        number = money(text)
    except DecimalError as error:
        raise StrategyError(f"{where}: {error.message}", hint=error.hint) from error
    low, high = parameter.minimum, parameter.maximum
    if number < 0 or (number == 0 and low != 0):
        raise StrategyError(f"{where} is {text}, expected a number above zero")
    if (low is not None and number < low * MONEY_ONE) or (high is not None and number > high * MONEY_ONE):
        raise StrategyError(f"{where} is {text}, expected {low or 0} to {high}")
    return text
