"""Goes on from a past state over the recorded market, with the core's own orders at the paper venue.

Recorded decisions and venue reports are left aside: this run makes its own. What people did goes on as
recorded (commands, and orders of their own), as far as the orders they meant are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import length_hint
from typing import Any

import msgspec

from daemon.trading.core import Core
from daemon.trading.gate import hold_back
from daemon.venue.paper import PaperVenue
from daemon.venue.paper.follow import Report
from daemon.venue.paper.options import VenueOptions, read_recorded
from replay.parity_runs import decides
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.events import (
    CancelRequested,
    DaemonStarted,
    Event,
    OrderRequested,
    OrderUnknown,
    ParityChecked,
    ReconciliationFound,
    ReplaceRequested,
)

MAX_ROUNDS = 1_000
_LEFT_ASIDE = (Report, OrderUnknown, ReconciliationFound, ParityChecked)


Seen = Callable[[Sequence[AnyEvent]], None]
"""Called with events that came of the run."""


class ForkError(TapedError):
    """A fork cannot be made as asked for, or does not come to rest."""


class Freely:
    """The run.

    Args:
        core: as it was; it is changed.
        venue: as it was then; it is changed.
        seen: called with all that the core decides and the venue reports.
        delay_us: how much later than by the venue's latency an order arrives.
        keep_venue: the venue's options are not those of the recorded starts.
    """

    def __init__(
        self, core: Core, venue: PaperVenue, seen: Seen, *, delay_us: int = 0, keep_venue: bool = False
    ) -> None:
        self._core = core
        self._venue = venue
        self._seen = seen
        self._keep_venue = keep_venue
        self._delay_us = delay_us
        self._ids: dict[int, int] = {}
        self._configure(venue.options)

    def begin(self, pending: list[Event], now_ns: int) -> None:
        """Tell what the venue has reported and nobody has heard of; send what left and has not arrived."""
        core, venue = self._core, self._venue
        core.take_effects()
        self._report(pending)
        unsent = [effect for _, effect in venue.unsent(core)]
        # Numbers below those of all that is sent later.
        for seq, effect in enumerate(unsent, core.next_seq - len(unsent)):
            self._report(venue.send([(seq, effect)], core, now_ns))
        self._settle(now_ns)

    def take(self, first_seq: int, recorded: Sequence[AnyEvent]) -> None:
        """Take what was recorded from a number on."""
        inputs: list[Any] = []
        for seq, event in enumerate(recorded, first_seq):
            if isinstance(event, _LEFT_ASIDE) or decides(event):
                continue
            if isinstance(event, OrderRequested | CancelRequested | ReplaceRequested):
                self._pass(inputs)
                inputs = []
                self._order(seq, event)
            else:
                inputs.append(event)
        self._pass(inputs)

    def _order(self, seq: int, event: OrderRequested | CancelRequested | ReplaceRequested) -> None:
        """Take what a person asked for, by the number it has here."""
        if isinstance(event, OrderRequested):
            self._ids[seq] = self._core.next_seq
            linked = {
                name: None if number is None else self._ids.get(number, number)
                for name, number in (("parent_id", event.parent_id), ("oco_group", event.oco_group))
            }
            self._pass([msgspec.structs.replace(event, **linked)])
            return
        order_id = self._ids.get(event.order_id, event.order_id)
        order = self._core.orders.get(order_id)
        # An order of a strategy that a person ended has no counterpart here, unless it was there before.
        if order is not None and order.status.is_working:
            self._pass([msgspec.structs.replace(event, order_id=order_id)])

    def _pass(self, inputs: list[Any]) -> None:
        core, venue = self._core, self._venue
        events, total = iter(inputs), len(inputs)
        while True:
            if venue.idle:
                decisions = core.advance(events)
                if not decisions:
                    break
                self._seen(decisions)
                self._settle(inputs[total - length_hint(events) - 1].ts_ns)
                continue
            event = next(events, None)
            if event is None:
                break
            self._step(event)
        for event in inputs:
            if isinstance(event, DaemonStarted) and not self._keep_venue:
                self._configure(read_recorded(event.settings))

    def _configure(self, options: VenueOptions) -> None:
        self._venue.configure(replace(options, latency_us=options.latency_us + self._delay_us))

    def _step(self, event: Any) -> None:
        core, venue = self._core, self._venue
        while (due_ns := venue.due_ns) is not None and due_ns <= event.ts_ns:
            self._report(venue.arrive(core, due_ns))
            self._settle(due_ns)
        seq = core.next_seq
        self._seen(core.advance(iter((event,))))
        # The venue sees the event after the strategy has; orders in answer to it arrive later.
        self._report(venue.on_market((event,), seq))
        self._settle(event.ts_ns)

    def _settle(self, now_ns: int) -> None:
        """Pass orders to the venue and its reports to the core until both are still."""
        for _ in range(MAX_ROUNDS):
            effects = self._core.take_effects()
            if not effects:
                return
            for effect in effects:
                leaving, reports = hold_back((effect,), self._core, now_ns)
                self._report([*reports, *self._venue.send(leaving, self._core, now_ns)])
        raise ForkError(f"the strategies answered their own fills {MAX_ROUNDS} times at one event")

    def _report(self, reports: list[Event]) -> None:
        if not reports:
            return
        self._seen(reports)
        events = iter(reports)
        while decisions := self._core.advance(events):
            self._seen(decisions)
