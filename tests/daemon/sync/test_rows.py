"""Each event becomes one row of one table."""

from __future__ import annotations

import struct

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.sync.copy_format import NULL, encode_row, text_field, timestamp_field
from daemon.sync.rows import ORDER_RECORDS, RowMaker, Scales
from daemon.sync.tables import (
    BARS_RECEIVED,
    CLOCK_TICKS,
    EVENTS,
    FILLS,
    INSTRUMENTS,
    ORDER_EVENTS,
    QUOTES,
    SENSORS,
    TABLES,
    TRADES,
)
from schemas.codec import UnknownEvent
from schemas.events import (
    EVENT_TYPES,
    Bar,
    ClockTicked,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
    OrderType,
    Quote,
    SensorsRead,
    Side,
    Trade,
)
from tests.daemon.sync.conftest import fetch, instrument, trades
from tests.schemas.conftest import of_record

HOMES = {
    Trade: TRADES,
    Quote: QUOTES,
    Bar: BARS_RECEIVED,
    OrderFilled: FILLS,
    SensorsRead: SENSORS,
    ClockTicked: CLOCK_TICKS,
    **dict.fromkeys(ORDER_RECORDS, ORDER_EVENTS),
}


def maker() -> RowMaker:
    made = RowMaker()
    made.define(1, instrument(1))
    return made


def fields(row: bytes) -> list[bytes | None]:
    """Take a row of the COPY format apart."""
    (count,), at, found = struct.unpack_from(">h", row), 2, []
    for _ in range(count):
        (length,) = struct.unpack_from(">i", row, at)
        at += 4
        found.append(None if length < 0 else row[at : at + length])
        at += max(0, length)
    assert at == len(row)
    return found


@pytest.mark.parametrize("record", EVENT_TYPES)
def test_every_event_becomes_one_row_of_its_table_or_of_events(record):
    @given(of_record(record))
    def check(event):
        table, row = maker().encode(7, event)
        found = fields(row)
        assert table in (HOMES.get(record, EVENTS), EVENTS)
        assert len(found) == len(table.columns)
        assert found[0] == (7).to_bytes(8, "big")

    check()


@given(st.lists(of_record(Trade), min_size=1), st.integers(1, 2**62))
def test_trades_together_are_the_rows_they_are_alone(events, first_seq):
    made = maker()
    numbered = list(enumerate(events, first_seq))
    alone = [made.encode(seq, event) for seq, event in numbered]
    if all(table == TRADES for table, _ in alone):
        assert made.trades(numbered) == b"".join(row for _, row in alone)
    else:
        with pytest.raises((struct.error, OverflowError)):
            made.trades(numbered)


@given(st.lists(of_record(Quote), min_size=1), st.integers(1, 2**62))
def test_quotes_together_are_the_rows_they_are_alone(events, first_seq):
    made = maker()
    numbered = list(enumerate(events, first_seq))
    alone = [made.encode(seq, event) for seq, event in numbered]
    if all(table == QUOTES for table, _ in alone):
        assert made.quotes(numbered) == b"".join(row for _, row in alone)
    else:
        with pytest.raises((struct.error, OverflowError)):
            made.quotes(numbered)


def test_a_number_beyond_its_column_sends_the_event_to_events_with_all_of_it_in_the_body():
    event = trades(1, 1)[0].__class__(
        ts_ns=2**63, received_ns=5, instrument_id=1, price=2**64 - 1, quantity=1, aggressor=Side.SELL
    )
    table, values = maker().row(9, event)
    with pytest.raises(struct.error):
        encode_row(table.kinds, values)
    table, row = maker().encode(9, event)
    assert table == EVENTS
    body = fields(row)[-1]
    assert b'"price":18446744073709551615' in body
    assert b'"ts_ns":9223372036854775808' in body


def test_an_unknown_event_is_told_as_the_array_it_is():
    table, values = maker().row(3, UnknownEvent([99, 1, 10**18, "more", 1.5]))
    assert table == EVENTS
    assert values[3:] == (99, None, "Unknown", '[99,1,1000000000000000000,"more",1.5]')


def test_an_unknown_event_that_json_cannot_hold_is_told_in_its_own_bytes():
    raw = msgpack.packb([99, 1, 10**18, {(1, 2): msgpack.ExtType(5, b"x")}])
    body = maker().row(3, UnknownEvent([99, 1, 10**18, {(1, 2): object()}], raw))[1][-1]
    assert body == f'{{"msgpack":"{raw.hex()}"}}'


def test_scales_stand_beside_prices_once_the_instrument_is_defined():
    made, event = RowMaker(), trades(1, 1)[0]
    assert dict(zip(TRADES.columns, made.row(1, event)[1], strict=True))["price_scale"] is None
    made.define(1, instrument(1, price_scale=3))
    values = dict(zip(TRADES.columns, made.row(1, event)[1], strict=True))
    assert (values["price_scale"], values["quantity_scale"]) == (3, 8)
    assert RowMaker({1: Scales(3, 8)}).trades([(1, event)]) == made.trades([(1, event)])


def test_an_orders_id_is_the_number_of_its_request():
    event = OrderRequested(
        ts_ns=1, instrument_id=1, side=Side.BUY, order_type=OrderType.MARKET, quantity=5, source="operator:me"
    )
    values = dict(zip(ORDER_EVENTS.columns, maker().row(77, event)[1], strict=True))
    assert (values["order_id"], values["type_id"], values["quantity"]) == (77, 20, 5)


def test_the_character_zero_is_told_by_its_picture():
    event = OperatorCommand(ts_ns=1, who="a\0b", role="admin", command="x", arguments={"k\0": ["\0", 1]})
    body = maker().row(1, event)[1][-1]
    assert "\\u0000" not in body
    assert body.count("\u2400") == 3
    assert text_field("a\0") == b"\0\0\0\4a\xe2\x90\x80"


def test_backslashes_before_u0000_are_no_character_zero():
    event = OperatorCommand(ts_ns=1, who="\\u0000", role="admin", command="x")
    assert '"who":"\\\\u0000"' in maker().row(1, event)[1][-1]


@pytest.mark.parametrize(("ts_ns", "microseconds"), [(0, 0), (1999, 1), (-1, -1), (-1000, -1), (-1001, -2)])
def test_times_are_rounded_down_to_microseconds(ts_ns, microseconds):
    assert timestamp_field(ts_ns)[4:] == (microseconds - 946_684_800_000_000).to_bytes(8, "big", signed=True)


def test_nothing_told_is_null():
    assert encode_row(("bigint", "text"), (None, None)) == b"\0\2" + NULL + NULL


def test_every_record_of_an_order_has_its_place():
    with_order = {record for record in EVENT_TYPES if "order_id" in record.__struct_fields__}
    assert with_order - {OrderFilled} <= set(ORDER_RECORDS)


def test_tables_are_those_of_the_schema(database):
    for table in (*TABLES, INSTRUMENTS):
        found = fetch(
            database,
            "SELECT column_name::text, replace(data_type, 'timestamp with time zone', 'timestamptz')"
            " FROM information_schema.columns WHERE table_schema = 'taped' AND table_name = $1",
            table.name,
        )
        assert {**dict(zip(table.columns, table.kinds, strict=True)), "journal": "uuid"} == dict(found)
