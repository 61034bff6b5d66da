"""Positions and cash from fills, in exact integers; knows neither orders nor prices of the market.

Money is at 18 decimals (`daemon.trading.money`). Every fill is paid in full in the quote currency,
whatever the asset class: a purchase takes `price * quantity * multiplier` of cash, a sale brings it.
So for each currency, at any time and to the last digit:

    cash + cost basis of its positions = deposits + realised profit - fees
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.trading.money import fee_money, notional
from schemas.events import InstrumentDefined, OrderFilled


@dataclass(slots=True)
class Position:
    """What is held of one instrument, at average cost.

    `quantity` is signed (short is negative) in the instrument's units; `cost_basis` is what that
    quantity was bought for, or sold short for (then negative); `realised` is profit before fees.
    """

    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0

    def apply(self, quantity: int, value: int) -> int:
        """Book a fill; return the profit it realised.

        A closing part takes its share of the cost, cut to whole units towards zero; the rest stays
        with what is left, and the last unit takes all, so nothing is created or lost.

        Args:
            quantity: signed, not zero.
            value: notional of it, sign as the quantity's.
        """
        held = self.quantity
        if held == 0 or (held > 0) == (quantity > 0):
            self.quantity += quantity
            self.cost_basis += value
            return 0
        closed = min(abs(held), abs(quantity))
        # The notional is linear in the quantity, so this division leaves no remainder.
        closed_value = value * closed // abs(quantity)
        share = abs(self.cost_basis) * closed // abs(held)
        cost = share if self.cost_basis >= 0 else -share
        profit = -closed_value - cost
        self.quantity += quantity
        self.cost_basis += value - closed_value - cost
        self.realised += profit
        return profit

    def unrealised(self, instrument: InstrumentDefined, price: int) -> int:
        """Return the profit that closing at this price would realise."""
        return notional(instrument, price, self.quantity) - self.cost_basis


@dataclass(slots=True)
class Account:
    """Money by currency: what is there, what was paid in, what venues took in fees."""

    cash: dict[str, int] = field(default_factory=dict)
    deposits: dict[str, int] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)

    def deposit(self, currency: str, amount: int) -> None:
        """Pay money in."""
        self.cash[currency] = self.cash.get(currency, 0) + amount
        self.deposits[currency] = self.deposits.get(currency, 0) + amount


@dataclass(slots=True)
class Portfolio:
    """Account and positions together, as fills move both."""

    account: Account = field(default_factory=Account)
    positions: dict[int, Position] = field(default_factory=dict)

    def apply_fill(self, fill: OrderFilled, instrument: InstrumentDefined) -> int:
        """Book a fill and its fee; return the profit it realised, before the fee.

        Raises:
            MoneyError: a scale cannot be held exactly; nothing has changed.
        """
        quantity = fill.side * fill.quantity
        value = notional(instrument, fill.price, quantity)
        fee = fee_money(fill.fee, fill.fee_scale)
        cash, fees = self.account.cash, self.account.fees
        cash[instrument.quote_currency] = cash.get(instrument.quote_currency, 0) - value
        cash[fill.fee_currency] = cash.get(fill.fee_currency, 0) - fee
        fees[fill.fee_currency] = fees.get(fill.fee_currency, 0) + fee
        position = self.positions.get(fill.instrument_id)
        if position is None:
            position = self.positions[fill.instrument_id] = Position()
        return position.apply(quantity, value)

    def equity(
        self, instruments: Mapping[int, InstrumentDefined], marks: Mapping[int, int]
    ) -> dict[str, int]:
        """Return cash plus positions at market by currency; a position without a mark counts at cost."""
        worth = dict(self.account.cash)
        for instrument_id, position in self.positions.items():
            instrument = instruments[instrument_id]
            price = marks.get(instrument_id)
            value = position.cost_basis if price is None else notional(instrument, price, position.quantity)
            worth[instrument.quote_currency] = worth.get(instrument.quote_currency, 0) + value
        return worth
