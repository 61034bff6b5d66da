"""What the engine and the backtest ask of a venue; holds no venue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from daemon.trading.core import Core
from schemas.codec import AnyEvent
from schemas.events import Event


class Venue(Protocol):
    """Where orders go. What it returns are reports: inputs of the core, like any other."""

    name: str

    def send(self, effects: Sequence[tuple[int, Event]], core: Core, now_ns: int) -> list[Event]:
        """Take durable `OrderSubmitted` and `CancelRequested` events with their numbers.

        An order that was sent before is not taken a second time.
        """

    def on_market(self, events: Sequence[AnyEvent], first_seq: int | None = None) -> list[Event]:
        """See numbered events; return the reports they cause.

        Args:
            events: all events in order, of which the venue picks what it needs.
            first_seq: number of the first; None when they follow those of the call before.
        """

    def restore(self, core: Core) -> list[Event]:
        """Take over the orders that work in a core rebuilt from the journal; return reports."""
