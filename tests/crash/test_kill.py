"""kill -9 of a real daemon under load: nothing that was answered is lost."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from daemon.readmodel.content import content_hash
from daemon.readmodel.queries import ReadModelQueries
from daemon.trading.core import Core
from replay.rebuild import rebuild
from schemas.events import OrderFilled, OrderRequested


class Daemon:
    """A demo daemon in a process of its own."""

    def __init__(self, data, *flags):
        self.data = data
        command = [
            sys.executable,
            "-m",
            "tools.cli",
            "demo",
            "--json",
            "--port",
            "0",
            "--data",
            str(data),
            *flags,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        text = b""
        for line in self.process.stdout:
            text += line
            if line.startswith(b"}"):
                break
        assert text, "the daemon did not start"
        self.address = json.loads(text)["url"].removeprefix("http://")
        self.token = (data / "admin.token").read_text().strip()

    def request(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection(self.address, timeout=10)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        return response.status, answer

    def wait_for_market(self):
        wait_for(lambda: self.request("GET", "/api/v1/instruments")[1]["instruments"])

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def stop(self):
        started = time.monotonic()
        self.process.terminate()
        self.process.communicate(timeout=10)
        return self.process.returncode, time.monotonic() - started


@pytest.fixture
def start(tmp_path):
    daemons = []

    def run(*flags):
        daemons.append(Daemon(tmp_path / "data", *flags))
        return daemons[-1]

    yield run
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.kill()


def order(client_id):
    return {
        "instrument": "BTC-USDT",
        "side": "buy" if hash(client_id) % 2 else "sell",
        "type": "market",
        "quantity": "0.001",
        "client_id": client_id,
    }


def place_orders(daemon, prefix, acknowledged):
    """Place orders until the daemon dies; note each that was answered."""
    number = 0
    while True:
        client_id = f"{prefix}-{number}"
        try:
            status, answer = daemon.request("POST", "/api/v1/orders", order(client_id))
        except (OSError, http.client.HTTPException, ValueError):
            return
        if status == 201:
            acknowledged[client_id] = answer["order_id"]
        number += 1


def wait_for(condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def core_of(data):
    reader = JournalReader(data / "journal")
    core = Core(reader.journal_id)
    for batch in reader.batches():
        core.replay(batch.first_seq, batch.events)
    return core


def test_kill_9_under_load_loses_no_answered_order_and_every_state_agrees(start, tmp_path):
    data = tmp_path / "data"
    acknowledged: dict[str, int] = {}
    for round_ in range(3):
        daemon = start("--rate", "5000")
        daemon.wait_for_market()
        placer = threading.Thread(target=place_orders, args=(daemon, f"round{round_}", acknowledged))
        placer.start()
        time.sleep(1.0 + 0.37 * round_)
        daemon.kill()
        placer.join()
    assert len(acknowledged) > 50

    last = start("--rate", "10")
    wait_for(lambda: last.request("GET", "/api/v1/status")[1]["applied_seq"] > max(acknowledged.values()))
    status, again = last.request("POST", "/api/v1/orders", order("round0-0"))
    assert (status, again["order_id"]) == (200, acknowledged["round0-0"])
    code, seconds = last.stop()
    assert code == 0
    assert seconds < 5

    found = verify(data / "journal")
    assert found.passed, found.problems
    assert found.events == found.last_seq
    requested, fills = {}, set()
    expected = 1
    for batch in JournalReader(data / "journal").batches():
        assert batch.first_seq == expected
        expected += len(batch.events)
        for seq, event in enumerate(batch.events, batch.first_seq):
            if isinstance(event, OrderRequested) and event.client_id:
                assert requested.setdefault(event.client_id, seq) == seq, "an order was journaled twice"
            elif isinstance(event, OrderFilled):
                assert (event.order_id, event.venue_trade_id) not in fills, "a fill was journaled twice"
                fills.add((event.order_id, event.venue_trade_id))
    assert acknowledged.items() <= requested.items()
    assert_read_model_equals_replay(data)


def assert_read_model_equals_replay(data):
    core = core_of(data)
    queries = ReadModelQueries(data / "readmodel.db")
    shown = {row["instrument_id"]: row["quantity"] for row in queries.positions() if row["quantity"]}
    queries.close()
    assert shown == {key: position.quantity for key, position in core.positions.items() if position.quantity}
    before = content_hash(data / "readmodel.db")
    (data / "readmodel.db").unlink()
    rebuild(data)
    assert content_hash(data / "readmodel.db") == before


def test_sigterm_seals_the_journal_and_the_next_start_goes_on(start, tmp_path):
    daemon = start("--rate", "2000")
    wait_for(lambda: daemon.request("GET", "/api/v1/status")[1]["durable_seq"] > 1000)
    code, seconds = daemon.stop()
    assert code == 0
    assert seconds < 5
    first = verify(tmp_path / "data" / "journal")
    assert first.passed
    assert first.sealed == first.segments
    assert first.types["DaemonStopped"] == 1
    again = start("--rate", "2000")
    wait_for(lambda: again.request("GET", "/api/v1/status")[1]["durable_seq"] > first.last_seq + 500)
    assert again.stop()[0] == 0
    assert verify(tmp_path / "data" / "journal").passed


def test_a_second_daemon_on_the_same_data_is_refused_with_the_pid_of_the_first(start, tmp_path):
    daemon = start("--rate", "10")
    done = subprocess.run(
        [sys.executable, "-m", "tools.cli", "run", "--data", str(tmp_path / "data"), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1
    assert str(daemon.process.pid) in done.stderr
    assert "Traceback" not in done.stderr
