"""The writer: the same rows however the stream is cut, nothing twice, nothing missing, nothing fatal."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.readmodel import database, history, writer
from daemon.readmodel.content import content_hash
from daemon.readmodel.database import ReadModelError, ReadModelMismatchError
from daemon.readmodel.order_rows import load_order
from daemon.readmodel.queries import ReadModelQueries
from daemon.readmodel.writer import ReadModelWriter
from schemas.codec import CODEC, UnknownEvent
from schemas.events import CancelRequested, ClockTicked, ReplaceRequested
from tests.daemon.readmodel.conftest import (
    JOURNAL,
    START,
    apply_cut,
    begun,
    busy_stream,
    instrument,
    order,
    quote,
    trade,
)


@given(st.integers(0, 10**6), st.data())
def test_content_does_not_depend_on_how_the_stream_is_cut(seed, data):
    stream = busy_stream(seed, 150).stream
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=40, unique=True))
    limits = (patch.object(writer, "PRUNE_EVERY", 32), patch.object(history, "KEEP_EVENTS", 40))
    with tempfile.TemporaryDirectory() as folder, limits[0], limits[1]:
        whole = apply_cut(Path(folder, "whole.db"), stream, [], keep_ticks=50)
        assert apply_cut(Path(folder, "cut.db"), stream, cuts, keep_ticks=50) == whole


@given(st.integers(0, 10**6))
def test_opening_anew_after_each_few_events_changes_nothing(seed):
    stream = busy_stream(seed, 80).stream
    with tempfile.TemporaryDirectory() as folder, patch.object(writer, "PRUNE_EVERY", 32):
        whole = apply_cut(Path(folder, "whole.db"), stream, [], keep_ticks=50)
        cuts = range(7, len(stream), 7)
        assert apply_cut(Path(folder, "cut.db"), stream, cuts, keep_ticks=50, reopen=True) == whole


@given(st.integers(0, 10**6))
def test_orders_positions_account_and_equity_equal_the_cores(seed):
    recorder = busy_stream(seed, 200)
    core = recorder.core
    recorder.put(ClockTicked(ts_ns=START + 10**6 * 10**9, synchronized=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "readmodel.db")
        apply_cut(path, recorder.stream, [])
        queries = ReadModelQueries(path)
        held = {row["instrument_id"]: row for row in queries.positions()}
        columns = ("quantity", "cost_basis", "realised", "cost_basis_fifo", "realised_fifo")
        assert {k: [row[column] for column in columns] for k, row in held.items()} == {
            k: [getattr(position, column) for column in columns] for k, position in core.positions.items()
        }
        for k, position in core.positions.items():
            assert [(r["number"], r["quantity"], r["cost"], r["opened_ns"]) for r in queries.lots(k)] == [
                (number, lot.quantity, lot.cost, lot.opened_ns) for number, lot in position.lots.numbered()
            ]
        account = {row["currency"]: row for row in queries.account()}
        assert {k: row["cash"] for k, row in account.items()} == core.account.cash
        for name in ("fees", "maker_fees", "deposits", "withdrawals"):
            book = getattr(core.account, name)
            assert {k: row[name] for k, row in account.items() if row[name]} == {
                k: v for k, v in book.items() if v
            }
        last = {k: queries.equity(k)[-1] for k in core.worth()}
        names = ("cash", "market_value", "gross", "initial", "maintenance")
        assert {k: [row[name] for name in names] for k, row in last.items()} == {
            k: [getattr(worth, name) for name in names] for k, worth in core.worth().items()
        }
        total, row = core.total(), queries.equity_total()[-1]
        assert (row["currency"], row["equity"], row["gross"]) == (
            "USD",
            total.worth.equity,
            total.worth.gross,
        )
        assert json.loads(row["unknown"]) == sorted(total.unknown)
        limits = {row["name"]: json.loads(row["value"]) for row in queries.risk_limits() if row["value"]}
        assert limits == core.risk.in_force()
        assert {(row["instrument_id"], row["strategy_id"]): row["until_ns"] for row in queries.pauses()} == {
            key: pause.until_ns for key, pause in core.risk.protections.pauses.items()
        }
        calendars = {(row["venue"], row["instrument_id"]): row["zone"] for row in queries.calendars()}
        assert calendars == {key: defined.zone for key, defined in core.calendars.defined.items()}
        assert {row["order_id"] for row in queries.orders(limit=1000)} == set(core.orders)
        connection = database.open_reader(path)
        for order_id, known in core.orders.items():
            stored = load_order(connection, order_id)
            assert stored is not None
            # What links asked for in vain is of use to the core alone; a client id stands once.
            request = msgspec.structs.replace(known.request, client_id=stored.order.request.client_id)
            assert stored.order == dataclasses.replace(known, request=request, refused=None)
        connection.close()
        states = {row["instrument_id"]: row["state"] for row in queries.instrument_states()}
        assert states == core.instrument_states
        queries.close()


def test_streams_of_these_tests_have_fills_cancels_and_denials():
    orders = [known for seed in range(40) for known in busy_stream(seed, 150).core.orders.values()]
    statuses = {known.status.name for known in orders}
    assert {"FILLED", "CANCELED", "DENIED"} <= statuses
    assert {"HELD", "UNKNOWN", "TRIGGERED"} <= statuses
    assert any(known.filled_quantity for known in orders if known.request.strategy_id)
    assert any(known.excess_quantity for known in orders)


def test_an_order_is_read_back_with_the_wishes_that_are_under_way(tmp_path):
    recorder = begun()
    recorder.put(order(price=9_000))
    (known,) = recorder.core.orders.values()
    wish = ReplaceRequested(
        ts_ns=START, order_id=known.order_id, quantity=5, price=None, stop_price=None, source="operator:anna"
    )
    cancel = CancelRequested(ts_ns=START, order_id=known.order_id, source="operator:anna")
    for event in (wish, cancel):
        recorder.stream += recorder.core.run([event])[0]
        path = tmp_path / f"{known.status.name}.db"
        apply_cut(path, recorder.stream, [])
        connection = database.open_reader(path)
        stored = load_order(connection, known.order_id)
        connection.close()
        assert stored is not None
        assert stored.order == known
    assert (known.replacing, known.canceling) == (wish, "operator:anna")


def test_events_applied_before_are_passed_over(tmp_path):
    stream = busy_stream(1, 60).stream
    path = tmp_path / "readmodel.db"
    once = apply_cut(path, stream, [])
    model = ReadModelWriter(path, JOURNAL)
    model.apply(1, stream)
    model.apply(len(stream) - 3, stream[-4:])
    model.close()
    assert content_hash(path) == once


def test_a_batch_that_overlaps_is_cut_where_it_is_known(tmp_path):
    stream = busy_stream(2, 60).stream
    whole = apply_cut(tmp_path / "whole.db", stream, [])
    model = ReadModelWriter(tmp_path / "overlap.db", JOURNAL)
    model.apply(1, stream[:40])
    model.apply(20, stream[19:])
    model.close()
    assert content_hash(tmp_path / "overlap.db") == whole


def test_a_gap_before_the_events_is_refused_and_nothing_is_written(tmp_path):
    model = ReadModelWriter(tmp_path / "readmodel.db", JOURNAL)
    with pytest.raises(ReadModelError, match="begin at seq 3, expected 1"):
        model.apply(3, [trade()])
    assert model.applied_seq == 0
    model.close()


def test_a_failure_in_the_middle_leaves_the_file_and_the_writer_where_they_were(tmp_path):
    stream = busy_stream(3, 100).stream
    path = tmp_path / "readmodel.db"
    model = ReadModelWriter(path, JOURNAL)
    model.apply(1, stream[:50])
    with (
        patch.object(model._history, "flush", side_effect=apsw.FullError("disk full")),
        pytest.raises(ReadModelError, match=r"disk full.*free disk space"),
    ):
        model.apply(51, stream[50:])
    assert model.applied_seq == 50
    model.apply(51, stream[50:])
    model.close()
    assert content_hash(path) == apply_cut(tmp_path / "whole.db", stream, [])


def test_a_read_model_of_another_journal_is_refused_by_name(tmp_path):
    ReadModelWriter(tmp_path / "readmodel.db", JOURNAL).close()
    with pytest.raises(
        ReadModelMismatchError, match=r"readmodel\.db: made from journal abab.*taped replay rebuild"
    ):
        ReadModelWriter(tmp_path / "readmodel.db", "cd" * 16)


def test_a_newer_schema_version_is_refused_by_name(tmp_path):
    path = tmp_path / "readmodel.db"
    with patch.object(database, "SCHEMA_VERSION", database.SCHEMA_VERSION + 1):
        ReadModelWriter(path, JOURNAL).close()
    with pytest.raises(ReadModelMismatchError, match=r"schema version \d+, this taped knows \d+"):
        ReadModelWriter(path, JOURNAL)


@pytest.mark.parametrize("content", [b"not a database at all" * 100, None])
def test_a_damaged_file_is_refused_with_a_hint(tmp_path, content):
    path = tmp_path / "readmodel.db"
    apply_cut(path, busy_stream(4, 100).stream, [])
    if content is None:
        damaged = bytearray(path.read_bytes())
        damaged[100:4096] = b"\xff" * 3996
        content = bytes(damaged)
    path.write_bytes(content)
    with pytest.raises(ReadModelError, match="taped replay rebuild"):
        ReadModelWriter(path, JOURNAL)
    assert ReadModelWriter.applied_seq_of(path) == 0


def test_applied_seq_can_be_asked_of_a_file_that_is_absent_or_there(tmp_path):
    path = tmp_path / "readmodel.db"
    assert ReadModelWriter.applied_seq_of(path) == 0
    apply_cut(path, [trade(), trade()], [])
    assert ReadModelWriter.applied_seq_of(path) == 2


@pytest.mark.parametrize(
    "odd",
    [
        trade(trade_id=2**64 - 1),
        trade(price=2**63),
        trade(quantity=2**63 - 1),
        quote(ask=2**64 - 1),
        order(quantity=2**63 + 5),
        instrument(7, multiplier=2**63),
        UnknownEvent([2**63, 2**64 - 1, 2**64 - 1, {1: {None: b"\xff"}}, [float("nan")]]),
        UnknownEvent([99, 1, START, "a\x00b", "\U0001f600", -(2**63)]),
    ],
    ids=["trade id", "price", "quantity", "quote", "order", "instrument", "unknown", "text"],
)
def test_no_content_stops_the_projection(tmp_path, odd):
    recorder = begun()
    stream = [*recorder.stream, trade(quantity=2**62), odd, odd, trade(quantity=2**62), trade()]
    assert CODEC.decode(CODEC.encode(stream))
    whole = apply_cut(tmp_path / "whole.db", stream, [])
    assert apply_cut(tmp_path / "cut.db", stream, range(len(stream))) == whole


def test_volume_beyond_64_bits_stays_exact(tmp_path):
    ticks = [trade(quantity=2**63 - 1), trade(quantity=2**63 - 1), trade(quantity=3)]
    apply_cut(tmp_path / "together.db", ticks, [])
    apply_cut(tmp_path / "apart.db", ticks, [1, 2])
    for name in ("together.db", "apart.db"):
        queries = ReadModelQueries(tmp_path / name)
        assert [bar["volume"] for bar in queries.bars(1, "1day")] == [2**64 + 1]
        queries.close()


def test_tick_tables_stay_within_their_limit_and_bars_do_not_lose_by_it(tmp_path):
    ticks = [trade(START + n * 10**9, 100 + n) for n in range(500)]
    with patch.object(writer, "PRUNE_EVERY", 64):
        apply_cut(tmp_path / "readmodel.db", ticks, [100, 200], keep_ticks=100)
    queries = ReadModelQueries(tmp_path / "readmodel.db")
    # The limit was last applied at seq 448, the last multiple of 64.
    assert [row["seq"] for row in queries.ticks(1, limit=1000)] == list(range(500, 348, -1))
    assert sum(bar["count"] for bar in queries.bars(1, "1min", limit=1000)) == 500
    queries.close()


def test_limits_of_a_file_stay_those_it_was_made_with(tmp_path):
    ReadModelWriter(tmp_path / "readmodel.db", JOURNAL, keep_ticks=5000).close()
    model = ReadModelWriter(tmp_path / "readmodel.db", JOURNAL, keep_ticks=9000)
    assert model.keep_ticks == 5000
    model.close()


def test_tick_rows_left_out_because_they_would_be_deleted_change_nothing(tmp_path):
    stream = busy_stream(5, 300).stream
    with patch.object(writer, "PRUNE_EVERY", 32):
        whole = apply_cut(tmp_path / "whole.db", stream, [], keep_ticks=64)
        model = ReadModelWriter(tmp_path / "skipped.db", JOURNAL, keep_ticks=64)
        model.skip_ticks_to = len(stream) - len(stream) % 32 - 64
        model.apply(1, stream)
        model.close()
    assert content_hash(tmp_path / "skipped.db") == whole


_CHILD = """
import sys
from pathlib import Path
from daemon.readmodel.writer import ReadModelWriter
from tests.daemon.readmodel.conftest import JOURNAL, busy_stream
stream = busy_stream(6, 3000).stream
writer = ReadModelWriter(Path(sys.argv[1]), JOURNAL)
print(writer.applied_seq, flush=True)
for start in range(writer.applied_seq, len(stream), 3):
    writer.apply(start + 1, stream[start:start + 3])
print("done", flush=True)
"""


def test_kill_9_in_the_middle_then_going_on_gives_the_same_content(tmp_path, project_root):
    rng = random.Random(7)
    path = tmp_path / "readmodel.db"
    starts = []
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, path], stdout=subprocess.PIPE, cwd=project_root
        )
        starts.append(int(child.stdout.readline()))
        time.sleep(rng.uniform(0.005, 0.06))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert starts[-1] > starts[1] > 0
    subprocess.run(
        [sys.executable, "-c", _CHILD, path], check=True, cwd=project_root, stdout=subprocess.DEVNULL
    )
    assert content_hash(path) == apply_cut(tmp_path / "whole.db", busy_stream(6, 3000).stream, [])
