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

    @property
    def due_ns(self) -> int | None:
        """When the next thing that is under way arrives, in the time of the events; None for nothing.

        Before the first event that is not earlier, `arrive` is to be called.
        """

    def send(self, effects: Sequence[tuple[int, Event]], core: Core, now_ns: int) -> list[Event]:
        """Take durable `OrderSubmitted`, `CancelRequested` and `ReplaceRequested` events with their numbers.

        What was sent before is not taken a second time. Where one report may bear on the next effect,
        each is sent by itself, and its reports are told to the core before the next.

        Args:
            effects: events and their numbers.
            core: as all events so far have left it.
            now_ns: our clock.
        """

    def arrive(self, core: Core, now_ns: int) -> list[Event]:
        """Let the first thing under way arrive; call when its time is due, and tell the core its reports."""

    def on_market(self, events: Sequence[AnyEvent], first_seq: int | None = None) -> list[Event]:
        """See numbered events; return the reports they cause.

        Args:
            events: all events in order, of which the venue picks what it needs.
            first_seq: number of the first; None when they follow those of the call before.
        """

    def unsent(self, core: Core) -> list[tuple[int, Event]]:
        """Return what had left a core that was rebuilt from the journal, and surely never arrived.

        Numbered from 1, for `send`; nothing where that cannot be known.
        """
