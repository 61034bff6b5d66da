"""Base of strategies that decide once a bar: which way to be. Sizes, orders and stops are done here.

A strategy of this kind is a rule and its memory: `direction` looks at a bar and says long (1), flat (0),
short (-1) or nothing new (None).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from daemon.trading.bars import SIDES, BarSpec, check_spec, parse_spec
from daemon.trading.sizer import SIZING, Sizer, check_sizing
from daemon.trading.strategy import Parameter, Strategy
from schemas.events import Bar

BARS = Parameter(
    "bars", str, "bars to decide on", "1m", form="bars such as 30s, 5m, 4h, 1d, 500t, 2.5v", check=check_spec
)
SOURCE = Parameter("source", str, "prices the bars are made of", "trade", choices=tuple(SIDES))
SHORT = Parameter("short", bool, "sell short too", default=False)


@dataclass(slots=True)
class _Leg:
    """One instrument of the strategy: its sizer, where its stop lies, and the way a stop has closed."""

    sizer: Sizer
    stop: float | None = None
    closed: int = 0


class BarStrategy(Strategy):
    """Holds what `direction` says, sized by `sizing`, until it says otherwise or the stop is reached.

    The stop is looked at when a bar is complete, at its close. A way that a stop has closed is not
    taken again while the rule goes on to say it. Where a rule depends on what is held, it asks `held`.
    """

    parameters: ClassVar[tuple[Parameter, ...]] = (BARS, SOURCE, SHORT, *SIZING)
    remembers: ClassVar[tuple[str, ...]] = ("_legs",)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._legs = {i: _Leg(Sizer(self.context, one, self.values)) for i, one in self.instruments.items()}

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> None:
        """See `Strategy.check`; call it from a `check` of your own."""
        check_sizing(cls.kind, values)

    def direction(self, bar: Bar) -> int | None:
        """Return which way to be after this bar: 1, 0 or -1; None leaves all as it is."""
        raise NotImplementedError(f"{self.kind} has no direction")

    def held(self, instrument_id: int) -> int:
        """Return which way it is, or wants to be: 1, 0 or -1."""
        target = self.context.target(instrument_id)
        return (target > 0) - (target < 0)

    def bar_spec(self, instrument_id: int) -> BarSpec:
        """Return the bars of the parameters."""
        instrument = self.instruments[instrument_id]
        side = SIDES[str(self.values.get("source", "trade"))]
        return parse_spec(str(self.values["bars"]), side, quantity_scale=instrument.quantity_scale)

    def on_bar(self, bar: Bar) -> None:
        """Ask the rule, look at the stop, and hold what comes of it."""
        leg, held = self._legs[bar.instrument_id], self.held(bar.instrument_id)
        leg.sizer.on_bar(bar)
        wanted = self._allowed(leg, self.direction(bar))
        if self.context.warming:
            return
        if wanted in (None, held) and self._is_stopped(leg, held, bar.close):
            wanted, leg.closed = 0, held
        if wanted is not None and wanted != held:
            self._turn(leg, bar, wanted)

    def _allowed(self, leg: _Leg, wanted: int | None) -> int | None:
        """Return what the rule wants, unless a stop has closed that way or it would be short."""
        if wanted != leg.closed:
            leg.closed = 0
        elif wanted:
            return None
        return 0 if wanted == -1 and not self.values["short"] else wanted

    def _is_stopped(self, leg: _Leg, held: int, close: int) -> bool:
        distance = leg.sizer.stop_distance
        if not held or distance is None:
            return False
        if leg.stop is None:
            # Other parameters came while it held something: the stop begins anew from here.
            leg.stop = close - held * distance
        return (close - leg.stop) * held <= 0

    def _turn(self, leg: _Leg, bar: Bar, wanted: int) -> None:
        quantity = leg.sizer.quantity(bar.close) if wanted else 0
        distance = leg.sizer.stop_distance
        leg.stop = bar.close - wanted * distance if quantity and distance is not None else None
        self.context.hold(bar.instrument_id, wanted * quantity)
