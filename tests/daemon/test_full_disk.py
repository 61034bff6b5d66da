"""A daemon on a disk that fills up: trading stops, reads go on, and freed space brings it back."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import closing

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from schemas.events import DiskLevel, DiskPressure, FeedGap, OrderRequested, TradingStateChanged

from .test_disk_space import fill_up, small_disk  # noqa: F401


@pytest.fixture
def daemon(small_disk):  # noqa: F811
    words = [
        sys.executable,
        "-m",
        "tools.cli",
        "demo",
        "--json",
        "--port",
        "0",
        "--data",
        small_disk / "data",
    ]
    environment = {**os.environ, "TAPED_JOURNAL__SEGMENT_MIB": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        text = b""
        for line in process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        process.address = json.loads(text)["url"].removeprefix("http://")
        process.token = (small_disk / "data" / "admin.token").read_text().strip()
        process.data = small_disk / "data"
        yield process
        process.kill()


def request(daemon, method, path, body=None):
    headers = {"Authorization": f"Bearer {daemon.token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(daemon.address, timeout=10)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    return response.status, answer


def order(daemon, client_id):
    body = {
        "instrument": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "quantity": "0.001",
        "price": "1000",
        "client_id": client_id,
    }
    return request(daemon, "POST", "/api/v1/orders", body)


def wait_for(claim, seconds=30):
    end = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return found


def test_a_daemon_outlives_a_full_disk(daemon, small_disk):  # noqa: F811
    wait_for(lambda: order(daemon, "first")[0] in (200, 201) or None)
    fill_up(small_disk / "other")
    wait_for(lambda: order(daemon, f"try-{time.time_ns()}")[0] not in (200, 201))
    assert request(daemon, "GET", "/api/v1/instruments")[0] == 200
    health = wait_for(lambda: (found := request(daemon, "GET", "/health")[1])["reasons"] and found)
    assert health["status"] == "degraded"
    assert "disk" in health["reasons"][0]
    time.sleep(5)
    assert daemon.poll() is None
    assert request(daemon, "GET", "/api/v1/instruments")[0] == 200
    (small_disk / "other").unlink()
    done = wait_for(lambda: (answer := order(daemon, f"last-{time.time_ns()}"))[0] in (200, 201) and answer)
    time.sleep(4)
    daemon.terminate()
    assert daemon.wait(15) == 0
    found = verify(daemon.data / "journal")
    assert found.problems == []
    events = [event for batch in JournalReader(daemon.data / "journal").batches() for event in batch.events]
    levels = [event.level for event in events if isinstance(event, DiskPressure)]
    assert DiskLevel.REFUSE_RISK in levels
    assert levels[-1] < DiskLevel.SHED_TICKS
    assert any(isinstance(event, FeedGap) for event in events)
    assert [e.state.name for e in events if isinstance(e, TradingStateChanged)][:2] == ["REDUCING", "ACTIVE"]
    kept = {event.client_id for event in events if isinstance(event, OrderRequested)}
    assert {"first", done[1].get("client_id") or done[1]["order"]["client_id"]} <= kept
