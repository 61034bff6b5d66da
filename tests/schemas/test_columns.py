"""What went into columns comes out of them, to the bit."""

from __future__ import annotations

import random

import msgpack
import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import CODEC, UnknownEvent
from schemas.column_encoder import ColumnEncoder
from schemas.columns import (
    Column,
    ColumnError,
    Form,
    count_types,
    decode_column,
    decode_events,
    decode_rows,
    encode_rows,
)
from schemas.events import EVENT_TYPES, ClockTicked, Quote, SensorsRead, Side, Trade
from tests.schemas.conftest import of_record
from tools.independent_archive import rows_of

INT64 = st.integers(-(2**63), 2**63 - 1)
EVENTS = st.one_of([of_record(record) for record in EVENT_TYPES])


def there_and_back(events):
    data = ColumnEncoder().encode(events)
    assert decode_events(data) == events
    assert encode_rows(decode_rows(data)) == CODEC.encode(events)
    # Whoever shares no code with the encoder finds the same bytes.
    assert msgpack.Packer().pack_array_header(len(events)) + b"".join(rows_of(data)) == CODEC.encode(events)
    assert count_types(data) == CODEC.count_types(CODEC.encode(events))
    return data


def market(count, seed=1):
    chance = random.Random(seed)
    price, at = 6_000_000, 10**18
    for n in range(count):
        price += chance.randint(-50, 50)
        at += chance.randint(0, 40) * 10**6
        quote = chance.random() < 0.6
        if quote:
            yield Quote(
                ts_ns=at,
                received_ns=at + chance.randint(10**6, 10**7),
                instrument_id=chance.choice([1, 2]),
                bid_price=price if n % 7 else None,
                bid_quantity=chance.randint(1, 500),
                ask_price=price + 10 if n % 5 else None,
                ask_quantity=chance.randint(1, 500),
            )
        else:
            yield Trade(
                ts_ns=at,
                received_ns=at + chance.randint(10**6, 10**7),
                instrument_id=1,
                price=price,
                quantity=chance.randint(1, 500) * 1000,
                aggressor=chance.choice(list(Side)),
                trade_id=n if n % 3 else f"T{n}",
                exchange=chance.choice("PQZ"),
            )


@given(st.lists(EVENTS, max_size=30))
def test_any_events_come_back_as_they_were(events):
    there_and_back(events)


@given(
    st.sampled_from(EVENT_TYPES).flatmap(lambda record: st.lists(of_record(record), min_size=4, max_size=8))
)
def test_columns_of_any_type_come_back_as_they_were(events):
    there_and_back(events * 20)


@given(st.lists(st.tuples(INT64, INT64, INT64), min_size=50, max_size=70))
def test_numbers_of_64_bits_come_back_whatever_their_differences(rows):
    there_and_back([Trade(ts_ns=a, received_ns=b, instrument_id=1, price=c, quantity=a) for a, b, c in rows])


@given(st.lists(INT64, max_size=40))
def test_a_column_of_numbers_comes_back(numbers):
    column = ColumnEncoder().numbers("n", numbers)
    assert decode_column(column, len(numbers)) == numbers


def test_numbers_above_63_bits_come_back():
    there_and_back(
        [Trade(ts_ns=2**64 - 1 - n, received_ns=n, instrument_id=1, price=n, quantity=1) for n in range(100)]
    )


def test_a_market_of_mixed_ticks_comes_back_and_is_small():
    events = list(market(20_000))
    data = there_and_back(events)
    assert len(data) < 0.8 * len(zstandard.ZstdCompressor(level=19).compress(CODEC.encode(events)))


def test_one_encoder_writes_batches_that_do_not_resemble_each_other():
    encoder = ColumnEncoder()
    for seed in range(6):
        events = list(market(400, seed))
        odd = [
            Trade(ts_ns=(-1) ** n * 2**62, received_ns=n, instrument_id=1, price=-n, quantity=2**63 - 1 - n)
            for n in range(100)
        ]
        for batch in (events, odd, events[:3], []):
            assert decode_events(encoder.encode(batch)) == batch


def test_unknown_events_keep_their_bytes():
    odd = UnknownEvent([99, 1, 7], b"\x94\x63\x01\xcd\x00\x07\xc0")
    events = [*market(100), odd, *market(100, 2), UnknownEvent([2, 9, 5, "newer"])]
    data = there_and_back(events)
    assert odd.raw in encode_rows(decode_rows(data))


def test_bools_numbers_and_equal_looking_values_keep_their_types():
    readings = [{"a": 1.0, "b": 1, "c": None}, {"a": 1, "b": 1.0}, {"a": -0.0}, {"a": 0}] * 30
    there_and_back([SensorsRead(ts_ns=n, readings=values) for n, values in enumerate(readings)])
    there_and_back([ClockTicked(ts_ns=n, synchronized=n % 3 == 0) for n in range(200)])


def test_rows_of_a_newer_layout_are_kept_as_unknown():
    events = list(market(300))
    batch = msgspec.msgpack.decode(ColumnEncoder().encode(events))
    trades = next(group for group in batch[1] if group[0] == 2)
    trades[2][0][1] = msgspec.msgpack.encode(2)
    found = decode_events(msgspec.msgpack.encode(batch))
    assert [type(event) for event in found] == [
        UnknownEvent if isinstance(event, Trade) else Quote for event in events
    ]
    assert {event.version for event in found} == {1, 2}


def test_bytes_that_are_no_columns_are_refused_and_take_no_memory():
    whole = ColumnEncoder().encode(list(market(500)))
    chance = random.Random(5)
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            decode_events(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
        except ColumnError:
            continue
    with pytest.raises(ColumnError):
        decode_events(b"")


def test_data_that_would_inflate_beyond_what_they_say_are_refused():
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 24))
    with pytest.raises(ColumnError):
        decode_column(Column(form=Form.NUMBERS, data=bomb, raw_bytes=8, width=8), 1)
