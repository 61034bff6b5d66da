from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tools import cli


def test_a_daemon_that_is_well_exits_with_0_and_shows_its_account(daemon, capsys) -> None:
    assert cli.main(["status", *daemon.flags]) == 0
    out = capsys.readouterr().out
    assert "is ok" in out
    assert "100000.00" in out
    assert "trading   active" in out


def test_json_holds_status_account_and_positions(daemon, capsys) -> None:
    assert cli.main(["status", "--json", *daemon.flags]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["health"] == "ok"
    assert document["account"]["balances"][0]["currency"] == "USDT"
    assert document["positions"] == []
    assert document["durable_seq"] >= 4


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
