"""Claims about what `schemas/timescale.sql` makes: keys that mean (journal, seq), views for people."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

import pytest

from daemon.sync.schema import apply

JOURNAL = UUID(int=1)
TRADE = """
INSERT INTO taped.trades (journal, seq, ts, ts_ns, received_ns, price, quantity, conditions, instrument_id,
                          aggressor, price_scale, quantity_scale, trade_id, exchange)
VALUES ($1, $2, to_timestamp($3::bigint / 1000000000), $3, $3, $4, $5, 0, 1, 1, $6, $7, '77', '')
ON CONFLICT DO NOTHING
"""
INSTRUMENT = """
INSERT INTO taped.instruments VALUES ($1, 1, 'BTC-USDT', 'demo', 1, 'BTC', 'USDT', 2, 8, 1, 1, 1, 'UTC', 1, 0)
"""
ORDER_EVENT = """
INSERT INTO taped.order_events (journal, seq, ts, ts_ns, order_id, type_id, name, body, instrument_id,
                                quantity, quantity_scale, price, price_scale, side, order_type, source)
VALUES ($1, $2::bigint, to_timestamp($2::bigint), $2::bigint * 1000000000, 5, $3, $4, '{}', 1,
        300, 2, 10050, 2, 1, 2, 'operator:ann')
"""
FILL = """
INSERT INTO taped.fills
VALUES ($1, $2::bigint, to_timestamp($2::bigint), $2::bigint * 1000000000, 0, 5, $3, $4, 5, 1, 1, 2, 2, 1, 1,
        'USDT', $2::bigint::text)
"""


@pytest.fixture(autouse=True)
async def _schema(connection):
    await apply(connection)


async def test_the_same_event_twice_is_one_row(connection):
    for _ in range(2):
        await connection.execute(TRADE, JOURNAL, 2, 10**18, 1, 1, 2, 8)
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == 1


async def test_two_journals_may_number_their_events_alike(connection):
    for journal in (JOURNAL, UUID(int=2)):
        await connection.execute(TRADE, journal, 2, 10**18, 1, 1, 2, 8)
    assert await connection.fetchval("SELECT count(*) FROM taped.trades") == 2


@pytest.mark.parametrize(
    ("price", "scale", "shown"),
    [
        (6183763, 2, "61837.63"),
        (6183700, 2, "61837"),
        (2**63 - 1, 18, "9.223372036854775807"),
        (-5, 3, "-0.005"),
        (7, 0, "7"),
        (0, 18, "0"),
    ],
)
async def test_a_scaled_integer_is_shown_as_the_exact_decimal(connection, price, scale, shown):
    await connection.execute(TRADE, JOURNAL, 2, 10**18, price, 1, scale, 8)
    row = await connection.fetchrow("SELECT * FROM taped.trades_decimal")
    assert str(row["price"]) == shown
    assert row["price"] == Decimal(price).scaleb(-scale)


async def test_a_trade_without_a_defined_instrument_has_no_decimal_price(connection):
    await connection.execute(TRADE, JOURNAL, 2, 10**18, 5, 1, None, None)
    row = await connection.fetchrow("SELECT * FROM taped.trades_decimal")
    assert (row["symbol"], row["price"]) == (None, None)


async def test_trades_are_shown_by_symbol_and_side(connection):
    await connection.execute(INSTRUMENT, JOURNAL)
    await connection.execute(TRADE, JOURNAL, 2, 10**18, 5, 150_000_000, 2, 8)
    row = await connection.fetchrow("SELECT * FROM taped.trades_decimal WHERE symbol = 'BTC-USDT'")
    assert (row["venue"], row["aggressor"], row["quantity"]) == ("demo", "buy", Decimal("1.5"))


async def test_an_order_is_shown_with_what_was_filled_and_what_was_heard_last(connection):
    await connection.execute(INSTRUMENT, JOURNAL)
    await connection.execute(ORDER_EVENT, JOURNAL, 5, 20, "OrderRequested")
    await connection.execute(ORDER_EVENT, JOURNAL, 6, 23, "OrderAccepted")
    await connection.execute(FILL, JOURNAL, 7, 10000, 100)
    await connection.execute(FILL, JOURNAL, 8, 10050, 100)
    row = await connection.fetchrow("SELECT * FROM taped.orders_decimal")
    assert (row["side"], row["order_type"], row["quantity"]) == ("buy", "limit", 3)
    assert (row["filled_quantity"], row["average_price"]) == (2, Decimal("100.25"))
    assert row["last_event"] == "OrderFilled"


async def test_an_order_that_ended_after_its_fills_says_so(connection):
    await connection.execute(ORDER_EVENT, JOURNAL, 5, 20, "OrderRequested")
    await connection.execute(FILL, JOURNAL, 7, 10000, 100)
    await connection.execute(ORDER_EVENT, JOURNAL, 8, 27, "OrderCanceled")
    rows = await connection.fetch("SELECT last_event FROM taped.orders_decimal")
    assert [row["last_event"] for row in rows] == ["OrderCanceled"]


async def test_sensors_are_shown_one_reading_a_row(connection):
    readings = '{"cpu_celsius": 51.5, "nvme_celsius": null}'
    await connection.execute("INSERT INTO taped.sensors VALUES ($1, 3, now(), 0, $2)", JOURNAL, readings)
    rows = await connection.fetch("SELECT sensor, value FROM taped.sensor_readings ORDER BY sensor")
    assert [tuple(row) for row in rows] == [("cpu_celsius", 51.5), ("nvme_celsius", None)]
