"""Forks: with nothing changed history repeats itself; with something changed both courses are compared."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest

from daemon.journal.reader import JournalReader
from daemon.past import past
from replay.fork import Changes, ForkError, Freely, fork
from schemas.events import CancelRequested, OperatorCommand, OrderFilled, OrderRequested, StrategyStarted
from tests.daemon.trading.conftest import Desk, deposit, instrument, order, quote
from tests.replay import recordings
from tests.replay.recordings import SECOND, START, trade, write_journal
from tools.cli import main

CODE = "c" * 64


@pytest.fixture(scope="module")
def middle(session):
    """A third of the way, with all strategies at work."""
    return JournalReader(session.data / "journal").last_seq // 3


def recorded(session, kind, first_seq=1):
    for batch in JournalReader(session.data / "journal").batches(first_seq):
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, kind):
                yield seq, event


def run(session, kinds, at, changes, **options):
    return fork(session.data, at, changes, code_hash=CODE, kinds=kinds, **options)


@pytest.mark.parametrize("part", [0, 0.2, 0.5, 0.9])
def test_with_nothing_changed_the_fork_is_the_recorded_history(session, kinds, part):
    asked = int(JournalReader(session.data / "journal").last_seq * part)
    result = run(session, kinds, asked, Changes())
    assert result.diverged is None
    assert result.forked == result.recorded
    assert all(point.forked == point.recorded for point in result.points)
    assert result.recorded.fills == len(list(recorded(session, OrderFilled, result.at + 1)))


def test_a_fork_in_the_middle_of_an_answer_begins_behind_it(session, kinds):
    seq = next(seq for seq, event in recorded(session, OrderRequested) if event.strategy_id == "mine")
    result = run(session, kinds, seq, Changes())
    assert (result.diverged, result.at) == (None, seq + 1)


def test_the_recorded_course_ends_where_the_journal_does(session, kinds, middle):
    result = run(session, kinds, middle, Changes())
    core = past(session.data, result.last_seq, code_hash=CODE, kinds=kinds).core
    assert result.recorded.equity == core.total().worth.equity
    assert result.recorded.trading_state == core.trading_state.name


def test_another_parameter_leaves_history_at_the_first_other_decision(session, kinds, middle):
    result = run(session, kinds, middle, Changes(parameters={"cross": {"quantity": "0.25"}}))
    first = next(
        seq for seq, event in recorded(session, OrderRequested, middle + 1) if event.strategy_id == "cross"
    )
    found = result.diverged
    assert (found.seq, found.decided_by) == (first, "strategy cross")
    assert result.points[0].forked == result.points[0].recorded
    assert result.forked.equity != result.recorded.equity
    assert result.forked.orders > 0


def test_a_limit_denies_what_was_sent(session, kinds, middle):
    result = run(session, kinds, middle, Changes(limits={"max_order_value": "1000"}))
    assert result.diverged.made_type in ("OrderDenied", "ReplaceDenied")
    assert result.forked.denied > 0 == result.recorded.denied
    assert result.forked.fills < result.recorded.fills


def test_without_a_strategy_its_orders_end_and_the_others_go_on(session, kinds, middle):
    result = run(session, kinds, middle, Changes(stops=("mine", "cross")))
    assert 0 < result.forked.orders < result.recorded.orders


def test_other_fees_of_the_venue_hold_from_the_start(session, kinds, middle):
    dear = run(session, kinds, middle, Changes(venue={"taker_fee_ppm": 9_000}))
    cheap = run(session, kinds, middle, Changes(venue={"taker_fee_ppm": 0}))
    assert dear.forked.fees > cheap.forked.fees
    assert dear.forked.orders == cheap.forked.orders > 0


def test_a_fork_is_the_same_each_time(session, kinds, middle):
    changes = Changes(parameters={"cross": {"fast": 4}})
    one, other = run(session, kinds, middle, changes), run(session, kinds, middle, changes)
    assert (one.forked, one.points, one.diverged) == (other.forked, other.points, other.diverged)


def test_a_fork_writes_nothing_and_ends_where_it_is_told(session, kinds, middle):
    before = sorted((path, path.stat().st_mtime_ns) for path in session.data.rglob("*"))
    result = run(session, kinds, middle, Changes(), last_seq=middle + 100)
    assert (result.last_seq, result.points[-1].seq) == (middle + 100, middle + 100)
    assert sorted((path, path.stat().st_mtime_ns) for path in session.data.rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (Changes(parameters={"nobody": {"fast": 3}}), "nobody does not run"),
        (Changes(parameters={"cross": {"fast": "x"}}), "fast"),
        (Changes(stops=("nobody",)), "nobody does not run"),
        (Changes(venue={"nothing": 1}), "no option of the venue"),
        (Changes(venue={"seed": "1"}), "expected a value like"),
    ],
)
def test_what_cannot_be_changed_is_refused(session, kinds, middle, changes, message):
    with pytest.raises(ForkError, match=message):
        run(session, kinds, middle, changes)


def test_nothing_behind_the_end_can_be_forked(session, kinds):
    last = JournalReader(session.data / "journal").last_seq
    with pytest.raises(ForkError, match="nothing is recorded behind"):
        run(session, kinds, last, Changes())


def test_orders_of_people_go_on_under_the_numbers_they_have_here():
    desk, seen = Desk(), []
    desk.take(instrument(), deposit(), quote(100, 101))
    free = Freely(desk.core, desk.venue, seen.extend)
    number = desk.core.next_seq + 500
    free.take(number, [order(price=90), quote(100, 102)])
    (working,) = desk.core.orders.working.values()
    assert working.order_id < number
    free.take(number + 10, [CancelRequested(ts_ns=2, order_id=number, source="operator:test")])
    assert desk.core.orders[working.order_id].status.name == "CANCELED"


def test_the_command_compares_both_courses(session, capsys, middle):
    started = next(seq for seq, _ in recorded(session, StrategyStarted))
    arguments = ["replay", "fork", str(session.data), "--strategies-folder", str(session.strategies)]
    changed = [
        "--at",
        str(middle),
        "--strategy",
        "cross",
        "--param",
        "fast=4",
        "--set",
        "risk.max_order_value=off",
    ]
    assert started < middle
    assert main([*arguments, *changed]) == 0
    out = capsys.readouterr().out
    assert "the same up to seq" in out
    assert "max drawdown USDT" in out
    assert main([*arguments, *changed, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["forked"]["equity"] != body["recorded"]["equity"]
    assert body["curve"][-1]["forked"] == body["forked"]["equity"]
    assert len(body["curve"]) <= 514


@pytest.mark.parametrize("flags", [["--param", "fast=3"], ["--set", "risk.nothing=1"], ["--set", "x"]])
def test_wrong_usage_is_told(session, flags, capsys):
    assert main(["replay", "fork", str(session.data), "--at", "10", *flags]) == 2
    assert capsys.readouterr().err


def test_the_page_shows_both_courses_and_asks_for_nothing(session, tmp_path, middle, capsys):
    asked = ["--at", str(middle), "--set", "risk.max_order_value=1", "--html", str(tmp_path / "fork.html")]
    own = ["--strategies-folder", str(session.strategies)]
    assert main(["replay", "fork", str(session.data), *own, *asked]) == 0
    assert "the same up to seq" in capsys.readouterr().out
    text = (tmp_path / "fork.html").read_text()
    assert text.count("<svg") == 2
    assert text.count('class="line beside"') == 1
    assert "risk.max_order_value=1" in text
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    assert main(["replay", "fork", str(session.data), *own, *asked[:-1], str(tmp_path / "no" / "x")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_fork_of_an_import_bears_the_times_of_its_ticks(tmp_path, capsys):
    late = START + 10**18
    mark = OperatorCommand(ts_ns=late, who="x", role="admin", command="import.end", arguments={})
    data = write_journal(
        tmp_path / "tape", [mark, recordings.instrument()], [trade(n) for n in range(9)], [mark]
    )
    for at in (0, 1, 5):
        points = fork(data, at, Changes(), code_hash=CODE).points
        assert points[-1].ts_ns == START + 8 * SECOND
        assert [point.ts_ns for point in points] == sorted(point.ts_ns for point in points)
    assert main(["replay", "fork", str(data), "--at", "5"]) == 0
    assert "nobody traded here" in capsys.readouterr().out


def test_positions_are_told_as_quantities(session, kinds):
    result = run(session, kinds, 0, Changes())
    core = past(session.data, result.last_seq, code_hash=CODE, kinds=kinds).core
    for instrument_id, held in core.positions.items():
        defined = core.instruments[instrument_id]
        told = result.recorded.positions[f"{defined.symbol}@{defined.venue}"]
        assert Decimal(told) == Decimal(held.quantity).scaleb(-defined.quantity_scale)


def test_a_limit_that_is_nearly_named_is_proposed(session, capsys):
    asked = ["--at", "10", "--set", "risk.max_drawdown=5"]
    assert main(["replay", "fork", str(session.data), *asked]) == 2
    assert "perhaps risk.max_drawdown_ppm" in capsys.readouterr().err
