from __future__ import annotations

import sys
from array import array

import pytest

from tools.bench import peers, replay
from tools.bench.peers import PeersError, figures, write_ticks
from tools.bench.samples import trades
from tools.cli import main


def test_peers_are_given_times_prices_and_quantities_of_the_same_ticks(tmp_path):
    ticks = trades(3)
    write_ticks(tmp_path / "ticks.bin", ticks)
    numbers = array("q", (tmp_path / "ticks.bin").read_bytes())
    assert list(numbers[:3]) == [tick.ts_ns for tick in ticks]
    assert [number * 10**6 for number in numbers[3:6]] == [tick.price for tick in ticks]
    assert [number * 10**4 for number in numbers[6:]] == [tick.quantity for tick in ticks]


def test_figures_are_the_last_line_of_what_a_run_prints():
    line = '{"version":"1","seconds":2.0,"events":8,"orders":3,"filled":3,"peak_mb":5.5}'
    assert figures(f"a warning\n{line}\n").rate == 4


def test_a_peer_that_cannot_be_installed_is_an_error_that_says_why():
    with pytest.raises(PeersError, match="no such host") as raised:
        peers._call([sys.executable, "-c", "raise SystemExit('pip: no such host')"], 10)
    assert "without --peers" in raised.value.hint


def test_the_suite_measures_each_run_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(replay, "EVENTS", 3_000)
    monkeypatch.setattr(replay, "MANY_EVENTS", 6_000)
    monkeypatch.setattr(replay, "_ROUNDS", 1)
    monkeypatch.setattr(replay.replay_at, "measure", lambda *_, **__: [])
    found = {one.name: one for one in replay.measure(tmp_path, market_data=None, quick=False)}
    assert set(found) == {"replay.ma_cross", "replay.noop", "replay.open_last_hour", "replay.peak_mb"}
    assert found["replay.ma_cross"].detail["events"] == 3_000
    assert found["replay.ma_cross"].detail["orders"] > 3
    assert found["replay.noop"].detail["orders"] == 0
    assert found["replay.peak_mb"].detail["events"] == 6_000


def test_peers_of_another_suite_are_refused(capsys):
    assert main(["bench", "journal", "--peers"]) == 2
    assert "taped bench replay --peers" in capsys.readouterr().err
