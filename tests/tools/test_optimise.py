from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.replay.optimise.conftest import market  # noqa: F401  # A fixture.
from tools.cli import main

SPACE = [
    "--strategy",
    "ma_cross",
    "--param",
    "quantity=10",
    "--range",
    "fast=3:9:3",
    "--range",
    "slow=6:24:6",
]


@pytest.fixture
def optimise(market, capsys):  # noqa: F811
    """Run the command on the market, and return its exit code and what it printed."""

    def call(*words):
        code = main(["replay", "optimise", str(market), *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_grid_is_searched_and_its_best_can_be_run_again(optimise, capsys):
    code, out, _ = optimise(*SPACE, "--workers", "2", "--objective", "total_return")
    assert code == 0
    assert "10 trials in" in out
    assert "total_return" in out
    assert "trials counted" in out
    line = shlex.split(out.strip().splitlines()[-1])
    assert line[:3] == ["taped", "replay", "backtest"]
    assert main(line[1:]) == 0


def test_json_tells_every_result(optimise):
    code, out, _ = optimise(*SPACE, "--workers", "1", "--objective", "total_return,max_drawdown", "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["trials"], body["counted"], body["resumed"]) == (10, 10, 0)
    assert body["first_trial_s"] > 0
    returns = [result["metrics"]["total_return"] for result in body["results"]]
    assert body["best"][0]["metrics"]["total_return"] == max(returns)
    assert 0 <= body["overfitting"]["overfitting"] <= 1
    assert set(body["importance"]) == {"fast", "slow"}


def test_a_study_goes_on_with_more_trials(optimise, tmp_path):
    study = ["--study", str(tmp_path / "s"), "--search", "random", "--workers", "1", "--json"]
    optimise(*SPACE, *study, "--trials", "3")
    body = json.loads(optimise(*SPACE, *study, "--trials", "5")[1])
    assert (body["trials"], body["resumed"]) == (5, 3)


def test_nothing_that_counts_is_a_problem_and_says_why(optimise):
    code, out, _ = optimise(*SPACE, "--constraint", "orders>=100000", "--workers", "1")
    assert code == 1
    assert "10 trials left out: not orders>=100000" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--objective", "luck"], 2, "no metric 'luck'"),
        (["--constraint", "orders"], 2, "expected METRIC>=NUMBER"),
        (["--range", "speed=1:2"], 2, "no parameter 'speed'"),
        (["--strategy", "none"], 2, "no kind 'none'"),
        (["--workers", "0"], 2, "expected 1 to 256"),
        (["--trials", "0"], 2, "expected 1 to 20000"),
        (["--cash", "0"], 2, "above zero"),
    ],
)
def test_what_cannot_be_searched_is_told(optimise, words, code, says):
    found, _, error = optimise(*SPACE, *words)
    assert found == code
    assert says in error


def test_a_walk_forward_tells_each_fold_and_all_tests_joined(optimise, tmp_path):
    words = [
        *SPACE,
        "--walk-forward",
        "rolling",
        "--folds",
        "2",
        "--workers",
        "1",
        "--objective",
        "total_return",
    ]
    code, out, _ = optimise(*words, "--study", str(tmp_path / "s"))
    assert code == 0
    assert "tried on" in out
    assert "of 2 winners grew outside its search" in out
    code, out, _ = optimise(*words, "--study", str(tmp_path / "s"), "--json")
    body = json.loads(out)
    assert [fold["trials"] for fold in body["folds"]] == [10, 10]
    assert body["folds"][1]["train_from_ns"] > body["folds"][0]["train_from_ns"]
    growth = (1 + body["folds"][0]["outside"]) * (1 + body["folds"][1]["outside"])
    assert body["metrics"]["total_return"] == pytest.approx(growth - 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.1", "s.2"]


def test_a_walk_forward_without_any_result_that_counts_says_where(optimise):
    words = ["--walk-forward", "anchored", "--workers", "1", "--constraint", "orders>=100000"]
    code, _, error = optimise(*SPACE, *words)
    assert code == 1
    assert "fold 1: no trial counts, the first because not orders>=100000" in error


@pytest.mark.parametrize("span", ["3", "d", "0d", "-1d", "3w", "1.5h"])
def test_a_length_that_is_none_is_refused(optimise, span):
    code, _, error = optimise(*SPACE, "--walk-forward", "rolling", "--train", span)
    assert code == 2
    assert "expected a whole number and d, h, m or s" in error or "expected one argument" in error


def command(market, study):  # noqa: F811
    words = [*SPACE, "--search", "random", "--range", "percent=1:90", "--trials", "30", "--workers", "2"]
    return [
        sys.executable,
        "-m",
        "tools.cli",
        "replay",
        "optimise",
        str(market),
        *words,
        "--study",
        str(study),
    ]


def wait_for_lines(path, count, process):
    end = time.monotonic() + 30
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_search_that_was_killed_goes_on_and_finds_the_same(market, tmp_path):  # noqa: F811
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(market, killed), stdout=subprocess.DEVNULL)
    wait_for_lines(killed, 5, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bodies = []
    for study in (killed, whole):
        done = subprocess.run(
            [*command(market, study), "--json"], capture_output=True, check=True, timeout=60
        )
        bodies.append(json.loads(done.stdout))
    assert 4 <= bodies[0]["resumed"] < 30
    hashes = [[result["result_sha256"] for result in body["results"]] for body in bodies]
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 30


def test_an_interrupted_search_tells_what_it_has(market, tmp_path):  # noqa: F811
    study = tmp_path / "study"
    process = subprocess.Popen(
        command(market, study), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    wait_for_lines(study, 4, process)
    os.killpg(process.pid, signal.SIGINT)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "taped replay backtest" in out
    assert f"`--study {study}` goes on from here" in error
    assert "Traceback" not in error
