"""What the API needs from the rest of the daemon, as protocols; it owns no state of trading itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from daemon.breaker import Breakers
from daemon.disk_space import Shedder
from daemon.journal.reader import Batch
from daemon.journal.written import WriteMeter
from daemon.settings import ApiSettings as ApiSettings  # noqa: PLC0414  # Part of this interface.
from daemon.trading.core import Core
from schemas.events import BreakerState, Event


class Engine(Protocol):
    """The part of the engine that the API uses, on the loop's thread."""

    @property
    def core(self) -> Core:
        """State of trading: instruments and orders are looked up here, never changed."""

    @property
    def journal_id(self) -> str:
        """Identity of the journal, 32 hexadecimal digits."""

    @property
    def next_seq(self) -> int:
        """The number the next event gets."""

    @property
    def durable_seq(self) -> int:
        """The last event that is written and synced."""

    @property
    def pending(self) -> int:
        """Events that wait for the disk."""

    @property
    def sync_ns(self) -> int:
        """How long the last frame's write and sync took."""

    @property
    def bytes_written(self) -> int:
        """Bytes of frames the journal wrote since the start."""

    @property
    def bytes_filled(self) -> int:
        """Zeros the journal filled segments with since the start."""

    @property
    def meter(self) -> WriteMeter:
        """What the journal wrote in the last 24 hours."""

    @property
    def shedder(self) -> Shedder:
        """What is dropped while the disk is nearly full."""

    @property
    def stopping(self) -> bool:
        """No order is taken any more."""

    @property
    def failed(self) -> str | None:
        """Why the journal is poisoned, or None."""

    @property
    def breakers(self) -> Breakers:
        """Circuit breakers around calls that leave the process."""

    async def execute(self, inputs: list[Event]) -> Batch:
        """Run urgent inputs; resolves when they and the decisions are durable."""

    async def durable(self, seq: int) -> None:
        """Return once everything up to `seq` is durable."""

    def subscribe(self, callback: Callable[[Batch], None]) -> Callable[[], None]:
        """Call back for every durable batch, on the loop; returns what ends it."""


class Projection(Protocol):
    """How far the read model has come."""

    @property
    def applied_seq(self) -> int:
        """The last event that the read model shows."""

    @property
    def failed(self) -> str | None:
        """Why the read model stands still, or None."""


class Machine(Protocol):
    """Sensors, fan, LEDs and button below the daemon."""

    @property
    def readings(self) -> Mapping[str, float | int | None]:
        """Sensors by name as they were read last; none at all before the first look."""

    @property
    def duty(self) -> int | None:
        """What the fan is told, in percent; None where there is none or nobody knows."""

    @property
    def parts(self) -> Mapping[str, BreakerState]:
        """Whether fan, LEDs and button work, by name."""

    @property
    def hot(self) -> bool:
        """The machine is too hot to trade as usual."""

    def reasons(self) -> list[str]:
        """Return what is wrong with it."""

    def document(self) -> dict[str, Any]:
        """Return everything about it, for people and programs."""


class Progress(Protocol):
    """Which parts of the daemon get on."""

    def ages_s(self) -> dict[str, float]:
        """Return how long ago each part did its last round, in seconds."""

    def stalled(self) -> list[str]:
        """Return the parts that stand still."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to an address listened on."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
