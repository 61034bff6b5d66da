"""The send boundary: the one place where anything leaves for a venue, and what must hold when it does.

What leaves is durable and has not left before, or it is a mistake of our own, which ends the process; and
it passes the gate, which holds orders back while trading is halted.
"""

from __future__ import annotations

from daemon.trading.core import Core
from daemon.trading.gate import hold_back
from daemon.venue.protocol import Venue
from schemas.errors import TapedError
from schemas.events import CancelRequested, Event, ReplaceRequested


class SendError(TapedError):
    """Something was to leave that must not: a mistake in taped itself."""


class SendBoundary:
    """Lets durable effects through, each once and in their order.

    Args:
        venue: where they go.
        core: whose orders they are.
    """

    def __init__(self, venue: Venue, core: Core) -> None:
        self._venue = venue
        self._core = core
        self._last_seq = 0

    def send(self, seq: int, effect: Event, *, durable_seq: int, now_ns: int) -> list[Event]:
        """Send one effect; return the reports it caused.

        Args:
            seq: the effect's number.
            effect: what is to leave.
            durable_seq: up to where the journal is written and synced.
            now_ns: our clock.

        Raises:
            SendError: the effect is not durable, or this or a later one has left before.
        """
        kind = type(effect).__name__
        if seq > durable_seq:
            raise SendError(f"{kind} {seq} was to leave, and the journal is durable up to {durable_seq}")
        if seq <= self._last_seq:
            raise SendError(f"{kind} {seq} was to leave, and {self._last_seq} has left before")
        self._last_seq = seq
        if isinstance(effect, CancelRequested | ReplaceRequested) and not self._works(effect.order_id):
            return []
        leaving, reports = hold_back([(seq, effect)], self._core, now_ns)
        if leaving:
            reports = reports + self._venue.send(leaving, self._core, now_ns)
        return reports

    def _works(self, order_id: int) -> bool:
        """Return whether the venue may have the order; one that was held back is over, for example."""
        order = self._core.orders.get(order_id)
        return order is not None and order.status.is_working
