"""Position sizing as parameters: which rule of `daemon.trading.sizing` a strategy sizes with, and by what.

The built-in strategies have these parameters, and a strategy of one's own gets them by adding
`sizing_parameters` to its own and making a `Sizer` for each instrument. A sizer learns the average range
from the bars it is told of; rules that do not need it size without any.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from daemon.trading import memory, sizing
from daemon.trading.indicators import ATR
from daemon.trading.money import MONEY_ONE, PPM, money
from daemon.trading.strategy import Context, Parameter, StrategyError
from schemas.decimals import DecimalError, scaled
from schemas.events import Bar, InstrumentDefined

LEAST_TRIPS = 20
"""Round trips that Kelly's rule wants to have seen."""

_PARAMETERS: Mapping[str, Parameter] = {
    parameter.name: parameter
    for parameter in (
        Parameter("quantity", str, "fixed: what to hold", "0", minimum=0, decimal=True),
        Parameter(
            "percent",
            str,
            "percent of equity: to hold (equity, kelly) or to lose (risk, volatility)",
            "1",
            maximum=100,
            decimal=True,
        ),
        Parameter(
            "kelly_cap", str, "kelly: most to hold, percent of equity", "25", maximum=100, decimal=True
        ),
        Parameter(
            "stop",
            str,
            "average ranges from entry to stop, 0 for no stop",
            "0",
            minimum=0,
            maximum=1000,
            decimal=True,
        ),
        Parameter("range_bars", int, "bars in the average range", 14, minimum=1, maximum=10_000),
    )
}
_NEEDED = {
    "fixed": ("quantity",),
    "equity": ("percent",),
    "risk": ("percent", "stop", "range_bars"),
    "volatility": ("percent", "range_bars"),
    "kelly": ("percent", "kelly_cap"),
}


def sizing_parameters(*rules: str) -> tuple[Parameter, ...]:
    """Return the parameters of a strategy that can be sized by these rules, `sizing` first."""
    needed = {name for rule in rules for name in _NEEDED[rule]}
    choice = Parameter("sizing", str, "how much to trade", "fixed", choices=rules)
    return (choice, *(parameter for name, parameter in _PARAMETERS.items() if name in needed))


SIZING = sizing_parameters(*_NEEDED)
"""All rules; for strategies that keep the stop."""


def check_sizing(kind: str, values: Mapping[str, Any]) -> None:
    """Refuse parameters of sizing that do not fit each other.

    Raises:
        StrategyError: a fixed quantity is not given, or risk has no stop.
    """
    if values["sizing"] == "fixed" and not money(values["quantity"]):
        raise StrategyError(f"{kind}: quantity must be given: what to hold with sizing fixed")
    if values["sizing"] == "risk" and not money(values["stop"]):
        raise StrategyError(f"{kind}: stop must be given with sizing risk: the distance that is risked")


class Sizer:
    """Sizes one strategy's positions in one instrument.

    Args:
        context: the strategy's way to equity and past results.
        instrument: what is traded.
        values: checked parameters that hold those of `SIZING`.

    Attributes:
        range: average true range of the bars it was told of.

    Raises:
        StrategyError: the instrument cannot be traded in the fixed quantity.
    """

    remembers: ClassVar[tuple[str, ...]] = ("range",)

    def __init__(self, context: Context, instrument: InstrumentDefined, values: Mapping[str, Any]) -> None:
        self._context = context
        self._instrument = instrument
        self._rule = str(values["sizing"])
        self._fixed = _fixed(instrument, values["quantity"]) if self._rule == "fixed" else 0
        self._ppm = _percent_ppm(values["percent"])
        self._cap_ppm = _percent_ppm(values["kelly_cap"])
        self._ranges = money(values.get("stop", "0")) / MONEY_ONE
        self.range = ATR(values["range_bars"])

    def on_bar(self, bar: Bar) -> None:
        """Take a bar for the average range."""
        self.range.update(bar.high, bar.low, bar.close)

    @property
    def stop_distance(self) -> float | None:
        """Distance from entry to stop in price units; None without a stop, or before the range is known."""
        return self.range.value * self._ranges if self._ranges and self.range.value else None

    def quantity(self, price: int) -> int:
        """Return how much to hold at a price; 0 while what the rule needs is not known."""
        if self._rule == "fixed":
            return self._fixed
        instrument = self._instrument
        equity = self._context.equity(instrument.quote_currency)
        if self._rule in ("risk", "volatility"):
            distance = self.stop_distance if self._rule == "risk" else self.range.value
            return sizing.percent_risk(
                instrument, equity=equity, ppm=self._ppm, stop_distance=distance or 0.0
            )
        ppm = self._kelly_ppm() if self._rule == "kelly" else self._ppm
        return sizing.percent_of_equity(instrument, equity=equity, ppm=ppm, price=price)

    def _kelly_ppm(self) -> int:
        profits = self._context.profits
        if len(profits) < LEAST_TRIPS:
            return min(self._ppm, self._cap_ppm)
        return sizing.kelly_ppm(profits, cap_ppm=self._cap_ppm)

    def dump(self) -> list[Any]:
        """Return all that later sizes depend on, as plain values."""
        return memory.dump(self, self.remembers)

    def load(self, plain: Any) -> None:
        """Take what `dump` returned."""
        memory.load(self, self.remembers, plain)


def _fixed(instrument: InstrumentDefined, text: str) -> int:
    try:
        quantity = scaled(text, instrument.quantity_scale)
    except DecimalError as error:
        raise StrategyError(f"quantity of {instrument.symbol}: {error.message}") from error
    if quantity % max(1, instrument.lot_size):
        raise StrategyError(f"quantity {text} of {instrument.symbol} is no multiple of its lot")
    return quantity


def _percent_ppm(text: str) -> int:
    return int(money(text) * PPM // (100 * MONEY_ONE))
