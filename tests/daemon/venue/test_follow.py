"""The paper venue after a restart is the one that was killed, whatever the moment."""

from __future__ import annotations

import logging
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.dump import dump as dump_core
from daemon.trading.dump import load as load_core
from daemon.venue.paper import PaperVenue, VenueOptions
from daemon.venue.paper.dump import VenueDumpError, dump, load, state
from daemon.venue.paper.follow import Follower, resume
from schemas.codec import CODEC
from schemas.events import (
    SUSPICIOUS,
    CancelRequested,
    ClockTicked,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    OrderType,
    ReplaceRequested,
    SessionCalendarDefined,
    TimeInForce,
)
from tests.daemon.venue.tape import (
    BUY,
    JOURNAL,
    SELL,
    Tape,
    cancel,
    command,
    deposit,
    fills,
    hours,
    instrument,
    order,
    quote,
    replace,
    started,
    trade,
)


def followed(merged, *, cuts=()):
    """Return core, venue and missing reports after a journal that was read in pieces."""
    core, venue = Core(JOURNAL), PaperVenue()
    follower = Follower(core, venue)
    events = CODEC.decode(CODEC.encode(merged))
    places = sorted({0, len(events), *(cut % (len(events) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        follower.follow(start + 1, events[start:end])
    return core, venue, follower.pending


def a_tape(options=None, **fields):
    return Tape(options, **fields).start(instrument(1), instrument(2), deposit())


def test_what_our_orders_took_of_the_standing_quote_is_remembered():
    tape = a_tape()
    tape.take(quote(99, 101, 5, 6))
    assert fills(tape.take(order(BUY, 4))) == [(101, 4, 2)]
    core, venue, missing = followed(tape.merged)
    assert not missing
    again = Tape(core=core, venue=venue).start()
    assert fills(again.take(order(BUY, 4))) == [(101, 2, 2)]


def test_the_place_in_the_queue_is_remembered():
    tape = a_tape()
    tape.take(quote(99, 101, 10, 10))
    tape.take(order(BUY, 5, 99))
    tape.take(trade(99, 8))
    core, venue, _ = followed(tape.merged)
    again = Tape(core=core, venue=venue).start()
    assert fills(again.take(trade(99, 2))) == []
    assert fills(again.take(trade(99, 2))) == [(99, 2, 1)]


def test_reports_that_the_journal_lost_are_told_again():
    tape = a_tape()
    tape.take(quote(99, 101, 5, 6))
    tape.take(order(BUY, 5, 98))
    tape.take(trade(97, 3))
    assert type(tape.merged[-1]) is OrderFilled
    _, venue, missing = followed(tape.merged[:-1])
    assert missing == tape.merged[-1:]
    assert state(venue) == state(tape.venue)


def test_an_order_that_never_arrived_arrives_after_the_restart():
    tape = a_tape(lazy=True)
    tape.take(quote(99, 101))
    tape.take(order(BUY, 5))
    core, venue, _ = followed(tape.merged)
    again = Tape(core=core, venue=venue).start()
    assert [type(event) for event in again.merged[1:]] == [OrderAccepted, OrderFilled]


def test_a_cancel_that_never_arrived_arrives_after_the_restart():
    tape = a_tape()
    tape.take(quote(99, 101))
    tape.take(order(BUY, 5, 90))
    tape.lazy = True
    tape.take(cancel(order_id=next(iter(tape.core.orders))))
    core, venue, _ = followed(tape.merged)
    again = Tape(core=core, venue=venue).start()
    assert [type(event) for event in again.merged[1:]] == [OrderCanceled]
    assert venue.idle


def test_the_options_are_those_that_the_journal_tells_of():
    options = VenueOptions(
        maker_fee_ppm=-3, taker_fee_ppm=7, slippage="ticks", slippage_amount=2, latency_us=5
    )
    tape = Tape(options).start(instrument(1))
    _, venue, _ = followed(tape.merged)
    assert venue.options == options


def test_a_journal_of_other_rules_wins_and_is_told_of_once(caplog):
    tape = a_tape()
    tape.take(quote(99, 101, 5, 6))
    tape.take(order(BUY, 10))
    tape.take(order(BUY, 10, 90))
    merged = list(tape.merged)
    number = next(n for n, event in enumerate(merged) if isinstance(event, OrderFilled))
    fill = merged[number]
    merged[number] = msgspec.structs.replace(fill, quantity=2)
    with caplog.at_level(logging.WARNING):
        core, venue, missing = followed(merged)
    assert not missing
    assert len(caplog.records) == 1
    remaining = [working.remaining for working in venue.matching.working.values()]
    assert remaining == [order.remaining for order in core.orders.working.values()] == [8, 10]


def test_an_order_that_was_held_back_is_no_report_of_the_venue(caplog):
    tape = a_tape(lazy=True)
    tape.take(quote(99, 101))
    tape.take(order(BUY, 5))
    tape.take(command("trading.halt", reason="x"))
    tape.flush()
    assert type(tape.merged[-1]) is OrderCanceled
    with caplog.at_level(logging.WARNING):
        _, venue, missing = followed(tape.merged)
    assert not missing
    assert not caplog.records
    assert venue.idle


prices = st.integers(95, 105)
some = st.none() | st.integers(1, 12)
times = st.sampled_from([0, 0, 0, 1, 300, 1_000, 40_000, 10**9])


@st.composite
def an_order(draw, number):
    side, price = draw(st.sampled_from([BUY, SELL])), draw(prices)
    fields = {"instrument_id": number, "reduce_only": draw(st.integers(0, 9)) == 7}
    if draw(st.booleans()):
        forces = [TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]
        fields["time_in_force"] = draw(st.sampled_from(forces))
        return order(side, draw(st.integers(1, 20)), draw(st.none() | prices), **fields)
    fields["time_in_force"] = draw(st.sampled_from([TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD]))
    match draw(st.integers(0, 3)):
        case 0:
            fields |= {"order_type": OrderType.STOP, "stop_price": price}
        case 1:
            fields |= {"order_type": OrderType.STOP_LIMIT, "stop_price": price, "price": draw(prices)}
        case 2:
            stop = draw(st.none() | prices)
            fields |= {"order_type": OrderType.TRAILING_STOP, "trail_amount": 2, "stop_price": stop}
        case _:
            fields |= {"order_type": OrderType.TRAILING_STOP, "trail_ppm": 30_000}
    return order(side, draw(st.integers(1, 20)), **fields)


@st.composite
def a_quote(draw, number):
    bid = draw(prices)
    ask = bid + draw(st.integers(0, 3))
    sides = draw(st.sampled_from([(bid, ask), (bid, None), (None, ask)]))
    return quote(*sides, draw(some), draw(some), instrument_id=number)


@st.composite
def a_resting_order(draw, number):
    """Return a plain limit order that is likely to stand in a queue."""
    side = draw(st.sampled_from([BUY, SELL]))
    return order(side, draw(st.integers(1, 20)), 100 - side * draw(st.integers(0, 4)), instrument_id=number)


@st.composite
def a_step(draw):
    number = draw(st.integers(1, 2))
    match draw(st.integers(0, 12)):
        case 0 | 1 | 2:
            return trade(draw(prices), draw(st.integers(0, 9)), instrument_id=number)
        case 3 | 4 | 5:
            return draw(a_quote(number))
        case 6 | 7 | 11 | 12:
            return draw(an_order(number) | a_resting_order(number))
        case 8:
            return cancel(draw(st.integers(0, 60)))
        case 9:
            terms = {"quantity": draw(st.none() | st.integers(1, 20)), "price": draw(st.none() | prices)}
            return replace(draw(st.integers(0, 60)), **terms, stop_price=draw(st.none() | prices))
        case _:
            doubted = trade(draw(prices), 3, instrument_id=number, conditions=SUSPICIOUS)
            calendar = hours(0, draw(st.integers(1, 86_400)))
            return draw(st.sampled_from([doubted, calendar, ClockTicked(ts_ns=0, synchronized=True)]))


options_ = st.builds(
    VenueOptions,
    maker_fee_ppm=st.sampled_from([0, -50]),
    latency_us=st.sampled_from([0, 0, 1]),
    latency_spread_us=st.sampled_from([0, 0, 50]),
    latency_shape=st.sampled_from(["uniform", "exponential"]),
    slippage=st.sampled_from(["none", "ticks", "ppm", "proportional"]),
    slippage_amount=st.sampled_from([1, 30_000]),
    fill_model=st.sampled_from(["queue", "queue", "touch", "through"]),
    check_funds=st.booleans(),
)


@st.composite
def lives(draw):
    """Return a tape that was driven by random batches, with the disk behind by random times."""
    tape = Tape(draw(options_), lazy=True).start(instrument(1), instrument(2), deposit("400"))
    # A market with a queue on both sides, and orders that stand in it.
    tape.take(quote(98, 102, 9, 9), quote(98, 102, 9, 9, instrument_id=2))
    tape.take(*draw(st.lists(a_resting_order(1), min_size=1, max_size=3)))
    tape.flush()
    now = 5
    for _ in range(draw(st.integers(1, 12))):
        batch = []
        for event in draw(st.lists(a_step(), min_size=1, max_size=6)):
            now += draw(times)
            if isinstance(event, SessionCalendarDefined):
                # The daemon gives calendars by themselves: the core runs ahead of the venue within a batch.
                tape.take(*batch)
                tape.take(at_time(event, now))
                batch = []
            else:
                batch.append(_aimed(at_time(event, now), tape.core))
        tape.take(*batch)
        if draw(st.integers(0, 2)):
            tape.flush()
    return tape


def _aimed(event, core):
    """Let a cancel or a replace be of an order that works, if any does."""
    working = list(core.orders.working)
    if not working or type(event) not in (CancelRequested, ReplaceRequested):
        return event
    return msgspec.structs.replace(event, order_id=working[event.order_id % len(working)])


def at_time(event, ts_ns):
    changed = {"ts_ns": ts_ns}
    if getattr(event, "time_in_force", None) is TimeInForce.GTD:
        changed["expire_ns"] = ts_ns + 50_000
    if hasattr(event, "received_ns"):
        changed["received_ns"] = ts_ns + 1
    return msgspec.structs.replace(event, **changed)


@given(tape=lives(), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_a_venue_that_follows_the_journal_equals_the_one_that_made_it(tape, cuts):
    core, venue, missing = followed(tape.merged, cuts=cuts)
    assert not missing
    assert core.state() == tape.core.state()
    assert state(venue) == state(tape.venue)


@given(tape=lives(), end=st.integers(0, 500), more=st.lists(a_step(), max_size=8))
def test_a_journal_cut_anywhere_goes_on_as_an_uninterrupted_one_would(tape, end, more):
    core, venue, missing = followed(tape.merged[: end % (len(tape.merged) + 1)])
    again = Tape(tape.options, core=core, venue=venue)
    again.merged = tape.merged[: core.next_seq - 1]
    again._submit(missing)
    again.start(instrument(1), instrument(2))
    for event in more:
        again.take(at_time(event, 10**11))
    final_core, final_venue, final_missing = followed(again.merged)
    assert not final_missing
    assert final_core.state() == again.core.state()
    assert state(final_venue) == state(again.venue)
    arrived = [e.order_id for e in again.merged if type(e) in (OrderAccepted, OrderRejected)]
    assert len(arrived) == len(set(arrived)), "an order arrived twice"


@given(tape=lives(), end=st.integers(0, 500))
def test_a_dump_amid_a_journal_goes_on_as_the_venue_would(tape, end):
    end %= len(tape.merged) + 1
    core, venue = Core(JOURNAL), PaperVenue()
    before = Follower(core, venue)
    before.follow(1, tape.merged[:end])
    parts = list(dump_core(core, before.dump()).parts())
    after = resume(load_core(JOURNAL, parts))
    assert after.dump() == before.dump()
    after.follow(end + 1, tape.merged[end:])
    assert after.pending == []
    assert state(after.venue) == state(tape.venue)


def test_a_core_without_its_venue_begins_the_queues_anew(caplog):
    tape = a_tape()
    tape.take(quote(99, 101, 10, 10))
    tape.take(order(BUY, 5, 99))
    for venue_state, told in ((b"", 0), (b"?", 1)):
        caplog.clear()
        core = load_core(JOURNAL, dump_core(tape.core, venue_state).parts())
        (working,) = resume(core).venue.matching.working.values()
        assert (working.remaining, working.ahead) == (5, None)
        assert len(caplog.records) == told


def test_a_dump_holds_queues_trails_times_and_what_was_taken():
    tape = a_tape()
    tape.take(quote(98, 102, 9, 9), trade(100, 1))
    tape.take(order(BUY, 5, 98, time_in_force=TimeInForce.DAY))
    tape.take(order(SELL, 5, order_type=OrderType.TRAILING_STOP, trail_amount=3))
    tape.take(trade(101, 1), order(BUY, 4))
    venue = PaperVenue()
    load(venue, dump(tape.venue), tape.core)
    limit, trailing = venue.matching.working.values()
    assert (limit.ahead, limit.end_ns, trailing.reference) == (9, 86_400 * 10**9, 101)
    assert venue.markets[1].left(BUY) == 5
    assert venue.markets[1].position == 4


@given(tape=lives())
def test_a_venue_that_was_dumped_and_loaded_is_the_same_and_goes_on_the_same(tape):
    venue = PaperVenue()
    load(venue, dump(tape.venue), tape.core)
    assert state(venue) == state(tape.venue)
    assert dump(venue) == dump(tape.venue)
    ticks = [trade(97, 9), quote(96, 98, 3, 3), trade(103, 9), quote(102, 104, 3, 3), trade(100, 50)]
    assert venue.on_market(ticks, 10**6) == tape.venue.on_market(ticks, 10**6)


@pytest.mark.parametrize("plain", [b"", b"\xc1", b"\x90", b"\x81\xa7markets\x91\x81\xadinstrument_id\x63"])
def test_what_is_no_dump_is_refused(plain):
    with pytest.raises(VenueDumpError):
        load(PaperVenue(), plain, Core(JOURNAL))


def test_a_loss_that_the_journal_tells_of_begins_the_queues_anew():
    tape = a_tape()
    tape.take(quote(99, 101, 10, 10))
    tape.take(order(BUY, 5, 99))
    core, venue = Core(JOURNAL), PaperVenue()
    follower = Follower(core, venue)
    follower.follow(1, tape.merged)
    follower.skip_to(1_000)
    follower.follow(1_000, [started(VenueOptions()), trade(98, 9)])
    assert core.next_seq == 1_002
    assert fills(follower.pending) == [(99, 5, 1)]
