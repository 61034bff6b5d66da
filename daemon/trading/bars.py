"""Bars made in the core from trades or quotes: by time, by number of ticks, or by volume. Pure.

- A bar by time begins a whole number of intervals after its session does, and ends an interval
  later or with the session; a bar of a day is the session. The session is that of the instrument's
  calendar; without one, the day of its zone. What trades between sessions has bars of its own. A
  bar is complete when the first tick at or after its end comes, or when the clock is a second past
  it, whichever is first. An interval without a tick has no bar.
- A bar by ticks or by volume is complete with the tick that fills it. A trade is not cut in two: what
  it has too much stays in the bar it completes.
- A tick whose time lies before the open bar comes late and counts into the open bar: nothing is
  lost, and no bar changes once it was told.
- Times are the venue's. One that lies over a minute after the time of receipt is taken for wrong, and
  the tick counts at its receipt: else it would end a bar that is not over.
- Ticks that the vendor doubts never reach a bar.

A middle price between two units is rounded down.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from daemon.trading.books import Book
from daemon.trading.calendar import Calendar
from daemon.trading.money import MAX_INTEGER
from schemas.decimals import DecimalError, scaled
from schemas.errors import TapedError
from schemas.events import Bar, BarSide, Quote, Trade

SECOND = 10**9
MAX_AHEAD_NS = 60 * SECOND
NEVER = MAX_INTEGER
GRACE_NS = SECOND
"""How long the clock leaves a bar open for ticks that are on their way."""
FRESH_NS = 60 * SECOND
"""How long after that the clock still ends it: recorded ticks may be played years later."""
MAX_SECONDS = 86_400
MAX_TICKS = 1_000_000
_TEXT = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([smhdtv])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_NONE_OPEN = -(2**63)


class BarError(TapedError):
    """A text names no bars."""


class Unit(Enum):
    """What ends a bar; the letter in its text."""

    TIME = "s"
    TICKS = "t"
    VOLUME = "v"


class BarSpec(NamedTuple):
    """Which bars: `length` is nanoseconds, ticks, or a scaled quantity; `side` the price they are of."""

    unit: Unit
    length: int
    side: BarSide


SIDES = {"trade": BarSide.TRADE, "mid": BarSide.MID, "bid": BarSide.BID, "ask": BarSide.ASK}


def check_spec(text: str) -> None:
    """Refuse a text that names no bars of any instrument.

    Raises:
        BarError: it does not.
    """
    # An instrument whose quantities have just the decimals of the text can hold most: 500v needs none.
    decimals = len(text.rstrip("v").partition(".")[2])
    parse_spec(text, BarSide.TRADE, quantity_scale=decimals)


def parse_spec(text: str, side: BarSide, *, quantity_scale: int) -> BarSpec:
    """Return the bars that a text names: `30s`, `5m`, `4h`, `1d`, `500t` (ticks), `2.5v` (volume).

    Raises:
        BarError: it names none, or a volume of quotes, which have none.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise BarError(f"{text[:50]!r} names no bars", hint="write 30s, 5m, 4h, 1d, 500t or 2.5v")
    number, letter = found.groups()
    if letter == "v":
        if side is not BarSide.TRADE:
            raise BarError(f"bars by volume ({text}) are made of trades only")
        return BarSpec(Unit.VOLUME, _length(text, number, quantity_scale), side)
    if letter == "t":
        return BarSpec(Unit.TICKS, _length(text, number, 0, MAX_TICKS), side)
    seconds = _length(text, number, 0, MAX_SECONDS // _SECONDS[letter]) * _SECONDS[letter]
    return BarSpec(Unit.TIME, seconds * SECOND, side)


def _length(text: str, number: str, scale: int, most: int | None = None) -> int:
    try:
        length = scaled(number, scale)
    except DecimalError as error:
        raise BarError(f"bars {text}: {error.message}") from error
    if not 0 < length <= (length if most is None else most):
        raise BarError(f"bars {text}: expected 1 to {most:,}" if most else f"bars {text}: none are so short")
    return length


@dataclass(frozen=True, slots=True)
class BarBuilder:
    """Makes the bars of one instrument.

    Attributes:
        on_trade: takes a trade; None for bars of quotes.
        on_quote: takes a quote, once the book has; None for bars of trades.
        on_clock: takes our time; ends a bar by time that is over.
        clock_due_ns: returns the first of our times from the given one on that would end the open bar,
            NEVER when none would; while no bar by time is open, the second time it is given.
        add: takes a finished shorter bar instead of its ticks.
        open_bar: returns what has come of the bar that is not complete, or None.
        dump: returns all later bars depend on as plain values.
        load: takes what `dump` returned.
    """

    on_trade: Callable[[Trade], None] | None
    on_quote: Callable[[Quote], None] | None
    on_clock: Callable[[int], None]
    clock_due_ns: Callable[[int, int], int]
    add: Callable[[Bar], None]
    open_bar: Callable[[], Bar | None]
    dump: Callable[[], list[Any]]
    load: Callable[[list[Any]], None]


def bar_builder(spec: BarSpec, book: Book, emit: Callable[[Bar], None]) -> BarBuilder:
    """Return what makes these bars of an instrument and gives each complete one to `emit`."""
    if spec.unit is Unit.TIME:
        return _by_time(spec, book, emit)
    return _by_amount(spec, book, emit)


def _by_time(spec: BarSpec, book: Book, emit: Callable[[Bar], None]) -> BarBuilder:  # noqa: C901, PLR0915
    # Variables of a closure: called for each tick of a replay, 0.12 us for a trade; attributes of an
    # object cost half as much again.
    instrument_id, length, side = book.instrument.instrument_id, spec.length, spec.side
    start = 0
    end = last_end = _NONE_OPEN
    open_ = high = low = close = volume = 0

    def on_trade(trade: Trade) -> None:
        nonlocal high, low, close, volume
        price = trade.price
        if trade.ts_ns >= end:
            turn(trade.ts_ns, trade.received_ns, price)
        if price > high:
            high = price
        elif price < low:
            low = price
        close = price
        volume += trade.quantity

    def on_price(price: int, quote: Quote) -> None:
        nonlocal high, low, close
        if quote.ts_ns >= end:
            turn(quote.ts_ns, quote.received_ns, price)
        if price > high:
            high = price
        elif price < low:
            low = price
        close = price

    def turn(ts_ns: int, received_ns: int, price: int) -> None:
        """End the open bar and begin the one of that time."""
        nonlocal start, end, open_, high, low, close, volume
        if ts_ns - received_ns > MAX_AHEAD_NS:
            ts_ns = received_ns
            if ts_ns < end:
                return
        if end != _NONE_OPEN:
            finish(received_ns)
        ts_ns = max(ts_ns, last_end)
        begin_ns, end = _bounds(book.calendar, ts_ns, length)
        start = max(begin_ns, last_end)
        open_ = high = low = close = price
        volume = 0

    def finish(received_ns: int) -> None:
        nonlocal end, last_end
        bar = told(received_ns)
        last_end, end = end, _NONE_OPEN
        emit(bar)

    def told(received_ns: int) -> Bar:
        return Bar(
            ts_ns=end,
            received_ns=received_ns,
            instrument_id=instrument_id,
            interval_ns=end - start,
            side=side,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=min(volume, MAX_INTEGER) if side is BarSide.TRADE else None,
        )

    def on_clock(ts_ns: int) -> None:
        if end != _NONE_OPEN and GRACE_NS <= ts_ns - end <= GRACE_NS + FRESH_NS:
            finish(ts_ns)

    def clock_due_ns(from_ns: int, unopened_ns: int) -> int:
        if end == _NONE_OPEN:
            return unopened_ns
        due_ns = end + GRACE_NS
        if from_ns <= due_ns:
            return due_ns
        return from_ns if from_ns <= due_ns + FRESH_NS else NEVER

    def add(bar: Bar) -> None:
        nonlocal high, low, close, volume
        start_ns = bar.ts_ns - bar.interval_ns
        if start_ns >= end:
            turn(start_ns, max(start_ns, bar.received_ns), bar.open)
        high, low, close = max(high, bar.high), min(low, bar.low), bar.close
        volume += bar.volume or 0

    def dump() -> list[Any]:
        return [start, end, last_end, open_, high, low, close, str(volume)]

    def load(plain: list[Any]) -> None:
        nonlocal start, end, last_end, open_, high, low, close, volume
        start, end, last_end, open_, high, low, close, text = plain
        volume = int(text)

    return BarBuilder(
        on_trade=on_trade if side is BarSide.TRADE else None,
        on_quote=_quote_hook(side, book, on_price),
        on_clock=on_clock,
        clock_due_ns=clock_due_ns,
        add=add,
        open_bar=lambda: None if end == _NONE_OPEN else told(end),
        dump=dump,
        load=load,
    )


def _bounds(calendar: Calendar, ts_ns: int, length: int) -> tuple[int, int]:
    """Return start and end of the bar by time that an instant falls into."""
    session_ns, session_end_ns = calendar.session_start_ns(ts_ns), calendar.session_end_ns(ts_ns)
    if length == MAX_SECONDS * SECOND:
        # A day is the session, of 23 or 25 hours when the clocks change.
        return (session_ns, session_end_ns) if ts_ns >= session_ns else (ts_ns, session_ns)
    # Between sessions the next one counts: bars before it end where it begins.
    start = session_ns + (ts_ns - session_ns) // length * length
    return start, min(start + length, session_end_ns)


def _by_amount(spec: BarSpec, book: Book, emit: Callable[[Bar], None]) -> BarBuilder:
    instrument_id, length, side = book.instrument.instrument_id, spec.length, spec.side
    by_volume = spec.unit is Unit.VOLUME
    count = start = end = open_ = high = low = close = volume = 0

    def on_trade(trade: Trade) -> None:
        take(trade, trade.price, trade.quantity)

    def on_price(price: int, quote: Quote) -> None:
        take(quote, price, 0)

    def take(tick: Trade | Quote, price: int, quantity: int) -> None:
        nonlocal count, start, end, open_, high, low, close, volume
        if not count:
            start, open_, high, low, volume = tick.ts_ns, price, price, price, 0
        count += 1
        end, close = tick.ts_ns, price
        high, low = max(high, price), min(low, price)
        volume += quantity
        if (volume if by_volume else count) >= length:
            bar = told(tick.received_ns)
            count = 0
            emit(bar)

    def told(received_ns: int) -> Bar:
        return Bar(
            ts_ns=end,
            received_ns=received_ns,
            instrument_id=instrument_id,
            interval_ns=max(0, end - start),
            side=side,
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=min(volume, MAX_INTEGER) if side is BarSide.TRADE else None,
        )

    def dump() -> list[Any]:
        return [count, start, end, open_, high, low, close, str(volume)]

    def load(plain: list[Any]) -> None:
        nonlocal count, start, end, open_, high, low, close, volume
        count, start, end, open_, high, low, close, text = plain
        volume = int(text)

    return BarBuilder(
        on_trade=on_trade if side is BarSide.TRADE else None,
        on_quote=_quote_hook(side, book, on_price),
        on_clock=lambda _: None,
        clock_due_ns=lambda _, __: NEVER,
        add=_refuse,
        open_bar=lambda: told(end) if count else None,
        dump=dump,
        load=load,
    )


def _refuse(bar: Bar) -> None:
    raise BarError(f"bars by ticks or volume cannot be made of bars of {bar.interval_ns} ns")


def _quote_hook(
    side: BarSide, book: Book, on_price: Callable[[int, Quote], None]
) -> Callable[[Quote], None] | None:
    """Return what finds a quote's price of that side; None for bars of trades."""

    def on_bid(quote: Quote) -> None:
        if quote.bid_price is not None:
            on_price(quote.bid_price, quote)

    def on_ask(quote: Quote) -> None:
        if quote.ask_price is not None:
            on_price(quote.ask_price, quote)

    def on_middle(quote: Quote) -> None:
        # The book has taken the quote already: a side that it does not tell is that of before.
        bid, ask = book.bid, book.ask
        if bid is not None and ask is not None:
            on_price((bid.bid_price + ask.ask_price) // 2, quote)  # type: ignore[operator]

    hooks = {BarSide.BID: on_bid, BarSide.ASK: on_ask, BarSide.MID: on_middle}
    return hooks.get(side)
