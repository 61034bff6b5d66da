"""The strategies that come with taped, by kind. How to write one of your own stands in README.md."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.trading.strategies.bollinger_bounce import BollingerBounce
from daemon.trading.strategies.donchian_breakout import DonchianBreakout
from daemon.trading.strategies.ma_cross import MovingAverageCross
from daemon.trading.strategies.market_maker import MarketMaker
from daemon.trading.strategies.opening_range import OpeningRange
from daemon.trading.strategies.rsi_reversion import RsiReversion
from daemon.trading.strategies.vwap_bounce import VwapBounce
from daemon.trading.strategy import Strategy

STRATEGIES: Mapping[str, type[Strategy]] = {
    kind.kind: kind
    for kind in (
        MovingAverageCross,
        RsiReversion,
        BollingerBounce,
        VwapBounce,
        OpeningRange,
        DonchianBreakout,
        MarketMaker,
    )
}
"""Strategy class by kind. The kind stands in the journal; a rename would break old journals."""
