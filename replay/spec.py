"""What a backtest is to be: every choice that its result depends on, as one record. Opens and runs nothing.

A spec goes to other processes and into a catalogue as it stands: it pickles, and its JSON is canonical,
so that two equal specs have the same text and the same hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Self

import msgspec

from daemon.settings import VenueSettings
from daemon.trading.money import money
from daemon.venue.feeds.formats import ReadOptions
from daemon.venue.paper import VenueOptions
from daemon.venue.paper.options import FILL_MODELS, LATENCY_SHAPES, SLIPPAGE_MODELS, venue_options
from schemas.decimals import DecimalError
from schemas.errors import TapedError
from schemas.events import Scalar

DAEMON_VENUE = venue_options(VenueSettings())
"""The paper venue as the daemon has it without any setting."""
MAX_FILES = 1_000
MAX_SEED = 2**63 - 1


class SpecError(TapedError):
    """A specification of a backtest is none, or asks for what cannot be."""


class BacktestSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backtest, whole.

    Attributes:
        data: one data folder, or files of market data.
        strategy: kind.
        parameters: by name; the rest has defaults.
        instruments: symbols, or `SYMBOL@VENUE`; none means all that appear.
        from_seq: first event, by its number in the journal; in files ticks are counted from 1.
        to_seq: last event.
        from_ns: nothing that was recorded before the first tick of this time or a later one.
        to_ns: nothing from the first tick on that is later.
        warmup_ns: of so long before `from_ns` strategies are told when they start; needs that.
        cash: paid in once for each quote currency, decimal text.
        currency: in which all is summed up; that of the first instrument when empty.
        venue: how the venue fills. Its seed is always that of the spec.
        seed: of all draws: the venue's, and the resampling of a report.
        strategies_folder: of strategies of one's own.
        reading: how files are to be read, where they do not tell it themselves.

    Raises:
        SpecError: a value is out of its limits.
    """

    data: tuple[str, ...]
    strategy: str
    parameters: dict[str, Scalar] = {}
    instruments: tuple[str, ...] = ()
    from_seq: int | None = None
    to_seq: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    warmup_ns: int = 0
    cash: str = "100000"
    currency: str = ""
    venue: VenueOptions = DAEMON_VENUE
    seed: int = 1
    strategies_folder: str | None = None
    reading: ReadOptions = ReadOptions()

    def __post_init__(self) -> None:
        """Check the values, and give the venue the one seed."""
        _check(self)
        if self.venue.seed != self.seed:
            msgspec.structs.force_setattr(self, "venue", replace(self.venue, seed=self.seed))

    def json(self) -> bytes:
        """Return the canonical JSON: fields in their order, names of tables sorted."""
        return _encoder.encode(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Read a spec's JSON.

        Raises:
            SpecError: it is none.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SpecError(f"not a specification of a backtest: {error}") from error

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON."""
        return hashlib.sha256(self.json()).hexdigest()


_encoder = msgspec.json.Encoder(order="deterministic")


def _check(spec: BacktestSpec) -> None:
    if not 1 <= len(spec.data) <= MAX_FILES:
        raise SpecError(f"{len(spec.data)} files, expected 1 to {MAX_FILES:,}, or one data folder")
    if not 0 <= spec.seed <= MAX_SEED:
        raise SpecError(f"seed {spec.seed}, expected 0 to {MAX_SEED}")
    for name, first, last in (("seq", spec.from_seq, spec.to_seq), ("ns", spec.from_ns, spec.to_ns)):
        if first is not None and first < 1:
            raise SpecError(f"from_{name} {first}, expected 1 or more")
        if last is not None and last < (first or 1):
            raise SpecError(f"to_{name} {last} lies before from_{name} {first or 1}")
    if spec.warmup_ns < 0 or (spec.warmup_ns and spec.from_ns is None):
        raise SpecError("warmup needs a beginning to lie before", hint="give the time of the beginning too")
    _check_venue(spec.venue)
    try:
        cash = money(spec.cash)
    except DecimalError as error:
        raise SpecError(f"cash: {error.message}", hint=error.hint) from error
    if cash <= 0:
        raise SpecError(f"cash is {spec.cash}, expected an amount above zero")


def _check_venue(venue: VenueOptions) -> None:
    if venue.latency_shape not in LATENCY_SHAPES:
        raise SpecError(f"latency shape {venue.latency_shape!r}, expected {' or '.join(LATENCY_SHAPES)}")
    if venue.slippage not in SLIPPAGE_MODELS:
        raise SpecError(f"slippage {venue.slippage!r}, expected {' or '.join(SLIPPAGE_MODELS)}")
    if venue.fill_model not in FILL_MODELS:
        raise SpecError(f"fill model {venue.fill_model!r}, expected {' or '.join(FILL_MODELS)}")
    if min(venue.latency_us, venue.latency_spread_us, venue.slippage_amount) < 0:
        raise SpecError("latency and slippage cannot be below zero")
