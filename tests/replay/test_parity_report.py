"""What parity came to reaches the daemon that runs on the folder, and its next process still knows."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.replay.journals import Session
from tools.cli import main
from tools.client import Client


@pytest.fixture
def live(tmp_path):
    """A daemon that trades."""
    session = Session(tmp_path)
    process, url = session.begin()
    time.sleep(1)
    yield session, url
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def test_a_nightly_comparison_of_a_live_journal_is_reported_to_its_daemon(live, capsys):
    session, url = live
    config = str(session.folder / "taped.toml")
    arguments = ["replay", "parity", str(session.data), "--config", config, "--last-day", "--report"]
    assert main([*arguments, "--url", url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    known = Client(url).get("/api/v1/parity").document["parity"]
    assert (known["passed"], known["last_seq"]) == (True, told["last_seq"])
    assert known["code_hash"] == told["runs"][0]["code_hash"] == told["code_hash"]
    # The code of one strategy is missing: that is another code, and it cannot decide the same.
    arguments = ["replay", "parity", str(session.data), "--report", "--url", url]
    assert main(arguments) == 1
    known = Client(url).get("/api/v1/parity").document["parity"]
    assert not known["passed"]
    assert "StrategyStarted" in known["reason"]
    assert "decides other than" in str(Client(url).get("/health").document["reasons"])


def test_a_report_without_a_daemon_is_an_error(session, capsys):
    arguments = ["replay", "parity", str(session.data), "--strategies-folder", str(session.strategies)]
    assert main([*arguments, "--report", "--url", "http://127.0.0.1:9"]) == 1
    assert "no daemon answers" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["DATA", "--last-day", "--from", "3"]])
def test_wrong_usage_is_told(arguments, capsys):
    assert main(["replay", "parity", *arguments]) == 2
    assert capsys.readouterr().err
