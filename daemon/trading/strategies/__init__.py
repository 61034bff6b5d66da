"""The strategies that come with taped, by kind."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.trading.strategies.ma_cross import MovingAverageCross
from daemon.trading.strategy import Strategy

STRATEGIES: Mapping[str, type[Strategy]] = {kind.kind: kind for kind in (MovingAverageCross,)}
"""Strategy class by kind. The kind stands in the journal; a rename would break old journals."""
