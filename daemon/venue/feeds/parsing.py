"""What every parser shares: rejections, the tally of a run, and listings (a symbol being parsed).

Parsers turn raw messages into events or reject them with a reason; they open no files, know no
clock and send nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from daemon.venue.feeds.instruments import InstrumentDefaults, InstrumentRegistry
from schemas.decimals import ScaledDecimals
from schemas.errors import TapedError
from schemas.events import Event, FeedGap

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_KEPT_REJECTIONS = 1_000
MAX_SKIPPED_KINDS = 200
MAX_CLOCK_DIFFERENCE_NS = 3_600 * 1_000_000_000
"""Recorders' clocks were seconds off in real recordings; an hour is a damaged row."""

MIN_TIME_NS = 631_152_000 * 1_000_000_000
"""1990: before any electronic venue's data."""
MAX_TIME_NS = 4_102_444_800 * 1_000_000_000
"""2100."""
MAX_ID = 2**63 - 1
MAX_ID_STEP = 100_000_000
"""A trade id that leaps further is damage: the busiest stream takes two weeks for it."""


ABSENT = msgspec.Raw()
"""Stands for a JSON part that was not there: a Raw cannot be optional."""


class RejectedError(TapedError):
    """A message is not what its format says; the reason is for the operator."""


class Rejection(NamedTuple):
    """A line that gave no event because it is damaged; `source` is the file inside the archive, if any."""

    line: int
    reason: str
    source: str = ""


class Tally:
    """What became of the lines of a run.

    Attributes:
        skipped: lines that hold no tick and are not damaged, by kind.
        rejections: the first `MAX_KEPT_REJECTIONS` of them.
        rejected_count: all of them.
    """

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self.rejections: list[Rejection] = []
        self.rejected_count = 0

    def skip(self, kind: str, count: int = 1) -> None:
        """Count what is no tick; `kind` may come from outside, so the kinds are bounded."""
        if kind not in self.skipped and len(self.skipped) >= MAX_SKIPPED_KINDS:
            kind = "other"
        self.skipped[kind[:80]] += count

    def reject(self, line: int, reason: str, source: str = "") -> None:
        """Count a damaged line and keep it while there is room."""
        self.rejected_count += 1
        if len(self.rejections) < MAX_KEPT_REJECTIONS:
            self.rejections.append(Rejection(line, reason[:300], source))


class MessageParser(Protocol):
    """One venue's messages, as they come off its socket."""

    def parse(self, message: bytes | str, received_ns: int, out: list[Event]) -> None:
        """Append the events of one message to `out`, or count it as skipped.

        Raises:
            RejectedError: the message is damaged; nothing of what is damaged was appended.
        """
        ...


class LineParser(Protocol):
    """One file format's lines."""

    tally: Tally

    def parse_lines(self, lines: Sequence[bytes], first_line: int, out: list[Event]) -> None:
        """Append the events of these lines; damaged ones go to the tally.

        Args:
            lines: without line ends.
            first_line: number of the first, counted from 1.
            out: where events go, in the order of the lines.
        """
        ...


class Listing:
    """One symbol of one venue while it is parsed: its scales, its id, the last trade id seen.

    A listing gets its id, and its definition goes out, with its first good tick: damaged text never
    defines an instrument.
    """

    __slots__ = (
        "_defaults",
        "_registry",
        "before_leap_id",
        "instrument_id",
        "last_trade_id",
        "last_trade_ns",
        "price_scale",
        "prices",
        "quantities",
        "quantity_scale",
        "symbol",
        "venue",
    )

    def __init__(
        self, registry: InstrumentRegistry, symbol: str, venue: str, defaults: InstrumentDefaults
    ) -> None:
        definition = registry.draft(symbol, venue, defaults)
        self.symbol = symbol
        self.venue = venue
        self.price_scale = definition.price_scale
        self.quantity_scale = definition.quantity_scale
        self.prices = ScaledDecimals(definition.price_scale)
        self.quantities = ScaledDecimals(definition.quantity_scale)
        self.instrument_id = definition.instrument_id if registry.find(symbol, venue) is definition else 0
        self.last_trade_id: int | None = None
        self.before_leap_id: int | None = None
        self.last_trade_ns = 0
        self._registry = registry
        self._defaults = defaults

    def define(self, out: list[Event], ts_ns: int) -> int:
        """Return the id; a new instrument's definition goes to `out` before its first tick."""
        self.instrument_id, definition = self._registry.resolve(
            self.symbol, self.venue, self._defaults, ts_ns=ts_ns
        )
        if definition is not None:
            out.append(definition)
        return self.instrument_id

    def check_order(self, trade_id: int) -> None:
        """Check that a trade id was not seen yet and follows.

        An id that lies in the last gap is let through: either it was late, or the row that leapt
        was the damaged one, and rejecting all after it would turn one bad row into thousands.

        Raises:
            RejectedError: it was seen, goes back, or leaps.
        """
        if not 0 <= trade_id <= MAX_ID:
            raise RejectedError(f"trade id {trade_id} does not fit 64 bits")
        last = self.last_trade_id
        if last is None:
            return
        if trade_id == last:
            raise RejectedError(f"duplicate trade id {trade_id}")
        if trade_id < last and (self.before_leap_id is None or trade_id <= self.before_leap_id):
            raise RejectedError(f"trade id {trade_id} goes back: the last was {last}")
        if trade_id - last > MAX_ID_STEP:
            raise RejectedError(f"trade id {trade_id} leaps: the last was {last}")

    def follow(self, trade_id: int, ts_ns: int) -> None:
        """Take over the id and time of an accepted trade."""
        last = self.last_trade_id
        if last is not None and trade_id != last + 1:
            self.before_leap_id = last if trade_id > last else None
        self.last_trade_id = trade_id
        self.last_trade_ns = ts_ns

    def gap_before(self, trade_id: int, ts_ns: int) -> FeedGap | None:
        """Return the gap that a trade with an id beyond the next one shows."""
        last = self.last_trade_id
        if last is None or trade_id <= last + 1:
            return None
        first, final = last + 1, trade_id - 1
        return FeedGap(
            ts_ns=ts_ns,
            feed=self.venue,
            instrument_id=self.instrument_id,
            reason=f"trade ids {first} to {final} missing" if final > first else f"trade id {first} missing",
            lost=trade_id - last - 1,
            from_ns=min(self.last_trade_ns, ts_ns),
            to_ns=ts_ns,
        )


class Listings:
    """The listings of one venue, made as their symbols turn up.

    Args:
        registry: where symbols get their ids.
        venue: of all of them.
        defaults: for symbols that are not known yet.
        symbol: accept this one only.
        told: gives what a symbol was defined with elsewhere, which goes before the defaults.
    """

    def __init__(
        self,
        registry: InstrumentRegistry,
        venue: str,
        defaults: InstrumentDefaults,
        symbol: str | None = None,
        told: Callable[[str], InstrumentDefaults | None] = lambda _symbol: None,
    ) -> None:
        self.venue = venue
        self._registry = registry
        self._defaults = defaults
        self._only = symbol
        self._told = told
        self._by_symbol: dict[str, Listing] = {}

    def get(self, symbol: str) -> Listing:
        """Return the listing of a symbol.

        Raises:
            InstrumentError: it cannot be an instrument here.
            RejectedError: it is not the one symbol that was asked for.
        """
        listing = self._by_symbol.get(symbol)
        if listing is None:
            if self._only is not None and symbol != self._only:
                raise RejectedError(f"symbol {symbol[:64]}, expected {self._only}")
            defaults = self._told(symbol) or self._defaults
            listing = Listing(self._registry, symbol, self.venue, defaults)
            self._by_symbol[symbol] = listing
        return listing


def check_clocks(received_ns: int, ts_ns: int) -> None:
    """Check that both times are times, and near each other.

    Raises:
        RejectedError: one is outside 1990 to 2100, or they are over an hour apart.
    """
    if not MIN_TIME_NS <= ts_ns <= MAX_TIME_NS:
        raise RejectedError(f"event time {ts_ns} ns lies outside 1990 to 2100")
    difference = received_ns - ts_ns
    if not -MAX_CLOCK_DIFFERENCE_NS <= difference <= MAX_CLOCK_DIFFERENCE_NS:
        hours = abs(difference) / 3.6e12
        where = "after" if difference > 0 else "before"
        raise RejectedError(f"receive time lies {hours:.1f} h {where} the event time")


def check_received(received_ns: int) -> None:
    """Check a receive time that nothing can be compared to.

    Raises:
        RejectedError: it lies outside 1990 to 2100.
    """
    if not MIN_TIME_NS <= received_ns <= MAX_TIME_NS:
        raise RejectedError(f"receive time {received_ns} ns lies outside 1990 to 2100")


def reason_of(error: Exception) -> str:
    """Return what to tell the operator of an error met while parsing a message."""
    if isinstance(error, TapedError):
        return error.message
    if isinstance(error, msgspec.ValidationError):
        return f"unexpected content: {error}"
    if isinstance(error, msgspec.DecodeError):
        return f"not JSON: {error}"
    if isinstance(error, UnicodeError):
        return "not UTF-8 text"
    if isinstance(error, RecursionError):
        return "not JSON of a sane depth"
    return str(error)


PARSE_ERRORS = (TapedError, msgspec.DecodeError, UnicodeError, RecursionError)
"""What a damaged message may raise; anything else is our mistake."""
