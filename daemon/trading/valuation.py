"""What a portfolio is worth and how much of the market it holds, by currency and in one currency. Pure.

Prices come from whoever asks, through a `Mark`. A position without a known price counts at its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from daemon.trading.money import PPM, TENS, notional
from daemon.trading.portfolio import Portfolio
from schemas.events import AssetClass, InstrumentDefined

Mark = Callable[[int, int], int | None]
"""Price of an instrument for a holding of that sign; None when none is known."""

Rates = Callable[[InstrumentDefined], tuple[int, int]]
"""Initial and maintenance margin of an instrument, in millionths of the value held."""

_CONVERTING = frozenset({AssetClass.CRYPTO, AssetClass.FOREX})


def fully_paid(instrument: InstrumentDefined) -> tuple[int, int]:  # noqa: ARG001
    """Return the margin rates of a market where all is paid for in full."""
    return PPM, PPM


@dataclass(slots=True)
class Worth:
    """Money of one currency, or of all of them in one.

    `market_value` is that of the positions, short ones below zero; `gross` and `net` exposure are its
    sums without and with signs; `initial` and `maintenance` are the margins the positions need.
    """

    cash: int = 0
    market_value: int = 0
    gross: int = 0
    initial: int = 0
    maintenance: int = 0

    @property
    def equity(self) -> int:
        """What would be left if all were closed at the marks."""
        return self.cash + self.market_value

    @property
    def net(self) -> int:
        """Net exposure: long value less short value."""
        return self.market_value

    def add(self, other: Worth, exchange: Callable[[int], int]) -> None:
        """Add the other's money, each amount exchanged."""
        self.cash += exchange(other.cash)
        self.market_value += exchange(other.market_value)
        self.gross += exchange(other.gross)
        self.initial += exchange(other.initial)
        self.maintenance += exchange(other.maintenance)


class Total(NamedTuple):
    """Worth in one currency; `unknown` names the currencies that no known price leads from."""

    worth: Worth
    unknown: tuple[str, ...]


def worth_by_currency(
    portfolio: Portfolio,
    instruments: Mapping[int, InstrumentDefined],
    mark: Mark,
    rates: Rates = fully_paid,
) -> dict[str, Worth]:
    """Return what there is of each currency: those with cash first, in the order of their first cash."""
    found = {currency: Worth(cash) for currency, cash in portfolio.account.cash.items()}
    for instrument_id, position in portfolio.positions.items():
        if not position.quantity:
            continue
        instrument = instruments[instrument_id]
        price = mark(instrument_id, position.quantity)
        value = position.cost_basis if price is None else notional(instrument, price, position.quantity)
        worth = found.setdefault(instrument.quote_currency, Worth())
        initial_ppm, maintenance_ppm = rates(instrument)
        held = abs(value)
        worth.market_value += value
        worth.gross += held
        worth.initial += margin(held, initial_ppm)
        worth.maintenance += margin(held, maintenance_ppm)
    return found


def margin(value: int, rate_ppm: int) -> int:
    """Return the margin of a value, rounded up to whole units."""
    return -(-value * rate_ppm // PPM)


class Exchange:
    """Converts money at the marks of instruments that trade one currency for another.

    Spot crypto and foreign exchange with a multiplier of one count, one step away: BTC-USDT leads from
    BTC to USDT and back. Of several the one with the lowest id whose price is known.

    Args:
        instruments: as the core keeps them; call `forget` when one was defined.
    """

    def __init__(self, instruments: Mapping[int, InstrumentDefined]) -> None:
        self._instruments = instruments
        self._pairs: dict[tuple[str, str], list[InstrumentDefined]] | None = None

    def forget(self) -> None:
        """Look at all instruments anew."""
        self._pairs = None

    def converted(self, amount: int, source: str, target: str, mark: Mark) -> int | None:
        """Return the amount in another currency, cut to whole units towards zero; None without a price."""
        if source == target or not amount:
            return amount
        exchange = self._rate(source, target, mark)
        return None if exchange is None else exchange(amount)

    def total(self, worths: Mapping[str, Worth], currency: str, mark: Mark) -> Total:
        """Return all in one currency."""
        whole = Worth()
        unknown: list[str] = []
        for source, worth in worths.items():
            if source == currency:
                whole.add(worth, int)
            elif worth != Worth():
                exchange = self._rate(source, currency, mark)
                if exchange is None:
                    unknown.append(source)
                else:
                    whole.add(worth, exchange)
        return Total(whole, tuple(unknown))

    def _rate(self, source: str, target: str, mark: Mark) -> Callable[[int], int] | None:
        if self._pairs is None:
            self._pairs = _pairs(self._instruments.values())
        for instrument in self._pairs.get((source, target), ()):
            price = mark(instrument.instrument_id, 1)
            if price is not None and price > 0:
                return _times(price, TENS[instrument.price_scale])
        for instrument in self._pairs.get((target, source), ()):
            price = mark(instrument.instrument_id, -1)
            if price is not None and price > 0:
                return _times(TENS[instrument.price_scale], price)
        return None


def _pairs(instruments: Iterable[InstrumentDefined]) -> dict[tuple[str, str], list[InstrumentDefined]]:
    pairs: dict[tuple[str, str], list[InstrumentDefined]] = {}
    for instrument in sorted(instruments, key=lambda defined: defined.instrument_id):
        if (
            instrument.asset_class in _CONVERTING
            and instrument.multiplier == 1
            and 0 <= instrument.price_scale < len(TENS)
        ):
            pairs.setdefault((instrument.base_currency, instrument.quote_currency), []).append(instrument)
    return pairs


def _times(numerator: int, denominator: int) -> Callable[[int], int]:
    def exchange(amount: int) -> int:
        value = abs(amount) * numerator // denominator
        return value if amount >= 0 else -value

    return exchange
