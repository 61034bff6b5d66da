"""What can be chosen of the paper venue: fees, latency, slippage. Values only; nothing is filled here.

The options in force are those of the last `DaemonStarted` of the journal, so that a replay fills as
the venue did.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields

from daemon.settings import VenueSettings
from daemon.venue.fees import Fees, FeesError, parse_fees
from schemas.events import InstrumentDefined, Scalar

PREFIX = "venue."
FEES_PREFIX = "venue.fees."
LATENCY_SHAPES = ("uniform", "exponential")
SLIPPAGE_MODELS = ("none", "ticks", "ppm", "proportional")
FILL_MODELS = ("queue", "touch", "through")


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """How the paper venue fills.

    Attributes:
        maker_fee_ppm: fee of a fill that rested, in millionths of its value; below zero is a rebate.
        taker_fee_ppm: fee of a fill that took.
        fees: other fees for some instruments, by symbol or SYMBOL@VENUE.
        latency_us: how long an order, cancel or replacement is under way at least.
        latency_spread_us: how much longer it may take: the range when uniform, the mean when exponential.
        latency_shape: how the extra time is drawn, one of `LATENCY_SHAPES`.
        seed: of the draws.
        slippage: how much worse than the market a taking fill is, one of `SLIPPAGE_MODELS`.
        slippage_amount: ticks, or millionths of the price.
        fill_model: when a trade at a resting order's limit fills it, one of `FILL_MODELS`: in its turn, at
            once, or never, so that only a better price does.
        check_funds: a purchase that the account's cash does not cover on arrival is rejected.
    """

    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    fees: Mapping[str, Fees] = field(default_factory=dict)
    latency_us: int = 0
    latency_spread_us: int = 0
    latency_shape: str = "uniform"
    seed: int = 1
    slippage: str = "none"
    slippage_amount: int = 0
    fill_model: str = "queue"
    check_funds: bool = False

    def fees_of(self, instrument: InstrumentDefined) -> Fees:
        """Return the fees of an instrument."""
        if self.fees:
            for name in (f"{instrument.symbol}@{instrument.venue}", instrument.symbol):
                if name in self.fees:
                    return self.fees[name]
        return Fees(self.maker_fee_ppm, self.taker_fee_ppm)


_SCALARS = {f"{PREFIX}{item.name}": item.name for item in fields(VenueOptions) if item.name != "fees"}
_DEFAULTS = VenueOptions()


def venue_options(settings: VenueSettings) -> VenueOptions:
    """Return the options of a configuration."""
    values = {name: getattr(settings, name) for name in _SCALARS.values()}
    return VenueOptions(fees={name: parse_fees(text) for name, text in settings.fees.items()}, **values)


def recorded(options: VenueOptions) -> dict[str, Scalar]:
    """Return the options as settings of a `DaemonStarted`."""
    settings: dict[str, Scalar] = {key: getattr(options, name) for key, name in _SCALARS.items()}
    settings.update(
        (f"{FEES_PREFIX}{symbol}", f"{maker}/{taker}") for symbol, (maker, taker) in options.fees.items()
    )
    return settings


def read_recorded(settings: Mapping[str, Scalar]) -> VenueOptions:
    """Return the options that `recorded` made settings of; what is absent or strange is left at its default.

    A journal of an earlier version tells of fewer options: those it lacks were off then.
    """
    values = {
        name: settings[key]
        for key, name in _SCALARS.items()
        if type(settings.get(key)) is type(getattr(_DEFAULTS, name))
    }
    fees: dict[str, Fees] = {}
    for key, text in settings.items():
        if key.startswith(FEES_PREFIX) and isinstance(text, str):
            with suppress(FeesError):
                fees[key.removeprefix(FEES_PREFIX)] = parse_fees(text)
    return VenueOptions(fees=fees, **values)  # type: ignore[arg-type]  # compared with the defaults' types
