from __future__ import annotations

import os
import signal
import time

import msgspec
import pytest

from replay.optimise.pool import MAX_DEATHS, LocalPool, PoolError
from replay.optimise.study import COMPLETE, FAILED
from replay.optimise.trial import Markets, run_trial


def outcomes(pool, count):
    """Return so many outcomes by number."""
    found = {}
    while len(found) < count:
        for outcome in pool.finished(timeout_s=20):
            found[outcome.number] = outcome
    return found


def test_trials_run_in_processes_of_their_own_with_the_same_results(spec):
    with LocalPool(2) as pool:
        assert os.getpid() not in pool.processes
        pool.start(0, spec)
        pool.start(1, msgspec.structs.replace(spec, parameters={**spec.parameters, "fast": 7}))
        assert pool.free == 0
        found = outcomes(pool, 2)
        assert pool.free == 2
    expected = run_trial(0, spec, Markets(0))
    assert msgspec.structs.replace(found[0], seconds=expected.seconds) == expected
    assert found[1].result_sha256 != found[0].result_sha256


def test_a_process_that_is_killed_is_replaced_and_its_trial_begun_again(spec):
    with LocalPool(1) as pool:
        (pid,) = pool.processes
        pool.start(0, spec)
        os.kill(pid, signal.SIGKILL)
        assert outcomes(pool, 1)[0].state == COMPLETE
        assert pool.processes != [pid]


def test_a_trial_in_which_every_process_dies_is_given_up(spec, tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os\n"
        "from daemon.trading.strategy import Strategy\n"
        "class Deadly(Strategy):\n"
        "    kind = 'deadly'\n"
        "    def on_trade(self, trade):\n"
        "        os._exit(7)\n"
    )
    own = msgspec.structs.replace(spec, strategy="deadly", parameters={}, strategies_folder=str(tmp_path))
    with LocalPool(1) as pool:
        pool.start(0, own)
        outcome = outcomes(pool, 1)[0]
        assert outcome.state == FAILED
        assert outcome.reason == f"{MAX_DEATHS} processes died in it, the last with exit code 7"
        pool.start(1, spec)
        assert outcomes(pool, 1)[1].state == COMPLETE


def test_closing_ends_every_process(spec):
    with LocalPool(2) as pool:
        pids = pool.processes
        pool.start(0, spec)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_ends_when_its_parent_is_gone(spec):
    pool = LocalPool(1)
    (worker,) = pool._all
    worker.pipe.close()
    end = time.monotonic() + 20
    while worker.process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert worker.process.returncode == 0


@pytest.mark.parametrize("workers", [0, 257])
def test_the_number_of_workers_is_limited(workers):
    with pytest.raises(PoolError, match="expected 1 to 256"):
        LocalPool(workers)
