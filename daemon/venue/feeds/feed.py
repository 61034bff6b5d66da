"""What a feed is, and the feed that the settings ask for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from daemon.settings import FeedSettings
from daemon.venue.feeds.file import FileFeed
from daemon.venue.feeds.instruments import InstrumentRegistry
from daemon.venue.feeds.simulated import SimulatedFeed, chosen_instruments
from schemas.events import Event, InstrumentDefined

Publish = Callable[[list[Event]], Awaitable[None]]
"""Takes events in order of arrival; returns when the next may come (backpressure)."""


class Feed(Protocol):
    """A source of market events that runs until it ends or is cancelled."""

    name: str

    async def run(self, publish: Publish) -> None:
        """Publish until the source ends.

        Raises:
            TapedError: the source failed.
        """
        ...


def make_feed(settings: FeedSettings, known: Iterable[InstrumentDefined]) -> Feed | None:
    """Return the feed that the settings name, or None for none.

    Args:
        settings: checked for types and ranges.
        known: instruments of the journal.

    Raises:
        SimulationError: an instrument that the simulation does not have.
    """
    registry = InstrumentRegistry(known)
    if settings.kind == "simulated":
        return SimulatedFeed(
            settings.seed, chosen_instruments(settings.instruments), registry=registry, rate=settings.rate
        )
    if settings.kind == "file":
        return FileFeed(
            settings.paths,
            registry=registry,
            speed=settings.speed,
            shift_to_now=settings.restamp,
            symbols=frozenset(settings.instruments),
        )
    return None
