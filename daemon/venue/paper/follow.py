"""Brings the paper venue back from the journal: it does again what it did, and the journal says what it told.

An order arrived where its acceptance or rejection stands in the journal, a cancel where the order's end
does. From there on the venue is fed the same ticks and must report the same; what it reports at the end
and the journal lacks was lost with the process, and is told again.

A journal whose reports other rules made, those of another version for example, wins: then the venue takes
over the orders as the core has them, and their places in the queue begin anew.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence

from daemon.trading.core import Core
from daemon.trading.gate import WITHHELD
from daemon.trading.orders import Order
from daemon.venue.paper.dump import VenueDumpError, dump, load
from daemon.venue.paper.matching import Times
from daemon.venue.paper.options import read_recorded
from daemon.venue.paper.venue import PaperVenue, cancellation, submission
from daemon.venue.paper.working import end_ns, working_order
from schemas.codec import AnyEvent
from schemas.events import (
    CancelRejected,
    DaemonStarted,
    Event,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
    OrderUnknown,
    ReplaceRejected,
    SessionCalendarDefined,
)

log = logging.getLogger(__name__)

Report = (
    OrderAccepted
    | OrderRejected
    | OrderFilled
    | OrderCanceled
    | OrderExpired
    | OrderTriggered
    | OrderReplaced
    | CancelRejected
    | ReplaceRejected
)
_REPORTS = frozenset(Report.__args__) | {OrderUnknown}
_CUTS = _REPORTS | {DaemonStarted, SessionCalendarDefined}


class Follower:
    """Feeds a recorded journal to core and paper venue alike.

    Args:
        core: as it was after the last event before those that come.
        venue: as it was then.
        pending: reports that the venue had made by then, and the core was not told.

    Attributes:
        core: as the journal so far has left it.
        venue: as the journal so far has left it.
        disagreements: reports of the journal that the venue would not have made.
    """

    def __init__(self, core: Core, venue: PaperVenue, pending: Iterable[Event] = ()) -> None:
        self.core = core
        self.venue = venue
        self._expected: deque[Event] = deque(pending)
        self.disagreements = 0

    def follow(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take a recorded batch.

        Raises:
            ValueError: the events do not follow those taken before.
        """
        core, venue = self.core, self.venue
        if venue.idle and not self._expected and _CUTS.isdisjoint(map(type, events)):
            core.replay(first_seq, events)
            return
        start = 0
        for at, event in enumerate(events):
            if type(event) in _CUTS:
                self._run(first_seq + start, events[start:at])
                self._cut(first_seq + at, event)
                start = at + 1
        self._run(first_seq + start, events[start:])

    def skip_to(self, seq: int) -> None:
        """Go on at an event; if that is not the next one, behind a loss that the journal tells of."""
        if seq == self.core.next_seq:
            return
        self.core.next_seq = seq
        self._expected.clear()
        adopt(self.venue, self.core)

    @property
    def pending(self) -> list[Event]:
        """Reports that the venue has made and the journal has not told of yet.

        At the journal's end these are missing: the next events must be they.
        """
        return list(self._expected)

    def expect(self, reports: Iterable[Event]) -> None:
        """Take reports that the venue has made and the journal will tell."""
        self._expected += reports

    def dump(self) -> bytes:
        """Return the venue's state, for a dump of the core."""
        return dump(self.venue, self._expected)

    def _run(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        if events:
            self.core.replay(first_seq, events)
            self._expected += self.venue.on_market(events, first_seq)

    def _cut(self, seq: int, event: AnyEvent) -> None:
        """Take an event that venue and core must meet at the same place."""
        if isinstance(event, DaemonStarted):
            self.venue.configure(read_recorded(event.settings))
        agreed = not isinstance(event, Report) or is_ours(event) or self.agrees(event)
        self.core.replay(seq, [event])
        if isinstance(event, SessionCalendarDefined):
            self.venue.on_market([event], seq)
        if not agreed:
            self.give_way(seq)

    def agrees(self, report: Report) -> bool:
        """Return whether the venue makes the same report here; call before the core takes it."""
        if not self._expected:
            self._expected += self._on_arrival(report)
        if self._expected and self._expected[0] == report:
            self._expected.popleft()
            return True
        return False

    def _on_arrival(self, report: Report) -> list[Event]:
        """Return what the venue reports when what the report answers arrives."""
        order = self.core.orders.get(report.order_id)
        arrived = None if order is None else _arrived(report, order)
        reports: list[Event] = []
        if arrived is not None:
            self.venue.take(arrived, self.core, Times(report.ts_ns, report.received_ns), reports)
        return reports

    def give_way(self, seq: int) -> None:
        """Take the orders as the core has them, once it took a report that the venue did not make."""
        if not self.disagreements:
            log.warning("seq %d: the paper venue's report is one of other rules; queues begin anew", seq)
        self.disagreements += 1
        self._expected.clear()
        adopt(self.venue, self.core)


def resume(core: Core) -> Follower:
    """Return what goes on where a core was written down, with the venue's state if that was too."""
    venue = PaperVenue()
    pending: list[Event] = []
    if core.venue_state:
        try:
            pending = load(venue, core.venue_state, core)
        except VenueDumpError as error:
            log.warning("the paper venue's queues begin anew: %s", error)
            adopt(venue, core)
    elif core.next_seq > 1:
        adopt(venue, core)
    return Follower(core, venue, pending)


def adopt(venue: PaperVenue, core: Core) -> None:
    """Let the venue have the orders that the core says it has, with unknown places in their queues."""
    venue.clear()
    for order in core.orders.working.values():
        if not order.venue_order_id:
            continue
        market = venue.wake(order.request.instrument_id, core)
        working = working_order(order)
        rests = working.limit is not None and not working.takes
        working.ahead = None if rests and venue.options.fill_model != "touch" else 0
        working.end_ns = end_ns(order.request, market.calendar, order.updated_ns)
        venue.put(working, market)


def _arrived(report: Report, order: Order) -> Event | None:
    match report:
        case OrderAccepted() | OrderRejected():
            return submission(order)
        case OrderCanceled():
            return cancellation(order)
        case OrderReplaced() | ReplaceRejected():
            return order.replacing
        case _:
            return None


def is_ours(report: AnyEvent) -> bool:
    """Return whether it tells what was held back here, so that no venue knows of it."""
    return isinstance(report, OrderCanceled | ReplaceRejected) and report.reason == WITHHELD
