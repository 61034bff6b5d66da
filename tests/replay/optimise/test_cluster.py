from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from replay.optimise import cluster
from replay.optimise.search import ResearchMissingError
from replay.optimise.study import COMPLETE, FAILED, Outcome
from replay.optimise.trial import Markets, run_trial
from tests.replay.recordings import instrument, trade, write_journal

SEARCH = ["--strategy", "ma_cross", "--param", "quantity=10", "--search", "random", "--trials", "24"]
SPACE = ["--range", "fast=3:60", "--range", "slow=61:300"]


class Cluster:
    """A scheduler and two workers, as processes on 127.0.0.1."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        dask = str(Path(sys.executable).with_name("dask"))
        quiet = ["--no-dashboard", "--scheduler-file", str(self.file)]
        self.scheduler = self._run(
            [
                dask,
                "scheduler",
                *quiet,
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--dashboard-address",
                "127.0.0.1:0",
            ]
        )
        self._wait(self.file.exists)
        worker = ["--nthreads", "2", "--no-nanny", "--host", "127.0.0.1", "--local-directory", str(folder)]
        self.workers = [self._run([dask, "worker", *quiet, *worker]) for _ in range(2)]
        self.address = json.loads(self.file.read_text())["address"]

    def _run(self, words):
        log = (self.folder / "log").open("ab")
        with log:
            return subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _wait(self, ready):
        end = time.monotonic() + 60
        while not ready():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.02)

    def wait_for_workers(self):
        self._wait(lambda: (self.folder / "log").read_text().count("Registered to:") >= 2)

    def close(self):
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def dask(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "cluster").mkdir()
    running = Cluster(tmp_path / "cluster")
    running.wait_for_workers()
    yield running
    running.close()


def command(market, *words):
    return [sys.executable, "-m", "tools.cli", "replay", "optimise", str(market), *SEARCH, *SPACE, *words]


def test_a_study_is_complete_and_the_same_when_a_worker_is_killed_in_the_middle(dask, market, tmp_path):
    study = tmp_path / "study"
    searching = subprocess.Popen(
        command(market, "--cluster", dask.address, "--study", str(study), "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not study.exists() or study.read_bytes().count(b"\n") < 5:
        assert searching.poll() is None, searching.communicate()
        time.sleep(0.01)
    os.kill(dask.workers[0].pid, signal.SIGKILL)
    out, error = searching.communicate(timeout=60)
    assert searching.returncode == 0, error
    found = json.loads(out)["results"]
    done = subprocess.run(
        command(market, "--workers", "2", "--json"), capture_output=True, check=True, timeout=60
    )
    local = json.loads(done.stdout)["results"]
    assert [result["state"] for result in found] == [COMPLETE] * 24
    assert [result["result_sha256"] for result in found] == [result["result_sha256"] for result in local]


def remote(spec, expected):
    whole = cluster.everywhere(spec).json()
    return msgspec.json.decode(cluster.run_remote(3, whole, whole, expected), type=Outcome)


def test_a_worker_that_has_the_same_gives_the_same_result(spec):
    reason, mine = cluster.look(spec.json())
    assert reason == ""
    expected = run_trial(3, spec, Markets(0))
    outcome = remote(spec, mine)
    assert msgspec.structs.replace(outcome, seconds=expected.seconds) == expected


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"code": "0" * 64}, "runs other code"),
        ({"data": "{}"}, "has other data"),
        ({"events": "0" * 64}, "has other events under the same name"),
    ],
)
def test_a_worker_that_has_something_else_is_refused_with_the_reason(spec, changed, says):
    mine = msgspec.structs.replace(cluster.holdings(spec), **changed)
    outcome = remote(spec, msgspec.json.encode(mine))
    assert outcome.state == FAILED
    assert says in outcome.reason


def test_a_worker_without_the_data_says_so(spec):
    nowhere = msgspec.structs.replace(spec, data=("/nowhere",))
    reason, found = cluster.look(nowhere.json())
    assert "/nowhere" in reason
    assert found == b""


def test_equal_events_have_equal_hashes_however_they_are_cut(tmp_path):
    trades = [trade(number) for number in range(3_000)]
    paths = []
    for name, length in (("one", 3_000), ("many", 700)):
        folder = tmp_path / name
        folder.mkdir()
        cuts = [trades[at : at + length] for at in range(0, 3_000, length)]
        paths.append(write_journal(folder, [instrument()], *cuts))
    one, other = (
        cluster.holdings(cluster.BacktestSpec(data=(str(path),), strategy="ma_cross")) for path in paths
    )
    assert one.events == other.events
    assert one.data != other.data


def test_the_code_of_own_strategies_counts(spec, tmp_path):
    before = cluster.holdings(msgspec.structs.replace(spec, strategies_folder=None)).code
    (tmp_path / "own.py").write_text(
        "from daemon.trading.strategy import Strategy\nclass Own(Strategy):\n    kind = 'own'\n"
    )
    assert cluster.holdings(msgspec.structs.replace(spec, strategies_folder=str(tmp_path))).code != before


def test_paths_mean_the_same_from_any_folder(spec, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    moved = cluster.everywhere(msgspec.structs.replace(spec, data=("data",), strategies_folder="own"))
    assert (moved.data, moved.strategies_folder) == ((str(tmp_path / "data"),), str(tmp_path / "own"))


def test_without_distributed_it_says_how_to_get_it(spec, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ResearchMissingError, match="--cluster needs distributed"):
        cluster.ClusterPool("tcp://127.0.0.1:1", spec)


def test_a_cluster_that_is_not_there_is_told_in_one_line(market):
    pytest.importorskip("distributed")
    script = (
        "import sys; from replay.optimise import cluster; cluster.CONNECT_S = 0.3;"
        "from tools.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = command(market, "--cluster", "tcp://127.0.0.1:1")[3:]
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert (
        "taped: --cluster tcp://127.0.0.1:1: no scheduler answers; `dask scheduler` starts one" in done.stderr
    )
    assert "Traceback" not in done.stderr
