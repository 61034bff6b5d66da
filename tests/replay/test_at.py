"""Time travel: what is shown is what was known; a time is the last event that was written by then."""

from __future__ import annotations

import json

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.writer import JournalWriter
from replay.at import seq_of
from schemas.events import OrderFilled, Trade
from tests.daemon.trading.conftest import instrument
from tools.cli import main


def look(capsys, *arguments):
    assert main(["replay", "at", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_what_was_known_is_told_as_the_api_tells_it(session, capsys):
    journal = JournalReader(session.data / "journal")
    fills = [
        (seq, event)
        for batch in journal.batches()
        for seq, event in enumerate(batch.events, batch.first_seq)
        if isinstance(event, OrderFilled)
    ]
    seq, fill = fills[len(fills) // 2]
    known = look(capsys, session.data, seq, "--closed", 1000, "--strategies-folder", session.strategies)
    before = look(capsys, session.data, seq - 1, "--closed", 1000, "--strategies-folder", session.strategies)
    assert (known["seq"], known["event"], known["ts_ns"]) == (seq, "OrderFilled", fill.ts_ns)
    orders = {row["order_id"]: row for row in [*known["orders"], *known["closed_orders"]["last"]]}
    earlier = {row["order_id"]: row for row in [*before["orders"], *before["closed_orders"]["last"]]}
    assert float(orders[fill.order_id]["filled_quantity"]) > float(earlier[fill.order_id]["filled_quantity"])
    assert known["account"] != before["account"]
    assert {row["strategy_id"] for row in known["strategies"]} == {"cross", "maker", "mine"}
    assert all(row["running"] for row in known["strategies"])
    assert known["trading"]["state"] == "active"


def test_a_strategy_whose_code_is_not_there_is_shown_as_stopped(session, capsys):
    known = look(capsys, session.data, JournalReader(session.data / "journal").last_seq)
    (mine,) = [row for row in known["strategies"] if row["strategy_id"] == "mine"]
    assert not mine["running"]
    assert "turns" in mine["reason"]


def test_a_time_is_the_last_event_that_was_written_by_then(session):
    journal = JournalReader(session.data / "journal")
    batches = list(journal.batches())
    for batch in (batches[0], batches[len(batches) // 3], batches[-2]):
        assert seq_of(journal, batch.append_ns) == batch.last_seq
        assert seq_of(journal, batch.append_ns - 1) == batch.first_seq - 1
    assert seq_of(journal, 2**62) == journal.last_seq
    assert seq_of(journal, 0) == 0


@pytest.fixture
def tape(data_folder):
    """Ticks a second apart, imported at once; no daemon ever ran."""
    with JournalWriter.open(data_folder / "journal") as writer:
        writer.append([instrument()])
        for start in range(1, 100, 10):
            writer.append([_tick(n) for n in range(start, start + 10)])
    return data_folder


def _tick(n):
    return Trade(ts_ns=n * 10**9, received_ns=n * 10**9, instrument_id=1, price=n, quantity=1)


def test_a_time_of_an_imported_tape_is_that_of_its_ticks(tape, capsys):
    journal = JournalReader(tape / "journal")
    assert seq_of(journal, 37 * 10**9) == 38
    assert seq_of(journal, 37 * 10**9 + 5) == 38
    known = look(capsys, tape, "1970-01-01T00:00:37")
    assert (known["seq"], known["prices"][0]["last"]) == (38, "0.37")


def test_a_look_for_people_has_tables_and_writes_nothing_when_told_so(session, capsys):
    seq = JournalReader(session.data / "journal").last_seq // 2
    before = sorted(session.data.rglob("*"))
    assert main(["replay", "at", str(session.data), str(seq), "--no-keep"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"behind seq {seq:,} (")
    assert "trading is active" in out
    assert "strategy_id" in out
    assert "=False" not in out
    assert sorted(session.data.rglob("*")) == before


@pytest.mark.parametrize("moment", ["yesterday", "12:00", "-5", "2026-13-01"])
def test_what_is_no_moment_is_wrong_usage(tape, capsys, moment):
    assert main(["replay", "at", str(tape), "--", moment]) == 2
    assert "expected a sequence number, or a time" in capsys.readouterr().err


def test_a_seq_beyond_the_end_is_told(tape, capsys):
    assert main(["replay", "at", str(tape), "1000"]) == 1
    assert "ends at seq 101" in capsys.readouterr().err
