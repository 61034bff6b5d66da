from __future__ import annotations

import json

from tests.replay.optimise.conftest import market  # noqa: F401  # A fixture.
from tools.cli import main

CROSS = ["--strategy", "ma_cross", "--param", "fast=5", "--param", "slow=20", "--param", "quantity=10"]
SHORT = ["--to", "1000", "--cuts", "3"]


def test_a_strategy_of_ours_passes(market, capsys):  # noqa: F811
    assert main(["replay", "check-strategy", str(market), *CROSS, *SHORT]) == 0
    out = capsys.readouterr().out
    assert out.count("passed") == 4
    assert "begun later" in out


def test_a_strategy_that_needs_more_past_fails_with_exit_code_1(market, capsys):  # noqa: F811
    words = ["replay", "check-strategy", str(market), *CROSS, *SHORT, "--settle", "0", "--json"]
    assert main(words) == 1
    body = json.loads(capsys.readouterr().out)
    assert body["passed"] is False
    (failed,) = [check for check in body["checks"] if check["passed"] is False]
    assert failed["name"] == "warm-up"
    assert failed["ts_ns"] > 0


def test_a_kind_that_does_not_exist_is_wrong_usage(market, capsys):  # noqa: F811
    assert main(["replay", "check-strategy", str(market), "--strategy", "none"]) == 2
    assert "no kind 'none'" in capsys.readouterr().err
