"""The recent past of each instrument, kept in the core so that a strategy can warm up at any time.

Two kinds of past: the last ticks as they came, and series of bars. Which bars are always kept says
the configuration; others are made while a strategy needs them, from kept shorter ones where these
divide them. Everything is bounded, and a pure function of the events: a replay warms strategies up
with the same ticks and bars. Nothing is kept, and no tick costs anything, without a setting or a
strategy that asks for it.

`MAX_EVENTS` ticks and bars are kept by the settings in all: the instruments that were defined first have
them, as many as that gives room for. Of any other a strategy hears the bars that come once it runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from daemon.trading.bars import NEVER, SIDES, BarBuilder, BarError, BarSpec, Unit, bar_builder, parse_spec
from daemon.trading.books import BarHook, Book, QuoteHook, TradeHook
from schemas.codec import CODEC
from schemas.events import Bar, InstrumentDefined, Quote, Scalar, Trade

BARS_SETTING = "history.bars"
KEEP_SETTING = "history.keep_bars"
TICKS_SETTING = "history.keep_ticks"
"""Keys of `DaemonStarted.settings`."""

MAX_KEPT = 100_000
MAX_EVENTS = 300_000
"""Some 60 MB, and some 15 ms of a snapshot, which must hold all of it."""


class SeriesDump(msgspec.Struct, array_like=True, frozen=True):
    """A series as plain values; `builder` tells of the open bar, `bars` are encoded events."""

    instrument_id: int
    unit: str
    length: int
    side: int
    builder: list[Any]
    bars: bytes


class HistoryDump(msgspec.Struct, array_like=True, frozen=True):
    """All that is kept, as plain values; `ticks` are encoded events by instrument."""

    bars: str = ""
    keep_bars: int = 0
    keep_ticks: int = 0
    ticks: dict[int, bytes] = {}
    series: list[SeriesDump] = []


class Listener(NamedTuple):
    """A strategy that hears of a series' bars."""

    on_bar: BarHook
    strategy_id: str


class Series:
    """Bars of one kind of one instrument: those that are over, and the builder of the next.

    Attributes:
        bars: oldest first, as many as are kept.
        listeners: strategies that are told of each bar, in the order of their starts.
    """

    def __init__(self, spec: BarSpec, book: Book, keep: int, tell: Callable[[Listener, Bar], None]) -> None:
        self.spec = spec
        self.bars: deque[Bar] = deque(maxlen=keep)
        self.listeners: tuple[Listener, ...] = ()
        self._tell = tell
        self.builder: BarBuilder = bar_builder(spec, book, self._complete)

    def _complete(self, bar: Bar) -> None:
        self.bars.append(bar)
        for listener in self.listeners:
            self._tell(listener, bar)


class History:
    """Ticks and series of all instruments.

    Args:
        books: of all instruments.
        tell: calls a listener with a bar.
    """

    def __init__(self, books: Mapping[int, Book], tell: Callable[[Listener, Bar], None]) -> None:
        self._books = books
        self._tell = tell
        self._bars = ""
        self._keep_bars = 0
        self._keep_ticks = 0
        self._kept: set[int] = set()
        self._ticks: dict[int, deque[Trade | Quote]] = {}
        self._series: dict[int, dict[BarSpec, Series]] = {}

    def configure(self, settings: Mapping[str, Scalar]) -> None:
        """Keep what the settings say from here on; what they kept before and say no more is dropped."""
        bars = settings.get(BARS_SETTING)
        self._bars = bars if isinstance(bars, str) else ""
        self._keep_bars = _count(settings.get(KEEP_SETTING))
        self._keep_ticks = _count(settings.get(TICKS_SETTING))
        self._kept = set(islice(self._books, self._room()))
        for instrument_id in self._books:
            self._shape(instrument_id)

    def define(self, instrument_id: int) -> None:
        """Keep an instrument that is new, if there is room."""
        if len(self._kept) < self._room():
            self._kept.add(instrument_id)
        self._shape(instrument_id)

    def forget(self, instrument_id: int) -> None:
        """Drop all of an instrument: its prices are of no use once its scales have changed."""
        self._ticks.pop(instrument_id, None)
        self._series.pop(instrument_id, None)
        self._shape(instrument_id)

    def ticks(self, instrument_id: int) -> list[Trade | Quote]:
        """Return the last ticks of an instrument in the order in which they came."""
        return list(self._ticks.get(instrument_id, ()))

    def series(self, instrument_id: int, spec: BarSpec) -> Series:
        """Return a series, made of what is kept when it is new; it stays while somebody listens to it."""
        series = self._series.setdefault(instrument_id, {})
        found = series.get(spec)
        if found is None:
            found = self._made(instrument_id, spec)
            self._seed(found, series)
            series[spec] = found
        return found

    def release(self) -> None:
        """Drop the series that nobody listens to and no setting keeps."""
        for instrument_id, series in self._series.items():
            kept = self._specs(self._books[instrument_id].instrument)
            for spec in [spec for spec in series if not series[spec].listeners and spec not in kept]:
                del series[spec]

    def silence(self) -> None:
        """Take all listeners off, before they are put on again."""
        for series in self._all():
            series.listeners = ()

    def trade_hooks(self, instrument_id: int) -> Iterator[TradeHook]:
        """Yield what must be called with each trade of an instrument."""
        if instrument_id in self._ticks:
            yield self._ticks[instrument_id].append
        for series in self._series.get(instrument_id, {}).values():
            if series.builder.on_trade is not None:
                yield series.builder.on_trade

    def quote_hooks(self, instrument_id: int) -> Iterator[QuoteHook]:
        """Yield what must be called with each quote of an instrument."""
        if instrument_id in self._ticks:
            yield self._ticks[instrument_id].append
        for series in self._series.get(instrument_id, {}).values():
            if series.builder.on_quote is not None:
                yield series.builder.on_quote

    def on_clock(self, ts_ns: int) -> None:
        """End the bars by time that are over."""
        for series in list(self._all()):
            series.builder.on_clock(ts_ns)

    def clock_due_ns(self, from_ns: int, unopened_ns: int) -> int:
        """Return the first time from the given one on at which a tick of the clock ends a bar.

        Args:
            from_ns: the time to begin at.
            unopened_ns: what counts for bars that no tick of the market has begun yet.
        """
        least = NEVER
        for each in self._series.values():
            for series in each.values():
                due_ns = series.builder.clock_due_ns(from_ns, unopened_ns)
                least = min(least, due_ns)
        return least

    def _all(self) -> Iterator[Series]:
        for series in self._series.values():
            yield from series.values()

    def _shape(self, instrument_id: int) -> None:
        """Bring what is kept of an instrument in line with the settings."""
        ticks = self._ticks.pop(instrument_id, ())
        if self._keep_ticks and instrument_id in self._kept:
            self._ticks[instrument_id] = deque(ticks, self._keep_ticks)
        series = self._series.setdefault(instrument_id, {})
        for found in series.values():
            found.bars = deque(found.bars, self._depth(instrument_id))
        for spec in self._specs(self._books[instrument_id].instrument):
            series.setdefault(spec, self._made(instrument_id, spec))
        self.release()

    def _room(self) -> int:
        """Return how many instruments the settings keep."""
        each = self._keep_ticks + self._keep_bars * len(list(filter(None, self._bars.split(","))))
        return MAX_EVENTS // each if each else 0

    def _specs(self, instrument: InstrumentDefined) -> list[BarSpec]:
        """Return the kinds of bars that the settings keep; volumes an instrument cannot count are none."""
        if instrument.instrument_id not in self._kept:
            return []
        specs = []
        for text in filter(None, self._bars.split(",")):
            try:
                specs.append(kept_spec(text, instrument.quantity_scale))
            except BarError:
                continue
        return specs if self._keep_bars else []

    def _made(self, instrument_id: int, spec: BarSpec) -> Series:
        return Series(spec, self._books[instrument_id], self._depth(instrument_id), self._tell)

    def _depth(self, instrument_id: int) -> int:
        """Return how many bars of a series are kept."""
        return self._keep_bars if instrument_id in self._kept else 0

    @staticmethod
    def _seed(series: Series, others: Mapping[BarSpec, Series]) -> None:
        """Make a series of the longest kept one that divides it, the open bar included."""
        spec = series.spec
        fitting = [
            other
            for other in others.values()
            if other.spec.unit is spec.unit is Unit.TIME
            and other.spec.side is spec.side
            and spec.length % other.spec.length == 0
        ]
        if not fitting:
            return
        shorter = max(fitting, key=lambda other: other.spec.length)
        for bar in shorter.bars:
            series.builder.add(bar)
        open_bar = shorter.builder.open_bar()
        if open_bar is not None:
            series.builder.add(open_bar)

    def dump(self) -> HistoryDump:
        """Return all that is kept."""
        return HistoryDump(
            self._bars,
            self._keep_bars,
            self._keep_ticks,
            {instrument_id: CODEC.encode(list(ticks)) for instrument_id, ticks in self._ticks.items()},
            [
                SeriesDump(
                    instrument_id,
                    spec.unit.value,
                    spec.length,
                    spec.side,
                    found.builder.dump(),
                    CODEC.encode(list(found.bars)),
                )
                for instrument_id, series in self._series.items()
                for spec, found in series.items()
            ],
        )

    def load(self, dump: HistoryDump) -> None:
        """Fill an empty history with what `dump` gave; the books are there already."""
        self._bars, self._keep_bars, self._keep_ticks = dump.bars, dump.keep_bars, dump.keep_ticks
        self._kept = set(islice(self._books, self._room()))
        for instrument_id, ticks in dump.ticks.items():
            self._ticks[instrument_id] = deque(_decoded(ticks), dump.keep_ticks)
        for plain in dump.series:
            side = next(side for side in SIDES.values() if side == plain.side)
            spec = BarSpec(Unit(plain.unit), plain.length, side)
            series = self._made(plain.instrument_id, spec)
            series.builder.load(plain.builder)
            series.bars.extend(_decoded(plain.bars))
            self._series.setdefault(plain.instrument_id, {})[spec] = series

    def state(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return msgspec.to_builtins(self.dump())  # type: ignore[no-any-return]


def kept_spec(text: str, quantity_scale: int) -> BarSpec:
    """Return the bars that one entry of `history.bars` names: `1m` of trades, or `1m mid`.

    Raises:
        BarError: it names none.
    """
    name, _, side = text.strip().partition(" ")
    if (side or "trade") not in SIDES:
        raise BarError(f"{text[:50]!r}: {side!r} is no side", hint=f"write one of {', '.join(SIDES)}")
    return parse_spec(name, SIDES[side or "trade"], quantity_scale=quantity_scale)


def _decoded(events: bytes) -> list[Any]:
    return CODEC.decode(events)


def _count(value: Scalar) -> int:
    return min(value, MAX_KEPT) if type(value) is int and value > 0 else 0
