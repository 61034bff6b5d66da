"""The pure core: takes numbered events, keeps the books, answers with decisions. No clock, no I/O.

An input moves the state, then the decisions it caused are numbered right behind it and move the
state in turn. `run` does both; `replay` takes inputs and recorded decisions alike and makes none.
Both go through the same loop and the same appliers, so a replayed core equals one that never
stopped. The core's "now" is the `ts_ns` of the input it answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any

from daemon.trading.answers import Answers
from daemon.trading.core_changes import CURRENCY_SETTING, TAKER_FEE_SETTING, Applier, CoreChanges
from daemon.trading.core_state import InstrumentError
from daemon.trading.skim import skim
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.codec import AnyEvent
from schemas.errors import TapedError
from schemas.events import (
    SUSPICIOUS,
    Event,
    Quote,
    Trade,
    is_decision,
)

__all__ = ["CURRENCY_SETTING", "TAKER_FEE_SETTING", "Core", "InstrumentError"]


class Core(CoreChanges):
    """State of trading after the events up to `next_seq - 1`.

    Args:
        journal_id: hex text of the journal's uuid; its start makes client order ids.
        next_seq: number of the next event.
        venue: where orders are submitted to.
        kinds: strategy classes by kind.

    The attributes are those of `CoreState`.
    """

    def __init__(
        self,
        journal_id: str,
        next_seq: int = 1,
        *,
        venue: str = "paper",
        kinds: Mapping[str, type[Strategy]] = STRATEGIES,
    ) -> None:
        super().__init__(journal_id, next_seq, venue=venue, kinds=kinds)
        self._pending = self.strategies.pending
        self._answers = Answers(self, self._pending)
        self._fault = self._answers.fault

    def run(self, inputs: Sequence[Event]) -> tuple[list[Event], list[tuple[int, Event]]]:
        """Take inputs; return them with the decisions right behind each, and what must be sent.

        The first returned event has the number `next_seq` had before the call. Effects are
        `OrderSubmitted`, `CancelRequested` and `ReplaceRequested` of working orders with their numbers;
        they may leave once all returned events are durable.
        """
        events = iter(inputs)
        merged: list[Event] = []
        done = 0
        while decisions := self.advance(events):
            taken = len(inputs) - length_hint(events)
            merged += inputs[done:taken]
            merged += decisions
            done = taken
        effects = self.take_effects()
        if not done:
            return (inputs if isinstance(inputs, list) else list(inputs)), effects
        merged += inputs[done:]
        return merged, effects

    def advance(self, inputs: Iterator[Event]) -> list[Event]:
        """Take inputs up to and with the first that causes decisions; return these, or none at the end.

        Args:
            inputs: iterator over a list or tuple, whose length hint is exact.
        """
        if self.unsettled:
            self.unsettled = False
            self._answers.settle()
        return self._consume(inputs, replaying=False)

    def advance_one(self, event: Event) -> list[Event]:
        """Take one input, as `advance` does; for reports and whatever else is neither trade nor quote."""
        applier = self._appliers.get(type(event))
        if applier is None or self.unsettled:
            return self.advance(iter((event,)))
        seq = self.next_seq
        self.next_seq = seq + 1
        self._take(seq, event, applier, replaying=False)
        return self._decide(event.ts_ns) if self._pending else []

    def advance_trades(self, trades: Sequence[Trade], start: int) -> tuple[int, list[Event]]:
        """Take trades from `start` on, up to and with the first that causes decisions.

        Args:
            trades: not empty, and plain: see `daemon.trading.skim`.
            start: place of the first to take.

        Returns:
            The place behind the last that was taken, and the decisions, which are none at the end.
        """
        while start < len(trades):
            stop = None if self.unsettled else skim(self, trades, start)
            if stop is None:
                events = iter(trades[start:])
                decisions = self.advance(events)
                return len(trades) - length_hint(events), decisions
            self.next_seq += stop - start
            start = stop
            if self._pending and (decisions := self._decide(trades[stop - 1].ts_ns)):
                return stop, decisions
        return start, []

    def take_effects(self) -> list[tuple[int, Event]]:
        """Return what must be sent since the last call."""
        effects = self._answers.effects
        self._answers.effects = []
        return effects

    def replay(self, first_seq: int, events: Sequence[AnyEvent]) -> None:
        """Take recorded inputs and decisions; strategies run, but what they ask for is dropped.

        Raises:
            ValueError: the events do not follow those taken before.
        """
        if first_seq != self.next_seq:
            raise ValueError(f"replay from {first_seq}, expected {self.next_seq}")
        self.unsettled = True
        self._consume(iter(events), replaying=True)

    def _consume(self, events: Iterator[Any], *, replaying: bool) -> list[Event]:  # noqa: C901, PLR0912
        # The hot loop: numbers are worked out from the iterator only where somebody needs them.
        # A trade nobody listens to costs 0.09 us, one for a moving-average cross 0.4 us.
        books, pending, strategies, applier_of = (
            self.books,
            self._pending,
            self.strategies,
            self._appliers.get,
        )
        end = self.next_seq + length_hint(events)
        for event in events:
            kind = type(event)
            if kind is Trade:
                book = books.get(event.instrument_id)
                # Most ticks have no flags at all, and asking that first costs nothing one can measure.
                if book is None or (event.conditions and event.conditions & SUSPICIOUS):
                    continue
                book.trade = event
                for on_trade, strategy_id in book.trade_hooks:
                    try:
                        on_trade(event)
                    except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
                        strategies.fail(strategy_id, error)
            elif kind is Quote:
                book = books.get(event.instrument_id)
                if book is None or (event.conditions and event.conditions & SUSPICIOUS):
                    continue
                if event.bid_price is not None:
                    book.bid = event
                if event.ask_price is not None:
                    book.ask = event
                for on_quote, strategy_id in book.quote_hooks:
                    try:
                        on_quote(event)
                    except Exception as error:  # noqa: BLE001  # A strategy may raise anything.
                        strategies.fail(strategy_id, error)
            else:
                applier = applier_of(kind)
                if applier is None:
                    continue
                self._take(end - length_hint(events) - 1, event, applier, replaying=replaying)
            if pending:
                if replaying:
                    pending.clear()
                else:
                    self.next_seq = end - length_hint(events)
                    decisions = self._decide(event.ts_ns)
                    if decisions:
                        return decisions
        self.next_seq = end
        return []

    def _take(self, seq: int, event: Event, applier: Applier, *, replaying: bool) -> None:
        if replaying:
            self.strategies.deaf = is_decision(event)
        try:
            counted = applier(seq, event)
        except TapedError as error:
            self._answers.fault(event, error)
        else:
            if not replaying and counted is not False:
                answer = self._answers.by_type.get(type(event))
                if answer is not None:
                    answer(seq, event)
        if replaying:
            self.strategies.deaf = False

    def _decide(self, now_ns: int) -> list[Event]:
        decisions: list[Event] = []
        pending, applier_of, answer_to = self._pending, self._appliers.get, self._answers.by_type.get
        self.strategies.deaf = True
        while pending:
            event = pending.popleft()(ts_ns=now_ns)
            if event is None:
                continue
            seq = self.next_seq
            self.next_seq = seq + 1
            decisions.append(event)
            applier = applier_of(type(event))
            if applier is not None:
                applier(seq, event)
                answer = answer_to(type(event))
                if answer is not None:
                    answer(seq, event)
        self.strategies.deaf = False
        return decisions
