"""Bars against a slow oracle, and against what a vendor made of the same ticks."""

from __future__ import annotations

import zipfile
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.readmodel.bars import INTERVALS, MINUTE, SECOND, Runs, roll
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.writer import ReadModelWriter
from daemon.venue.feeds.formats import TickFile
from daemon.venue.feeds.instruments import InstrumentRegistry
from schemas.events import BarSide
from tests.daemon.readmodel.conftest import JOURNAL, START, apply_cut, quote, trade

TICKS = st.lists(
    st.tuples(
        st.integers(1, 2), st.integers(-200 * SECOND, 200 * SECOND), st.integers(-50, 50), st.integers(0, 9)
    ),
    max_size=60,
)


def _oracle(ticks, interval):
    bars = {}
    for instrument_id, ts_ns, price, quantity in ticks:
        bars.setdefault((instrument_id, ts_ns // interval * interval), []).append((price, quantity))
    return {
        key: (
            told[0][0],
            max(price for price, _ in told),
            min(price for price, _ in told),
            told[-1][0],
            sum(quantity for _, quantity in told),
            len(told),
        )
        for key, told in bars.items()
    }


def _merged(runs):
    """Merge runs of one bucket the way the table does."""
    bars = {}
    for instrument_id, _, start, first, high, low, close, volume, count in runs:
        key = (instrument_id, start)
        if key in bars:
            was = bars[key]
            bars[key] = (was[0], max(was[1], high), min(was[2], low), close, was[4] + volume, was[5] + count)
        else:
            bars[key] = (first, high, low, close, volume, count)
    return bars


@given(TICKS)
def test_runs_and_their_rolls_merge_to_the_bars_of_all_ticks_in_any_order_of_time(ticks):
    runs = Runs(BarSide.TRADE)
    runs.add(ticks)
    rolled = runs.take()
    for interval in INTERVALS.values():
        rolled = rolled if interval == SECOND else roll(rolled, interval)
        assert _merged(rolled) == _oracle(ticks, interval)


@given(TICKS, st.data())
def test_bars_in_the_table_are_those_of_all_ticks(tmp_path_factory, ticks, data):
    events = [trade(ts_ns, price, quantity, instrument_id=number) for number, ts_ns, price, quantity in ticks]
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=5, unique=True))
    path = tmp_path_factory.mktemp("bars") / "readmodel.db"
    apply_cut(path, events, cuts)
    queries = ReadModelQueries(path)
    for name, interval in INTERVALS.items():
        found = {
            (number, bar["start_ns"]): tuple(
                bar[column] for column in ("open", "high", "low", "close", "volume", "count")
            )
            for number in (1, 2)
            for bar in queries.bars(number, name)
        }
        assert found == _oracle(ticks, interval)
    queries.close()


def test_a_one_sided_quote_moves_only_the_bars_of_its_side(tmp_path):
    path = tmp_path / "readmodel.db"
    apply_cut(path, [quote(bid=10, ask=20), quote(bid=11, ask=None), quote(bid=None, ask=19)], [])
    queries = ReadModelQueries(path)
    shape = ("open", "high", "low", "close", "volume", "count")
    (bid,), (ask,) = queries.bars(1, "1h", BarSide.BID), queries.bars(1, "1h", BarSide.ASK)
    assert [bid[name] for name in shape] == [10, 11, 10, 11, 0, 2]
    assert [ask[name] for name in shape] == [20, 20, 19, 19, 0, 2]
    assert queries.bars(1, "1h", BarSide.TRADE) == []
    queries.close()


def test_a_trade_of_quantity_zero_counts(tmp_path):
    path = tmp_path / "readmodel.db"
    apply_cut(path, [trade(START, 10, 5), trade(START, 12, 0), trade(START, 11, 1)], [])
    queries = ReadModelQueries(path)
    (bar,) = queries.bars(1, "1s")
    assert (bar["high"], bar["volume"], bar["count"]) == (12, 6, 3)
    queries.close()


def _import(path: Path, source: Path) -> list[int]:
    """Put a file's events into a read model, in uneven batches; return the instrument ids."""
    writer = ReadModelWriter(path, JOURNAL)
    registry = InstrumentRegistry()
    with TickFile(source, registry) as file:
        for batch in file.batches():
            writer.apply(writer.applied_seq + 1, batch)
    writer.close()
    return list(range(1, len(registry) + 1))


def _vendor_rows(source: Path, member: str) -> list[list[str]]:
    with zipfile.ZipFile(source) as archive:
        return [line.split(",") for line in archive.read(member).decode().splitlines()]


def _all_minutes(queries: ReadModelQueries, instrument_id: int, side: BarSide):
    bars, from_ns = [], 0
    while page := queries.bars(instrument_id, "1min", side, from_ns=from_ns, limit=1000):
        bars += page
        from_ns = page[-1]["start_ns"] + 1
    return bars


@pytest.mark.parametrize(("day", "count"), [("20140508", 1_431), ("20140509", 959), ("20140511", 543)])
def test_minute_bars_of_eurusd_ticks_equal_the_vendors_on_both_sides(market_data, tmp_path, day, count):
    folder = market_data / "lean/forex/fxcm"
    (instrument_id,) = _import(tmp_path / "m.db", folder / f"tick/eurusd/{day}_quote.zip")
    queries = ReadModelQueries(tmp_path / "m.db")
    scale = 10 ** queries.instruments()[0]["price_scale"]
    rows = _vendor_rows(folder / f"minute/eurusd/{day}_quote.zip", f"{day}_eurusd_minute_quote.csv")
    assert len(rows) == count
    offsets = [int(row[0]) * 10**6 for row in rows]
    for side, first in ((BarSide.BID, 1), (BarSide.ASK, 6)):
        bars = _all_minutes(queries, instrument_id, side)
        midnight = bars[0]["start_ns"] - offsets[0]
        assert [bar["start_ns"] - midnight for bar in bars] == offsets
        assert [[bar[name] for name in ("open", "high", "low", "close")] for bar in bars] == [
            [int(Decimal(text) * scale) for text in row[first : first + 4]] for row in rows
        ]
    queries.close()


def test_minute_bars_of_gold_futures_equal_the_vendors_with_trades_of_quantity_zero(market_data, tmp_path):
    folder = market_data / "lean/future/comex"
    _import(tmp_path / "m.db", folder / "tick/gc/20131008_trade.zip")
    queries = ReadModelQueries(tmp_path / "m.db")
    rows = _vendor_rows(folder / "minute/gc/20131008_trade.zip", "20131008_gc_minute_trade_201312.csv")
    busiest = max(queries.instruments(), key=lambda row: len(queries.bars(row["instrument_id"], limit=1000)))
    scale = 10 ** busiest["price_scale"]
    bars = _all_minutes(queries, busiest["instrument_id"], BarSide.TRADE)
    assert len(bars) == len(rows) == 1_377
    prices = [[bar[name] for name in ("open", "high", "low", "close")] for bar in bars]
    assert prices == [[int(Decimal(text) * scale) for text in row[1:5]] for row in rows]
    # The vendor's own volume differs from its ticks in one minute.
    assert sum(bar["volume"] != int(row[5]) for bar, row in zip(bars, rows, strict=True)) == 1
    assert list(accumulate(bar["start_ns"] % MINUTE for bar in bars))[-1] == 0
    queries.close()
