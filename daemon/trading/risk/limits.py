"""Limits of risk by the names of their settings: what each may be, and which are in force. Pure values.

A limit is set by a flat name: `max_order_value`, or `max_order_quantity.BTC-USDT` where it may differ by
instrument, currency or kind of market. None, zero, false and the empty text mean: no limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from daemon.trading.calendar import CalendarError, always
from daemon.trading.money import MONEY_SCALE, PPM, money
from schemas.decimals import DecimalError
from schemas.errors import TapedError
from schemas.events import AssetClass, InstrumentDefined, Scalar, TradingState

PREFIX = "risk."
"""In front of a limit's name in `DaemonStarted.settings`."""

MAX_LIMITS = 1_000
MAX_ORDERS_PER_MINUTE = 10_000
MAX_KEY = 100
_DAYS = 366 * 86_400
EVERY = "*"
"""Key that stands for all instruments or markets which are not named."""


class LimitError(TapedError):
    """A limit has no such name, or cannot be that."""


class Kind(NamedTuple):
    """What values a limit may have."""

    check: Callable[[Scalar], object | None]
    told: str


def _text(value: Scalar) -> int | None:
    if not isinstance(value, str) or len(value) > MAX_KEY:
        return None
    try:
        return money(value)
    except DecimalError:
        return None


def _amount(value: Scalar) -> int | None:
    found = _text(value)
    return found if found is not None and found > 0 else None


def _whole(least: int, most: int) -> Kind:
    def check(value: Scalar) -> int | None:
        return value if type(value) is int and least <= value <= most else None

    return Kind(check, f"an integer from {least} to {most}")


def _zone(value: Scalar) -> str | None:
    if not isinstance(value, str):
        return None
    try:
        always(value)
    except CalendarError:
        return None
    return value


AMOUNT = Kind(_amount, "decimal text above zero")
PROFIT = Kind(_text, "decimal text, below zero for a loss")
SHARE = _whole(1, 100 * PPM)
SECONDS = _whole(1, _DAYS)
COUNT = _whole(1, 1_000_000)
FLAG = Kind(lambda value: value if isinstance(value, bool) else None, "true or false")
ZONE = Kind(_zone, "an IANA time zone")
ACTIONS = {"deny": None, "reduce": TradingState.REDUCING, "halt": TradingState.HALTED}
ACTION = Kind(
    lambda value: value if isinstance(value, str) and value in ACTIONS else None, "deny, reduce or halt"
)

KINDS: Mapping[str, Kind] = {
    "max_order_value": AMOUNT,
    "max_position_value": AMOUNT,
    "max_concentration_ppm": SHARE,
    "max_exposure": AMOUNT,
    "margin": FLAG,
    "on_margin": ACTION,
    "max_daily_loss": AMOUNT,
    "on_daily_loss": ACTION,
    "day_zone": ZONE,
    "max_drawdown_ppm": _whole(1, PPM),
    "on_drawdown": ACTION,
    "max_orders_per_minute": _whole(1, MAX_ORDERS_PER_MINUTE),
    "max_orders_per_day": COUNT,
    "price_collar_ppm": SHARE,
    "max_data_age_ms": _whole(1, 1000 * _DAYS),
    "synchronized_clock": FLAG,
    "trading_hours": FLAG,
    "cooldown_s": SECONDS,
    "stop_guard_losses": COUNT,
    "stop_guard_window_s": SECONDS,
    "stop_guard_pause_s": SECONDS,
    "stop_guard_per_instrument": FLAG,
    "low_profit": PROFIT,
    "low_profit_closes": COUNT,
    "low_profit_window_s": SECONDS,
    "low_profit_pause_s": SECONDS,
    "drawdown_guard_ppm": _whole(1, PPM),
    "drawdown_guard_window_s": SECONDS,
    "drawdown_guard_pause_s": SECONDS,
}
"""Limits that are one value."""

KEYED: Mapping[str, Kind] = {
    "max_order_quantity": AMOUNT,
    "max_position_quantity": AMOUNT,
    "min_cash": AMOUNT,
    "initial_margin_ppm": SHARE,
    "maintenance_margin_ppm": SHARE,
}
"""Limits that have a value for each key: an instrument, a currency, or a kind of market."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits in force, as rules use them: money and quantities at 18 decimals; None is off.

    Attributes:
        max_order_quantity: by `SYMBOL@VENUE`, symbol, or `*`; so is `max_position_quantity`.
        min_cash: by currency.
        initial_margin_ppm: by `SYMBOL@VENUE`, symbol, asset class (`crypto`, ...), or `*`.
        maintenance_margin_ppm: likewise; where there is none, the initial rate holds.
    """

    max_order_quantity: Mapping[str, int] = field(default_factory=dict)
    max_order_value: int | None = None
    max_position_quantity: Mapping[str, int] = field(default_factory=dict)
    max_position_value: int | None = None
    max_concentration_ppm: int | None = None
    max_exposure: int | None = None
    min_cash: Mapping[str, int] = field(default_factory=dict)
    margin: bool = False
    initial_margin_ppm: Mapping[str, int] = field(default_factory=dict)
    maintenance_margin_ppm: Mapping[str, int] = field(default_factory=dict)
    on_margin: str = "reduce"
    max_daily_loss: int | None = None
    on_daily_loss: str = "reduce"
    day_zone: str = "UTC"
    max_drawdown_ppm: int | None = None
    on_drawdown: str = "reduce"
    max_orders_per_minute: int | None = None
    max_orders_per_day: int | None = None
    price_collar_ppm: int | None = None
    max_data_age_ms: int | None = None
    synchronized_clock: bool = False
    trading_hours: bool = False
    cooldown_s: int | None = None
    stop_guard_losses: int | None = None
    stop_guard_window_s: int = 3600
    stop_guard_pause_s: int = 3600
    stop_guard_per_instrument: bool = False
    low_profit: int | None = None
    low_profit_closes: int = 2
    low_profit_window_s: int = 86_400
    low_profit_pause_s: int = 3600
    drawdown_guard_ppm: int | None = None
    drawdown_guard_window_s: int = 86_400
    drawdown_guard_pause_s: int = 3600

    @property
    def watches_equity(self) -> bool:
        """Whether equity must be followed."""
        return self.max_daily_loss is not None or self.max_drawdown_ppm is not None or self.margin

    @property
    def protects(self) -> bool:
        """Whether closed positions must be followed."""
        return (
            self.cooldown_s is not None
            or self.stop_guard_losses is not None
            or self.low_profit is not None
            or self.drawdown_guard_ppm is not None
        )

    def margin_rates(self, instrument: InstrumentDefined) -> tuple[int, int]:
        """Return initial and maintenance margin of an instrument, in millionths of the value held."""
        initial = of_instrument(self.initial_margin_ppm, instrument) or PPM
        return initial, of_instrument(self.maintenance_margin_ppm, instrument) or initial


def of_instrument(values: Mapping[str, int], instrument: InstrumentDefined) -> int | None:
    """Return the value that holds for an instrument: the one named most closely."""
    if not values:
        return None
    names = (
        f"{instrument.symbol}@{instrument.venue}",
        instrument.symbol,
        AssetClass(instrument.asset_class).name.lower(),
        EVERY,
    )
    return next((values[name] for name in names if name in values), None)


def is_off(value: object) -> bool:
    """Return whether a value stands for no limit at all."""
    return value is None or value == "" or (value == 0 and not isinstance(value, bool))


def kind_of(name: str) -> Kind:
    """Return what values the limit of that name may have.

    Raises:
        LimitError: there is no such limit.
    """
    whole, dot, key = name.partition(".")
    kind = KEYED.get(whole) if dot else KINDS.get(whole)
    if kind is None:
        near = KEYED if dot else KINDS
        hint = f"{whole}.NAME" if whole in KEYED else f"there is {', '.join(near)}"
        raise LimitError(f"there is no limit {name[:MAX_KEY]!r}", hint=hint)
    if dot and not (key and len(key) <= MAX_KEY and key.isprintable()):
        raise LimitError(f"{whole}: the key must be a text of 1 to {MAX_KEY} characters")
    return kind


def check_limit(name: str, value: Scalar) -> object:
    """Return the value of one limit as rules use it.

    Raises:
        LimitError: there is no such limit, or it cannot be that.
    """
    kind = kind_of(name)
    checked = kind.check(value)
    if checked is None:
        raise LimitError(f"{name} is {str(value)[:MAX_KEY]!r}, expected {kind.told}")
    return checked


def limits_of(values: Mapping[str, Scalar]) -> Limits:
    """Return the limits that these values say, by name; those that are off are left out.

    Raises:
        LimitError: one of them cannot be.
    """
    found: dict[str, object] = {}
    keyed: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        if is_off(value):
            continue
        whole, dot, key = name.partition(".")
        if dot:
            keyed.setdefault(whole, {})[key] = check_limit(name, value)
        else:
            found[name] = check_limit(name, value)
    return Limits(**found, **keyed)  # type: ignore[arg-type]  # Each was checked by its kind.


def configured_limits(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return the limits among the settings of a `DaemonStarted`, by name; unknown ones are left out."""
    found = {name.removeprefix(PREFIX): value for name, value in settings.items() if name.startswith(PREFIX)}
    return {
        name: value
        for name, value in found.items()
        if not is_off(value) and (name in KINDS or name.partition(".")[0] in KEYED)
    }


class Chosen(NamedTuple):
    """Limits by name: those of the last start, and those set since; None for one that was switched off."""

    configured: Mapping[str, Scalar] = {}
    changed: Mapping[str, Scalar] = {}

    def started(self, settings: Mapping[str, Scalar]) -> Chosen:
        """Return what holds after a start; a limit that its configuration changes counts again."""
        configured = configured_limits(settings)
        kept = {
            name: value
            for name, value in self.changed.items()
            if configured.get(name) == self.configured.get(name)
        }
        return Chosen(configured, kept)

    def set(self, limits: Mapping[str, Scalar]) -> Chosen:
        """Return what holds after some were set."""
        return Chosen(self.configured, {**self.changed, **limits})

    def in_force(self) -> dict[str, Scalar]:
        """Return the limits that are set, by name."""
        return {name: v for name, v in {**self.configured, **self.changed}.items() if not is_off(v)}

    def limits(self) -> Limits:
        """Return them as rules use them.

        Raises:
            LimitError: one of them cannot be.
        """
        return limits_of(self.in_force())


assert MONEY_SCALE == 18  # noqa: PLR2004  # Quantities of up to 18 decimals are held as money is.
