"""A slow account in decimals, written from the rules of bookkeeping and sharing no code with the fast one.

Every lot is kept for ever and looked for from the beginning; sums are made anew whenever they are asked
for. Use it within `exactly()`: outside, decimals are rounded to 28 digits.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_DOWN, Context, Decimal, localcontext

UNIT = Decimal("1e-18")


def exactly():
    """Return a context in which no sum and no product of an account is rounded."""
    return localcontext(Context(prec=400, rounding=ROUND_DOWN))


class SlowAccount:
    """Books cash movements and fills one by one, in units of currency and of the instrument."""

    def __init__(self) -> None:
        self.moves: list[tuple[str, Decimal]] = []
        self.fees: list[tuple[str, Decimal, bool]] = []
        self.fills: dict[object, list[tuple[Decimal, Decimal]]] = defaultdict(list)
        self.currency: dict[object, str] = {}

    def move(self, currency: str, amount: Decimal) -> None:
        """Pay in, or out when below zero."""
        self.moves.append((currency, amount))

    def fill(self, key: object, currency: str, quantity: Decimal, unit_value: Decimal) -> None:
        """Trade a signed quantity, each unit of it worth `unit_value`."""
        self.currency[key] = currency
        self.fills[key].append((quantity, unit_value))

    def fee(self, currency: str, amount: Decimal, *, resting: bool) -> None:
        """Pay a fee for a fill that had rested, or had not."""
        self.fees.append((currency, amount, resting))

    def cash(self, currency: str) -> Decimal:
        paid = sum(amount for name, amount in self.moves if name == currency)
        traded = sum(
            quantity * unit_value
            for key, fills in self.fills.items()
            for quantity, unit_value in fills
            if self.currency[key] == currency
        )
        return paid - traded - self.fees_of(currency)

    def fees_of(self, currency: str, *, resting: bool | None = None) -> Decimal:
        return sum(fee for name, fee, rested in self.fees if name == currency and resting in (None, rested))

    def quantity(self, key: object) -> Decimal:
        return sum(quantity for quantity, _ in self.fills[key])

    def fifo(self, key: object) -> tuple[Decimal, list[tuple[Decimal, Decimal]]]:
        """Return realised profit and the open lots as quantity and value of a unit, oldest first."""
        lots: list[list[Decimal]] = []
        profit = Decimal(0)
        for quantity, unit_value in self.fills[key]:
            left = quantity
            for lot in lots:
                if lot[0] * left < 0:
                    closed = min(abs(lot[0]), abs(left)).copy_sign(lot[0])
                    profit += closed * (unit_value - lot[1])
                    lot[0] -= closed
                    left += closed
            if left:
                lots.append([left, unit_value])
        return profit, [(quantity, unit_value) for quantity, unit_value in lots if quantity]

    def average(self, key: object) -> tuple[Decimal, Decimal]:
        """Return realised profit and cost basis at average cost; a closed part's share is cut to 1e-18."""
        held = basis = profit = Decimal(0)
        for quantity, unit_value in self.fills[key]:
            closed = min(abs(held), abs(quantity)).copy_sign(held) if held * quantity < 0 else Decimal(0)
            if closed:
                cost = (basis * closed / held).quantize(UNIT)
                profit += closed * unit_value - cost
                basis -= cost
            basis += (quantity + closed) * unit_value
            held += quantity
        return profit, basis
