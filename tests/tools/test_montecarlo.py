from __future__ import annotations

import json

import pytest

from tests.replay.optimise.conftest import market  # noqa: F401  # A fixture.
from tools.cli import main

CROSS = ["--strategy", "ma_cross", "--param", "fast=5", "--param", "slow=20", "--param", "quantity=100"]


@pytest.fixture
def montecarlo(market, capsys):  # noqa: F811
    def call(*words):
        code = main(["replay", "montecarlo", str(market), *CROSS, *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_each_method_has_its_odds_in_a_table(montecarlo):
    code, out, _ = montecarlo("--paths", "50")
    assert code == 0
    assert "start 100,000 USD, ruin at 50,000, target 120,000" in out
    for method in ("shuffle", "bootstrap", "block"):
        assert method in out


def test_json_tells_the_quantiles_and_equal_seeds_the_same(montecarlo):
    words = ["--paths", "50", "--ruin", "2", "--target", "1", "--compound", "--json"]
    code, out, _ = montecarlo(*words)
    body = json.loads(out)
    assert code == 0
    assert body["stakes"] == {"start": 100000.0, "ruin": 98000.0, "target": 101000.0, "compound": True}
    assert [one["method"] for one in body["odds"]] == ["shuffle", "bootstrap", "block"]
    assert set(body["odds"][0]["final_equity"]) == {"0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"}
    assert montecarlo(*words)[1] == out


def test_other_venues_run_the_backtest_again(montecarlo):
    _, out, _ = montecarlo("--methods", "shuffle", "--paths", "20", "--runs", "3", "--json")
    venue = json.loads(out)["odds"][1]
    assert (venue["method"], venue["paths"]) == ("venue", 3)
    assert venue["final_equity"]["0.01"] <= venue["final_equity"]["0.99"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--methods", "magic"], 1, "no method 'magic'; there is shuffle, bootstrap, block"),
        (["--paths", "0"], 2, "expected 1 to"),
        (["--runs", "-1"], 2, "expected 0 to"),
        (["--ruin", "-5"], 1, "expected ruin below the start"),
        (["--ruin", "nan"], 1, "expected ruin below the start"),
        (["--cash", "1"], 1, "0 closed trades, expected at least 2"),
    ],
)
def test_what_cannot_be_drawn_is_told(montecarlo, words, code, says):
    found, _, error = montecarlo(*words)
    assert found == code
    assert says in error
