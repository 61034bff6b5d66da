"""Positions and cash from fills, in exact integers; knows neither orders nor prices of the market.

Money is at 18 decimals (`daemon.trading.money`). Every fill is paid in full in the quote currency,
whatever the asset class: a purchase takes `price * quantity * multiplier` of cash, a sale brings it.
Profit is kept in two ways at once, at average cost and by lots (first in, first out). So for each
currency, at any time, in either way and to the last digit:

    cash + cost basis of its positions = deposits - withdrawals + realised profit - fees
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daemon.trading.lots import Lots
from daemon.trading.money import MONEY_SCALE, fee_money, notional
from schemas.decimals import decimal_text
from schemas.errors import TapedError
from schemas.events import InstrumentDefined, Liquidity, OrderFilled

_MAKER = Liquidity.MAKER


class Realised(NamedTuple):
    """Profit that a fill realised, before its fee: at average cost, and by lots."""

    average: int
    fifo: int


@dataclass(slots=True)
class Position:
    """What is held of one instrument.

    `quantity` is signed (short is negative) in the instrument's units; `cost_basis` is what that
    quantity was bought for on average, or sold short for (then negative); `realised` is the profit at
    average cost and `realised_fifo` that by `lots`, both before fees.
    """

    quantity: int = 0
    cost_basis: int = 0
    realised: int = 0
    realised_fifo: int = 0
    lots: Lots = field(default_factory=Lots)

    @property
    def cost_basis_fifo(self) -> int:
        """What the open lots cost together."""
        # Both ways tell the same cash: what one has realised more, its open quantity has cost more.
        return self.cost_basis + self.realised_fifo - self.realised

    def apply(self, quantity: int, value: int, ts_ns: int) -> Realised:
        """Book a fill in both ways; return the profit it realised.

        Args:
            quantity: signed, not zero.
            value: notional of it, sign as the quantity's.
            ts_ns: time of the fill.
        """
        fifo = self.lots.apply(quantity, value, ts_ns)
        self.realised_fifo += fifo
        return Realised(self._average(quantity, value), fifo)

    def _average(self, quantity: int, value: int) -> int:
        """Book a fill at average cost; return the profit.

        A closing part takes its share of the cost, cut to whole units towards zero; the rest stays
        with what is left, and the last unit takes all, so nothing is created or lost.
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

    def state(self) -> tuple[Any, ...]:
        """Return everything as plain exact values."""
        lots = [(lot.quantity, lot.cost, lot.opened_ns) for lot in self.lots]
        sums = (self.quantity, self.cost_basis, self.realised, self.realised_fifo)
        return (*sums, self.lots.closed, lots)

    def unrealised(self, instrument: InstrumentDefined, price: int) -> Realised:
        """Return the profit that closing at this price would realise."""
        value = notional(instrument, price, self.quantity)
        return Realised(value - self.cost_basis, value - self.cost_basis_fifo)


class AccountError(TapedError):
    """The account does not hold what is wanted of it."""


@dataclass(slots=True)
class Account:
    """Money by currency: what is there, what was paid in and out, what venues took in fees.

    `maker_fees` are the part of `fees` that was paid for fills which had rested; below zero is a rebate.
    """

    cash: dict[str, int] = field(default_factory=dict)
    deposits: dict[str, int] = field(default_factory=dict)
    withdrawals: dict[str, int] = field(default_factory=dict)
    fees: dict[str, int] = field(default_factory=dict)
    maker_fees: dict[str, int] = field(default_factory=dict)

    @property
    def main_currency(self) -> str:
        """The currency that was paid in first; empty before that."""
        return next(iter(self.deposits), "")

    def deposit(self, currency: str, amount: int) -> None:
        """Pay money in."""
        self.cash[currency] = self.cash.get(currency, 0) + amount
        self.deposits[currency] = self.deposits.get(currency, 0) + amount

    def withdraw(self, currency: str, amount: int) -> None:
        """Pay money out.

        Raises:
            AccountError: there is less; nothing has changed.
        """
        cash = self.cash.get(currency, 0)
        if amount > cash:
            raise AccountError(
                f"{decimal_text(amount, MONEY_SCALE)} {currency} were to be paid out,"
                f" {decimal_text(cash, MONEY_SCALE)} are there"
            )
        self.cash[currency] = cash - amount
        self.withdrawals[currency] = self.withdrawals.get(currency, 0) + amount

    def pay_fee(self, currency: str, fee: int, liquidity: Liquidity) -> None:
        """Pay a fee out of the cash."""
        self.cash[currency] = self.cash.get(currency, 0) - fee
        self.fees[currency] = self.fees.get(currency, 0) + fee
        if liquidity == _MAKER:
            self.maker_fees[currency] = self.maker_fees.get(currency, 0) + fee


@dataclass(slots=True)
class Portfolio:
    """Account and positions together, as fills move both."""

    account: Account = field(default_factory=Account)
    positions: dict[int, Position] = field(default_factory=dict)

    def quantity(self, instrument_id: int) -> int:
        """Return the signed quantity that is held of an instrument."""
        position = self.positions.get(instrument_id)
        return 0 if position is None else position.quantity

    def apply_fill(self, fill: OrderFilled, instrument: InstrumentDefined) -> Realised:
        """Book a fill and its fee; return the profit it realised, before the fee.

        Raises:
            MoneyError: a scale cannot be held exactly; nothing has changed.
        """
        quantity = fill.side * fill.quantity
        value = notional(instrument, fill.price, quantity)
        fee = fee_money(fill.fee, fill.fee_scale)
        account, currency = self.account, instrument.quote_currency
        account.cash[currency] = account.cash.get(currency, 0) - value
        account.pay_fee(fill.fee_currency, fee, fill.liquidity)
        position = self.positions.get(fill.instrument_id)
        if position is None:
            position = self.positions[fill.instrument_id] = Position()
        return position.apply(quantity, value, fill.ts_ns)

    def state(self) -> dict[str, Any]:
        """Return everything as plain exact values."""
        account = self.account
        return {
            "positions": {key: position.state() for key, position in self.positions.items()},
            "cash": dict(account.cash),
            "deposits": dict(account.deposits),
            "withdrawals": dict(account.withdrawals),
            "fees": dict(account.fees),
            "maker_fees": dict(account.maker_fees),
        }
