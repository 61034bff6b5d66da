"""What the core keeps of the time before a backtest, so that strategies warm up as they do in a daemon.

A daemon keeps bars and ticks of each instrument by its settings and tells a strategy of them when it
starts. A warm backtest does the same with settings that suit its strategy.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.trading.history import BARS_SETTING, KEEP_SETTING, TICKS_SETTING
from schemas.events import Scalar

KEPT = 10_000
"""Most bars and most ticks that strategies are told of."""
_ALWAYS = ("1m", "1m mid")
"""Bars that a daemon keeps when no setting says otherwise; longer ones are made of them."""


def kept_history(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return settings that keep the ticks and the bars which a strategy of these parameters hears of.

    Args:
        values: complete parameters; one that decides on bars says which by `bars` and `source`.
    """
    bars, side = values.get("bars"), values.get("source", "trade")
    own = (f"{bars} {side}",) if isinstance(bars, str) else ()
    names = dict.fromkeys((*own, *_ALWAYS))
    return {BARS_SETTING: ",".join(names), KEEP_SETTING: KEPT, TICKS_SETTING: KEPT}
