from __future__ import annotations

import json
import re

import pytest

from tools import cli


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


ORDER = ("order", "submit", "--instrument", "BTC-USDT", "--side", "buy", "--quantity", "0.1")
START = ("strategy", "start", "cross", "--kind", "ma_cross", "--instrument", "BTC-USDT@SIM")


def test_trading_is_halted_shown_and_resumed(daemon, capsys) -> None:
    code, out, _ = run(capsys, "trading", "halt", "a drill", *daemon.flags)
    assert (code, out.startswith("trading is halted from seq ")) == (0, True)
    daemon.settle()
    _, out, _ = run(capsys, "trading", "show", *daemon.flags)
    assert ["halted" in out, "operator:admin" in out, "a drill" in out] == [True] * 3
    assert "denied by HALTED" in run(capsys, *ORDER, "--price", "50000", *daemon.flags)[1]
    assert run(capsys, "trading", "resume", "it is over", *daemon.flags)[0] == 0
    assert run(capsys, *ORDER, "--price", "50000", *daemon.flags)[0] == 0


def test_one_instrument_is_halted_and_shown_beside_the_rest(daemon, capsys) -> None:
    words = ("--instrument", "BTC-USDT@SIM", *daemon.flags)
    code, out, _ = run(capsys, "trading", "halt", "odd prices", *words)
    assert (code, "BTC-USDT@SIM is halted" in out) == (0, True)
    daemon.settle()
    _, out, _ = run(capsys, "trading", "show", *daemon.flags)
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["all", "active"],
        ["BTC-USDT@SIM", "halted"],
    ]
    assert run(capsys, "trading", "resume", "fine", *words)[0] == 0


def test_the_kill_switch_cancels_and_tells_how_many(daemon, capsys) -> None:
    run(capsys, *ORDER, "--price", "50000", *daemon.flags)
    daemon.settle()
    code, out, _ = run(capsys, "trading", "kill", "enough", "--flatten", *daemon.flags)
    assert (code, "1 cancels are on their way" in out) == (0, True)
    daemon.settle()
    assert run(capsys, "order", "list", "--open", *daemon.flags)[1] == "no open order\n"


def test_a_strategy_is_started_listed_and_stopped(daemon, capsys) -> None:
    code, out, _ = run(capsys, *START, "--param", "quantity=0.1", "--param", "fast=3", *daemon.flags)
    assert (code, "cross runs: ma_cross on BTC-USDT@SIM" in out) == (0, True)
    daemon.settle()
    _, out, _ = run(capsys, "strategy", "list", *daemon.flags)
    assert "running" in out
    assert "fast=3" in out
    assert run(capsys, "strategy", "set", "cross", "--param", "fast=4", *daemon.flags)[0] == 0
    assert run(capsys, "strategy", "stop", "cross", *daemon.flags)[0] == 0
    daemon.settle()
    assert "stopped by admin" in run(capsys, "strategy", "list", *daemon.flags)[1]


def test_a_strategy_that_cannot_start_is_told_in_one_line(daemon, capsys) -> None:
    code, out, error = run(capsys, *START, "--param", "speed=3", *daemon.flags)
    assert (code, out) == (1, "")
    assert "no parameter 'speed'" in error


def test_kinds_are_listed_with_their_parameters(daemon, capsys) -> None:
    code, out, _ = run(capsys, "strategy", "kinds", *daemon.flags)
    assert code == 0
    assert out.startswith("ma_cross: Buys when") or "\nma_cross: Buys when" in out
    [fast] = [line for line in out.splitlines() if line.startswith("  fast ")][:1]
    assert "1..100000" in fast


def test_money_is_booked_and_shown(daemon, capsys) -> None:
    assert run(capsys, "account", "deposit", "EUR", "12.50", *daemon.flags)[0] == 0
    daemon.settle()
    document = json.loads(run(capsys, "account", "show", "--json", *daemon.flags)[1])
    assert {row["currency"]: row["cash"] for row in document["balances"]} == {
        "EUR": "12.50",
        "USDT": "100000.00",
    }
    assert "100,000.00" in run(capsys, "account", "show", *daemon.flags)[1]


def test_limits_are_set_shown_and_taken_away(daemon, capsys) -> None:
    words = ("max_order_value=1000", "max_orders_per_minute=5", "max_position_quantity.BTC-USDT=2")
    code, out, _ = run(capsys, "risk", "set", *words, *daemon.flags)
    assert code == 0
    assert re.search(r"max_order_value +1000 +operator", out)
    assert "denied by" in run(capsys, *ORDER, "--price", "50000", *daemon.flags)[1]
    assert run(capsys, "risk", "set", "max_order_value=", *daemon.flags)[0] == 0
    assert "max_order_value" not in run(capsys, "risk", "show", *daemon.flags)[1]
    assert "max_order_value" in run(capsys, "risk", "known", *daemon.flags)[1]
    assert run(capsys, "risk", "reset", *daemon.flags)[0] == 0


def test_breakers_that_never_opened_are_told_so(daemon, capsys) -> None:
    assert run(capsys, "breaker", *daemon.flags)[0] == 0


def test_a_bracket_is_told_with_its_children_and_a_replace_follows(daemon, capsys) -> None:
    words = (*ORDER, "--price", "50000", "--take-profit", "61000", "--stop-loss", "49000")
    code, out, _ = run(capsys, *words, *daemon.flags)
    first, second, third = out.splitlines()[:3]
    assert (code, " submitted: buy" in first) == (0, True)
    assert " held: sell 0.10000 BTC-USDT at 61000.00, once that has filled" in second
    assert " held: sell 0.10000 BTC-USDT stop 49000.00, once that has filled" in third
    daemon.settle()
    code, out, _ = run(capsys, "order", "replace", first.split()[1], "--price", "50001", *daemon.flags)
    assert (code, "on its way to the venue" in out) == (0, True)


@pytest.mark.parametrize(
    "words",
    [
        ("trading",),
        ("trading", "halt"),
        ("strategy", "start", "x"),
        ("strategy", "set", "x", "--param", "fast"),
        ("strategy", "set", "x"),
        ("account", "deposit", "EUR"),
        ("risk", "set"),
        ("risk", "set", "max_order_value"),
        ("order", "replace", "1"),
        ("order", "replace", "1", "--price", "0"),
        (*ORDER, "--type", "stop"),
        (*ORDER, "--type", "stop", "--stop-price", "1", "--price", "1"),
        (*ORDER, "--type", "trailing_stop"),
        (*ORDER, "--price", "1", "--time-in-force", "gtd"),
        (*ORDER, "--price", "1", "--expires", "tomorrow"),
        (*ORDER, "--price", "1", "--expires", "2026-01-31T21:00:00"),
    ],
)
def test_wrong_usage_exits_with_2(words, capsys) -> None:
    assert run(capsys, *words)[0] == 2
