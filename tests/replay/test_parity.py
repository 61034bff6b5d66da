"""Parity: equal decisions pass, whatever ended the processes; the first other one is told where it stands."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest

from daemon.journal.reader import JournalReader
from daemon.user_strategies import load_kinds
from replay.parity import ParityError, check_parity
from replay.parity_difference import DifferenceKind
from schemas.events import DaemonStarted, OrderDenied, OrderRequested, OrderSubmitted, Quote
from tests.replay.journals import copy_changed
from tools.cli import main

CODE = "c" * 64


def events_of(data):
    for batch in JournalReader(data / "journal").batches():
        yield from enumerate(batch.events, batch.first_seq)


def test_decisions_of_a_live_session_with_a_kill_are_made_again_to_the_byte(session, kinds):
    result = check_parity(session.data, code_hash=CODE, kinds=kinds)
    assert result.passed, result.difference
    requested = [event for _, event in events_of(session.data) if isinstance(event, OrderRequested)]
    assert {event.strategy_id for event in requested} == {"cross", "maker", "mine"}
    assert result.decisions > len(requested) > 50
    assert [(run.starts, run.unchecked, run.lost) for run in result.runs] == [(2, 0, 0)]


def test_an_altered_decision_is_told_with_its_seq_its_field_and_both_values(session, kinds, tmp_path):
    orders = [(seq, e) for seq, e in events_of(session.data) if isinstance(e, OrderRequested)]
    seq, request = orders[len(orders) // 2]

    def change(at, event):
        return msgspec.structs.replace(event, quantity=event.quantity + 1) if at == seq else event

    copy_changed(session.data, tmp_path / "copy", change)
    result = check_parity(tmp_path / "copy", code_hash=CODE, kinds=kinds)
    found = result.difference
    assert (found.seq, found.kind, found.field) == (seq, DifferenceKind.ALTERED, "quantity")
    assert (found.recorded_value, found.made_value) == (request.quantity + 1, request.quantity)
    assert found.decided_by == f"strategy {request.strategy_id}"
    assert 0 < found.cause_seq < seq


def test_a_process_after_one_that_differs_is_compared_again(session, kinds, tmp_path):
    seq = next(seq for seq, event in events_of(session.data) if isinstance(event, OrderSubmitted))

    def change(at, event):
        return msgspec.structs.replace(event, venue="elsewhere") if at == seq else event

    copy_changed(session.data, tmp_path / "copy", change)
    first, second = check_parity(tmp_path / "copy", code_hash=CODE, kinds=kinds).runs
    assert first.difference is not None
    assert first.unchecked > 0
    assert (second.difference, second.unchecked) == (None, 0)
    assert second.decisions > 20


def test_a_removed_decision_is_told_as_missing(session, kinds, tmp_path):
    seq, gone = next((s, e) for s, e in events_of(session.data) if isinstance(e, OrderSubmitted))
    instead = next(e for _, e in events_of(session.data) if not isinstance(e, OrderSubmitted | DaemonStarted))
    copy_changed(session.data, tmp_path / "copy", lambda at, event: instead if at == seq else event)
    found = check_parity(tmp_path / "copy", code_hash=CODE, kinds=kinds).difference
    assert (found.seq, found.kind, found.made_type) == (seq, DifferenceKind.MISSING, "OrderSubmitted")
    assert found.made["order_id"] == gone.order_id


def test_a_decision_that_nothing_caused_is_told_as_extra(session, kinds, tmp_path):
    seq = next(seq for seq, event in events_of(session.data) if isinstance(event, Quote) and seq > 500)
    extra = OrderDenied(ts_ns=1, order_id=1, rule="R", reason="")
    copy_changed(session.data, tmp_path / "copy", lambda at, event: extra if at == seq else event)
    found = check_parity(tmp_path / "copy", code_hash=CODE, kinds=kinds).difference
    assert (found.seq, found.kind, found.recorded_type) == (seq, DifferenceKind.EXTRA, "OrderDenied")


def test_one_changed_line_of_a_strategy_fails_at_its_first_other_decision(session, tmp_path):
    shutil.copytree(session.strategies, tmp_path / "strategies")
    file = tmp_path / "strategies" / "turns.py"
    file.write_text(file.read_text().replace("instrument_id, side, 1000,", "instrument_id, side, 999,"))
    mine = next(
        seq
        for seq, event in events_of(session.data)
        if isinstance(event, OrderRequested) and event.strategy_id == "mine"
    )
    result = check_parity(session.data, code_hash=CODE, kinds=load_kinds(tmp_path / "strategies").classes)
    found = result.difference
    assert (found.seq, found.field, found.decided_by) == (mine, "quantity", "strategy mine")
    assert (found.recorded_value, found.made_value) == (1000, 999)


def test_a_strategy_that_is_not_there_fails_where_it_was_started(session):
    found = check_parity(session.data, code_hash=CODE).difference
    assert found.recorded_type in ("StrategyStarted", "NotificationQueued")
    assert found.cause_type == "OperatorCommand"


def test_a_comparison_may_begin_and_end_anywhere(session, kinds):
    last = JournalReader(session.data / "journal").last_seq
    for first, end in ((2, 50), (last // 3, last // 2), (last // 2, last), (last, last)):
        result = check_parity(session.data, code_hash=CODE, first_seq=first, last_seq=end, kinds=kinds)
        assert result.passed, (first, end, result.difference)
        assert (result.first_seq, result.last_seq) == (first, end)
        assert result.runs[0].code_hash


def test_every_end_and_beginning_around_a_decision_passes(session, kinds):
    seq = next(s for s, e in events_of(session.data) if isinstance(e, OrderSubmitted))
    for at in range(seq - 3, seq + 3):
        assert check_parity(session.data, code_hash=CODE, last_seq=at, kinds=kinds).passed
        assert check_parity(session.data, code_hash=CODE, first_seq=at, last_seq=seq + 9, kinds=kinds).passed


def test_a_range_without_events_is_refused(session):
    with pytest.raises(ParityError, match="no events from seq 5 to 4"):
        check_parity(session.data, code_hash=CODE, first_seq=5, last_seq=4)


def test_the_command_tells_code_and_result(session, tmp_path, capsys):
    arguments = ["replay", "parity", str(session.data), "--strategies-folder", str(session.strategies)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "passed" in out
    assert "(other)" not in out
    assert main([*arguments, "--json", "--from", "100"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["passed"], body["first_seq"], body["difference"]) == (True, 100, None)
    assert body["runs"][0]["code_hash"] == body["code_hash"]


def test_the_command_names_the_first_difference(session, capsys):
    assert main(["replay", "parity", str(session.data)]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert "(other)" in out
    assert "in answer to OperatorCommand" in out
    assert "--strategies-folder DIR" in out
