from __future__ import annotations

import argparse
import json
import re

import pytest

from tools import cli, client


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


LIMIT = ("order", "submit", "--instrument", "BTC-USDT", "--side", "buy", "--quantity", "0.5")


def test_an_order_is_submitted_listed_and_canceled(daemon, capsys) -> None:
    code, out, _ = run(capsys, *LIMIT, "--price", "50000", *daemon.flags, "--json")
    order = json.loads(out)
    assert (code, order["status"], order["type"]) == (0, "submitted", "limit")
    daemon.settle()
    code, out, _ = run(capsys, "order", "list", "--open", *daemon.flags)
    assert code == 0
    assert f"{order['order_id']} " in out
    assert "accepted" in out
    code, out, _ = run(capsys, "order", "cancel", str(order["order_id"]), *daemon.flags)
    assert (code, "on its way" in out) == (0, True)
    daemon.settle()
    assert run(capsys, "order", "list", "--open", *daemon.flags)[1] == "no open order\n"
    listed = json.loads(run(capsys, "order", "list", "--json", *daemon.flags)[1])
    assert [each["status"] for each in listed["orders"]] == ["canceled"]


def test_a_denied_order_exits_with_1_and_says_why(daemon, capsys) -> None:
    words = ("order", "submit", "--instrument", "1", "--side", "buy", "--quantity", "99", "--price", "50000")
    code, out, _ = run(capsys, *words, *daemon.flags)
    assert code == 1
    assert "denied by CASH" in out
    assert "account.cash" in out.splitlines()[-1]


def test_the_list_says_why_an_order_was_refused_and_has_no_empty_column_of_reasons(daemon, capsys) -> None:
    run(capsys, *LIMIT, "--price", "50000", *daemon.flags)
    daemon.settle()
    header, _ = run(capsys, "order", "list", *daemon.flags)[1].splitlines()
    assert "time (UTC)" in header
    assert "reason" not in header
    run(capsys, *LIMIT[:-1], "99", "--price", "50000", *daemon.flags)
    run(capsys, *LIMIT, "--price", "61000", "--post-only", *daemon.flags)
    daemon.settle()
    header, rejected, denied, accepted = run(capsys, "order", "list", *daemon.flags)[1].splitlines()
    assert header.split()[-1] == "reason"
    assert "CASH: needs " in denied
    assert re.search(r" rejected +\w+", rejected)
    assert accepted.endswith(" accepted")


def test_what_the_venue_will_say_of_a_submitted_order_is_told_to_follow(daemon, capsys) -> None:
    code, out, _ = run(capsys, *LIMIT, "--price", "61000", "--post-only", *daemon.flags)
    assert (code, " submitted: " in out) == (0, True)
    assert "the venue's answer follows in `taped order list`" in out


def test_the_same_client_id_twice_gives_the_same_order(daemon, capsys) -> None:
    words = (*LIMIT, "--price", "50000", "--client-id", "mine", *daemon.flags, "--json")
    first, second = run(capsys, *words), run(capsys, *words)
    assert first[0] == second[0] == 0
    assert json.loads(first[1])["order_id"] == json.loads(second[1])["order_id"]


def test_a_refusal_is_one_line_on_stderr(daemon, capsys) -> None:
    code, out, error = run(capsys, *LIMIT, "--price", "50000.001", *daemon.flags)
    assert (code, out) == (1, "")
    assert error == f"taped: {error.removeprefix('taped: ').strip()}\n"
    assert "multiple of 0.1" in error


def test_without_a_token_nothing_is_sent_and_the_hint_says_where_one_is(daemon, capsys, tmp_path) -> None:
    code, _, error = run(capsys, *LIMIT, "--price", "1", "--url", daemon.url, "--data", str(tmp_path))
    assert code == 1
    assert "admin.token" in error
    assert "--token-file" in error


def test_a_wrong_token_is_told_with_the_way_to_give_the_right_one(daemon, capsys, tmp_path) -> None:
    (tmp_path / "token").write_text("wrong")
    words = ("--url", daemon.url, "--token-file", str(tmp_path / "token"))
    code, _, error = run(capsys, *LIMIT, "--price", "1", *words)
    assert code == 1
    assert "--token-file" in error


def test_the_token_file_may_be_named_in_the_environment(daemon, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TAPED_TOKEN_FILE", str(daemon.data / "admin.token"))
    monkeypatch.setenv("TAPED_URL", daemon.url)
    assert run(capsys, *LIMIT, "--price", "50000")[0] == 0


def test_a_data_folder_that_was_typed_counts_before_the_environments_token(
    daemon, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("TAPED_TOKEN_FILE", str(tmp_path / "of another daemon"))
    assert run(capsys, *LIMIT, "--price", "50000", *daemon.flags)[0] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("order",),
        ("order", "cancel", "x"),
        ("order", "list", "--limit", "0"),
        ("order", "submit", "--side", "buy"),
        (*LIMIT, "--side", "hold"),
        ("order", "list", "--url", "nonsense"),
        LIMIT,
        (*LIMIT, "--type", "market", "--price", "1"),
        (*LIMIT, "--price", "0.0"),
        (*LIMIT, "--price", "1e5"),
        (*LIMIT[:-1], "abc", "--price", "1"),
        (*LIMIT[:-1], "-1", "--price", "1"),
        (*LIMIT[:-1], "\u0661", "--price", "1"),
    ],
)
def test_wrong_usage_exits_with_2(words, capsys) -> None:
    assert run(capsys, *words)[0] == 2


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"TAPED_API__PORT": "9"}, "http://127.0.0.1:9"),
        ({"TAPED_API__PORT": "0"}, "http://127.0.0.1:8080"),
        ({"TAPED_API__HOST": "0.0.0.0", "TAPED_API__PORT": "9"}, "http://127.0.0.1:9"),
        ({"TAPED_API__HOST": "::", "TAPED_API__PORT": "9"}, "http://[::1]:9"),
        ({"TAPED_API__PORT": "9", "TAPED_URL": "http://localhost:7"}, "http://localhost:7"),
    ],
)
def test_commands_ask_where_the_daemons_own_settings_say_it_listens(
    environment, asked, monkeypatch, tmp_path
) -> None:
    for name in ("TAPED_URL", "TAPED_API__HOST", "TAPED_API__PORT", "TAPED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = argparse.Namespace(url=None, data=tmp_path, token_file=None)
    assert client.from_arguments(arguments).url == asked


@pytest.mark.parametrize("words", [("order",), ("order", "submit"), ("order", "cancel"), ("order", "list")])
def test_every_help_of_orders_says_in_a_sentence_what_the_command_does(words, capsys) -> None:
    _, out, _ = run(capsys, *words, "--help")
    described = out.split("\n\n")[1]
    assert described.strip().endswith(".")
    assert len(described.split()) >= 5


def test_no_daemon_is_an_error_that_says_how_to_start_one(capsys) -> None:
    code, _, error = run(capsys, "order", "list", "--url", "http://127.0.0.1:9", "--json")
    assert code == 1
    document = json.loads(error)["error"]
    assert "no daemon answers" in document["message"]
    assert "Errno" not in document["message"]
    assert "taped run" in document["hint"]
