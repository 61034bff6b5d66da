"""`taped replay runs` as a user gives it, behind backtests that record themselves."""

from __future__ import annotations

import csv
import json
import sqlite3

import pytest

from tests.replay.recordings import SECOND, START
from tests.replay.runs.conftest import tape
from tools.cli import main
from tools.event_text import time_text

FLAGS = ["--strategy", "ma_cross", "--param", "slow=4", "--param", "quantity=1", "--rounds", "0"]


@pytest.fixture
def data(data_folder, capsys):
    """A data folder with a tape and three recorded runs."""
    tape(data_folder)
    for fast in (2, 3):
        backtest(data_folder, f"fast={fast}", "--note", f"fast is {fast}")
    backtest(data_folder, "fast=2", "--to", "200")
    capsys.readouterr()
    return data_folder


def backtest(data, parameter, *flags):
    return main(["replay", "backtest", str(data), *FLAGS, "--param", parameter, *flags])


def runs(capsys, *words):
    code = main(["replay", "runs", *map(str, words)])
    return code, capsys.readouterr()


def test_a_backtest_says_under_which_number_it_is_recorded(data, capsys):
    assert backtest(data, "fast=2") == 0
    assert capsys.readouterr().err == f"taped: recorded as run 4 in {data / 'runs.db'}\n"


def test_a_backtest_is_not_recorded_when_that_is_not_wanted(data, capsys):
    assert backtest(data, "fast=2", "--no-record") == 0
    capsys.readouterr()
    _, printed = runs(capsys, "list", "--data", data, "--json")
    assert [run["number"] for run in json.loads(printed.out)] == [3, 2, 1]


def test_runs_are_listed_newest_first_with_their_figures(data, capsys):
    code, printed = runs(capsys, "list", "--data", data)
    assert code == 0
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["run", "3", "2", "1"]
    assert "fast=3 quantity=1 slow=4" in lines[2]
    assert "fast is 3" in lines[2]


def test_runs_of_one_strategy_and_some_of_them_are_listed(data, capsys):
    _, printed = runs(capsys, "list", "--data", data, "--strategy", "breakout", "--json")
    assert json.loads(printed.out) == []
    _, printed = runs(capsys, "list", "--data", data, "--limit", "1", "--json")
    assert [run["number"] for run in json.loads(printed.out)] == [3]


def test_a_run_is_shown_with_all_that_it_takes_to_repeat_it(data, capsys):
    code, printed = runs(capsys, "show", 2, "--data", data)
    assert code == 0
    for text in ("fast is 3", "param fast", "journal ", "CPython ", "result  ", "code  ", "max_drawdown"):
        assert text in printed.out
    _, printed = runs(capsys, "show", 2, "--data", data, "--json")
    assert json.loads(printed.out)["spec"]["parameters"]["fast"] == 3


def test_compared_runs_show_the_choices_that_differ_and_the_figures_side_by_side(data, capsys):
    code, printed = runs(capsys, "compare", 1, 2, 3, "--data", data)
    assert code == 0
    lines = [" ".join(line.split()) for line in printed.out.splitlines()]
    assert "run 1 run 2 run 3" in lines[0]
    assert "param fast 2 3 2" in lines
    assert "events to 401 401 200" in lines
    assert not any(line.startswith("param slow") for line in lines)
    assert any(line.startswith("max_drawdown") for line in lines)
    _, printed = runs(capsys, "compare", 1, 2, "--data", data, "--json")
    assert json.loads(printed.out)["different"] == {"param fast": ["2", "3"]}
    _, printed = runs(capsys, "compare", 1, 2, "--data", data, "--all")
    assert "param slow" in printed.out
    assert "kurtosis" in printed.out


def test_every_run_can_be_repeated_from_its_row_with_the_same_result(data, capsys):
    for number in (1, 2, 3):
        code, printed = runs(capsys, "repeat", number, "--data", data)
        assert code == 0
        assert printed.out.splitlines()[-1] == "equal"


def test_a_run_that_was_told_of_the_time_before_it_is_repeated_too(data, capsys):
    begin = time_text(START + 100 * SECOND)
    assert backtest(data, "fast=2", "--from", begin, "--warmup", "1m") == 0
    capsys.readouterr()
    code, printed = runs(capsys, "repeat", "4", "--data", data)
    assert (code, printed.err) == (0, "")
    assert "equal" in printed.out


def test_runs_of_equal_choices_say_so(data, capsys):
    backtest(data, "fast=3")
    capsys.readouterr()
    _, printed = runs(capsys, "compare", "2", "4", "--data", data)
    assert printed.out.startswith("the same was chosen for all of them\n")


def test_a_result_that_is_not_the_recorded_one_is_a_problem(data, capsys):
    connection = sqlite3.connect(data / "runs.db")
    connection.execute("UPDATE runs SET record = json_set(record, '$.result_sha256', 'abc') WHERE run = 1")
    connection.commit()
    connection.close()
    code, printed = runs(capsys, "repeat", 1, "--data", data)
    assert code == 1
    assert "DIFFERENT, though data, code and Python are the same" in printed.out
    code, printed = runs(capsys, "repeat", 1, "--data", data, "--json")
    assert (code, json.loads(printed.out)["equal"]) == (1, False)


def test_a_run_is_exported_as_tables(data, capsys, tmp_path):
    code, printed = runs(capsys, "export", 1, tmp_path / "out", "--format", "csv", "--data", data)
    assert code == 0
    assert printed.out.splitlines()[0].split() == ["table", "rows"]
    _, printed = runs(capsys, "show", 1, "--data", data, "--json")
    run = json.loads(printed.out)
    with (tmp_path / "out" / "fills.csv").open(newline="") as file:
        fills = list(csv.DictReader(file))
    assert len(fills) == run["fills"]
    with (tmp_path / "out" / "equity.csv").open(newline="") as file:
        assert list(csv.DictReader(file))[-1]["equity"] == run["equity"]["USD"]
    with (tmp_path / "out" / "trips.csv").open(newline="") as file:
        closed = [trip for trip in csv.DictReader(file) if trip["closed"]]
    assert len(closed) == run["metrics"]["trips"]


def test_a_run_that_gives_another_result_by_now_is_not_exported(data, capsys, tmp_path):
    connection = sqlite3.connect(data / "runs.db")
    connection.execute("UPDATE runs SET record = json_set(record, '$.result_sha256', 'abc') WHERE run = 1")
    connection.commit()
    connection.close()
    code, printed = runs(capsys, "export", 1, tmp_path / "out", "--format", "csv", "--data", data)
    assert code == 1
    assert "does not give the recorded result any more" in printed.err
    assert not (tmp_path / "out").exists()


def test_a_run_is_forgotten(data, capsys):
    assert runs(capsys, "rm", 1, 3, "--data", data)[0] == 0
    _, printed = runs(capsys, "list", "--data", data, "--json")
    assert [run["number"] for run in json.loads(printed.out)] == [2]
    code, printed = runs(capsys, "show", 1, "--data", data)
    assert code == 1
    assert "there is no run 1" in printed.err


def test_a_damaged_catalogue_does_not_stop_a_backtest(data, capsys):
    (data / "runs.db").write_bytes(b"damaged beyond all repair " * 100)
    assert backtest(data, "fast=2") == 0
    printed = capsys.readouterr()
    assert "result " in printed.out
    assert "taped: the run was not recorded" in printed.err


def test_runs_over_files_are_in_the_users_catalogue(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    assert runs(capsys, "list")[1].out.startswith("no run is recorded in")
    path = tmp_path / "BTCUSDT-trades-2025-01.csv"
    rows = [f"{n},{100 + n % 20},5,6,{1735689600000 + n * 1000},true,true" for n in range(100)]
    path.write_text("\n".join(rows))
    assert backtest(path.name, "fast=2") == 0
    capsys.readouterr()
    monkeypatch.chdir("/")
    assert runs(capsys, "repeat", 1)[0] == 0


def test_a_search_records_its_winner(data, capsys):
    words = ["replay", "optimise", str(data), "--strategy", "ma_cross", "--param", "quantity=1", "--range",
             "fast=2:3:1", "--range", "slow=5:6:1", "--workers", "1"]  # fmt: skip
    assert main(words) == 0
    assert f"recorded as run 4 in {data / 'runs.db'}" in capsys.readouterr().err
    _, printed = runs(capsys, "show", 4, "--data", data, "--json")
    assert json.loads(printed.out)["origin"] == "optimise"
    assert runs(capsys, "repeat", 4, "--data", data)[0] == 0


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["compare", "1"], 2, "two runs or more"),
        (["show", "0"], 2, "expected a number from 1"),
        (["list", "--data", "/nowhere"], 2, "no such folder"),
        (["show", "1"], 1, "no run was recorded here"),
    ],
)
def test_wrong_words_are_told(words, code, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    found, printed = runs(capsys, *words)
    assert found == code
    assert says in printed.err


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("lean/equity/usa/tick/spy/20131008_trade.zip", ["--param", "quantity=10", "--to", "100000"]),
        (
            "lean/forex/fxcm/tick/eurusd/20140511_quote.zip",
            ["--param", "quantity=100", "--param", "source=quote"],
        ),
        ("crypto/binance_spot_btcusdt_20240808.gz", ["--param", "quantity=0.01"]),
    ],
)
def test_runs_over_real_markets_are_recorded_and_repeated(
    market_data, tmp_path, capsys, monkeypatch, name, flags
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    words = ["replay", "backtest", str(market_data / name), "--strategy", "ma_cross", "--rounds", "0", *flags]
    assert main(words) == 0
    capsys.readouterr()
    code, printed = runs(capsys, "repeat", 1, "--json")
    assert code == 0
    assert json.loads(printed.out)["differences"] == []
    assert runs(capsys, "export", 1, tmp_path / "out")[0] == 0
