from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from daemon.venue.feeds.formats import ReadOptions
from replay.backtest import BacktestError
from replay.run import run_spec
from replay.spec import DAEMON_VENUE, BacktestSpec
from tests.replay.recordings import instrument, trade, write_csv, write_journal

PARAMETERS = {"fast": 2, "slow": 4, "quantity": "3"}


@pytest.fixture
def journal(data_folder):
    return write_journal(data_folder, [instrument()], *([trade(n)] for n in range(400)))


def spec(data, **fields) -> BacktestSpec:
    return BacktestSpec(**{"data": (str(data),), "strategy": "ma_cross", "parameters": PARAMETERS, **fields})


def test_the_same_spec_gives_the_same_result_and_another_one_another(journal):
    first = run_spec(spec(journal))
    assert first.orders > 10
    assert run_spec(spec(journal)).result_sha256 == first.result_sha256
    assert run_spec(spec(journal, cash="99999")).result_sha256 != first.result_sha256
    dearer = replace(DAEMON_VENUE, taker_fee_ppm=2_000)
    assert run_spec(spec(journal, venue=dearer)).result_sha256 != first.result_sha256


def test_the_seed_decides_where_the_venue_draws(journal):
    venue = replace(DAEMON_VENUE, latency_us=1, latency_spread_us=5_000_000)
    hashes = [run_spec(spec(journal, venue=venue, seed=seed)).result_sha256 for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_another_process_gives_the_same_hash(journal):
    program = (
        "import pickle, sys; from replay.run import run_spec;"
        "print(run_spec(pickle.loads(sys.stdin.buffer.read())).result_sha256)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(spec(journal)), capture_output=True, check=True
    )
    assert found.stdout.decode().strip() == run_spec(spec(journal)).result_sha256


def test_a_file_gives_what_the_journal_of_it_gives(tmp_path):
    path = write_csv(tmp_path / "trades.csv", [trade(n) for n in range(400)])
    reading = ReadOptions(symbol="I-USD", venue="V", columns="ts=time@ms,price=price,quantity=quantity")
    one = run_spec(spec(path, reading=reading))
    assert one.events == 401
    assert one.orders > 10


def test_a_run_that_is_stopped_says_that_it_is_partial(journal):
    seen = []
    result = run_spec(
        spec(journal), progress=lambda source: seen.append(source.position), stop=lambda: len(seen) > 9
    )
    assert result.partial
    assert result.events == seen[-1] == 10
    assert not run_spec(spec(journal)).partial


def test_a_strategy_of_ones_own_is_found_in_its_folder(journal, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o755)
    (folder / "idle.py").write_text(
        "from daemon.trading.strategy import Strategy\n\n\nclass Idle(Strategy):\n    kind = 'idle'\n"
    )
    asked = spec(journal, strategy="idle", parameters={}, strategies_folder=str(folder))
    assert run_spec(asked).orders == 0
    with pytest.raises(BacktestError, match="no strategy kind"):
        run_spec(spec(journal, strategy="idle", parameters={}))
