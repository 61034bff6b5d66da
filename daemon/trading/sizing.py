"""How much to trade: pure functions from equity, prices and past results to a quantity, exact integers.

Every quantity comes back in the instrument's scaled units, rounded down to whole lots and never
below zero. `ppm` are millionths, so 1 percent is 10,000. Equity is money (`daemon.trading.money`) in
the instrument's quote currency; prices and distances are in its price units.

R. Vince, Portfolio Management Formulas, 1990 (fixed fraction and percent risk); J. L. Kelly, "A New
Interpretation of Information Rate", Bell System Technical Journal 35:4, 1956.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from daemon.trading.money import MAX_INTEGER, PPM, notional
from schemas.events import InstrumentDefined


def percent_of_equity(instrument: InstrumentDefined, *, equity: int, ppm: int, price: int) -> int:
    """Return what that part of the equity buys at a price. Fees are not set aside: leave room for them."""
    return _bought(instrument, equity * ppm, price)


def percent_risk(instrument: InstrumentDefined, *, equity: int, ppm: int, stop_distance: float) -> int:
    """Return the quantity that loses that part of the equity when the price moves by a distance.

    Args:
        instrument: what is traded.
        equity: money.
        ppm: of the equity that may be lost.
        stop_distance: from entry to stop, above zero; with zero there is no answer but nothing.
    """
    if not isfinite(stop_distance) or stop_distance <= 0:
        return 0
    # As an exact ratio of integers: a float that says 0.5 means one half, not something near it.
    numerator, denominator = stop_distance.as_integer_ratio()
    return _bought(instrument, equity * ppm * denominator, numerator)


def volatility_adjusted(instrument: InstrumentDefined, *, equity: int, ppm: int, atr: float) -> int:
    """Return the quantity for which a move by one average true range is that part of the equity.

    R. D. Donchian's and R. Dennis's pupils sized so, with 1 percent: C. M. Faith, Way of the Turtle, 2007.
    """
    return percent_risk(instrument, equity=equity, ppm=ppm, stop_distance=atr)


def kelly_ppm(profits: Iterable[int], *, cap_ppm: int) -> int:
    """Return the part of the equity that Kelly's rule stakes after these results, at most the cap.

    With the share W of winners among n results, the mean win and the mean loss, the rule is
    `W - (1 - W) / (mean win / mean loss)`; here over one denominator, so that nothing is rounded
    before the end. Results of zero count among the losers.

    Args:
        profits: money won (above zero) or lost by each closed trade.
        cap_ppm: the full rule ruins whoever is wrong about his odds; a quarter is common.
    """
    wins = losses = won = lost = 0
    for profit in profits:
        if profit > 0:
            wins, won = wins + 1, won + profit
        else:
            losses, lost = losses + 1, lost - profit
    if not wins:
        return 0
    stake = PPM * wins * (won - lost) // ((wins + losses) * won)
    return max(0, min(cap_ppm, stake))


def whole_lots(instrument: InstrumentDefined, quantity: int) -> int:
    """Return a quantity rounded down to whole lots, zero when it is below, at most what a journal holds."""
    quantity = max(0, min(quantity, MAX_INTEGER))
    return quantity - quantity % max(1, instrument.lot_size)


def _bought(instrument: InstrumentDefined, money_ppm: int, price: int) -> int:
    """Return the quantity that money, in millionths, pays at a price."""
    worth_of_one = notional(instrument, price, 1)
    if worth_of_one <= 0 or money_ppm <= 0:
        return 0
    return whole_lots(instrument, money_ppm // (worth_of_one * PPM))
