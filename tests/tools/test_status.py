from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tools import cli
from tools.status import cents


def test_a_daemon_that_is_well_exits_with_0_and_shows_its_account(daemon, capsys) -> None:
    assert cli.main(["status", *daemon.flags]) == 0
    out = capsys.readouterr().out
    assert "is ok" in out
    assert " 100,000.00 " in out
    assert "trading   active" in out


def test_json_holds_status_account_and_positions(daemon, capsys) -> None:
    assert cli.main(["status", "--json", *daemon.flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["health"] == "ok"
    assert document["account"]["balances"][0]["currency"] == "USDT"
    assert document["positions"] == []
    assert document["durable_seq"] >= 4


def test_text_shows_money_in_cents_and_json_every_digit(daemon, capsys) -> None:
    order = ["--instrument", "1", "--side", "buy", "--type", "market", "--quantity", "0.12345"]
    assert cli.main(["order", "submit", *order, *daemon.flags]) == 0
    daemon.settle()
    capsys.readouterr()
    assert cli.main(["status", *daemon.flags]) == 0
    words = capsys.readouterr().out.split()
    # 0.12345 x 60,000.10 = 7,407.012345, and 1000 ppm of it as a fee, rounded up at 8 decimals.
    assert {"92,585.58", "7.40", "0.12345", "60000.10"} <= set(words)
    assert cli.main(["status", "--json", *daemon.flags]) == 0
    assert json.loads(capsys.readouterr().out)["account"]["balances"][0]["fees"] == "7.40701235"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1234567.899999999999999999", "1,234,567.89"),
        ("-1234.5", "-1,234.50"),
        ("-0.009999999999999999", "0.00"),
        ("0", "0.00"),
        ("-0.010", "-0.01"),
    ],
)
def test_money_is_cut_to_cents_and_nothing_is_minus_zero(text, shown) -> None:
    assert cents(text) == shown


def test_an_account_without_cash_is_told_with_the_setting_that_gives_some(
    daemon, capsys, monkeypatch
) -> None:
    empty = {"main_currency": None, "balances": []}
    monkeypatch.setattr("daemon.api.reads.Reads.account", lambda _: empty)
    assert cli.main(["status", *daemon.flags]) == 0
    out = capsys.readouterr().out
    assert "no cash" in out
    assert "account.cash" in out


def test_reading_needs_no_token(daemon, capsys, tmp_path) -> None:
    assert cli.main(["status", "--url", daemon.url, "--data", str(tmp_path)]) == 0


def test_a_daemon_that_is_not_well_exits_with_1_and_says_why(daemon, capsys) -> None:
    daemon.daemon.engine.stopping = True
    assert cli.main(["status", *daemon.flags]) == 1
    out = capsys.readouterr().out
    assert "is degraded" in out
    assert "taped is stopping" in out


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[1, 2]", b""])
def test_another_program_at_the_address_is_not_taken_for_taped(capsys, body) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert cli.main(["status", "--url", f"http://127.0.0.1:{server.server_port}"]) == 1
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "is not taped" in capsys.readouterr().err
