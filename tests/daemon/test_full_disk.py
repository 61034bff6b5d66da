"""A daemon on a disk that fills up: trading stops, reads go on, and freed space brings it back."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from itertools import islice

import pytest

from daemon.journal.reader import JournalReader
from daemon.journal.verify import verify
from schemas.events import (
    DaemonStarted,
    DiskLevel,
    DiskPressure,
    FeedGap,
    OrderRequested,
    Quote,
    Trade,
    TradingStateChanged,
)

from .conftest import fill_up

SETTINGS = {
    "TAPED_FEED__RATE": "1000",
    "TAPED_ACCOUNT__CASH": "USDT=100000",
}


@contextmanager
def running(data, *, segment_mib=1):
    """`taped run` on a data folder; it is killed when a test leaves it running."""
    environment = {**os.environ, **SETTINGS, "TAPED_JOURNAL__SEGMENT_MIB": str(segment_mib)}
    words = [sys.executable, "-m", "tools.cli", "run", "--json", "--port", "0", "--data", data]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
        try:
            text = b""
            for line in process.stdout:
                text += line
                if line.startswith(b"}"):
                    break
            process.address = json.loads(text)["url"].removeprefix("http://")
            process.token = (data / "admin.token").read_text().strip()
            yield process
        finally:
            process.kill()


def request(daemon, method, path, body=None):
    headers = {"Authorization": f"Bearer {daemon.token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(daemon.address, timeout=10)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
    return response.status, answer.decode() if path == "/metrics" else json.loads(answer)


def order(daemon, client_id):
    """Submit an order; return whether it was taken."""
    body = {
        "instrument": "BTC-USDT",
        "side": "buy",
        "type": "limit",
        "quantity": "0.001",
        "price": "1000",
        "client_id": client_id,
    }
    return request(daemon, "POST", "/api/v1/orders", body)[0] in (200, 201)


def metric(daemon, name):
    text = request(daemon, "GET", "/metrics")[1]
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


def wait_for(claim, seconds=20):
    end = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def taken(daemon, prefix):
    """Try orders until one is taken; return its client id."""
    tries = (f"{prefix}-{number}" for number in range(10_000))
    return wait_for(lambda: next((name for name in islice(tries, 1) if order(daemon, name)), None))


def events_of(data):
    return [event for batch in JournalReader(data / "journal").batches() for event in batch.events]


def orders_in(events):
    return {event.client_id for event in events if isinstance(event, OrderRequested)}


def health(daemon):
    return request(daemon, "GET", "/health")[1]


def test_a_daemon_outlives_a_full_disk(small_disk):
    data = small_disk / "data"
    with running(data) as daemon:
        first = taken(daemon, "first")
        assert health(daemon)["disk"] == "ok"
        assert metric(daemon, 'taped_disk_level{level="ok"}') == 1

        fill_up(small_disk / "other")
        wait_for(lambda: health(daemon)["disk"] == "refuse_risk")
        assert metric(daemon, 'taped_disk_level{level="refuse_risk"}') == 1
        assert metric(daemon, "taped_disk_free_bytes") < 1 << 20
        assert health(daemon)["status"] == "degraded"
        assert "ticks are dropped and trading is reduced" in "".join(health(daemon)["reasons"])
        wait_for(lambda: metric(daemon, "taped_ticks_shed_total") > 100)
        assert not order(daemon, "too-risky")
        assert request(daemon, "GET", "/api/v1/instruments")[0] == 200

        (small_disk / "other").unlink()
        last = taken(daemon, "last")
        wait_for(lambda: health(daemon)["disk"] == "ok" and not health(daemon)["reasons"])
        shed = metric(daemon, "taped_ticks_shed_total")
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert verify(data / "journal").problems == []
    events = events_of(data)
    levels = [event.level for event in events if isinstance(event, DiskPressure)]
    assert levels[0] > DiskLevel.OK
    assert max(levels) is DiskLevel.REFUSE_RISK
    assert levels[-1] is DiskLevel.OK
    assert sum(event.lost for event in events if isinstance(event, FeedGap)) == shed
    assert [e.state.name for e in events if isinstance(e, TradingStateChanged)][:2] == ["REDUCING", "ACTIVE"]
    assert {first, last} <= orders_in(events)


def test_ticks_shed_until_the_stop_are_told_before_it(small_disk):
    data = small_disk / "data"
    with running(data) as daemon:
        taken(daemon, "first")
        fill_up(small_disk / "other")
        wait_for(lambda: metric(daemon, "taped_ticks_shed_total") > 100)
        before = metric(daemon, "taped_ticks_shed_total")
        daemon.terminate()
        assert daemon.wait(15) == 0
    events = events_of(data)
    ticks = [place for place, event in enumerate(events) if isinstance(event, Quote | Trade)]
    gaps = [event for event in events[ticks[-1] :] if isinstance(event, FeedGap)]
    assert sum(gap.lost for gap in gaps) >= before


def test_a_journal_that_lies_on_another_disk_is_judged_by_that_disk(small_disk, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (small_disk / "journal").mkdir()
    (data / "journal").symlink_to(small_disk / "journal")
    with running(data) as daemon:
        first = taken(daemon, "first")
        fill_up(small_disk / "other")
        wait_for(lambda: health(daemon)["disk"] == "refuse_risk")
        (small_disk / "other").unlink()
        wait_for(lambda: health(daemon)["disk"] == "ok")
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert first in orders_in(events_of(data))


def test_a_daemon_that_starts_on_a_full_disk_serves_reads_and_trades_once_there_is_space(small_disk):
    data = small_disk / "data"
    with running(data, segment_mib=8) as daemon:
        first = taken(daemon, "first")
        wait_for((data / "start.reserve").exists)
        daemon.terminate()
        assert daemon.wait(15) == 0
    before = len(events_of(data))
    fill_up(small_disk / "other")

    with running(data, segment_mib=8) as daemon:
        assert request(daemon, "GET", "/api/v1/orders")[1]["orders"][0]["client_id"] == first
        assert "the disk is full: nothing is journaled" in health(daemon)["reasons"][0]
        assert not order(daemon, "too-early")
        assert len(events_of(data)) == before
        (small_disk / "other").unlink()
        last = taken(daemon, "last")
        wait_for(lambda: not health(daemon)["reasons"])
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert verify(data / "journal").problems == []
    events = events_of(data)
    assert isinstance(events[before], DaemonStarted)
    levels = [event.level for event in events[before:] if isinstance(event, DiskPressure)]
    assert (max(levels), levels[-1]) == (DiskLevel.REFUSE_RISK, DiskLevel.OK)
    assert orders_in(events) >= {first, last}
    assert "too-early" not in orders_in(events)


def test_a_daemon_that_waits_for_space_stops_when_it_is_told_to(small_disk):
    data = small_disk / "data"
    with running(data, segment_mib=8) as daemon:
        wait_for((data / "start.reserve").exists)
        daemon.terminate()
        assert daemon.wait(15) == 0
    fill_up(small_disk / "other")
    with running(data, segment_mib=8) as daemon:
        wait_for(lambda: health(daemon)["reasons"])
        daemon.terminate()
        assert daemon.wait(15) == 0
    assert not list((data / "journal").glob("*.tmp"))
    assert verify(data / "journal").problems == []


@pytest.mark.parametrize("left", ["nothing", "a segment"])
def test_a_first_start_without_space_says_how_much_to_free(small_disk, left):
    other = small_disk / "other"
    fill_up(other)
    if left == "a segment":
        os.truncate(other, other.stat().st_size - (1 << 20))
    words = [sys.executable, "-m", "tools.cli", "run", "--port", "0", "--data", small_disk / "data"]
    done = subprocess.run(
        words, env={**os.environ, **SETTINGS}, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
