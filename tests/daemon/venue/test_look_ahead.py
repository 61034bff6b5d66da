"""No order sees the future, and none sees what was before it arrived."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from daemon.venue.paper import VenueOptions
from daemon.venue.paper.options import FILL_MODELS
from schemas.events import (
    OrderAccepted,
    OrderFilled,
    OrderRequested,
    OrderTriggered,
    Quote,
    Trade,
)
from tests.daemon.venue.tape import Tape, deposit, instrument, kinds, quote, trade
from tests.daemon.venue.test_follow import a_step, an_order, at_time

options_ = st.builds(
    VenueOptions,
    latency_us=st.sampled_from([0, 1, 30]),
    latency_spread_us=st.sampled_from([0, 20]),
    latency_shape=st.sampled_from(["uniform", "exponential"]),
    slippage=st.sampled_from(["none", "proportional"]),
    slippage_amount=st.just(30_000),
    fill_model=st.sampled_from(FILL_MODELS),
)


@st.composite
def tapes(draw):
    """Return options and steps with rising times."""
    now, steps = 1_000, []
    for step in draw(st.lists(a_step(), max_size=30)):
        now += draw(st.sampled_from([0, 1, 500, 20_000, 90_000]))
        steps.append(at_time(step, now))
    return draw(options_), steps


def reports_of(options, steps):
    """Return what came of the steps, as one list for each step."""
    tape = Tape(options).start(instrument(1), instrument(2), deposit())
    return tape, [tape.take(step) for step in steps]


@given(tape=tapes(), cut=st.integers(0, 30), other=tapes())
def test_what_comes_later_changes_nothing_of_what_was_reported_before(tape, cut, other):
    options, steps = tape
    _, whole = reports_of(options, steps)
    _, changed = reports_of(options, [*steps[:cut], *other[1]])
    assert changed[: min(cut, len(steps))] == whole[:cut]


@given(tape=tapes())
def test_no_order_is_accepted_filled_or_triggered_before_it_arrived(tape):
    options, steps = tape
    made, _ = reports_of(options, steps)
    sent: dict[int, int] = {}
    accepted: dict[int, int] = {}
    for seq, event in enumerate(made.merged, 1):
        if isinstance(event, OrderRequested):
            sent[seq] = event.ts_ns
        elif isinstance(event, OrderAccepted):
            assert event.ts_ns >= sent[event.order_id] + options.latency_us * 1_000
            accepted[event.order_id] = event.ts_ns
        elif isinstance(event, OrderFilled | OrderTriggered):
            assert event.ts_ns >= accepted[event.order_id]


@given(tape=tapes())
def test_an_order_arrives_before_the_first_event_that_is_not_earlier_and_meets_what_stood_then(tape):
    options, steps = tape
    made, _ = reports_of(options, steps)
    latest = 0
    ticks = (Trade, Quote)
    for event in made.merged:
        if isinstance(event, OrderAccepted):
            assert latest <= event.ts_ns or not options.latency_us
        elif isinstance(event, ticks):
            latest = event.ts_ns


ticks = st.one_of(
    st.builds(trade, st.integers(95, 105), st.integers(1, 9)),
    st.builds(quote, st.integers(95, 100), st.integers(100, 105), st.integers(1, 9), st.integers(1, 9)),
)


@given(
    before=st.lists(ticks, min_size=1, max_size=12),
    wanted=an_order(1),
    after=st.lists(ticks, max_size=12),
    latency_us=st.sampled_from([0, 15, 100]),
)
def test_of_what_was_before_its_arrival_an_order_knows_the_standing_quote_and_the_last_trade(
    before, wanted, after, latency_us
):
    steps = [at_time(step, n * 10_000) for n, step in enumerate([*before, wanted, *after], 1)]
    options = VenueOptions(latency_us=latency_us)
    whole, shown = reports_of(options, steps)
    arrival = next((at for at, reports in enumerate(shown) if OrderAccepted in kinds(reports)), None)
    if arrival is None:
        return
    # The risk rules look at the last prices when it is asked for.
    needed = [*_last(steps[: len(before)]), *_last(steps[len(before) : arrival])]
    asked = [step for step in steps[:arrival] if isinstance(step, OrderRequested)]
    fewer, _ = reports_of(options, sorted([*needed, *asked], key=_time) + steps[arrival:])
    assert _outcome(fewer) == _outcome(whole)


def _last(steps):
    """Return the last trade and the last quote."""
    return {type(step): step for step in steps if isinstance(step, Trade | Quote)}.values()


def _time(step):
    return step.ts_ns


def _outcome(tape):
    """Return what became of orders, without the numbers that depend on how many events there were."""
    return [
        msgspec.structs.replace(event, order_id=0, venue_trade_id="")
        if isinstance(event, OrderFilled)
        else (type(event), event.ts_ns)
        for event in tape.merged
        if hasattr(event, "received_ns") and not isinstance(event, Trade | Quote)
    ]
