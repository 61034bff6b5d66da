"""The codec: what goes in comes out, what it does not know it keeps, and garbage is refused."""

from __future__ import annotations

from typing import Literal

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import CODEC, Codec, CodecError, UnknownEvent
from schemas.events import EVENT_TYPES, CancelRequested, ClockTicked, Event, Side, Trade, is_decision

TRADE = Trade(ts_ns=1, received_ns=2, instrument_id=3, price=4, quantity=5, aggressor=Side.BUY)
INT64 = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | INT64
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
# Garbage is cheap to try; the search profile tries more.
FUZZED = max(300, settings.default.max_examples)
KNOWN_IDS = frozenset(record.__struct_config__.tag for record in EVENT_TYPES)


class ReadingV2(Event, frozen=True, kw_only=True, tag=100):
    """A test event in its second layout: the first had whole degrees and no sensor name."""

    version: Literal[2] = 2
    millidegrees: int
    sensor: str


def lift_reading(row):
    type_id, _, ts_ns, degrees = row
    return [type_id, 2, ts_ns, degrees * 1000, "cpu"]


LIFTING = Codec([*EVENT_TYPES, ReadingV2], {(100, 1): lift_reading})


@pytest.mark.parametrize("record", EVENT_TYPES, ids=lambda record: record.__name__)
def test_every_event_comes_back_as_it_was_written(record, events_of):
    @given(st.lists(events_of(record), max_size=5))
    def check(events):
        body = CODEC.encode(events)
        assert CODEC.decode(body) == events
        assert CODEC.encode(CODEC.decode(body)) == body

    check()


def test_both_readers_agree_on_any_batch(any_event):
    @given(st.lists(any_event, max_size=8))
    def check(events):
        rows = msgpack.unpackb(CODEC.encode(events), strict_map_key=False)
        assert rows == [list(msgspec.to_builtins(event)) for event in events]
        assert msgpack.packb(rows) == CODEC.encode(events)

    check()


def test_the_slow_path_reads_what_the_fast_one_reads(any_event):
    unknown = UnknownEvent([9999, 1, 0])

    @given(st.lists(any_event, max_size=8))
    def check(events):
        *found, last = CODEC.decode(CODEC.encode([*events, unknown]))
        assert (found, last) == (events, unknown)

    check()


@given(
    st.integers(0, 2**31).filter(lambda type_id: type_id not in KNOWN_IDS),
    INT64,
    INT64,
    st.lists(VALUES, max_size=5),
)
def test_an_unknown_type_is_kept_byte_for_byte(type_id, version, ts_ns, rest):
    body = msgpack.packb([[type_id, version, ts_ns, *rest], msgspec.to_builtins(TRADE)])
    unknown, trade = CODEC.decode(body)
    assert isinstance(unknown, UnknownEvent)
    assert (unknown.type_id, unknown.version, unknown.ts_ns) == (type_id, version, ts_ns)
    assert trade == TRADE
    assert CODEC.encode([unknown, trade]) == body


@pytest.mark.parametrize("extra", [[], ["one more"], [1, {"a": None}]])
def test_a_newer_version_is_kept_and_never_read_as_this_one(extra):
    row = list(msgspec.to_builtins(TRADE))
    row[1] = 2
    body = msgpack.packb([row + extra])
    (kept,) = CODEC.decode(body)
    assert isinstance(kept, UnknownEvent)
    assert (kept.type_id, kept.version, kept.ts_ns) == (2, 2, 1)
    assert CODEC.encode([kept]) == body


def test_known_events_beside_a_newer_one_are_still_read():
    row = list(msgspec.to_builtins(TRADE))
    body = msgpack.packb([row, [2, 7, 1, "all", "else"], row])
    assert [type(event) for event in CODEC.decode(body)] == [Trade, UnknownEvent, Trade]


def test_an_old_version_is_lifted_to_the_new_one():
    body = msgpack.packb([[100, 1, 5, 61], msgspec.to_builtins(TRADE)])
    assert LIFTING.decode(body) == [ReadingV2(ts_ns=5, millidegrees=61_000, sensor="cpu"), TRADE]


def test_a_lifted_event_is_written_in_the_new_layout():
    events = LIFTING.decode(msgpack.packb([[100, 1, 5, 61]]))
    assert msgpack.unpackb(LIFTING.encode(events)) == [[100, 2, 5, 61_000, "cpu"]]


@pytest.mark.parametrize(
    "row",
    [
        [2, 1, 1],
        [2, 1, 1, 2, 3, "text for a price", 5],
        [2, 0, 1, 2, 3, 4, 5],
        [2, 1, 1, 2, 3, 4, 5, 7],
        [2],
        [2, 1, None],
        [True, 1, 1],
        [2, 1.0, 1],
        [[2], 1, 1],
        {},
        "text",
        None,
    ],
    ids=repr,
)
def test_an_event_of_a_wrong_shape_is_refused(row):
    with pytest.raises(CodecError):
        CODEC.decode(msgpack.packb([row]))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(b"\x91\x93\x02\x01")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 2000)
@example(b"\x91\x82\x01")
@example(b"\xa3abc")
@settings(max_examples=FUZZED)
def test_garbage_is_an_error_of_the_codec_and_nothing_else(body):
    try:
        events = CODEC.decode(body)
    except CodecError:
        return
    assert all(isinstance(event, (Event, UnknownEvent)) for event in events)


def test_a_list_as_a_map_key_is_an_error_of_the_codec():
    with pytest.raises(CodecError):
        CODEC.decode(b"\x91\x84\x90\x01\x02\x03\x04\x05\x06\x07")


def test_a_damaged_batch_never_raises_anything_but_codec_error(any_event):
    @given(st.lists(any_event, min_size=1, max_size=4), st.data())
    @settings(max_examples=FUZZED)
    def check(events, data):
        body = bytearray(CODEC.encode(events))
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(body)))
        for damaged in (body, body[:end]):
            try:
                CODEC.decode(bytes(damaged))
            except CodecError:
                continue

    check()


def test_a_batch_is_read_from_a_view_without_a_copy():
    assert CODEC.decode(memoryview(CODEC.encode([TRADE]))) == [TRADE]


@pytest.mark.parametrize(
    "event",
    [
        msgspec.structs.replace(TRADE, price=2**64),
        msgspec.structs.replace(TRADE, exchange="\ud800"),
    ],
    ids=["integer", "text"],
)
def test_what_cannot_be_written_is_an_error_of_the_codec(event):
    with pytest.raises(CodecError):
        CODEC.encode([event])


def test_type_ids_are_unique_and_in_their_group():
    ids = [record.__struct_config__.tag for record in EVENT_TYPES]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
    assert 0 < ids[0] <= ids[-1] < 80


def test_events_cannot_be_changed():
    with pytest.raises(AttributeError):
        TRADE.price = 1


def test_the_clock_is_an_input_and_no_decision():
    assert not is_decision(ClockTicked(ts_ns=1, synchronized=True))


@pytest.mark.parametrize(
    ("source", "decided"),
    [("operator:anna", False), ("strategy:s", True), ("core:kill", True), ("", False)],
)
def test_a_request_is_a_decision_when_a_strategy_or_the_core_is_its_source(source, decided):
    cancel = CancelRequested(ts_ns=1, order_id=1, source=source, strategy_id="s")
    assert is_decision(cancel) is decided


@pytest.mark.parametrize(
    "odd",
    [
        b"\xca\x3f\x80\x00\x00",  # a float of 32 bits
        b"\xd4\x05\x07",  # an extension
        b"\xd6\xff\x00\x00\x00\x01",  # a timestamp
        b"\x81\x91\x01\x02",  # a map whose key is an array
        b"\xcd\x00\x01",  # an integer in more bytes than it needs
        b"\xd9\x01a",  # a text in more bytes than it needs
    ],
)
def test_an_unknown_event_is_kept_byte_for_byte_whatever_it_holds(odd):
    event = b"\x94\xcd\x27\x0f\x01\x00" + odd
    body = b"\x92" + event + event
    assert CODEC.encode(CODEC.decode(body)) == body


def test_types_are_counted_without_reading_the_events():
    body = CODEC.encode([UnknownEvent([77, 1, 0, "x"]), UnknownEvent([77, 1, 1]), UnknownEvent([3000, 1, 0])])
    assert CODEC.count_types(body) == {77: 2, 3000: 1}
    for damaged in (b"", b"\x01", body[:-1], b"\x91\x90"):
        with pytest.raises(CodecError):
            CODEC.count_types(damaged)
