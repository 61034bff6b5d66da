"""What one strategy holds and has earned by its own fills, beside what the account holds. Exact integers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Holding:
    """A strategy's position in one instrument.

    A round trip begins when a flat holding is filled and ends when it is flat again, or has turned to
    the other side. Money is that of the quote currency; fees of other currencies are not in it.

    Attributes:
        quantity: signed, in the instrument's units.
        flow: money that came in (above zero) and went out since it was flat.
        earned: money of all round trips that are over.
    """

    quantity: int = 0
    flow: int = 0
    earned: int = 0

    def apply(self, quantity: int, value: int, fee: int) -> int | None:
        """Book a fill; return the profit of the round trip it ended, or None when it ended none.

        Args:
            quantity: signed, not zero.
            value: notional of it, sign as the quantity's.
            fee: of the fill; one that turns the holding around counts to the trip it ends.
        """
        held = self.quantity
        self.quantity = held + quantity
        if held == 0 or (held > 0) == (quantity > 0) or abs(quantity) < abs(held):
            self.flow -= value + fee
            return None
        # The notional is linear in the quantity, so this division leaves no remainder.
        closing = value * abs(held) // abs(quantity)
        profit = self.flow - closing - fee
        self.flow = closing - value
        self.earned += profit
        return profit

    def worth(self, value: int) -> int:
        """Return all it has earned, when what is held is worth that."""
        return self.earned + self.flow + value
